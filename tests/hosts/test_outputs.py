"""Which destination gets what: each behind the rewriters that do not call it raw."""

from __future__ import annotations

from otel_llm.delivery.config import Config, QueueConfig
from otel_llm.delivery.delivery import Delivery
from otel_llm.hosts.outputs import Outputs
from otel_llm.signals import Payload
from otel_llm.telemetry import Metrics
from otel_llm.testing import InMemoryExporter


class Appending:
    """A rewriter that appends its name."""

    def __init__(self, name: str, *raw_exporters: str) -> None:
        self.name = name
        self.raw_exporters = frozenset(raw_exporters)
        self.rewritten = 0

    def rewrite(self, payload: Payload) -> Payload:
        self.rewritten += 1
        return Payload.of(payload.signal, (*payload.buffers, self.name.encode()), payload.items)


def test_each_destination_is_behind_the_rewriters_that_do_not_call_it_raw() -> None:
    mild, strict = Appending("m", "vault"), Appending("s", "vault", "team")
    deliveries = {
        name: Delivery(name, InMemoryExporter(), Config(sending_queue=QueueConfig()), Metrics())
        for name in ("vault", "team", "vendor", "other")
    }
    outputs = Outputs([mild, strict], {**deliveries, "routing": None})
    got: dict[str, bytes] = {}
    for fan_out, connectors, payload in outputs.routes(Payload.of("traces", (b"x",), 1)):
        names = (*(delivery.name for delivery in fan_out.takers(payload)), *connectors)
        got |= dict.fromkeys(names, payload.join())
    assert got == {"vault": b"x", "team": b"xm", "vendor": b"xms", "other": b"xms", "routing": b"xms"}
    # Once for each way, not for each destination.
    assert (mild.rewritten, strict.rewritten) == (2, 1)
    for delivery in deliveries.values():
        delivery.shutdown(0)
