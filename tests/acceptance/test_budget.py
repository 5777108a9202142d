"""Acceptance 19, budgets that hold under concurrency and block nobody wrongly; and 58, a cap before the next call."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from otel_llm.admission import Decision
from otel_llm.budget.batch import Answer, Batch
from otel_llm.clock import Clock, SystemClock
from otel_llm.components import Context
from otel_llm.counters.sqlite import SqliteCounters
from otel_llm.operation import Operation
from otel_llm.processors.budget_admission import Asking, BudgetAdmission, create_admission
from otel_llm.processors.budget_config import BudgetConfig, Config, RedisConfig
from otel_llm.telemetry import Metrics
from otel_llm.testing import FakeClock
from tests.counters.redis_server import RedisServer, needs_redis
from tests.spans import chat, operation

CALLS = 64
LIMIT_NANO = 10**9
# gpt-4o: 10,000 tokens of output are $0.10; 6,000 are $0.06.
ACTUAL = {"gen_ai.usage.input_tokens": 0, "gen_ai.usage.output_tokens": 6_000}
# A wait is ended by an answer; this is for a machine that does nothing for a while.
PATIENT = Asking(wait_seconds=30.0)


def budget(**more: object) -> BudgetConfig:
    return BudgetConfig(name="agents", limit=1.0, at_limit="deny", **more)  # type: ignore[arg-type] # fields of BudgetConfig


@contextmanager
def admission(
    store: Path | RedisConfig, clock: Clock | None = None, metrics: Metrics | None = None, asking: Asking = PATIENT
) -> Iterator[BudgetAdmission]:
    where = {"redis": store} if isinstance(store, RedisConfig) else {"path": str(store)}
    config = Config(budgets=(budget(),), fresh_seconds=60, **where)  # type: ignore[arg-type] # fields of Config
    context = Context("budget", metrics or Metrics(), clock or SystemClock())
    made = create_admission(config, context, {"service.name": "shop"}, asking)
    try:
        yield made
    finally:
        made.shutdown(20)


@pytest.fixture(params=["sqlite", pytest.param("redis", marks=needs_redis)])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path | RedisConfig]:
    if request.param == "sqlite":
        yield tmp_path / "budget.db"
        return
    with RedisServer(tmp_path) as server:
        yield RedisConfig(url=server.address.url, timeout_seconds=20)


def request_for_a_call(max_tokens: int = 10_000) -> Operation:
    unasked = {key: value for key, value in chat().items() if not key.startswith(("gen_ai.usage", "gen_ai.response"))}
    return operation(unasked | {"gen_ai.request.max_tokens": max_tokens})


def end(asked: BudgetAdmission, call: Operation, **more: object) -> None:
    attributes = {key: call.get(key) for key in sorted(call.keys())}
    asked.ended(attributes | (ACTUAL if not more else {}) | more)  # type: ignore[arg-type] # attribute values


def spent_nano(asked: BudgetAdmission) -> int:
    [status] = asked.statuses()
    assert status.spent_nano is not None
    return status.spent_nano


def admitted(decisions: list[tuple[Operation, Decision]]) -> list[Operation]:
    assert {decision.reason for _, decision in decisions if decision.action == "deny"} <= {"budget_exhausted"}
    return [call for call, decision in decisions if decision.action == "allow"]


def waves(asked: BudgetAdmission, ask: object) -> list[int]:
    """How many of 64 concurrent calls are admitted, wave after wave, each ending when all have asked."""
    counts = []
    while True:
        calls = admitted(ask())  # type: ignore[operator] # a callable of the tests below
        assert asked.held_nano == len(calls) * LIMIT_NANO // 10
        for call in calls:
            end(asked, call)
        counts.append(len(calls))
        assert asked.held_nano == 0
        if not calls:
            return counts


def test_19_threads_never_overspend_and_are_never_refused_while_there_is_room(store: Path | RedisConfig) -> None:
    with admission(store) as asked, ThreadPoolExecutor(CALLS) as pool:
        barrier = threading.Barrier(CALLS)

        def one(_: int) -> tuple[Operation, Decision]:
            call = request_for_a_call()
            barrier.wait(30)
            return call, asked.admit(call)

        # 10 of $0.10 have room; $0.40 are left of what these cost, then $0.16, then $0.10, then $0.04.
        assert waves(asked, lambda: list(pool.map(one, range(CALLS)))) == [10, 4, 1, 1, 0]
        assert spent_nano(asked) == 960_000_000


def test_19_tasks_of_one_event_loop_do_not_either(tmp_path: Path) -> None:
    with admission(tmp_path / "budget.db") as asked:

        async def one() -> tuple[Operation, Decision]:
            call = request_for_a_call()
            await asyncio.sleep(0)
            return call, asked.admit(call)

        async def all_of_them() -> list[tuple[Operation, Decision]]:
            return list(await asyncio.gather(*(one() for _ in range(CALLS))))

        assert waves(asked, lambda: asyncio.run(all_of_them())) == [10, 4, 1, 1, 0]


FORKING = """
import json, os, sys
from otel_llm.clock import SystemClock
from otel_llm.components import Context
from otel_llm.telemetry import Metrics
from tests.acceptance import test_budget as test

