"""Our own events as an OTLP log request."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue

from otel_llm.codecs.protobuf import encode_value
from otel_llm.operation import AttributeValue
from otel_llm.signals import Payload

_SCOPE = "otel_llm"
_INFO = 9


@dataclass(frozen=True, slots=True)
class OwnEvent:
    """Something that happened here.

    Attributes:
        name: as the registry has it.
        time_unix_nano: when.
        attributes: what is to be said about it.
    """

    name: str
    time_unix_nano: int
    attributes: Mapping[str, AttributeValue]


def encode_events(events: Sequence[OwnEvent], resource: Mapping[str, str]) -> Payload:
    """Events as one OTLP request.

    Args:
        events: in order.
        resource: attributes of the process they happened in.
    """
    request = ExportLogsServiceRequest()
    holder = request.resource_logs.add()
    holder.resource.attributes.extend(_attributes(resource))
    group = holder.scope_logs.add()
    group.scope.name = _SCOPE
    for event in events:
        group.log_records.add(
            time_unix_nano=event.time_unix_nano,
            observed_time_unix_nano=event.time_unix_nano,
            severity_number=_INFO,
            event_name=event.name,
            attributes=_attributes(event.attributes),
        )
    return Payload.of("logs", (request.SerializeToString(),), len(events))


def _attributes(pairs: Mapping[str, AttributeValue]) -> list[KeyValue]:
    return [KeyValue(key=key, value=AnyValue.FromString(encode_value(value))) for key, value in pairs.items()]
