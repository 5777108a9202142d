"""What becomes of a trace, and what is said about it on the spans that are kept."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from otel_llm._generated import attributes as names
from otel_llm._generated.attributes import OtelLlmSamplingDecision, OtelLlmSamplingRule
from otel_llm.codecs.annotate import Annotation, annotate
from otel_llm.codecs.regroup import read_layout
from otel_llm.codecs.span_facts import SpanFacts, read_facts
from otel_llm.connectors.threshold import adjusted_count, threshold_in, with_threshold
from otel_llm.operation import AttributeValue
from otel_llm.signals import Payload


@dataclass(frozen=True, slots=True)
class Decision:
    """What becomes of a trace.

    Attributes:
        rule: what decided.
        threshold: of the probability it was kept with; 0 when a rule keeps it, None when it is not kept.
        is_overflow: it was too large to wait for the rest.
    """

    rule: OtelLlmSamplingRule
    threshold: int | None
    is_overflow: bool

    @property
    def word(self) -> OtelLlmSamplingDecision:
        """The decision as it is counted."""
        return "sampled_out" if self.threshold is None else "kept"


class Part(NamedTuple):
    """Spans of one request that belong to one trace.

    Attributes:
        body: a request of them alone.
        items: how many.
        is_plain: nothing is said about them when a rule keeps them: no root, and not sampled before.
        record: what they came with, in the journal; 0 without one.
    """

    body: bytes
    items: int
    is_plain: bool
    record: int


def part_of(part: Payload, facts: list[SpanFacts], record: int) -> Part:
    """Spans of a trace as they are held."""
    is_plain = not any(one.is_root or one.trace_state for one in facts)
    return Part(part.join(), part.items, is_plain, record)


def annotated(part: Part, decision: Decision) -> Payload:
    """Kept spans with what is said about them."""
    if part.is_plain and not decision.threshold:
        return Payload("traces", (part.body,), part.items, len(part.body))
    layout = read_layout(part.body)
    # Most spans of a trace get the same.
    usual = {is_root: _annotation(is_root, b"", decision) for is_root in (False, True)}
    annotations: list[Annotation | None] = []
    for _, start, end in layout.items():
        facts = read_facts(part.body, start, end)
        if facts is None:
            annotations.append(None)
        elif facts.trace_state:
            annotations.append(_annotation(facts.is_root, facts.trace_state, decision))
        else:
            annotations.append(usual[facts.is_root])
    if not any(annotations):
        return Payload("traces", (part.body,), part.items, len(part.body))
    return annotate(layout, annotations)


def _annotation(is_root: bool, trace_state: bytes, decision: Decision) -> Annotation | None:  # noqa: FBT001 - a fact
    if decision.threshold is None:
        return None
    attributes: dict[str, AttributeValue] = {}
    if is_root:
        attributes[names.OTEL_LLM_SAMPLING_RULE] = decision.rule
        if decision.is_overflow:
            attributes[names.OTEL_LLM_SAMPLING_OVERFLOW] = True
    before = threshold_in(trace_state)
    threshold = max(before, decision.threshold)
    if threshold:
        attributes[names.OTEL_LLM_SAMPLING_ADJUSTED_COUNT] = adjusted_count(threshold)
    if not attributes:
        return None
    changed = with_threshold(trace_state, threshold) if threshold > before else None
    return Annotation(attributes, changed, has_trace_state=bool(trace_state))
