"""The section `service`: what runs, and how the process behaves."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from otel_llm.receivers.auth import KeyConfig
from otel_llm.receivers.endpoint import TlsConfig


class PipelineConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What flows from where to where. All names are those of sections of the configuration."""

    receivers: tuple[str, ...] = ()
    """Where telemetry comes in; at least one."""

    processors: tuple[str, ...] = ()
    """What is done to it, in this order. The metrics signal passes as it is."""

    exporters: tuple[str, ...] = ()
    """Where it goes; each gets all of it; at least one."""


class LogsConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The log lines that the process writes to standard error."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    """The least important lines that are written."""


class MetricsConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The metrics that the process measures: its own, and those derived from operations."""

    interval_seconds: Annotated[float, msgspec.Meta(ge=1)] = 15.0
    """How often they go to the pipelines of the metrics signal, in seconds."""


class TelemetryConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the process says about itself. Its metrics are at the admin endpoint, too."""

    logs: LogsConfig = LogsConfig()
    """The log lines that the process writes to standard error."""

    metrics: MetricsConfig = MetricsConfig()
    """The metrics that the process measures."""


class AdminConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """HTTP for operators: `/healthz`, `/readyz` and, for Prometheus, `/metrics`."""

    endpoint: str | None = "127.0.0.1:13133"
    """Where to listen, as host:port; `null` for nowhere."""

    tls: TlsConfig | msgspec.UnsetType = msgspec.UNSET
    """Certificate and key for HTTPS. Plain HTTP without it."""

    keys: tuple[KeyConfig, ...] = ()
    """Who may see `/metrics`; everybody without any. The others say nothing that is worth hiding, and probes have no
    keys."""


class OverloadConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What happens when the process comes close to what memory it may use."""

    memory_limit_mib: Annotated[int, msgspec.Meta(ge=64)] | None = None
    """Resident memory of the process, in MiB. From 90 % of it on senders are told to come back (429,
    RESOURCE_EXHAUSTED). Without it, only the queues and the receivers bound what is held. Linux only."""

    when_short: Literal["refuse", "shed"] = "refuse"
    """What happens from 90 % on: `refuse` everything, or `shed`: take roots, errors and spans with a cost or a verdict,
    and give up the other spans, counted as dropped. At the limit everything is refused."""


class ServiceConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What runs, and how the process behaves."""

    pipelines: dict[str, PipelineConfig]
    """By id: `traces`, `metrics` or `logs`, and `traces/name` for further ones of the same signal."""

    telemetry: TelemetryConfig = TelemetryConfig()
    """What the process says about itself."""

    admin: AdminConfig = AdminConfig()
    """Health, readiness and metrics."""

    overload: OverloadConfig = OverloadConfig()
    """What happens when memory gets short."""

    workers: Annotated[int, msgspec.Meta(ge=1, le=64)] = 1
    """Processes that take telemetry, all on the same ports; one for each processor is a good number. Each has an equal
    part of every bound on bytes, connections and rates, and a queue of its own on disk. A connection stays with the
    worker that it came to. Linux only; not together with what has to see all operations or writes a file of its own:
    `tail_sampling`, `drift`, `compare`, `judge`, an audit log, the `file` exporter. Read at the start only."""

    shutdown_timeout_seconds: Annotated[float, msgspec.Meta(ge=0)] = 30.0
    """How long a shutdown may take to deliver what was accepted, in seconds; the rest is counted as dropped."""
