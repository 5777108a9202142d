"""The gateway host: a configuration, running.

    receivers -> ReceiverConsumer -> SignalPipeline (decode, processors, encode) -> FanOut -> Delivery -> exporter
                                                      ^----------- connector <-----'

Everything between receivers and exporters is one graph, made from one configuration. A reload makes a new graph and
swaps it in when nothing is wrong with it; receivers whose section did not change keep their connections.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Collection, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from otel_llm import __version__
from otel_llm.audit import AuditLog
from otel_llm.clock import Clock, SystemClock
from otel_llm.codecs.log_records import encode_log_records
from otel_llm.codecs.metrics import encode_metrics, prometheus_text
from otel_llm.config.service import AdminConfig
from otel_llm.config.settings import Component, PipelineSettings, Settings
from otel_llm.connectors import Connector, Holder
from otel_llm.delivery.delivery import Delivery
from otel_llm.delivery.fan_out import offer_all
from otel_llm.delivery.status import HostStatus
from otel_llm.delivery.storage import Storage
from otel_llm.errors import ConfigError, RefusedError
from otel_llm.hosts.admin import admin_server
from otel_llm.hosts.anchors import anchor_all, audit_logs, keep_up, let_go_all
from otel_llm.hosts.log_reporter import LogReporter
from otel_llm.hosts.outputs import Outputs, Rewriter, is_rewriter
from otel_llm.hosts.overload import MemoryGuard, Overload
from otel_llm.hosts.signal_pipelines import (
    LogPipeline,
    MetricPipeline,
    ReceiverConsumer,
    SignalPipeline,
    TracePipeline,
)
from otel_llm.hosts.stages import Stages, holder_delivery, make_connectors
from otel_llm.http.server import HttpServer
from otel_llm.log_records import LogRecords
from otel_llm.nearest import hint
from otel_llm.pipeline import Pipeline, Processor, Running, Starting, Successor
from otel_llm.receivers import Fetching, Receiver
from otel_llm.signals import Accepting, ConsumeResult, Payload, Settling, Signal
from otel_llm.telemetry import Metrics

_logger = logging.getLogger(__name__)


class _Switch:
    """A consumer that can be exchanged while receivers hold it."""

    __slots__ = ("target",)

    def __init__(self, target: ReceiverConsumer) -> None:
        self.target = target

    @property
    def may_wait(self) -> bool:
        return self.target.may_wait

    @property
    def signals(self) -> frozenset[Signal]:
        return self.target.signals

    def consume(self, signal: Signal, body: bytes) -> ConsumeResult:
        return self.target.consume(signal, body)

    def begin(self, signal: Signal, body: bytes) -> Accepting:
        return self.target.begin(signal, body)

    def settling(self, signal: Signal) -> Settling:
        return self.target.settling(signal)


class _Graph:
    """Processors, deliveries and pipelines of one configuration; not receivers.

    Raises:
        ConfigError: with every problem that only making the components can show.
    """

    def __init__(
        self, settings: Settings, metrics: Metrics, clock: Clock, storage: Storage, records: LogRecords
    ) -> None:
        self.settings = settings
        self._metrics = metrics
        self._clock = clock
        problems: list[str] = []
        self._processors: dict[str, Processor] = {}
        for component in settings.processors:
            with _collecting(problems):
                self._processors[component.id] = component.create_processor(metrics, clock, records)
        self.deliveries: dict[str, Delivery] = {}
        for component in settings.exporters:
            with _collecting(problems):
                exporter = component.create_exporter(metrics, clock, records)
                try:
                    self.deliveries[component.id] = Delivery(
                        component.id, exporter, component.delivery, metrics, clock=clock, storage=storage
                    )
                except ConfigError:
                    exporter.shutdown()
                    raise
        connectors: dict[str, Connector] = {}
        with _collecting(problems):
            connectors = make_connectors(settings, metrics, clock)
        self._plain = tuple(self.deliveries)
        for id_, connector in connectors.items():
            if isinstance(connector, Holder):
                with _collecting(problems):
                    self.deliveries[id_] = holder_delivery(id_, connector, metrics, clock, storage)
        self.pipelines: list[SignalPipeline] = []
        problems += _unknown_raw_exporters(self._processors.values(), {*self.deliveries, *connectors})
        if not problems:
            for pipeline in settings.pipelines:
                with _collecting(problems, f"service.pipelines.{pipeline.id}."):
                    self.pipelines.append(self._make_pipeline(pipeline))
        if problems:
            self.stop_processors(0)
            self._shutdown_at_once(self.deliveries.values(), 0)
            raise ConfigError(problems)
        self._stages = Stages(settings, self.pipelines, connectors)
        overload = settings.service.overload
        limit = None if overload.memory_limit_mib is None else overload.memory_limit_mib * 1024 * 1024
        self._overload = Overload(MemoryGuard(limit, clock.monotonic), overload.when_short == "shed")
        self.consumers = {component.id: self._consumer(component) for component in settings.receivers}

    def _make_pipeline(self, settings: PipelineSettings) -> SignalPipeline:
        processors: list[Processor] = []
        rewriters: list[Rewriter] = []
        for component in settings.processors:
            processor = self._processors[component.id]
            if is_rewriter(processor):
                rewriters.append(processor)
            else:
                processors.append(processor)
        # A connector that splits has no delivery; what is behind it has.
        outputs = Outputs(rewriters, {exporter.id: self.deliveries.get(exporter.id) for exporter in settings.exporters})
        if settings.signal == "metrics":
            return MetricPipeline(settings.id, outputs, self._metrics, self._clock)
        pipeline = Pipeline(processors, self._metrics, self._clock, settings.signal)
        kind = TracePipeline if settings.signal == "traces" else LogPipeline
        return kind(settings.id, pipeline, outputs, self._metrics, self._clock)

    def _consumer(self, receiver: Component) -> ReceiverConsumer:
        by_signal: dict[Signal, list[SignalPipeline]] = {}
        for settings, pipeline in zip(self.settings.pipelines, self.pipelines, strict=True):
            if receiver in settings.receivers:
                by_signal.setdefault(pipeline.signal, []).append(pipeline)
        return ReceiverConsumer(
            receiver.id,
            by_signal,
            self._metrics,
            self._stages,
            overload=self._overload,
        )

    def start(self) -> None:
        problems: list[str] = []
        for processor in self._processors.values():
            if isinstance(processor, Starting):
                with _collecting(problems):
                    processor.start()
        if problems:
            self.stop_processors(0)
            self.shutdown(0)
            raise ConfigError(problems)
        self._stages.start()
        for delivery in self.deliveries.values():
            delivery.start()

    def succeed(self, before: _Graph) -> None:
        """Let processors go on where those of an earlier graph stand."""
        for name, processor in self._processors.items():
            predecessor = before._processors.get(name)
            if isinstance(processor, Successor) and type(predecessor) is type(processor):
                processor.succeed(predecessor)

    def _fed_pipelines(self, signal: Signal) -> list[SignalPipeline]:
        """Pipelines that a receiver feeds; one behind a connector may be a tenant's, and is for nothing of ours."""
        return [
            pipeline
            for settings, pipeline in zip(self.settings.pipelines, self.pipelines, strict=True)
            if pipeline.signal == signal and any(one.type.kind == "receiver" for one in settings.receivers)
        ]

    def log_pipelines(self) -> list[Callable[[Payload], None]]:
        """What takes our own log records into each logs pipeline."""
        return [partial(self._offer, pipeline) for pipeline in self._fed_pipelines("logs")]

    def _offer(self, pipeline: SignalPipeline, payload: Payload) -> None:
        offer_all(self._stages.offers(pipeline, payload))

    def offer_metrics(self, resource: Mapping[str, str], start_unix_nano: int) -> None:
        """Our own and derived metrics, to all metrics pipelines that a receiver feeds."""
        pipelines = self._fed_pipelines("metrics")
        if not pipelines:
            return
        payload = encode_metrics(self._metrics.collect(), resource, start_unix_nano, self._clock.unix_nano())
        for pipeline in pipelines:
            try:
                self._offer(pipeline, payload)
            except RefusedError as error:
                # Cumulative: the next ones say everything that these would have said.
                _logger.debug("pipeline %s takes no metrics now: %s", pipeline.name, error)

    def stop_processors(self, deadline_seconds: float) -> None:
        """Let processors finish what they do beside the pipelines, one after the other."""
        end = self._clock.monotonic() + deadline_seconds
        for processor in self._processors.values():
            if isinstance(processor, Running):
                processor.shutdown(max(0.0, end - self._clock.monotonic()))

    def audit_logs(self) -> frozenset[AuditLog]:
        """Those that its processors write."""
        return audit_logs(self._processors.values())

    def offer_anchors(self, logs: Iterable[AuditLog], resource: Mapping[str, str]) -> None:
        """How far audit logs have come, to all logs pipelines; what is refused is offered again next time."""
        pipelines = self._fed_pipelines("logs")
        for log in logs:
            records = keep_up(log)
            if not (records and pipelines):
                continue
            payload = encode_log_records(records, resource)
            try:
                offer_all(offer for pipeline in pipelines for offer in self._stages.offers(pipeline, payload))
            except RefusedError as error:
                _logger.debug("no pipeline takes anchors now: %s", error)
            else:
                log.keep_anchors(len(records))

    def shutdown(self, deadline_seconds: float) -> None:
        """Deliver what was accepted; all destinations at once, so that a dead one takes no time from the others.

        Before them the holders, which have something for them yet.
        """
        end = self._clock.monotonic() + deadline_seconds
        for id_ in self._stages.holders_in_order():
            self.deliveries[id_].shutdown(max(0.0, end - self._clock.monotonic()))
        self._shutdown_at_once([self.deliveries[id_] for id_ in self._plain], max(0.0, end - self._clock.monotonic()))

    def _shutdown_at_once(self, deliveries: Collection[Delivery], deadline_seconds: float) -> None:
        if not deliveries:
            return
        with ThreadPoolExecutor(len(deliveries), thread_name_prefix="otel-llm-shutdown") as pool:
            for delivery in deliveries:
                pool.submit(delivery.shutdown, deadline_seconds)


