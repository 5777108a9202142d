"""The OTLP exporters of the OpenTelemetry SDK, by the protocol that OTEL_EXPORTER_OTLP_* names.

Source: OpenTelemetry specification, OTLP exporter configuration: `http/protobuf` is the default.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, cast

from opentelemetry.sdk.metrics.export import MetricExportResult

from otel_llm.errors import ConfigError
from otel_llm.signals import SIGNALS, Signal

if TYPE_CHECKING:
    from opentelemetry.sdk._logs.export import LogRecordExporter
    from opentelemetry.sdk.metrics.export import MetricExporter
    from opentelemetry.sdk.trace.export import SpanExporter

PACKAGES: Final = {
    "http/protobuf": "opentelemetry.exporter.otlp.proto.http",
    "grpc": "opentelemetry.exporter.otlp.proto.grpc",
}


def _exporter_class(signal: str, module: str, name: str) -> Any:  # noqa: ANN401 - a class of one of three kinds
    """An exporter of the SDK's, which reads endpoint, headers and the rest itself.

    Raises:
        ConfigError: the protocol is unknown, or its package is not installed.
    """
    protocol = protocol_of(signal, os.environ)
    package = PACKAGES.get(protocol)
    if package is None:
        raise ConfigError([f"OTEL_EXPORTER_OTLP_PROTOCOL: {protocol} is none of {', '.join(PACKAGES)}"])
    try:
        return getattr(importlib.import_module(f"{package}.{module}"), name)
    except ImportError:
        distribution = package.replace(".", "-")
        raise ConfigError([f"the OTLP exporter for {protocol} is not installed: pip install {distribution}"]) from None


def signals_sent(environment: Mapping[str, str]) -> tuple[Signal, ...]:
    """The signals that are exported: those whose OTEL_{TRACES,METRICS,LOGS}_EXPORTER is not `none`."""
    return tuple(
        signal for signal in SIGNALS if environment.get(f"OTEL_{signal.upper()}_EXPORTER", "").strip().lower() != "none"
    )


def protocol_of(signal: str, environment: Mapping[str, str]) -> str:
    """The OTLP protocol for a signal (`TRACES`, `METRICS`, `LOGS`)."""
    general = environment.get("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf")
    return (environment.get(f"OTEL_EXPORTER_OTLP_{signal}_PROTOCOL") or general).strip().lower()


def span_exporter() -> SpanExporter:
    """For spans. Raises ConfigError as the others do."""
    return cast("SpanExporter", _exporter_class("TRACES", "trace_exporter", "OTLPSpanExporter")())


def metric_exporter() -> MetricExporter:
    """For metrics. It exports in the process that made it only: a forked child would repeat its parent's sums."""
    base = _exporter_class("METRICS", "metric_exporter", "OTLPMetricExporter")
    made_in = os.getpid()

    def export(self: Any, *args: Any, **kwargs: Any) -> MetricExportResult:  # noqa: ANN401 - the SDK's method
        if os.getpid() != made_in:
            return MetricExportResult.SUCCESS
        return cast("MetricExportResult", base.export(self, *args, **kwargs))

    return cast("MetricExporter", type("MetricExporterOfOneProcess", (base,), {"export": export})())


def log_exporter() -> LogRecordExporter:
    """For events."""
    return cast("LogRecordExporter", _exporter_class("LOGS", "_log_exporter", "OTLPLogExporter")())
