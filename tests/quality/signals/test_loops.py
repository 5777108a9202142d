"""Agents in circles, and what only looks like it."""

from __future__ import annotations

from otel_llm.quality.signals.exchange import Answer, step_of, steps_of
from otel_llm.quality.signals.loops import Step, is_loop, is_polling
from otel_llm.quality.signals.outliers import Level, is_low, is_slow
from otel_llm.quality.signals.tool_calls import ToolCall
from otel_llm.quality.signals.traces import DEEPEST, Traces

A, B, C = Step(1, 10), Step(2, 20), Step(3, 30)


def test_the_third_repeat_is_a_loop_and_the_second_is_not() -> None:
    assert not is_loop([A, A])
    assert is_loop([A, A, A])
    assert is_loop([B, A, A, A])
    assert not is_loop([A, A, A, B])


def test_two_tools_in_turn_are_a_loop() -> None:
    assert is_loop([A, B, A, B, A, B])
    assert not is_loop([A, B, A, B, A])
    assert is_loop([A, B, C, A, B, C, A, B, C])


def test_other_results_are_no_loop_and_an_unknown_one_may_be() -> None:
    assert not is_loop([Step(1, 1), Step(1, 2), Step(1, 3)])
    assert is_loop([Step(1, 1), Step(1, 1), Step(1)])


def test_polling_may_go_on_for_long_and_not_for_ever() -> None:
    poll = step_of(ToolCall("get_job_status", {"id": 7}), "running")
    assert not is_loop([poll] * 20)
    assert is_loop([poll] * 25)
    assert is_polling("waitForBuild")
    assert not is_polling("estate_search")


def test_the_same_arguments_in_another_order_or_as_text_are_the_same() -> None:
    one = step_of(ToolCall("f", {"a": 1, "b": 2}), None)
    assert one == step_of(ToolCall("f", '{"b": 2, "a": 1}'), None)
    assert one != step_of(ToolCall("f", {"a": 1, "b": 3}), None)


def test_calls_and_results_are_read_from_the_history() -> None:
    def turn(number: int, result: str) -> list[dict[str, object]]:
        call = {"type": "tool_call", "id": str(number), "name": "search", "arguments": {"q": "mill"}}
        response = {"type": "tool_call_response", "id": str(number), "response": result}
        return [{"role": "assistant", "parts": [call]}, {"role": "tool", "parts": [response]}]

    answer = Answer("", (ToolCall("search", {"q": "mill"}),), has_more=False, finish_reasons=())
    assert is_loop(steps_of([*turn(1, "nothing"), *turn(2, "nothing")], answer))
    assert not is_loop(steps_of([*turn(1, "page 1"), *turn(2, "page 2")], answer))


def span(number: int) -> bytes:
    return number.to_bytes(8, "big")


def trace(number: int) -> bytes:
    return number.to_bytes(16, "big")


def test_a_trace_remembers_its_steps_once_each() -> None:
    traces = Traces(2)
    assert [traces.stepped(trace(1), span(n), A) for n in (1, 2, 2, 2)] == [False, False, False, False]
    assert traces.stepped(trace(1), span(3), A)
    assert not traces.stepped(trace(2), span(1), A)


def test_four_failures_in_a_row_are_a_storm() -> None:
    traces = Traces(10)
    outcomes = [True, True, False, True, True, True, True]
    found = [traces.called(trace(1), span(n), "gpt", failed=failed) for n, failed in enumerate(outcomes)]
    assert found == [False, False, None, False, False, False, True]


def test_agents_upon_each_other_are_counted_as_their_spans_end() -> None:
    traces = Traces(10)
    heights = []
    for number in range(2 * DEEPEST, 0, -1):  # agents and the tools between them, children first
        is_agent = number % 2 == 1
        heights.append(traces.height(trace(1), span(number), span(number - 1), is_agent=is_agent))
    assert max(heights) == DEEPEST


def test_memory_of_traces_is_bounded() -> None:
    traces = Traces(5)
    for number in range(100):
        traces.retrieved(trace(number), frozenset({"some", "text"}))
        for child in range(600):
            traces.height(trace(number), span(child), span(10_000), is_agent=True)
    assert len(traces) == 5
    assert traces.words(trace(0)) is None
    assert traces.words(trace(99)) == {"some", "text"}


def test_long_documents_make_fewer_traces_be_remembered() -> None:
    traces = Traces(1000)
    words = frozenset(f"word{n}" for n in range(40_000))
    for number in range(100):
        traces.retrieved(trace(number), words)
    assert len(traces) == 25
    assert traces.words(trace(99)) == words


def test_ids_of_other_lengths_are_not_remembered() -> None:
    traces = Traces(10)
    long = bytes(100_000)
    traces.retrieved(long, frozenset({"a"}))
    assert traces.stepped(long, span(1), A) is None
    assert traces.called(trace(1), long, "gpt", failed=True) is None
    assert traces.height(long, span(1), span(2), is_agent=True) == 1
    assert len(traces) == 0


def test_an_outlier_is_far_from_the_level_and_nothing_is_while_it_is_young() -> None:
    level = Level()
    assert {is_slow(level.update(1.0 + 0.1 * (n % 5))) for n in range(50)} == {None}
    assert is_slow(level.update(1.2)) is False
    assert is_slow(level.update(60.0)) is True
    assert is_low(level.update(0.01)) is True
    assert is_slow(level.update(1.3)) is False
