"""Where a pipeline's payloads go, and what is done to whole requests on the way: redaction, for all or for some.

A processor that rewrites whole requests (it has `rewrite`) runs here, after the others have run and the codec has
encoded. Exporters that it lists as raw get what came to it; so one destination may get everything and all others what
is left, from one pipeline, priced and counted once (docs/decisions/0010-redaction-rewrites-requests.md).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol, TypeGuard

from otel_llm.delivery.delivery import Delivery
from otel_llm.delivery.fan_out import FanOut, offer_all
from otel_llm.pipeline import Processor
from otel_llm.signals import Payload


class Rewriter(Protocol):
    """A processor that rewrites whole requests.

    Attributes:
        name: in the configuration.
        raw_exporters: names of exporters that get what came.
    """

    name: str
    raw_exporters: frozenset[str]

    def rewrite(self, payload: Payload) -> Payload:
        """A request as it is to go on; thread-safe.

        Raises:
            MalformedError: it cannot be read.
        """
        ...


def is_rewriter(processor: Processor | Rewriter) -> TypeGuard[Rewriter]:
    """Whether a processor rewrites whole requests, and so has no operations to process here."""
    return hasattr(processor, "rewrite")


def open_processor(processor: Processor) -> None:
    """Let a processor open files, if it has an `open`; a check of settings makes processors and must not touch any.

    Raises:
        ConfigError: it cannot.
    """
    opener = getattr(processor, "open", None)
    if callable(opener):
        opener()


class Outputs:
    """The exporters of a pipeline, each behind the rewriters it is behind.

    Args:
        rewriters: in order.
        deliveries: by the names of their exporters.
    """

    __slots__ = ("_routes",)

    def __init__(self, rewriters: Sequence[Rewriter], deliveries: Mapping[str, Delivery]) -> None:
        routes: dict[tuple[int, ...], list[Delivery]] = {}
        for name, delivery in deliveries.items():
            behind = tuple(index for index, one in enumerate(rewriters) if name not in one.raw_exporters)
            routes.setdefault(behind, []).append(delivery)
        self._routes = [
            (tuple(rewriters[index] for index in behind), FanOut(behind_them)) for behind, behind_them in routes.items()
        ]

    def offers(self, payload: Payload) -> list[tuple[FanOut, Payload]]:
        """What each fan-out is to be offered.

        Raises:
            MalformedError: a rewriter cannot read the payload.
        """
        return [(fan_out, _rewritten(payload, rewriters)) for rewriters, fan_out in self._routes]

    def offer(self, payload: Payload) -> None:
        """Take over a payload for all deliveries; thread-safe.

        Raises:
            RefusedError: one of them has no room and none has accepted it.
        """
        offer_all(self.offers(payload))


def _rewritten(payload: Payload, rewriters: Iterable[Rewriter]) -> Payload:
    for rewriter in rewriters:
        payload = rewriter.rewrite(payload)
    return payload
