"""Our own log records as an OTLP request."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue
from opentelemetry.proto.logs.v1 import logs_pb2

from otel_llm.codecs.protobuf import encode_value
from otel_llm.log_records import LogRecord
from otel_llm.signals import Payload

_SCOPE: Final = "otel_llm"


def encode_log_records(records: Iterable[LogRecord], resource: Mapping[str, str]) -> Payload:
    """The records as one OTLP request.

    Args:
        records: the records.
        resource: attributes of the process that emits them.
    """
    request = ExportLogsServiceRequest()
    holder = request.resource_logs.add()
    for key, value in resource.items():
        holder.resource.attributes.add(key=key).value.string_value = value
    group = holder.scope_logs.add()
    group.scope.name = _SCOPE
    for record in records:
        _write(record, group.log_records.add())
    return Payload.of("logs", (request.SerializeToString(),), len(group.log_records))


def _write(record: LogRecord, message: logs_pb2.LogRecord) -> None:
    message.event_name = record.event_name
    message.time_unix_nano = message.observed_time_unix_nano = record.time_unix_nano
    message.severity_number = logs_pb2.SeverityNumber.ValueType(record.severity_number)
    message.trace_id, message.span_id = record.trace_id, record.span_id
    if record.body:
        message.body.CopyFrom(AnyValue.FromString(encode_value(record.body)))
    for key, value in record.attributes.items():
        message.attributes.add(key=key).value.CopyFrom(AnyValue.FromString(encode_value(value)))
