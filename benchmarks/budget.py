"""What budgets cost: counting a span, a trip to the store, and asking before a call.

Run: python -m benchmarks.budget. CPU time of this process (what Redis spends is its own), minimum of several rounds;
wall time where a trip is waited for. redis-server is started on a Unix socket where it is installed, else its rows are
left out. The peer is what is usually done: INCRBYFLOAT for each span and budget, one command at a time or all of a
batch in one pipeline. Three budgets, of which a span belongs to two; batches of 512 spans.
"""

from __future__ import annotations

import platform
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from otel_llm.clock import SystemClock
from otel_llm.components import Context
from otel_llm.operation import Operation
from otel_llm.processors.budget import BudgetProcessor, create
from otel_llm.processors.budget_admission import Asking, create_admission
from otel_llm.processors.budget_config import BudgetConfig, Config, RedisConfig
from otel_llm.telemetry import Metrics
from tests.counters.redis_server import BINARY, RedisServer
from tests.spans import SpanSpec, chat, operation, operations

SPANS = 512
ROUNDS = 15
BUDGETS = (
    BudgetConfig(name="all", limit=1e6),
    BudgetConfig(name="shop", limit=1e6, match={"service": "shop"}, period="day"),
    BudgetConfig(name="other", limit=1e6, match={"owner": "nobody"}, period="rolling"),
)


def priced(first: int) -> list[Operation]:
    found = operations(*(SpanSpec(chat(), span=first + number, start=time.time_ns()) for number in range(SPANS)))
    for one in found:
        one.update({"otel_llm.cost.status": "priced", "otel_llm.cost.total": 0.0035, "otel_llm.cost.currency": "USD"})
        one.get("gen_ai.response.model")  # decoded before the time begins, as processors before this one have done
    return found


def least(work: Callable[[int], object], prepare: Callable[[int], object]) -> tuple[float, float]:
    """Least CPU and least wall time of a round, in seconds."""
    cpu, wall = [], []
    for number in range(ROUNDS):
        given = prepare(number)
        wall_began, began = time.perf_counter(), time.process_time()
        work(given)  # type: ignore[arg-type] # what prepare made
        cpu.append(time.process_time() - began)
        wall.append(time.perf_counter() - wall_began)
    return min(cpu), min(wall)


def processor(config: Config) -> BudgetProcessor:
    return create(config, Context("budget", Metrics(), SystemClock()))


def microseconds(seconds: float) -> str:
    return f"{seconds / SPANS * 1e6:.2f}"


def counting(name: str, config: Config) -> None:
    made = processor(config)
    cpu, _ = least(made.process, lambda number: priced(1 + number * SPANS))  # type: ignore[arg-type] # a list of operations
    print(f"| {name}: count a span | {microseconds(cpu)} | |")

    def trip(_: object) -> None:
        assert made.flush()

    def batch(number: int) -> None:
        made.process(priced(1_000_000 + number * SPANS))

    cpu, wall = least(trip, batch)
    print(f"| {name}: one trip for a batch of {SPANS} | {microseconds(cpu)} | {wall * 1e6:.0f} us wall a trip |")
    made.shutdown(5)


@contextmanager
def redis() -> Iterator[RedisServer | None]:
    if BINARY is None:
        yield None
        return
    with tempfile.TemporaryDirectory() as folder, RedisServer(Path(folder)) as server:
        yield server


def peer(server: RedisServer) -> None:
    import redis as client_of  # noqa: PLC0415 - an extra

    client = client_of.Redis.from_url(server.address.url)

    def one_by_one(_: object) -> None:
        for _span in range(SPANS):
            client.incrbyfloat("a", 0.0035)
            client.incrbyfloat("b", 0.0035)

    def pipelined(_: object) -> None:
        pipe = client.pipeline(transaction=False)
        for _span in range(SPANS):
            pipe.incrbyfloat("a", 0.0035)
            pipe.incrbyfloat("b", 0.0035)
        pipe.execute()

    for name, work in (("one command a time", one_by_one), ("one pipeline a batch", pipelined)):
        cpu, wall = least(work, lambda _: None)
        print(
            f"| peer: INCRBYFLOAT a span and budget, {name} | {microseconds(cpu)} | {wall * 1e6:.0f} us wall a batch |"
        )
    client.close()


def asking(name: str, config: Config) -> None:
    """Calls one after the other, and from eight threads; each ends at once."""
    context = Context("budget", Metrics(), SystemClock())
    admission = create_admission(config, context, {"service.name": "shop"}, Asking(wait_seconds=5))
    request = {key: value for key, value in chat().items() if not key.startswith(("gen_ai.usage", "gen_ai.response"))}
    asked = [operation(request) for _ in range(4000)]
    ended = chat()
    waited: list[float] = []

    def call(one: Operation) -> None:
        began = time.perf_counter()
        decision = admission.admit(one)
        waited.append(time.perf_counter() - began)
        assert decision.action == "allow"
        admission.ended({**ended, "otel_llm.budget.reservation": one.get("otel_llm.budget.reservation")})

    call(asked[0])
    began = time.process_time()
    for one in asked[1:2001]:
        call(one)
    cpu = (time.process_time() - began) / 2000
    alone = statistics.quantiles(waited[1:], n=100)
    waited.clear()
    parts = [asked[2001 + 249 * part : 2001 + 249 * (part + 1)] for part in range(8)]
    threads = [threading.Thread(target=lambda part=part: [call(one) for one in part]) for part in parts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    together = statistics.quantiles(waited, n=100)
    admission.shutdown(5)
    print(
        f"| {name}: ask and settle a call | {cpu * 1e6:.0f} us CPU | asking: p50 {alone[49] * 1e6:.0f}, p99 "
        f"{alone[98] * 1e6:.0f} us; 8 threads: p50 {together[49] * 1e6:.0f}, p99 {together[98] * 1e6:.0f} us |"
    )


def main() -> None:
    """Print the tables."""
    versions = f"Python {platform.python_version()}"
    with redis() as server, tempfile.TemporaryDirectory() as folder:
        if server is not None:
            import redis as client_of  # noqa: PLC0415 - an extra

            number = server.command("INFO", "server").split("redis_version:")[1].split("\r")[0]
            versions += f", Redis {number}, redis-py {client_of.__version__}"
        print(f"{versions}, {platform.machine()}\n\n| what | us CPU a span | |\n|---|---|---|")
        counting("SQLite", Config(budgets=BUDGETS, path=f"{folder}/b.db"))
        if server is not None:
            counting("Redis", Config(budgets=BUDGETS, redis=RedisConfig(url=server.address.url)))
            peer(server)
        strict = (BudgetConfig(name="all", limit=1e6, at_limit="deny"),)
        print("\n| what | CPU | wall |\n|---|---|---|")
        asking("SQLite", Config(budgets=strict, path=f"{folder}/c.db"))
        if server is not None:
            asking("Redis", Config(budgets=strict, redis=RedisConfig(url=server.address.url)))


if __name__ == "__main__":
    sys.exit(main())
