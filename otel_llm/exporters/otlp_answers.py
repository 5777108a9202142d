"""What OTLP servers answer: partial success, and errors as google.rpc.Status.

Source: OTLP specification 1.x, sections on responses of OTLP/gRPC and OTLP/HTTP.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec
from google.protobuf.message import DecodeError
from google.rpc.error_details_pb2 import RetryInfo  # type: ignore[import-untyped]  # publishes no types
from google.rpc.status_pb2 import Status  # type: ignore[import-untyped]  # as above
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from otel_llm.exporters.exporter import ExportResult


def read_response(body: bytes, quote: Callable[[str], str]) -> ExportResult:
    """An Export{Trace,Metrics,Logs}ServiceResponse; the three have the same fields. What is none says nothing."""
    if not body:
        return ExportResult()
    try:
        partial = ExportTraceServiceResponse.FromString(body).partial_success
    except DecodeError:
        return ExportResult()
    return ExportResult(max(partial.rejected_spans, 0), quote(partial.error_message))


class _PartialSuccess(msgspec.Struct, rename="camel"):
    rejected_spans: int | None = None
    rejected_data_points: int | None = None
    rejected_log_records: int | None = None
    error_message: str | None = None


class _Response(msgspec.Struct, rename="camel"):
    partial_success: _PartialSuccess | None = None


def read_json_response(body: bytes, quote: Callable[[str], str]) -> ExportResult:
    """The same from a server that answers in JSON although it was asked in protobuf."""
    try:
        partial = msgspec.json.decode(body, type=_Response, strict=False).partial_success
    except msgspec.MsgspecError:
        return ExportResult()
    if partial is None:
        return ExportResult()
    rejected = partial.rejected_spans or partial.rejected_data_points or partial.rejected_log_records or 0
    return ExportResult(max(rejected, 0), quote(partial.error_message or ""))


def read_status(body: bytes, quote: Callable[[str], str]) -> tuple[str, float | None]:
    """A serialized google.rpc.Status: its message, and after how many seconds to retry if it says so."""
    try:
        status = Status.FromString(body)
    except DecodeError:
        return "", None
    for detail in status.details:
        info = RetryInfo()
        if detail.Is(RetryInfo.DESCRIPTOR) and detail.Unpack(info):
            return quote(status.message), max(info.retry_delay.seconds + info.retry_delay.nanos / 1e9, 0.0)
    return quote(status.message), None
