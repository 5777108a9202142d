"""With `on_full: drop`: what is given up first, and what last."""

from __future__ import annotations

import pytest

from otel_llm.delivery.config import Config, QueueConfig
from otel_llm.delivery.delivery import Delivery
from otel_llm.delivery.fan_out import FanOut
from otel_llm.signals import Payload
from otel_llm.telemetry import Metrics
from otel_llm.testing import HANG, Destination, InMemoryExporter
from tests.spans import SpanSpec, chat, request, spans_of


def specs(number: int) -> list[SpanSpec]:
    """A root, its call with a cost, an error, and leaves that are larger than all of them."""
    base = number * 10
    leaf = {"http.route": "/", "note": "x" * 400}
    return [
        SpanSpec({"http.route": "/"}, name="root", span=base + 1, scope="http"),
        SpanSpec(chat(otel_llm__cost__total=0.1), name="cost", span=base + 2, parent=base + 1),
        SpanSpec({"http.route": "/"}, name="error", span=base + 3, parent=base + 1, scope="http", status=2),
        *[SpanSpec(leaf, name="leaf", span=base + 4 + n, parent=base + 1, scope="http") for n in range(4)],
    ]


@pytest.mark.parametrize("through_fan_out", [False, True])
def test_30_roots_errors_and_costs_are_dropped_last_and_every_item_is_accounted_for(
    through_fan_out: bool,  # noqa: FBT001 - a parameter
) -> None:
    """Acceptance 30: given a stalled destination, then buffered bytes stay below the limit, roots, errors and costs are
    kept when leaves are dropped already, and the account is exact at all times."""
    exporter = InMemoryExporter(Destination(default=HANG))
    config = Config(sending_queue=QueueConfig(size_bytes=20_000, on_full="drop"))
    delivery = Delivery("out", exporter, config, Metrics())
    fan_out = FanOut([delivery])
    for number in range(200):
        body = request(specs(number))
        payload = Payload.of("traces", (body,), 7)
        fan_out.offer(payload) if through_fan_out else delivery.offer(payload)
        balance = delivery.balance("traces")
        assert balance.is_balanced
        assert balance.accepted == 7 * (number + 1)
        assert delivery._queue.size_bytes() <= 20_000
    assert delivery.balance("traces").dropped["queue_full"] > 0
    delivery._queue.close()
    kept: list[str] = []
    while (batch := delivery._queue.take()) is not None:
        kept += [span.name for span in spans_of(batch.join())]
    names = {name: kept.count(name) for name in ("root", "cost", "error", "leaf")}
    assert names["root"] == names["cost"] == names["error"] > names["leaf"] / 4 > 0
    exporter.shutdown()


def test_logs_and_metrics_are_dropped_whole() -> None:
    exporter = InMemoryExporter(Destination(default=HANG))
    config = Config(sending_queue=QueueConfig(size_bytes=1024, on_full="drop"))
    delivery = Delivery("out", exporter, config, Metrics())
    for _ in range(3):
        delivery.offer(Payload.of("logs", (b"x" * 700,), 5))
    balance = delivery.balance("logs")
    assert (balance.accepted, balance.queued, balance.dropped) == (15, 5, {"queue_full": 10})
    exporter.shutdown()
