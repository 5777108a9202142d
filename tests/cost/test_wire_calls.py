from __future__ import annotations

import random

from otel_llm.cost.wire_calls import Report, WireCalls

SECOND = 1_000_000_000


def report(
    span: int, *, parent: int = 0, trace: int = 1, answer: str | None = None, start: int = 0, detail: int = 2
) -> Report:
    """A span of one second that began `start` seconds after the first."""
    begin = 1000 * SECOND + start * SECOND
    parent_id = parent.to_bytes(8, "big") if parent else b""
    return Report(bytes([trace]), span.to_bytes(8, "big"), parent_id, answer, begin, begin + SECOND, detail)


def test_unrelated_calls_are_all_billed() -> None:
    assert WireCalls().settle([report(1), report(2), report(1, trace=2)]) == [True, True, True]


def test_of_parent_and_child_the_child_is_billed() -> None:
    assert WireCalls().settle([report(2, parent=1), report(1)]) == [True, False]
    assert WireCalls().settle([report(1), report(2, parent=1)]) == [False, True]


def test_the_more_detailed_of_parent_and_child_is_billed() -> None:
    cache_blind = report(2, parent=1, detail=2)
    cache_aware = report(1, detail=4)
    assert WireCalls().settle([cache_blind, cache_aware]) == [False, True]


def test_a_parent_of_several_calls_is_never_billed_however_detailed() -> None:
    reports = [report(1, detail=9), report(2, parent=1), report(3, parent=1)]
    assert WireCalls().settle(reports) == [False, True, True]


def test_a_chain_of_three_layers_is_billed_once() -> None:
    assert WireCalls().settle([report(1), report(2, parent=1), report(3, parent=2)]) == [False, False, True]


def test_a_later_child_of_a_parent_of_several_calls_is_billed() -> None:
    calls = WireCalls()
    assert calls.settle([report(1), report(2, parent=1), report(3, parent=1)]) == [False, True, True]
    assert calls.settle([report(4, parent=1)]) == [True]
    calls = WireCalls()
    assert [
        calls.settle([one])[0] for one in (report(2, parent=1), report(3, parent=1), report(1), report(4, parent=1))
    ] == [
        True,
        True,
        False,
        True,
    ]


def test_a_span_that_is_its_own_parent_is_settled() -> None:
    assert WireCalls().settle([report(1, parent=1)]) == [True]
    assert sum(WireCalls().settle([report(1, parent=2), report(2, parent=1)])) <= 1


def test_spans_without_an_id_are_not_taken_for_one_another() -> None:
    nameless = [report(0, trace=0), report(0, trace=0, start=5)]
    calls = WireCalls()
    assert calls.settle(nameless) == [True, True]
    assert calls.settle(nameless[:1]) == [True]


def test_one_answer_in_two_traces_is_billed_once_on_the_more_detailed_span() -> None:
    first = report(1, trace=1, answer="chatcmpl-9", detail=2)
    second = report(1, trace=2, answer="chatcmpl-9", detail=3)
    assert WireCalls().settle([first, second]) == [False, True]


def test_layers_that_arrive_in_different_requests_are_billed_once() -> None:
    for order in ((report(2, parent=1), report(1)), (report(1), report(2, parent=1))):
        calls = WireCalls()
        assert [calls.settle([one]) for one in order] == [[True], [False]]
    calls = WireCalls()
    assert calls.settle([report(1, trace=1, answer="chatcmpl-9")]) == [True]
    assert calls.settle([report(1, trace=2, answer="chatcmpl-9")]) == [False]


def test_the_same_spans_again_get_the_same_answer() -> None:
    calls = WireCalls()
    batch = [report(2, parent=1, answer="a"), report(1, answer="a"), report(3, trace=2, answer="a", detail=1)]
    first = calls.settle(batch)
    assert first == [True, False, False]
    assert calls.settle(batch) == first
    assert [calls.settle([one])[0] for one in batch] == first


def test_a_short_id_that_comes_again_later_is_another_call() -> None:
    calls = WireCalls()
    assert calls.settle([report(1, answer="chatcmpl-7")]) == [True]
    assert calls.settle([report(2, answer="chatcmpl-7", start=60)]) == [True]


def test_a_long_id_is_one_answer_whenever_it_is_fetched() -> None:
    calls = WireCalls()
    answer = "resp_0123456789abcdef0123456789"
    assert calls.settle([report(1, answer=answer)]) == [True]
    assert calls.settle([report(2, trace=2, answer=answer, start=3600)]) == [False]


