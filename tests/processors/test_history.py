from __future__ import annotations

import json

import pytest

from otel_llm._generated import attributes as names
from otel_llm.clock import SystemClock
from otel_llm.components import Context
from otel_llm.errors import PipelineOrderError
from otel_llm.operation import Operation
from otel_llm.pipeline import Pipeline, Processor
from otel_llm.processors import history, normalize, quality
from otel_llm.telemetry import Metrics
from tests.spans import SpanSpec, chat, operations

QUESTION = {"role": "user", "parts": [{"type": "text", "content": "Why is the sky blue? " * 20}]}
ANSWER = {"role": "assistant", "parts": [{"type": "text", "content": "漢 because of Rayleigh. " * 20}]}
NEXT = {"role": "user", "parts": [{"type": "text", "content": "And the sea?"}]}
INSTRUCTIONS = [{"type": "text", "content": "Be brief, and kind. " * 20}]
TOOLS = [{"type": "function", "name": "look_up", "description": "Looks things up. " * 20}]


def context(name: str) -> Context:
    return Context(name, Metrics(), SystemClock())


def dump(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


def turn(number: int, *messages: object, trace: int = 1, conversation: str | None = "c1") -> SpanSpec:
    attributes = chat(
        gen_ai__conversation__id=conversation,
        gen_ai__input__messages=dump(messages),
        gen_ai__output__messages=dump([{**ANSWER, "finish_reason": "stop"}]),
        gen_ai__system_instructions=dump(INSTRUCTIONS),
        gen_ai__tool__definitions=dump(TOOLS),
    )
    return SpanSpec(attributes, span=number, trace=trace)


def processed(*specs: SpanSpec, config: history.Config | None = None) -> list[Operation]:
    made = operations(*specs)
    metrics, clock = Metrics(), SystemClock()
    Pipeline([normalize.Normalize(), history.History(config)], metrics, clock).process(made)
    return made


def parsed(operation: Operation, key: str) -> list[object]:
    found: list[object] = json.loads(str(operation.get(key)))
    return found


def test_a_turn_refers_to_the_one_before_and_says_so() -> None:
    first, second = processed(turn(1, QUESTION), turn(2, QUESTION, ANSWER, NEXT))
    assert names.OTEL_LLM_HISTORY_REPLACED not in first.keys()  # noqa: SIM118 - no mapping
    reference = {"trace_id": f"{1:032x}", "span_id": f"{1:016x}", "messages": 2, "type": "reference"}
    assert parsed(second, names.GEN_AI_INPUT_MESSAGES) == [{"role": "history", "parts": [reference]}, NEXT]
    del reference["messages"]
    assert parsed(second, names.GEN_AI_SYSTEM_INSTRUCTIONS) == [{**reference, "name": "history"}]
    assert parsed(second, names.GEN_AI_TOOL_DEFINITIONS) == [{**reference, "name": "history"}]
    assert second.get(names.OTEL_LLM_HISTORY_MESSAGES) == 2
    assert second.get(names.OTEL_LLM_HISTORY_REPLACED) == (
        names.GEN_AI_INPUT_MESSAGES,
        names.GEN_AI_SYSTEM_INSTRUCTIONS,
        names.GEN_AI_TOOL_DEFINITIONS,
    )
    assert second.get(names.GEN_AI_USAGE_INPUT_TOKENS) == 1000
    assert parsed(second, names.GEN_AI_OUTPUT_MESSAGES) == [{**ANSWER, "finish_reason": "stop"}]


def test_a_second_pass_by_us_or_by_another_gateway_changes_nothing() -> None:
    first = processed(turn(1, QUESTION), turn(2, QUESTION, ANSWER, NEXT))
    again = [
        SpanSpec({key: one.get(key) for key in one.keys()}, span=number)  # noqa: SIM118 - no mapping
        for number, one in enumerate(first, 1)
    ]
    for before, after in zip(first, processed(*again), strict=True):
        assert {key: before.get(key) for key in before.keys()} == {key: after.get(key) for key in after.keys()}  # noqa: SIM118 - no mapping


def test_within_a_trace_no_reference_leads_out_of_it() -> None:
    specs = (turn(1, QUESTION), turn(2, QUESTION, ANSWER, NEXT, trace=2), turn(3, QUESTION, ANSWER, trace=2))
    _, other, same = processed(*specs, config=history.Config(within="trace"))
    assert other.get(names.OTEL_LLM_HISTORY_REPLACED) is None
    assert same.get(names.OTEL_LLM_HISTORY_MESSAGES) == 2
    _, across, _ = processed(*specs)
    assert across.get(names.OTEL_LLM_HISTORY_MESSAGES) == 2


def test_spans_without_a_conversation_refer_to_their_trace_only() -> None:
    _, same, other = processed(
        turn(1, QUESTION, conversation=None),
        turn(2, QUESTION, conversation=None),
        turn(3, QUESTION, conversation=None, trace=2),
    )
    assert same.get(names.OTEL_LLM_HISTORY_MESSAGES) == 1
    assert other.get(names.OTEL_LLM_HISTORY_REPLACED) is None


def test_a_span_that_was_dropped_or_has_no_id_is_not_referred_to() -> None:
    dropped, *rest = operations(turn(1, QUESTION), turn(0, QUESTION), turn(3, QUESTION))
    dropped.drop("test")
    Pipeline([history.History()], Metrics(), SystemClock()).process([dropped, *rest])
    assert [one.get(names.OTEL_LLM_HISTORY_REPLACED) for one in rest] == [None, None]


def test_a_processor_that_reads_messages_must_stand_before() -> None:
    checks: Processor = quality.create(quality.Config(), context("quality"))
    Pipeline([normalize.Normalize(), checks, history.History()], Metrics(), SystemClock())
    with pytest.raises(PipelineOrderError, match=r"leaves only a part; put history behind quality"):
        Pipeline([normalize.Normalize(), history.History(), checks], Metrics(), SystemClock())
    with pytest.raises(PipelineOrderError, match=r"put normalize before history"):
        Pipeline([history.History(), normalize.Normalize()], Metrics(), SystemClock())
