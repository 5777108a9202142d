"""Which spans of a request have ended: their ids and how long they took, read by a projection of four fields.

Source: opentelemetry-proto trace.proto (Span 1, 2, 7, 8).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple, Protocol, cast

from google.protobuf import descriptor_pb2
from google.protobuf.message import DecodeError

from otel_llm.codecs.projection import few_fields
from otel_llm.codecs.regroup import read_layout

_FIELD = descriptor_pb2.FieldDescriptorProto
_SECOND: Final = 1e9


class SpanEnd(NamedTuple):
    """A span that has ended.

    Attributes:
        trace_id: the trace.
        span_id: the span.
        seconds: how long it took.
    """

    trace_id: bytes
    span_id: bytes
    seconds: float


class _Projection(Protocol):
    trace_id: bytes
    span_id: bytes
    start_time_unix_nano: int
    end_time_unix_nano: int

    def ParseFromString(self, data: memoryview) -> int: ...  # noqa: N802 - protobuf's name


_PROJECTION: Final = cast(
    "type[_Projection]",
    few_fields(
        "span_ends",
        (
            ("trace_id", 1, _FIELD.TYPE_BYTES, False),
            ("span_id", 2, _FIELD.TYPE_BYTES, False),
            ("start_time_unix_nano", 7, _FIELD.TYPE_FIXED64, False),
            ("end_time_unix_nano", 8, _FIELD.TYPE_FIXED64, False),
        ),
    ),
)


def read_ends(body: bytes) -> Iterator[SpanEnd]:
    """The spans of a serialized trace request; what cannot be read as one is passed over.

    Raises:
        MalformedError: the structure down to the borders of the spans is broken.
    """
    for _, start, end in read_layout(body).items():
        span = _PROJECTION()
        try:
            span.ParseFromString(memoryview(body)[start:end])
        except DecodeError:
            continue
        seconds = (span.end_time_unix_nano - span.start_time_unix_nano) / _SECOND
        yield SpanEnd(span.trace_id, span.span_id, seconds)
