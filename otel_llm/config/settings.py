"""A configuration that has been read, checked and put together."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast

import msgspec

from otel_llm.clock import Clock
from otel_llm.components import ComponentType, Context
from otel_llm.config.service import ServiceConfig
from otel_llm.delivery.config import Config as DeliveryConfig
from otel_llm.log_records import LogRecords
from otel_llm.signals import Signal
from otel_llm.telemetry import Metrics

if TYPE_CHECKING:
    from otel_llm.connectors import Connector
    from otel_llm.exporters.exporter import Exporter
    from otel_llm.pipeline import Processor
    from otel_llm.receivers import Receiver


@dataclass(frozen=True, slots=True)
class Component:
    """One receiver, processor, exporter or connector of the configuration.

    Attributes:
        id: as in the configuration: `otlp`, `otlp/second`.
        type: what it is.
        config: its section, an instance of `type.config`. Not in the repr: it may hold passwords.
        delivery: `sending_queue` and `retry_on_failure` of an exporter; receivers and processors have the defaults,
            which say nothing.
    """

    id: str
    type: ComponentType
    config: msgspec.Struct = field(repr=False)
    delivery: DeliveryConfig

    @property
    def path(self) -> str:
        """Where it stands in the configuration: `exporters.otlp/second`."""
        return f"{self.type.kind}s.{self.id}"

    def create_receiver(self, metrics: Metrics, clock: Clock) -> Receiver:
        """A new receiver; only for components of that kind.

        Raises:
            ConfigError: the component can say only now what is wrong with its section.
        """
        return cast("Receiver", self._create(metrics, clock))

    def create_processor(self, metrics: Metrics, clock: Clock, records: LogRecords | None = None) -> Processor:
        """A new processor, which emits into `records`; as create_receiver."""
        return cast("Processor", self._create(metrics, clock, records))

    def create_exporter(self, metrics: Metrics, clock: Clock, records: LogRecords | None = None) -> Exporter:
        """A new exporter; as create_processor."""
        return cast("Exporter", self._create(metrics, clock, records))

    def create_connector(self, metrics: Metrics, clock: Clock) -> Connector:
        """A new connector; as create_receiver."""
        return cast("Connector", self._create(metrics, clock))

    def _create(self, metrics: Metrics, clock: Clock, records: LogRecords | None = None) -> object:
        context = Context(self.id, metrics, clock, LogRecords() if records is None else records)
        return self.type.create(self.config, context)


@dataclass(frozen=True, slots=True)
class PipelineSettings:
    """One entry of `service.pipelines`.

    Components that several pipelines name are the same objects in each: one is made, and shared.

    Attributes:
        id: `traces`, `traces/second`.
        signal: what flows in it.
        receivers: where it comes from; connectors may be among them.
        processors: what is done to it.
        exporters: where it goes; connectors may be among them.
    """

    id: str
    signal: Signal
    receivers: tuple[Component, ...]
    processors: tuple[Component, ...]
    exporters: tuple[Component, ...]


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything a host needs to run.

    Attributes:
        receivers, processors, exporters, connectors: those that a pipeline names, in the order of the configuration.
        pipelines: in the order of the configuration.
        service: the section `service`.
        warnings: what is odd but not wrong, one line each.
        source: where it all comes from: the path of a file, or "defaults".
    """

    receivers: tuple[Component, ...]
    processors: tuple[Component, ...]
    exporters: tuple[Component, ...]
    connectors: tuple[Component, ...]
    pipelines: tuple[PipelineSettings, ...]
    service: ServiceConfig
    warnings: tuple[str, ...]
    source: str
