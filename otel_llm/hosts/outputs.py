"""Where a pipeline's payloads go, and what is done to whole requests on the way: redaction, for all or for some.

A processor that rewrites whole requests (it has `rewrite`) runs here, after the others have run and the codec has
encoded. Exporters that it lists as raw get what came to it; so one destination may get everything and all others what
is left, from one pipeline, priced and counted once (docs/decisions/0010-redaction-rewrites-requests.md).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeGuard

from otel_llm.delivery.delivery import Delivery
from otel_llm.delivery.fan_out import FanOut
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


@dataclass(frozen=True, slots=True)
class _Route:
    """Destinations behind the same rewriters."""

    rewriters: tuple[Rewriter, ...]
    fan_out: FanOut
    connectors: tuple[str, ...]


class Outputs:
    """The exporters of a pipeline, each behind the rewriters it is behind.

    Args:
        rewriters: in order.
        deliveries: by the names of their exporters; None for a connector that has none, as it hands on at once.

    Attributes:
        may_wait: an offer may wait for a disk.
    """

    __slots__ = ("_routes", "may_wait")

    def __init__(self, rewriters: Sequence[Rewriter], deliveries: Mapping[str, Delivery | None]) -> None:
        names: dict[tuple[int, ...], list[str]] = {}
        for name in deliveries:
            behind = tuple(index for index, one in enumerate(rewriters) if name not in one.raw_exporters)
            names.setdefault(behind, []).append(name)
        self._routes = tuple(
            _Route(
                tuple(rewriters[index] for index in behind),
                FanOut([delivery for name in group if (delivery := deliveries[name]) is not None]),
                tuple(name for name in group if deliveries[name] is None),
            )
            for behind, group in names.items()
        )
        self.may_wait = any(route.fan_out.may_wait for route in self._routes)

    @property
    def deliveries(self) -> Iterator[Delivery]:
        """All that it offers to itself."""
        for route in self._routes:
            yield from route.fan_out.deliveries

    def routes(self, payload: Payload) -> Iterator[tuple[FanOut, tuple[str, ...], Payload]]:
        """What each group of destinations is to be offered: a fan-out, connectors beside it, and the payload for both.

        Raises:
            MalformedError: a rewriter cannot read the payload.
        """
        for route in self._routes:
            yield route.fan_out, route.connectors, _rewritten(payload, route.rewriters)


def _rewritten(payload: Payload, rewriters: Iterable[Rewriter]) -> Payload:
    for rewriter in rewriters:
        payload = rewriter.rewrite(payload)
    return payload
