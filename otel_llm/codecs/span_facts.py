"""What tail sampling has to know of a span, read from its bytes: ids, times, status, cost, verdict.

Every span is read, GenAI or not, so this is a projection of six fields; attributes are looked for only where the bytes
mention one of ours.
Source: opentelemetry-proto trace.proto (Span 1, 3, 4, 7, 8, 15; Status 3).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal, InvalidOperation
from typing import Final, NamedTuple, Protocol, cast

from google.protobuf import descriptor_pb2
from google.protobuf.message import DecodeError

from otel_llm._generated import attributes as names
from otel_llm.codecs import protobuf
from otel_llm.codecs.lookup import Found, find_attributes
from otel_llm.codecs.projection import few_fields
from otel_llm.errors import MalformedError

_FIELD = descriptor_pb2.FieldDescriptorProto
_ATTRIBUTES: Final = 74
_STATUS_CODE: Final = 24
_ERROR: Final = 2
_MARKER: Final = b"otel_llm."
_KEYS: Final[Mapping[bytes, str]] = {
    key.encode(): key
    for key in (names.OTEL_LLM_COST_TOTAL, names.OTEL_LLM_COST_CURRENCY, names.OTEL_LLM_POLICY_VERDICT_TYPE)
}


class SpanFacts(NamedTuple):
    """What is known of a span.

    Attributes:
        trace_id: the trace.
        trace_state: its `tracestate`, as sent.
        is_root: it has no parent.
        start_unix_nano: its start.
        end_unix_nano: its end.
        is_error: its status is an error.
        cost: what the call cost; None when that is unknown or the span is none.
        currency: of the cost.
        verdict: what policy said; None when nothing.
    """

    trace_id: bytes
    trace_state: bytes
    is_root: bool
    start_unix_nano: int
    end_unix_nano: int
    is_error: bool
    cost: Decimal | None
    currency: str | None
    verdict: str | None


class _Projection(Protocol):
    trace_id: bytes
    trace_state: bytes
    parent_span_id: bytes
    start_time_unix_nano: int
    end_time_unix_nano: int
    status: Sequence[bytes]

    def ParseFromString(self, data: memoryview) -> int: ...  # noqa: N802 - protobuf's name


_PROJECTION: Final = cast(
    "type[_Projection]",
    few_fields(
        "span_facts",
        (
            ("trace_id", 1, _FIELD.TYPE_BYTES, False),
            ("trace_state", 3, _FIELD.TYPE_BYTES, False),
            ("parent_span_id", 4, _FIELD.TYPE_BYTES, False),
            ("start_time_unix_nano", 7, _FIELD.TYPE_FIXED64, False),
            ("end_time_unix_nano", 8, _FIELD.TYPE_FIXED64, False),
            ("status", 15, _FIELD.TYPE_BYTES, True),
        ),
    ),
)


def read_facts(body: bytes, start: int, end: int) -> SpanFacts | None:
    """The facts of the span from `start` to `end`; None when the bytes are no span."""
    span = _PROJECTION()
    try:
        span.ParseFromString(memoryview(body)[start:end])
        is_error = bool(span.status) and _is_error(span.status)
        ours = find_attributes(body, start, end, _ATTRIBUTES, _KEYS) if body.find(_MARKER, start, end) >= 0 else {}
    except (DecodeError, MalformedError):
        return None
    return SpanFacts(
        span.trace_id,
        span.trace_state,
        not any(span.parent_span_id),
        span.start_time_unix_nano,
        span.end_time_unix_nano,
        is_error,
        _amount(ours.get(names.OTEL_LLM_COST_TOTAL)),
        _text(ours.get(names.OTEL_LLM_COST_CURRENCY)),
        _text(ours.get(names.OTEL_LLM_POLICY_VERDICT_TYPE)),
    )


def _is_error(pieces: Sequence[bytes]) -> bool:
    """Whether a status, which may come in pieces, says so; the last code counts."""
    code = 0
    for piece in pieces:
        for tag, _, payload, _ in protobuf.fields(piece):
            if tag == _STATUS_CODE:
                code = protobuf.read_varint(piece, payload)[0]
    return code == _ERROR


def _amount(value: Found) -> Decimal | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        amount = Decimal(repr(value))
    except InvalidOperation:
        return None
    return amount if amount.is_finite() else None


def _text(value: Found) -> str | None:
    return value if isinstance(value, str) else None