def _unknown_raw_exporters(processors: Iterable[Processor], exporters: Iterable[str]) -> list[str]:
    """A raw exporter that is misspelt would be a redacted one; better said than found out."""
    known = sorted(exporters)
    return [
        f"processors.{processor.name}.raw_exporters: no exporter {name!r} in a pipeline{hint(name, known)}"
        for processor in processors
        if is_rewriter(processor)
        for name in sorted(processor.raw_exporters.difference(known))
    ]


class _collecting:  # noqa: N801 - reads as a statement
    """Collects the problems of ConfigErrors instead of stopping at the first."""

    def __init__(self, problems: list[str], prefix: str = "") -> None:
        self._problems = problems
        self._prefix = prefix

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> bool:
        if isinstance(error, ConfigError):
            self._problems += [self._prefix + problem for problem in error.problems]
            return True
        return False


class Gateway:
    """Runs a configuration.

    Args:
        settings: what to run.
        clock: for times and deadlines.
        metrics_interval_seconds: how often its own metrics go to the metrics pipelines, in place of
            `service.telemetry.metrics.interval_seconds`.
        instance: tells its own metrics from those of other gateways, as `service.instance.id`.

    Raises:
        ConfigError: components cannot be made as configured.
    """

    def __init__(
        self,
        settings: Settings,
        clock: Clock | None = None,
        metrics_interval_seconds: float | None = None,
        instance: str | None = None,
    ) -> None:
        self._instance = instance
        self._clock = clock or SystemClock()
        self._started_unix_nano = self._clock.unix_nano()
        self._started = self._clock.monotonic()
        self._interval = metrics_interval_seconds
        self.metrics = Metrics()
        self._storage = Storage(self.metrics, self._clock)
        self._records = LogRecords()
        self._graph = self._make_graph(settings)
        self._log_reporter = LogReporter(
            self._records, self._log_pipelines, self._resource(), self.metrics, self._clock
        )
        self._switches: dict[str, _Switch] = {}
        self._receivers: dict[str, tuple[Component, Receiver]] = {}
        self._admin: HttpServer | None = None
        self._not_ready: str | None = "starting"
        self._stopped = threading.Event()
        self._reporter: threading.Thread | None = None
        self._retiring: list[tuple[threading.Thread, _Graph]] = []
        self._audit_logs: frozenset[AuditLog] = frozenset()

    def _make_graph(self, settings: Settings) -> _Graph:
        return _Graph(settings, self.metrics, self._clock, self._storage, self._records)

    def _log_pipelines(self) -> list[Callable[[Payload], None]]:
        return self._graph.log_pipelines()

    @property
    def settings(self) -> Settings:
        """The configuration that runs."""
        return self._graph.settings

    def receiver(self, id_: str) -> Receiver:
        """A running receiver, by its name in the configuration."""
        return self._receivers[id_][1]

    def delivery(self, id_: str) -> Delivery:
        """A running delivery, by the name of its exporter in the configuration."""
        return self._graph.deliveries[id_]

    @property
    def admin_port(self) -> int | None:
        """The port of the admin endpoint, None when there is none."""
        return None if self._admin is None else self._admin.port

    def start(self) -> None:
        """Take telemetry; returns when it does.

        Raises:
            ConfigError: a port cannot be had. What was started is stopped again.
        """
        try:
            self._admin = self._started_admin(self.settings.service.admin)
            self._graph.start()
            self._hold_logs()
            for component in self.settings.receivers:
                self._start_receiver(component)
        except ConfigError:
            self.shutdown(0)
            raise
        self._reporter = threading.Thread(target=self._report, name="otel-llm-metrics", daemon=True)
        self._reporter.start()
        self._log_reporter.start()
        self._not_ready = None

    def _started_admin(self, config: AdminConfig) -> HttpServer | None:
        endpoint = config.endpoint
        if endpoint is None:
            return None
        admin = admin_server(config, self.metrics_text, lambda: self._not_ready, self.status)
        try:
            admin.start()
        except OSError as error:
            problem = f"cannot listen on {endpoint}: {error.strerror or error}; choose another port, or null"
            raise ConfigError([f"service.admin.endpoint: {problem}"]) from error
        return admin

    def _start_receiver(self, component: Component) -> None:
        switch = self._switches.setdefault(component.id, _Switch(self._graph.consumers[component.id]))
        switch.target = self._graph.consumers[component.id]
        receiver = component.create_receiver(self.metrics, self._clock)
        receiver.start(switch)
        self._receivers[component.id] = (component, receiver)

    def _hold_logs(self) -> None:
        """Those of an earlier configuration as well: what it has accepted may still be on its way."""
        for log in self._graph.audit_logs():
            log.hold(self)
        self._audit_logs |= self._graph.audit_logs()

    def _report(self) -> None:
        while not self._stopped.wait(self._report_seconds()):
            self._graph.offer_metrics(self._resource(), self._started_unix_nano)
            self._graph.offer_anchors(self._audit_logs, self._resource())

    def _report_seconds(self) -> float:
        configured = self.settings.service.telemetry.metrics.interval_seconds
        return configured if self._interval is None else self._interval

    def _resource(self) -> dict[str, str]:
        resource = {"service.name": "otel-llm", "service.version": __version__}
        return resource if self._instance is None else {**resource, "service.instance.id": self._instance}

    def reload(self, settings: Settings) -> None:
        """Run another configuration from now on; what was accepted before is delivered as it was configured then.

        Raises:
            ConfigError: it cannot be run; the one before goes on.
        """
        old = self._graph
        config, former = settings.service.admin, old.settings.service.admin
        is_moving = config != former
        new = self._make_graph(settings)
        new.succeed(old)
        new.start()
        self._graph = new
        admin = self._admin
        try:
            if is_moving and self._admin is not None and config.endpoint == former.endpoint:
                self._admin.shutdown(1.0)  # or the port would be taken
            admin = self._started_admin(config) if is_moving else self._admin
            self._exchange_receivers(old.settings.receivers, settings.receivers)
        except ConfigError:
            self._graph = old
            if admin is not None and admin is not self._admin:
                admin.shutdown(0.0)
            if is_moving and self._admin is not None and config.endpoint == former.endpoint:
                self._admin = self._started_admin(former)
            self._exchange_receivers(settings.receivers, old.settings.receivers)
            self._retire(new)
            raise
        self._retire(old)
        if is_moving and self._admin is not None:
            self._admin.shutdown(1.0)
        self._admin = admin
        self._hold_logs()
        _logger.info("configuration reloaded from %s", settings.source)

    def _retire(self, graph: _Graph) -> None:
        """Deliver what a graph has accepted, in the background: a dead destination must not hold up the next reload."""
        seconds = graph.settings.service.shutdown_timeout_seconds
        retiring = threading.Thread(target=_retire, args=(graph, seconds), name="otel-llm-retiring", daemon=True)
        retiring.start()
        self._retiring = [one for one in self._retiring if one[0].is_alive()] + [(retiring, graph)]

    def _exchange_receivers(self, before: Iterable[Component], after: Iterable[Component]) -> None:
        wanted = {component.id: component for component in after}
        for component in before:
            if not _same(wanted.get(component.id), component):
                running = self._receivers.pop(component.id, None)
                if running is not None:
                    running[1].shutdown(self.settings.service.shutdown_timeout_seconds)
        for component in wanted.values():
            if component.id not in self._receivers:
                self._start_receiver(component)
        # Last, when nothing can fail any more: until here, receivers that stay fed the graph they had.
        for component in wanted.values():
            self._switches[component.id].target = self._graph.consumers[component.id]

    def wait_retired(self, timeout_seconds: float) -> bool:
        """Wait until what earlier configurations had accepted is settled; whether it is."""
        end = self._clock.monotonic() + timeout_seconds
        for thread, _ in self._retiring:
            thread.join(max(0.0, end - self._clock.monotonic()))
        return not any(thread.is_alive() for thread, _ in self._retiring)

    def status(self) -> HostStatus:
        """What there is to say about it now."""
        up = self._clock.monotonic() - self._started
        exporters = [delivery.status() for delivery in self._graph.deliveries.values()]
        receivers = [one.status() for _, one in list(self._receivers.values()) if isinstance(one, Fetching)]
        return HostStatus(__version__, up, self._not_ready, exporters, receivers)

    def wait_delivered(self) -> None:
        """Return when everything that was accepted is exported or given up, or when it is shut down."""
        for delivery in self._graph.deliveries.values():
            while not (self._stopped.is_set() or delivery.force_flush(1.0)):
                pass

    def metrics_text(self) -> bytes:
        """Everything it counts, in the Prometheus text format."""
        return prometheus_text(self.metrics.collect())

    def abandon(self) -> None:
        """Stop at once: what is queued is counted, said and, in memory, dropped; nothing more is sent. Idempotent."""
        for graph in (self._graph, *(graph for _, graph in self._retiring)):
            for delivery in graph.deliveries.values():
                delivery.abandon()

    def shutdown(self, deadline_seconds: float | None = None) -> None:
        """Stop receiving, deliver what was accepted within the deadline, then stop. Idempotent.

        Args:
            deadline_seconds: `service.shutdown_timeout_seconds` by default.
        """
        if self._stopped.is_set():
            return
        self._stopped.set()
        self._not_ready = "shutting down"
        seconds = self.settings.service.shutdown_timeout_seconds if deadline_seconds is None else deadline_seconds
        end = self._clock.monotonic() + seconds
        for _, receiver in self._receivers.values():
            receiver.shutdown(max(0.0, end - self._clock.monotonic()))
        if self._reporter is not None:  # it had started: the last counts go out with the rest
            self._graph.offer_metrics(self._resource(), self._started_unix_nano)
        # Half of what is left, at most: what was accepted from others comes before what we still have to say.
        self._graph.stop_processors(max(0.0, end - self._clock.monotonic()) / 2)
        self._log_reporter.shutdown(max(0.0, end - self._clock.monotonic()))
        if self._reporter is not None:
            anchor_all(self._audit_logs)
            self._graph.offer_anchors(self._audit_logs, self._resource())
        self._graph.shutdown(max(0.0, end - self._clock.monotonic()))
        self.wait_retired(max(0.0, end - self._clock.monotonic()))
        if self._admin is not None:
            self._admin.shutdown(1.0)
        let_go_all(self._audit_logs | self._graph.audit_logs(), self)


def _retire(graph: _Graph, seconds: float) -> None:
    graph.stop_processors(seconds / 2)
    graph.shutdown(seconds)


def _same(one: Component | None, other: Component) -> bool:
    return one is not None and one.type.name == other.type.name and one.config == other.config
