"""Attributes and trace state put on spans of a request, on the bytes; for those who do not see Operations.

An attribute that is there already is replaced. Everything else of a span stays as it came and in its place.
Source: opentelemetry-proto trace.proto (Span 3: trace_state, 9: attributes).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from otel_llm.codecs import protobuf
from otel_llm.codecs.protobuf import AttributeEncoder
from otel_llm.codecs.regroup import Layout, Replacement, rewrite_items
from otel_llm.errors import MalformedError
from otel_llm.operation import AttributeValue
from otel_llm.signals import Buffer, Payload

_TRACE_STATE: Final = 26
_ATTRIBUTES: Final = 74
_KEY: Final = 10
_ENCODER: Final = AttributeEncoder(_ATTRIBUTES, limit=256)


class Annotation:
    """What a span gets.

    Args:
        attributes: to set.
        trace_state: to put in place of what is there; None leaves that.
        has_trace_state: whether there may be one; when there is none, spans need not be looked through for it.
    """

    __slots__ = ("_added", "_keys", "_replaces_trace_state")

    def __init__(
        self,
        attributes: Mapping[str, AttributeValue],
        trace_state: bytes | None = None,
        *,
        has_trace_state: bool = True,
    ) -> None:
        self._keys = tuple(key.encode() for key in attributes)
        self._replaces_trace_state = trace_state is not None and has_trace_state
        self._added = b"".join(_ENCODER.encode(key, value) for key, value in attributes.items())
        if trace_state is not None:
            self._added += b"\x1a" + protobuf.varint(len(trace_state)) + trace_state

    def apply(self, body: bytes, start: int, end: int) -> list[Buffer]:
        """The content of the span from `start` to `end` with this on it.

        Raises:
            MalformedError: the bytes are no span.
        """
        view = memoryview(body)
        if not self._replaces_trace_state and all(body.find(key, start, end) < 0 for key in self._keys):
            return [view[start:end], self._added]
        kept: list[Buffer] = [
            view[field:after] for tag, field, payload, after in protobuf.fields(body, start, end)
            if not self._replaces(body, tag, payload, after)
        ]  # fmt: skip
        return [*kept, self._added]

    def _replaces(self, body: bytes, tag: int, payload: int, after: int) -> bool:
        if tag == _TRACE_STATE:
            return self._replaces_trace_state
        if tag != _ATTRIBUTES:
            return False
        key = b""
        for field, _, start, end in protobuf.fields(body, payload, after):
            if field == _KEY:
                key = body[start:end]
        return key in self._keys


def annotate(layout: Layout, annotations: Sequence[Annotation | None]) -> Payload:
    """The request with an annotation for each span, None for those that stay as they are, as do no spans."""
    replacements: list[Replacement] = [
        None if one is None else _applied(one, layout.body, payload, end)
        for one, (_, payload, end) in zip(annotations, layout.items(), strict=True)
    ]
    return rewrite_items(layout, replacements, "traces")


def _applied(annotation: Annotation, body: bytes, start: int, end: int) -> Replacement:
    try:
        return annotation.apply(body, start, end)
    except MalformedError:
        return None
