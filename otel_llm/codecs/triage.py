"""What of a trace request is given up last: roots, errors, and spans that carry a cost or a verdict.

For when there is no room for all of it: a trace without its leaves still tells what happened and what it cost.
"""

from __future__ import annotations

from otel_llm.codecs.regroup import read_layout, split_items
from otel_llm.codecs.span_facts import SpanFacts, read_facts
from otel_llm.errors import MalformedError
from otel_llm.signals import Payload


def keep_important(payload: Payload) -> Payload:
    """The payload without the spans that matter least; any other signal, and what cannot be read, as it is."""
    if payload.signal != "traces":
        return payload
    body = payload.join()
    try:
        layout = read_layout(body)
    except MalformedError:
        return payload
    keys = [_is_important(read_facts(body, start, end)) for _, start, end in layout.items()]
    if all(keys):
        return payload
    return split_items(layout, keys, "traces").get(True, Payload.of("traces", (), 0))


def _is_important(span: SpanFacts | None) -> bool:
    return span is None or span.is_root or span.is_error or span.cost is not None or span.verdict is not None