def test_what_is_remembered_is_bounded_and_the_oldest_goes_first() -> None:
    calls = WireCalls(limit=10)
    for number in range(1, 100):
        calls.settle([report(number, parent=number + 1000, answer=f"id-{number}", start=10 * number)])
    assert max(len(calls._spans), len(calls._answers)) <= 2 * 10 + 2
    assert calls.settle([report(200, trace=2, answer="id-99", start=990)]) == [False]
    assert calls.settle([report(201, trace=2, answer="id-1", start=10)]) == [True]


def test_any_mix_of_layers_bills_each_call_once() -> None:
    """Calls reported by up to four nested layers, in random order and cut into random requests."""
    rng = random.Random("layers")
    for _ in range(300):
        calls, batches, span = WireCalls(), [], 0
        number_of_calls = rng.randrange(1, 6)
        for call in range(number_of_calls):
            layers, above = [], 0
            for _ in range(rng.randrange(1, 5)):
                span += 1
                answer = f"resp-{call}" if rng.random() < 0.7 else None
                layers.append(report(span, parent=above, answer=answer, start=10 * call, detail=rng.randrange(1, 5)))
                above = span
            batches.append(layers if rng.random() < 0.5 else layers[::-1])
        if rng.random() < 0.5:
            billed = [calls.settle(batch) for batch in batches]
        else:
            flat = [one for batch in batches for one in batch]
            billed = [calls.settle(flat)]
        assert sum(map(sum, billed)) == number_of_calls


def test_a_request_larger_than_the_memory_is_settled_as_a_whole() -> None:
    calls = WireCalls(limit=3)
    assert calls.settle([report(n, parent=n + 100, trace=n) for n in range(1, 50)]) == [True] * 49
    for trace in range(100, 110):
        calls.settle([report(1, trace=trace)])
    assert len(calls._spans) <= 2 * 3


def test_a_call_that_stands_alone_is_settled_as_a_family_of_one_is() -> None:
    """The short way for single reports against the long one, which a pair of parent and child beside them forces."""
    rng = random.Random("alone")
    pair = [report(998, trace=9), report(999, parent=998, trace=9)]
    for _ in range(300):
        short, long = WireCalls(), WireCalls()
        for _ in range(6):
            answer = rng.choice([None, "short-id", f"resp_{rng.randrange(3):020}"])
            start = rng.randrange(3)
            one = report(rng.randrange(1, 9), parent=rng.randrange(9, 13), answer=answer, start=start, detail=1)
            fresh = [two._replace(trace_id=bytes([50 + rng.randrange(200)])) for two in pair]
            assert short.settle([one]) == long.settle([one, *fresh])[:1]


def test_a_short_id_that_one_process_gets_again_at_once_is_another_call() -> None:
    """Servers that count their answers from 1 are fast: the next call begins when the last one has ended."""
    first, next_one, other = (
        one._replace(clock="a")
        for one in (report(1, answer="1"), report(2, answer="1", start=1), report(2, trace=2, answer="1"))
    )
    assert WireCalls().settle([first, next_one]) == [True, True]
    calls = WireCalls()
    assert calls.settle([first]) + calls.settle([next_one]) == [True, True]
    assert WireCalls().settle([first, next_one._replace(clock="b")]) == [False, True]  # clocks may differ
    assert sum(WireCalls().settle([first, other])) == 1


def test_a_span_without_usage_repeats_the_call_that_another_reports() -> None:
    silent = report(1, detail=-1)
    for together in ([silent, report(2, parent=1)], [report(2, parent=1), silent]):
        assert dict(zip(together, WireCalls().settle(together), strict=True))[silent] is False
    calls = WireCalls()
    assert calls.settle([report(2, parent=1)]) + calls.settle([silent]) == [True, False]
    below = report(3, parent=2, detail=-1)
    assert WireCalls().settle([report(2), below]) == [True, False]
    same_answer = [report(4, trace=2, answer="chatcmpl-9", detail=-1), report(5, answer="chatcmpl-9")]
    assert WireCalls().settle(same_answer) == [False, True]


def test_a_span_without_usage_stands_for_itself_and_takes_nothing_from_a_later_report() -> None:
    calls = WireCalls()
    assert calls.settle([report(1, detail=-1), report(7, detail=-1, trace=3)]) == [True, True]
    assert calls.settle([report(2, parent=1)]) == [True]
