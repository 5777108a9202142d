"""One payload to several deliveries: accepted by all of them, or by none."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

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

    @property
    def may_wait(self) -> bool:
        """Whether an offer may wait for a disk."""
        return any(delivery.may_wait for delivery in self._deliveries)

    @property
    def deliveries(self) -> Sequence[Delivery]:
        """Where payloads go."""
        return self._deliveries

    def takers(self, payload: Payload) -> Sequence[Delivery]:
        """The deliveries whose exporters take the payload's signal."""
        return [delivery for delivery in self._deliveries if payload.signal in delivery.signals]


class Acceptance:
    """Payloads that were offered: there is room for them, and what goes to a disk is written to it.

    They are accepted by all deliveries when the disks have them. With several queues on disk, a disk that fails here
    may leave one with what the others refuse: it is delivered there twice when the sender repeats it, and lost nowhere.

    Args:
        offers: one payload for each of several fan-outs, to be taken as one.

    Raises:
        RefusedError: one delivery has no room and none has accepted anything.
    """

    __slots__ = ("_in_memory", "_offered_to", "_tickets")

    def __init__(self, offers: Iterable[tuple[FanOut, Payload]]) -> None:
        self._offered_to: list[tuple[Delivery, Payload, int]] = []
        reserved = self._reserve(offers)
        self._in_memory = [pair for pair in reserved if not pair[0].is_durable]
        self._tickets = _put([pair for pair in reserved if pair[0].is_durable], self._in_memory)

    def _reserve(self, offers: Iterable[tuple[FanOut, Payload]]) -> list[tuple[Delivery, Payload]]:
        reserved: list[tuple[Delivery, Payload]] = []
        try:
            for fan_out, offered in offers:
                if not offered.items:
                    continue
                payload = compact(offered)
                for delivery in fan_out.takers(payload):
                    taken = delivery.reserve(payload)
                    if taken is not None:
                        reserved.append((delivery, taken))
                    self._offered_to.append((delivery, payload, 0 if taken is None else taken.items))
        except RefusedError:
            _cancel(reserved)
            raise
        return reserved

    def wait(self) -> None:
        """Return when they are accepted.

        Raises:
            RefusedError: a disk would not have them.
        """
        try:
            for delivery, payload, ticket in self._tickets:
                delivery.secure(payload, ticket)
        except RefusedError:
            _cancel(self._in_memory)
            raise
        self._accept()

    def is_complete(self, wake: Callable[[], None]) -> bool:
        """Whether they are accepted; if nobody knows yet, `wake` is called once when it is worth asking again.

        Raises:
            RefusedError: a disk would not have them.
        """
        try:
            while self._tickets:
                delivery, payload, ticket = self._tickets[0]
                if not delivery.is_secure(payload, ticket, wake):
                    return False
                del self._tickets[0]
        except RefusedError:
            _cancel(self._in_memory)
            raise
        self._accept()
        return True

    def _accept(self) -> None:
        """Those in memory come last, for the disk may still say no; memory does not."""
        for delivery, payload in self._in_memory:
            delivery.put(payload)
        for delivery, payload, items in self._offered_to:
            delivery.drop_full(payload.signal, payload.items - items)


def offer_all(offers: Iterable[tuple[FanOut, Payload]]) -> None:
    """Take over one payload for each of several fan-outs, as one: when a receiver feeds several pipelines.

    Raises:
        RefusedError: one delivery has no room and none has accepted anything.
    """
    Acceptance(offers).wait()


def _put(
    on_disk: list[tuple[Delivery, Payload]], in_memory: list[tuple[Delivery, Payload]]
) -> list[tuple[Delivery, Payload, int]]:
    """All disks at the same time; returns what `secure` wants."""
    tickets: list[tuple[Delivery, Payload, int]] = []
    try:
        for delivery, payload in on_disk:
            tickets.append((delivery, payload, delivery.put(payload)))
    except RefusedError:  # as many as there are tickets were put
        _cancel([*on_disk[len(tickets) + 1 :], *in_memory])
        raise
    return tickets


def _cancel(reserved: list[tuple[Delivery, Payload]]) -> None:
    for delivery, payload in reserved:
        delivery.cancel(payload)
