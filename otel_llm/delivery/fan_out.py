"""One payload to several deliveries: accepted by all of them, or by none."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from otel_llm.delivery.compact import compact
from otel_llm.delivery.delivery import Delivery
from otel_llm.errors import RefusedError
from otel_llm.signals import Payload


class FanOut:
    """The exporters of a pipeline.

    A sender that is refused sends everything again; if some deliveries had accepted, their destinations would get it
    twice. So room is reserved in all before anything is accepted in any.

    Args:
        deliveries: where each payload goes, as far as their exporters take its signal.
    """

    __slots__ = ("_deliveries",)

    def __init__(self, deliveries: Sequence[Delivery]) -> None:
        self._deliveries = tuple(deliveries)

    def offer(self, payload: Payload) -> None:
        """Take over a payload for all deliveries; thread-safe.

        Raises:
            RefusedError: one of them has no room and none has accepted it.
        """
        offer_all([(self, payload)])

    def takers(self, payload: Payload) -> Sequence[Delivery]:
        """The deliveries whose exporters take the payload's signal."""
        return [delivery for delivery in self._deliveries if payload.signal in delivery.signals]


def offer_all(offers: Iterable[tuple[FanOut, Payload]]) -> None:
    """Take over one payload for each of several fan-outs, as one: when a receiver feeds several pipelines.

    Raises:
        RefusedError: one delivery has no room and none has accepted anything.
    """
    reserved: list[tuple[Delivery, Payload, bool]] = []
    try:
        for fan_out, offered in offers:
            if not offered.items:
                continue
            payload = compact(offered)
            for delivery in fan_out.takers(payload):
                reserved.append((delivery, payload, delivery.reserve(payload)))  # noqa: PERF401 - what was reserved counts when it raises
    except RefusedError:
        for delivery, payload, has_room in reserved:
            delivery.cancel(payload, has_room=has_room)
        raise
    for delivery, payload, has_room in reserved:
        delivery.commit(payload, has_room=has_room)