store = json.loads(sys.argv[1])
store = test.RedisConfig(**store) if isinstance(store, dict) else test.Path(store)
with test.admission(store) as asked:
    before = test.request_for_a_call(max_tokens=1)
    assert asked.admit(before).action == "allow"     # the parent has a lease, a connection and a thread, and keeps them
    answers, go = [os.pipe() for _ in range(4)], [os.pipe() for _ in range(4)]
    for (_, write), (wait, _) in zip(answers, go):
        if os.fork() == 0:
            decisions = []
            for _ in range(16):
                call = test.request_for_a_call()
                decisions.append((call, asked.admit(call)))
            calls = test.admitted(decisions)
            os.write(write, b"%d" % len(calls))
            os.read(wait, 1)                         # until every process has asked
            for call in calls:
                test.end(asked, call)
            asked.shutdown(20)
            os._exit(asked.held_nano != 0)
    counts = [int(os.read(read, 10)) for read, _ in answers]
    for _, proceed in go:
        os.write(proceed, b"x")
    codes = [os.waitstatus_to_exitcode(os.wait()[1]) for _ in go]
print(json.dumps({"counts": counts, "codes": codes}))
"""


def test_19_four_forked_workers_that_share_a_store_do_not_either(store: Path | RedisConfig) -> None:
    told = {"url": store.url, "timeout_seconds": 20} if isinstance(store, RedisConfig) else str(store)
    root = Path(__file__).resolve().parents[2]
    result = subprocess.run(
        [sys.executable, "-c", FORKING, json.dumps(told)],
        capture_output=True,
        text=True,
        timeout=55,
        cwd=root,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    report = json.loads(result.stdout)
    assert report["codes"] == [0, 0, 0, 0]
    # The parent has a little of $1.00, so 9 of $0.10 have room in the rest.
    assert sum(report["counts"]) == 9
    with admission(store) as asked:
        call = request_for_a_call()
        assert asked.admit(call).action == "allow"
        assert spent_nano(asked) == 540_000_000


def test_19_what_a_crashed_process_held_comes_back_within_a_minute(tmp_path: Path) -> None:
    clock = FakeClock()
    path = tmp_path / "budget.db"
    with admission(path, clock) as crashed:
        calls = [request_for_a_call() for _ in range(10)]
        assert {crashed.admit(call).action for call in calls} == {"allow"}
        crashed._counting.keeper.shutdown(20)  # it says nothing any more
        with admission(path, clock) as asked:
            assert asked.admit(request_for_a_call()).reason == "budget_exhausted"
        clock.advance(60)
        with admission(path, clock) as asked:
            assert asked.admit(request_for_a_call()).action == "allow"


def test_19_cancelled_and_failed_calls_hold_nothing_and_cost_nothing(tmp_path: Path) -> None:
    with admission(tmp_path / "budget.db") as asked:
        for error in ("asyncio.CancelledError", "openai.APITimeoutError", "otel_llm.DeniedError"):
            call = request_for_a_call()
            assert asked.admit(call).action == "allow"
            assert asked.held_nano == LIMIT_NANO // 10
            end(asked, call, **{"error.type": error})
            end(asked, call, **{"error.type": error})  # whoever sees an end twice tells it twice
            assert asked.held_nano == 0
        assert spent_nano(asked) == 0


def test_19_an_answer_that_is_lost_on_its_way_doubles_no_counter(tmp_path: Path) -> None:
    """The counter that was doubled of BerriAI/litellm#36926: a store that has written, and says that it has not."""
    file = SqliteCounters(str(tmp_path / "budget.db"), SystemClock())

    def write(sequence: int) -> Answer:
        return file.apply(Batch("w", sequence, {"spent": 7}, {"spent": 4_000_000_000}))

    assert [write(1).values["spent"], write(1).values["spent"], write(2).values["spent"]] == [7, 7, 14]
    file.close()


def test_58_the_call_that_would_exceed_the_cap_is_not_made(tmp_path: Path) -> None:
    """The cost cap of a runaway agent; loops are found elsewhere."""
    metrics = Metrics()
    with admission(tmp_path / "budget.db", metrics=metrics) as asked:
        made = 0
        while True:
            call = request_for_a_call()
            decision = asked.admit(call)
            if decision.action == "deny":
                break
            made += 1
            end(asked, call)
        assert made == 16  # after 15, $0.90 are spent, and there is room for one that may cost $0.10
        assert (decision.reason, decision.rule_id) == ("budget_exhausted", "agents")
        assert decision.message == "the budget agents has no room for this call in this month"
        assert spent_nano(asked) == 960_000_000
