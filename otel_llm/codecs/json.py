"""OTLP/JSON to protobuf and back.

OTLP's JSON is protobuf's, except that trace and span ids are hex and enums are numbers, so protobuf's own converter
cannot be used. The converters here are made from the messages' descriptors, once, at first use: a field that a newer
opentelemetry-proto has is converted without a change here.
Source: OTLP specification, JSON Protobuf Encoding; protobuf's ProtoJSON format.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Final

import msgspec
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import DecodeError, Message
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from otel_llm.codecs.json_values import Read, Write, WrongError, converters, wrong_value
from otel_llm.errors import MalformedError
from otel_llm.signals import Signal

# 64 MiB: twice what a Collector takes by default over gRPC, since JSON is about twice as long as protobuf.
MAX_BODY_BYTES: Final = 64 * 1024 * 1024
# Protobuf's own limit is 100 messages in each other; what is deeper here could not be read again.
_MAX_DEPTH: Final = 90

_REQUESTS: Final[Mapping[Signal, type[Message]]] = {
    "traces": ExportTraceServiceRequest,
    "metrics": ExportMetricsServiceRequest,
    "logs": ExportLogsServiceRequest,
}
# A half of a surrogate pair on its own: JavaScript writes it for a text cut in the middle of an emoji.
_SURROGATES: Final = re.compile(
    rb"\\\\|\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(\\u[dD][89a-fA-F][0-9a-fA-F]{2})"
)


def to_protobuf(signal: Signal, body: bytes, max_bytes: int = MAX_BODY_BYTES) -> bytes:
    """One OTLP/JSON request as serialized protobuf.

    Unknown fields are ignored and null is absence, as the specification asks; 64-bit integers may be numbers or texts,
    enums numbers or names. Invalid UTF-8 and lone surrogates become U+FFFD: one cut text must not cost a batch.

    Args:
        signal: which request it is.
        body: the JSON text.
        max_bytes: the size above which the body is not read.

    Raises:
        MalformedError: it is not such a request; the message has the path and what was expected there.
    """
    if len(body) > max_bytes:
        raise MalformedError(f"OTLP/JSON: expected at most {max_bytes} bytes, got {len(body)}; send smaller batches")
    request = _REQUESTS[signal]
    try:
        return request(**_fields_of(request.DESCRIPTOR).read(_decode(body), 0)).SerializeToString()
    except WrongError as wrong:
        raise MalformedError(f"OTLP/JSON: {wrong}") from None


def to_json(signal: Signal, body: bytes) -> bytes:
    """One serialized protobuf request as OTLP/JSON in one line, the way the Collector's file exporter writes it.

    Raises:
        MalformedError: the bytes are not such a request.
    """
    request = _REQUESTS[signal]
    try:
        message = request.FromString(body)
    except DecodeError:
        raise MalformedError(f"protobuf: expected an {request.DESCRIPTOR.name}") from None
    return msgspec.json.encode(_fields_of(request.DESCRIPTOR).write(message))


def _decode(body: bytes) -> object:
    try:
        return msgspec.json.decode(body)
    except RecursionError:
        raise WrongError(f"expected values nested at most {_MAX_DEPTH} deep") from None
    except (msgspec.MsgspecError, UnicodeError):
        return _decode_repaired(body)


def _decode_repaired(body: bytes) -> object:
    text = body.decode("utf-8", "replace").encode()
    repaired = _SURROGATES.sub(lambda match: rb"\ufffd" if match[1] else match[0], text)
    try:
        return msgspec.json.decode(repaired)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        raise WrongError("expected a JSON object of an export request; the body is not valid JSON") from None


@dataclass(frozen=True, slots=True)
class _Fields:
    """The fields of one message type.

    Attributes:
        readers: by the name in JSON: the name in Python and the reader.
        writers: by the name in Python: the name in JSON and the writer.
    """

    readers: dict[str, tuple[str, Read]] = field(default_factory=dict)
    writers: dict[str, tuple[str, Write]] = field(default_factory=dict)

    def read(self, value: object, depth: int) -> dict[str, object]:
        """The message's constructor arguments, messages inside it included (protobuf builds them all in C)."""
        if not isinstance(value, dict):
            raise wrong_value("an object", value)
        if depth > _MAX_DEPTH:
            raise WrongError(f"expected values nested at most {_MAX_DEPTH} deep")
        arguments: dict[str, object] = {}
        readers = self.readers
        for key, item in value.items():
            if item is None or key not in readers:
                continue
            name, read = readers[key]
            try:
                arguments[name] = read(item, depth)
            except WrongError as wrong:
                wrong.path.append(f".{key}")
                raise
        return arguments

    def write(self, message: object) -> dict[str, object]:
        """The message as a JSON object; fields at their default are left out."""
        writers = self.writers
        written: dict[str, object] = {}
        for descriptor, value in message.ListFields():  # type: ignore[attr-defined]  # a Message; Write takes any value
            name, write = writers[descriptor.name]
            written[name] = write(value)
        return written


@cache
def _fields_of(descriptor: Descriptor) -> _Fields:
    """The fields of a message type; types that contain themselves (AnyValue) find the one being made."""
    return _make(descriptor, {})


def _make(descriptor: Descriptor, made: dict[str, _Fields]) -> _Fields:
    fields = made.get(descriptor.full_name)
    if fields is not None:
        return fields
    fields = made[descriptor.full_name] = _Fields()
    for each in descriptor.fields:
        read, write = _converters(each, made)
        if each.is_repeated:
            read, write = _read_all(read), _write_all(write)
        fields.readers[each.json_name] = (each.name, read)
        fields.writers[each.name] = (each.json_name, write)
    return fields


def _converters(descriptor: FieldDescriptor, made: dict[str, _Fields]) -> tuple[Read, Write]:
    if descriptor.message_type is None:
        return converters(descriptor)
    inner = _make(descriptor.message_type, made)
    return _read_message(inner), inner.write


def _read_message(fields: _Fields) -> Read:
    return lambda value, depth: fields.read(value, depth + 1)


def _read_all(read: Read) -> Read:
    def read_all(value: object, depth: int) -> list[object]:
        if not isinstance(value, list):
            raise wrong_value("an array", value)
        items: list[object] = []
        try:
            for item in value:
                items.append(read(item, depth))  # noqa: PERF401 - the length says where the wrong item is
        except WrongError as wrong:
            wrong.path.append(f"[{len(items)}]")
            raise
        return items

    return read_all


def _write_all(write: Write) -> Write:
    def write_all(values: object) -> list[object]:
        return [write(value) for value in values]  # type: ignore[attr-defined]  # a repeated field; Write takes any value

    return write_all
