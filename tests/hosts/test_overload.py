"""What happens when memory gets short: nothing is taken that cannot be kept, and what matters most goes last."""

from __future__ import annotations

from pathlib import Path

import pytest

from otel_llm.codecs.triage import keep_important
from otel_llm.delivery.config import Config
from otel_llm.delivery.delivery import Delivery
from otel_llm.delivery.fan_out import FanOut
from otel_llm.errors import RefusedError
from otel_llm.hosts.outputs import Outputs
from otel_llm.hosts.overload import Level, MemoryGuard, Overload, give_back, resident_bytes
from otel_llm.hosts.signal_pipelines import ReceiverConsumer, TracePipeline
from otel_llm.pipeline import Pipeline
from otel_llm.signals import Payload
from otel_llm.telemetry import Metrics
from otel_llm.testing import FakeClock, InMemoryExporter
from tests.hosts.running import SIMPLE, get, http_port, post, running
from tests.spans import SpanSpec, chat, request, spans_of

_LIMIT = 1000
SPECS = [
    SpanSpec({"http.route": "/"}, name="root", span=1, scope="http"),
    SpanSpec({"http.route": "/"}, name="leaf", span=2, parent=1, scope="http"),
    SpanSpec({"http.route": "/"}, name="error", span=3, parent=1, scope="http", status=2),
    SpanSpec(chat(otel_llm__cost__total=0.1), name="cost", span=4, parent=1),
    SpanSpec(chat(otel_llm__policy__verdict__type="deny"), name="verdict", span=5, parent=1),
    SpanSpec(chat(), name="call without a cost", span=6, parent=1),
]
IMPORTANT = ["root", "error", "cost", "verdict"]


class Memory:
    """What a guard reads."""

    def __init__(self, used: int = 0) -> None:
        self.clock, self.metrics = FakeClock(), Metrics()
        self.used: int | None = used
        self.trims = 0
        self.guard = MemoryGuard(_LIMIT, self.clock.monotonic, lambda: self.used, self._trim)

    def _trim(self) -> None:
        self.trims += 1

    def level(self) -> Level:
        self.clock.advance(1.0)
        return self.guard.level()


@pytest.mark.parametrize(
    ("used", "level"),
    [
        (0, Level.ENOUGH),
        (899, Level.ENOUGH),
        (900, Level.SHORT),
        (999, Level.SHORT),
        (1000, Level.NONE),
        (None, Level.ENOUGH),
    ],
)
def test_the_level_follows_the_memory_in_use(used: int | None, level: Level) -> None:
    memory = Memory()
    assert memory.level() is Level.ENOUGH
    memory.used = used
    assert memory.level() is level


def test_free_memory_is_given_back_before_anything_is_refused_and_not_all_the_time() -> None:
    memory = Memory(1000)
    levels = [memory.level() for _ in range(10)]
    assert (set(levels), memory.trims) == ({Level.NONE}, 2)
    without = MemoryGuard(None, memory.clock.monotonic, lambda: 10**12)
    assert without.level() is Level.ENOUGH


def test_the_memory_of_this_process_can_be_read_and_trimmed() -> None:
    before = resident_bytes()
    give_back()
    assert before is None or before > 1_000_000


class Directly:
    """Nothing behind a pipeline but its deliveries."""

    def offers(self, pipeline: TracePipeline, payload: Payload) -> list[tuple[FanOut, Payload]]:
        return [(fan_out, rewritten) for fan_out, _, rewritten in pipeline.outputs.routes(payload)]

    def may_wait(self, pipeline: TracePipeline) -> bool:
        return pipeline.outputs.may_wait


def consumer(memory: Memory, *, sheds: bool) -> tuple[ReceiverConsumer, Delivery]:
    delivery = Delivery("out", InMemoryExporter(), Config(), memory.metrics)
    pipeline = TracePipeline(
        "traces",
        Pipeline([], memory.metrics, memory.clock, "traces"),
        Outputs([], {"out": delivery}),
        memory.metrics,
        memory.clock,
    )
    made = ReceiverConsumer(
        "otlp",
        {"traces": [pipeline]},
        memory.metrics,
        Directly(),
        overload=Overload(memory.guard, sheds),
    )
    return made, delivery


def test_when_memory_is_short_senders_are_told_to_come_back() -> None:
    memory = Memory(950)
    made, delivery = consumer(memory, sheds=False)
    with pytest.raises(RefusedError) as caught:
        made.consume("traces", request(SPECS))
    assert (caught.value.reason, caught.value.retry_after_seconds > 0) == ("overload", True)
    assert delivery.balance().accepted == 0
    memory.used = 100
    memory.clock.advance(1.0)
    made.consume("traces", request(SPECS))
    assert delivery.balance().accepted == len(SPECS)


def test_30_roots_errors_and_costs_are_given_up_last_and_what_is_dropped_is_counted() -> None:
    """Acceptance 30: when it is set to shed, the rest goes first; at the limit all is refused."""
    memory = Memory(950)
    made, delivery = consumer(memory, sheds=True)
    result = made.consume("traces", request(SPECS))
    assert (result.rejected, delivery.balance().accepted) == (0, len(IMPORTANT))
    (family,) = [one for one in memory.metrics.collect() if one.definition.name == "otel_llm.pipeline.items.dropped"]
    assert [(dict(one.attributes)["otel_llm.drop.reason"], one.value) for one in family.series] == [("overload", 2)]
    memory.used = 1000
    memory.clock.advance(1.0)
    with pytest.raises(RefusedError):
        made.consume("traces", request(SPECS))


def test_what_matters_is_kept_in_order_and_other_signals_are_not_touched() -> None:
    body = request(SPECS)
    kept = keep_important(Payload.of("traces", (body,), len(SPECS)))
    assert ([span.name for span in spans_of(kept.join())], kept.items) == (IMPORTANT, len(IMPORTANT))
    for payload in (Payload.of("logs", (body,), 1), Payload.of("traces", (b"\x0a\x05x",), 1)):
        assert keep_important(payload) is payload
    leaves = request([SPECS[1]])
    assert keep_important(Payload.of("traces", (leaves,), 1)).items == 0


def test_a_gateway_over_its_limit_answers_429_and_counts_why(tmp_path: Path) -> None:
    text = SIMPLE.format(sink="http://127.0.0.1:1").replace("service:", "service:\n  overload: {memory_limit_mib: 64}")
    held = bytearray(70 * 1024 * 1024)
    held[::4096] = b"x" * len(held[::4096])  # each page is there
    with running(text, tmp_path) as gateway:
        assert post(http_port(gateway), "/v1/traces", request(SPECS))[0] == 429
        assert 'otel_llm_refusal_reason="overload"' in get(gateway.admin_port, "/metrics")[1]
    del held
