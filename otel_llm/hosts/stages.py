"""What happens to a payload behind its pipeline: its deliveries, and through connectors the pipelines behind those.

    receiver -> pipeline -> FanOut
                        `-> Splitter -> pipelines -> FanOut ...         all of it offered as one
                        `-> Delivery -> Holder ~~> pipelines -> FanOut  later, on a thread of the holder's

A pipeline knows nothing of what is behind it; here is where they are joined.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final, cast

from otel_llm.clock import Clock
from otel_llm.config.settings import Component, PipelineSettings, Settings
from otel_llm.connectors import Connector, Emit, Holder, Splitter
from otel_llm.delivery.config import BatchConfig, QueueConfig
from otel_llm.delivery.config import Config as DeliveryConfig
from otel_llm.delivery.delivery import Delivery
from otel_llm.delivery.fan_out import FanOut, offer_all
from otel_llm.delivery.storage import Storage
from otel_llm.errors import ConfigError
from otel_llm.hosts.signal_pipelines import SignalPipeline
from otel_llm.signals import Payload, Settling, Signal
from otel_llm.telemetry import Metrics

# A holder takes what it gets at once: batches would only make its traces later.
_AT_ONCE: Final = BatchConfig(flush_timeout_seconds=0.0)

Offer = tuple[FanOut, Payload]


def make_connectors(settings: Settings, metrics: Metrics, clock: Clock) -> dict[str, Connector]:
    """The connectors of a configuration, by id, each checked against the pipelines around it.

    Raises:
        ConfigError: with every problem.
    """
    connectors: dict[str, Connector] = {}
    problems: list[str] = []
    for component in settings.connectors:
        try:
            connector = component.create_connector(metrics, clock)
            connector.check(*_surroundings(component, settings.pipelines))
        except ConfigError as error:
            problems += error.problems
        else:
            connectors[component.id] = connector
    if problems:
        for connector in connectors.values():
            if isinstance(connector, Holder):
                connector.shutdown()
        raise ConfigError(problems)
    return connectors


def _surroundings(
    connector: Component, pipelines: Sequence[PipelineSettings]
) -> tuple[frozenset[Signal], dict[str, Signal]]:
    """The signals that come to a connector, and the pipelines that it leads to."""
    inputs = frozenset(pipeline.signal for pipeline in pipelines if connector in pipeline.exporters)
    return inputs, {pipeline.id: pipeline.signal for pipeline in pipelines if connector in pipeline.receivers}


def holder_delivery(id_: str, holder: Holder, metrics: Metrics, clock: Clock, storage: Storage) -> Delivery:
    """What stands in front of a holder: a queue, a thread, and accounts.

    Raises:
        ConfigError: the queue on disk cannot be used.
    """
    config = DeliveryConfig(sending_queue=QueueConfig(batch=_AT_ONCE, disk=holder.disk))
    return Delivery(id_, holder, config, metrics, clock=clock, storage=storage)


class Stages:
    """The pipelines of one configuration and how connectors join them.

    Args:
        settings: of the configuration.
        pipelines: in the order of its pipelines.
        connectors: by id.
    """

    def __init__(
        self, settings: Settings, pipelines: Sequence[SignalPipeline], connectors: Mapping[str, Connector]
    ) -> None:
        self._settings = settings
        self._pipelines = {pipeline.name: pipeline for pipeline in pipelines}
        self._connectors = connectors

    def offers(self, pipeline: SignalPipeline, payload: Payload) -> Iterator[Offer]:
        """Everything that a pipeline's result becomes; to be accepted as one.

        Raises:
            MalformedError: a connector cannot take it apart.
        """
        for fan_out, connectors, rewritten in pipeline.outputs.routes(payload):
            yield fan_out, rewritten
            for connector in connectors:
                for ids, part in cast("Splitter", self._connectors[connector]).split(rewritten).items():
                    for id_ in ids:
                        yield from self._pass_on(self._pipelines[id_], part)

    def may_wait(self, pipeline: SignalPipeline) -> bool:
        """Whether accepting what a pipeline makes may wait for a disk, its own or one behind a connector."""
        return pipeline.outputs.may_wait or any(map(self.may_wait, self._behind(pipeline)))

    def settling(self, pipeline: SignalPipeline) -> Iterator[Settling]:
        """What becomes of all that was accepted from a pipeline; a holder has settled what it holds."""
        for delivery in pipeline.outputs.deliveries:
            yield delivery.settling(pipeline.signal)
        for one in self._behind(pipeline):
            yield from self.settling(one)

    def _behind(self, pipeline: SignalPipeline) -> list[SignalPipeline]:
        """The pipelines that a connector brings to at once what a pipeline makes."""
        return [
            self._pipelines[one.id]
            for settings in self._settings.pipelines
            if settings.id == pipeline.name
            for connector in settings.exporters
            if isinstance(self._connectors.get(connector.id), Splitter)
            for one in self._settings.pipelines
            if connector in one.receivers
        ]

    def _pass_on(self, pipeline: SignalPipeline, payload: Payload) -> Iterator[Offer]:
        if payload.items:
            yield from self.offers(pipeline, pipeline.pass_on(payload).payload)

    def start(self) -> None:
        """Let the holders begin."""
        for id_, connector in self._connectors.items():
            if isinstance(connector, Holder):
                connector.start(self._emit(id_))

    def _emit(self, connector: str) -> Emit:
        targets = [
            self._pipelines[pipeline.id]
            for pipeline in self._settings.pipelines
            if any(one.id == connector for one in pipeline.receivers)
        ]

        def emit(payload: Payload) -> None:
            offer_all(offer for target in targets for offer in self._pass_on(target, payload))

        return emit

    def holders_in_order(self) -> list[str]:
        """Ids of the holders, so that each comes before those that its pipelines lead to."""
        ordered: list[str] = []

        def visit(id_: str) -> None:
            if id_ in ordered:
                return
            for pipeline in self._settings.pipelines:
                if any(one.id == id_ for one in pipeline.receivers):
                    for one in pipeline.exporters:
                        if one.type.kind == "connector":
                            visit(one.id)
            ordered.append(id_)

        for id_ in self._connectors:
            visit(id_)
        return [id_ for id_ in reversed(ordered) if isinstance(self._connectors[id_], Holder)]
