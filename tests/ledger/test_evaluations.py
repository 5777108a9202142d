from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Protocol

import pytest

from otel_llm.ledger.row import row_of
from otel_llm.ledger.schema import MIGRATIONS
from otel_llm.ledger.store import Ledger
from otel_llm.quality.results import Evaluation, Target
from otel_llm.testing import FakeClock
from tests.spans import SECOND, SpanSpec, chat, operations


class Ledgers(Protocol):
    """Makes a ledger with these operations in it."""

    def __call__(self, *specs: SpanSpec, clock: FakeClock | None = None) -> Ledger: ...


@pytest.fixture
def ledger_with(ledger_place: str) -> Iterator[Ledgers]:
    opened: list[Ledger] = []

    def make(*specs: SpanSpec, clock: FakeClock | None = None) -> Ledger:
        ledger = Ledger(ledger_place, clock=clock or FakeClock())
        opened.append(ledger)
        ledger.record(row for one in operations(*specs) if (row := row_of(one)) is not None)
        return ledger

    yield make
    for ledger in opened:
        ledger.close()


def call(span: int, **more: object) -> SpanSpec:
    fields = {key: more.pop(key) for key in ("trace", "start") if key in more}
    return SpanSpec(chat(**more), span=span, **fields)  # type: ignore[arg-type] # fields of SpanSpec


def at(span: int, trace: int = 1) -> Target:
    return Target(trace.to_bytes(16, "big"), span.to_bytes(8, "big"))


def judged(target: Target, score: float | None, name: str = "helpful", **more: object) -> Evaluation:
    return Evaluation(target, name, score, evaluator_id="judge", evaluator_version="1", **more)  # type: ignore[arg-type] # fields of Evaluation


def test_a_result_again_is_the_same_row_and_a_re_score_takes_its_place(ledger_with: Ledgers) -> None:
    ledger = ledger_with(call(1))
    first = judged(at(1), 0.2, time_unix_nano=10)
    assert [one.is_new for one in ledger.record_evaluations([first, first])] == [True, False]
    ledger.record_evaluations([judged(at(1), 0.9, time_unix_nano=20), judged(at(1), 0.1, time_unix_nano=15)])
    assert [(one.evaluation.score, one.span_id) for one in ledger.evaluations()] == [(0.9, at(1).span_id)]


def test_a_result_that_several_record_at_once_is_new_to_one_of_them(ledger_with: Ledgers) -> None:
    ledgers = [ledger_with(call(1)) for _ in range(4)]
    barrier = threading.Barrier(4)

    def record(ledger: Ledger) -> bool:
        barrier.wait(20)
        [recorded] = ledger.record_evaluations([judged(at(1), 0.5, time_unix_nano=10)])
        return recorded.is_new

    with ThreadPoolExecutor(4) as pool:
        assert sorted(pool.map(record, ledgers)) == [False, False, False, True]


def test_an_unknown_target_is_kept_and_joined_when_its_span_comes(ledger_with: Ledgers) -> None:
    ledger = ledger_with()
    (recorded,) = ledger.record_evaluations([judged(Target(response_id="resp-7"), 1.0)])
    assert recorded.operation is None
    assert ledger.evaluation_totals()[0].unknown_targets == 1
    ledger.record([row for one in operations(call(7, gen_ai__response__id="resp-7")) if (row := row_of(one))])
    (totals,) = ledger.evaluation_totals(["model"])
    assert (dict(totals.group), totals.unknown_targets) == ({"model": "gpt-4o"}, 0)
    assert ledger.evaluations()[0].span_id == at(7).span_id


def test_a_result_that_came_before_its_span_and_comes_again_after_it_is_one(ledger_with: Ledgers) -> None:
    ledger = ledger_with()
    ledger.record_evaluations([judged(Target(response_id="resp-7"), 1.0)])
    late = Target(at(7).trace_id, at(7).span_id, "resp-7")
    assert [one.is_new for one in ledger.record_evaluations([judged(late, 0.0)])] == [False]
    assert [one.is_new for one in ledger.record_evaluations([judged(late, 0.0, name="other")])] == [True]
    assert sorted((one.evaluation.name, one.evaluation.score) for one in ledger.evaluations()) == [
        ("helpful", 0.0),
        ("other", 0.0),
    ]


def test_a_trace_means_the_call_that_answered_last(ledger_with: Ledgers) -> None:
    ledger = ledger_with(
        call(1, start=SECOND), call(2, start=3 * SECOND), call(3, start=2 * SECOND), call(4, trace=2, start=9 * SECOND)
    )
    found = ledger.find(Target(at(1).trace_id))
    assert found is not None
    assert found.span_id == at(2).span_id
    assert ledger.find(Target(bytes(15) + b"\x09")) is None
    assert ledger.find(at(99)) is None


def test_totals_tell_models_and_prompt_versions_apart_and_count_failures_apart(ledger_with: Ledgers) -> None:
    ledger = ledger_with(
        call(1, gen_ai__prompt__version="1"), call(2, gen_ai__prompt__version="2"), call(3, gen_ai__prompt__version="2")
    )
    ledger.record_evaluations(
        [
            judged(at(1), 1.0),
            judged(at(2), 0.0),
            judged(at(3), 0.5),
            judged(at(3), None, name="safe", error_type="timeout"),
        ]
    )
    found = {
        (one.group["prompt_version"], one.group["name"]): one
        for one in ledger.evaluation_totals(["prompt_version", "name"])
    }
    assert (found["1", "helpful"].mean_score, found["1", "helpful"].results) == (1.0, 1)
    assert (found["2", "helpful"].mean_score, found["2", "helpful"].results) == (0.25, 2)
    assert (found["2", "safe"].results, found["2", "safe"].failed, found["2", "safe"].mean_score) == (0, 1, None)
    with pytest.raises(ValueError, match="by: expected some of"):
        ledger.evaluation_totals(["id; DROP TABLE evaluations"])  # type: ignore[list-item] # on purpose


def test_old_results_are_forgotten_with_old_rows(ledger_with: Ledgers) -> None:
    clock = FakeClock()
    ledger = ledger_with(call(1, start=clock.unix_nano()), clock=clock)
    ledger.record_evaluations([judged(at(1), 1.0, time_unix_nano=clock.unix_nano())])
    clock.advance(86_400 * 10)
    ledger.record_evaluations([judged(at(2), 1.0, time_unix_nano=clock.unix_nano())])
    assert ledger.forget(5) == 1
    assert [one.evaluation.target for one in ledger.evaluations()] == [at(2)]


def test_a_ledger_of_the_version_before_is_migrated(tmp_path: Path) -> None:
    path = tmp_path / "old.db"
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("CREATE TABLE migrations (version INTEGER PRIMARY KEY, applied_unix_nano INTEGER NOT NULL)")
    for statement in MIGRATIONS[0]:
        connection.execute(statement)
    connection.execute("INSERT INTO migrations VALUES (1, 0)")
    connection.close()
    with closing(Ledger(path)) as ledger:
        ledger.record(row for one in operations(call(1)) if (row := row_of(one)) is not None)
        assert ledger.record_evaluations([judged(at(1), 1.0)])[0].operation is not None
