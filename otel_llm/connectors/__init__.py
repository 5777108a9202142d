"""Between pipelines: an exporter of one and a receiver of others, as in the OpenTelemetry Collector.

    routing.py         each item to the pipelines of its tenant, environment or service
    tail_sampling.py   whole traces, kept or not when they are over
    journal.py         what is held, on disk

A connector is one of two kinds. A Splitter decides at once: what it makes of a payload is offered to all deliveries
behind it as one, so that a request is still accepted by all or by none. A Holder keeps what it is given for a while: it
stands behind a delivery of its own, like an exporter, and offers later.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol, runtime_checkable

from otel_llm.delivery.config import DiskConfig
from otel_llm.exporters.exporter import Exporter
from otel_llm.signals import Payload, Signal

# Offers a payload to the pipelines behind a connector; raises RefusedError when they have no room, and nothing was
# taken then.
Emit = Callable[[Payload], None]


class Connector(Protocol):
    """What both kinds have."""

    def check(self, inputs: frozenset[Signal], outputs: Mapping[str, Signal]) -> None:
        """Whether the connector and the pipelines around it fit.

        Args:
            inputs: signals of the pipelines that export to it.
            outputs: pipelines that receive from it, by id.

        Raises:
            ConfigError: they do not.
        """
        ...


@runtime_checkable
class Splitter(Connector, Protocol):
    """Says at once where each part of a payload goes."""

    def split(self, payload: Payload) -> Mapping[tuple[str, ...], Payload]:
        """Ids of pipelines -> their part. Every item is in exactly one part. Thread-safe."""
        ...


@runtime_checkable
class Holder(Connector, Exporter, Protocol):
    """Keeps payloads for a while. `shutdown` lets go of what it still has."""

    @property
    def disk(self) -> DiskConfig | None:
        """Where the queue before it is kept; None for memory."""
        ...

    def start(self, emit: Emit) -> None:
        """Begin; what is let go of is offered to `emit`.

        Raises:
            ConfigError: it cannot.
        """
        ...
