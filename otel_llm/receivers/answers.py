"""Answers of the OTLP services, protobuf and JSON.

Source: OTLP specification 1.x, sections on OTLP/gRPC and OTLP/HTTP responses; google.rpc.Status and RetryInfo.
"""

from __future__ import annotations

import json
from typing import Final

from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.duration_pb2 import Duration
from google.rpc.error_details_pb2 import RetryInfo  # type: ignore[import-untyped]  # publishes no types
from google.rpc.status_pb2 import Status  # type: ignore[import-untyped]  # as above
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsPartialSuccess, ExportLogsServiceResponse
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsPartialSuccess,
    ExportMetricsServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTracePartialSuccess,
    ExportTraceServiceResponse,
)

from otel_llm.signals import ConsumeResult, Signal

# google.rpc.Code
INVALID_ARGUMENT: Final = 3
RESOURCE_EXHAUSTED: Final = 8
UNAVAILABLE: Final = 14
UNAUTHENTICATED: Final = 16

_REJECTED_KEY: Final[dict[Signal, str]] = {
    "traces": "rejectedSpans",
    "metrics": "rejectedDataPoints",
    "logs": "rejectedLogRecords",
}


def success(signal: Signal, result: ConsumeResult) -> bytes:
    """A serialized Export{Trace,Metrics,Logs}ServiceResponse."""
    if not result.rejected and not result.message:
        return b""
    if signal == "traces":
        spans = ExportTracePartialSuccess(rejected_spans=result.rejected, error_message=result.message)
        return ExportTraceServiceResponse(partial_success=spans).SerializeToString()
    if signal == "metrics":
        points = ExportMetricsPartialSuccess(rejected_data_points=result.rejected, error_message=result.message)
        return ExportMetricsServiceResponse(partial_success=points).SerializeToString()
    records = ExportLogsPartialSuccess(rejected_log_records=result.rejected, error_message=result.message)
    return ExportLogsServiceResponse(partial_success=records).SerializeToString()


def success_json(signal: Signal, result: ConsumeResult) -> bytes:
    """The same as JSON; 64-bit integers are strings there."""
    partial: dict[str, str] = {}
    if result.rejected:
        partial[_REJECTED_KEY[signal]] = str(result.rejected)
    if result.message:
        partial["errorMessage"] = result.message
    return json.dumps({"partialSuccess": partial} if partial else {}).encode()


def error(code: int, message: str, retry_after_seconds: float | None = None) -> bytes:
    """A serialized google.rpc.Status; with RetryInfo when the sender should try again."""
    status = Status(code=code, message=message)
    if retry_after_seconds is not None:
        seconds, fraction = divmod(max(retry_after_seconds, 0.0), 1)
        delay = Duration(seconds=int(seconds), nanos=int(fraction * 1e9))
        detail = AnyMessage()
        detail.Pack(RetryInfo(retry_delay=delay))
        status.details.append(detail)
    serialized: bytes = status.SerializeToString()
    return serialized


def error_json(code: int, message: str) -> bytes:
    """The same as JSON, without details: over HTTP the Retry-After field says when."""
    return json.dumps({"code": code, "message": message}).encode()
