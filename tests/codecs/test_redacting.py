"""Whole requests rewritten: every text of them is looked at, whatever its encoding; the rest stays as it was."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from google.protobuf.message import DecodeError
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue

from otel_llm.codecs import protobuf
from otel_llm.codecs.redacting import Rewriting, Rewritten, _Clean
from otel_llm.errors import MalformedError
from otel_llm.operation import AttributeValue
from otel_llm.signals import Payload, Signal

REQUESTS = {
    "traces": ExportTraceServiceRequest,
    "logs": ExportLogsServiceRequest,
    "metrics": ExportMetricsServiceRequest,
}
KEPT_TEXTS = {"gone"}


class Upper:
    """Writes every text in capitals; `gone` must go."""

    def __init__(self) -> None:
        self.items = 0
        self.changed: list[tuple[bytes, bytes]] = []

    def text(self, text: str, name: str | None) -> str | None:  # noqa: ARG002 - the protocol's
        return None if text == "gone" else text if text == text.upper() else text.upper()

    def value(self, value: AttributeValue, name: str | None) -> tuple[AttributeValue, bool]:
        if isinstance(value, str):
            new = self.text(value, name)
            return new, new is not None
        if isinstance(value, bytes):
            return value.upper(), True
        if isinstance(value, Mapping):
            return {key.upper(): self.value(item, key)[0] for key, item in value.items()}, True
        if isinstance(value, tuple):
            return tuple(self.value(item, name)[0] for item in value), True
        return value, True

    def key(self, key: str) -> str | None:
        return None if key == "gone" else key.upper()

    def begin_item(self) -> None:
        self.items += 1

    def end_item(self, noted: Mapping[str, AttributeValue]) -> Mapping[str, AttributeValue]:  # noqa: ARG002 - as above
        return {}

    def item_changed(self, *_: object) -> None:
        raise AssertionError("nothing was written about an item")


def rewritten(signal: Signal, body: bytes, items: int = 1, **options: bool) -> Rewritten:
    return Rewriting(**options).rewrite(Payload.of(signal, (body,), items), Upper())


def fill(message: object, depth: int = 0) -> None:
    """Put a lower-case text or byte string into every field of a message that takes one, and into those below it."""
    descriptor = message.DESCRIPTOR  # type: ignore[attr-defined] # it is a Message
    for field in descriptor.fields:
        if field.type == field.TYPE_MESSAGE:
            if depth < 12 and not (descriptor.name in ("ArrayValue", "KeyValueList") and depth > 9):
                target = getattr(message, field.name)
                fill(target.add() if field.is_repeated else target, depth + 1)
        elif field.type == field.TYPE_STRING:
            if field.is_repeated:
                getattr(message, field.name).append("text")
            else:
                setattr(message, field.name, "text")
        elif field.type == field.TYPE_BYTES and not field.name.endswith("_id"):
            setattr(message, field.name, b"text")


@pytest.mark.parametrize("signal", REQUESTS)
def test_every_text_field_of_otlp_is_rewritten(signal: Signal) -> None:
    """By OTLP's own descriptors: a field that the tables forget would leave its text."""
    request = REQUESTS[signal]()
    fill(request)
    body = request.SerializeToString()
    assert body.count(b"text") > 10
    new = rewritten(signal, body).payload.join()
    assert b"text" not in new
    whole = 2 if signal == "traces" else 0  # the trace states of span and link have a grammar: they stay or go
    assert new.count(b"TEXT") == body.count(b"text") - whole


def span_request(*values: AttributeValue) -> ExportTraceServiceRequest:
    request = ExportTraceServiceRequest()
    span = request.resource_spans.add().scope_spans.add().spans.add(trace_id=b"t" * 16, span_id=b"s" * 8, name="N")
    for index, value in enumerate(values):
        span.attributes.add(key=f"K{index}", value=AnyValue.FromString(protobuf.encode_value(value)))
    return request


VALUES = st.recursive(
    st.text(max_size=12) | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False) | st.booleans()
    | st.binary(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)  # fmt: skip


@settings(max_examples=200, deadline=None)
@given(st.lists(VALUES, max_size=4))
def test_values_of_every_type_come_out_as_their_rewriting(values: list[AttributeValue]) -> None:
    """Against a parse with the generated classes."""
    body = span_request(*values).SerializeToString()
    new = ExportTraceServiceRequest.FromString(rewritten("traces", body).payload.join())
    content = Upper()
    expected = []
    for index, value in enumerate(values):
        plain = protobuf.decode_value(protobuf.encode_value(value)) if value != [] else ()
        changed, stays = content.value(plain, None)
        if stays:
            expected.append((f"K{index}", AnyValue.FromString(protobuf.encode_value(changed))))
    found = [(item.key, item.value) for item in new.resource_spans[0].scope_spans[0].spans[0].attributes]
    assert found == expected


def test_what_nobody_rewrites_stays_byte_for_byte() -> None:
    body = span_request("UPPER", 3, [True], {"A": "B"}).SerializeToString()
    assert rewritten("traces", body).payload.join() == body


def wrap(span: bytes) -> bytes:
    group = b"\x12" + protobuf.varint(len(span)) + span
    holder = b"\x12" + protobuf.varint(len(group)) + group
    return b"\x0a" + protobuf.varint(len(holder)) + holder


def entry(*fields: bytes) -> bytes:
    body = b"".join(fields)
    return b"\x4a" + protobuf.varint(len(body)) + body


KEY = b"\x0a\x01K"
ODD = {
    "value before key": entry(b"\x12\x07\x0a\x05small", KEY),
    "two values, which merge": entry(KEY, b"\x12\x05\x0a\x03one", b"\x12\x07\x0a\x05small"),
    "two keys": entry(b"\x0a\x05other", KEY, b"\x12\x07\x0a\x05small"),
    "two texts in a value": entry(KEY, b"\x12\x0c\x0a\x03one\x0a\x05small"),
    "an unknown field in the entry": entry(KEY, b"\x12\x07\x0a\x05small", b"\x7a\x05small"),
    "an unknown field in the value": entry(KEY, b"\x12\x0e\x0a\x05small\x7a\x05small"),
    "an unknown field beside a number": entry(KEY, b"\x12\x09\x18\x01\x7a\x05small"),
    "a tag that is longer than it must be": b"\xca\x00" + entry(KEY, b"\x12\x07\x0a\x05small")[1:],
    "a length that is longer than it must be": b"\x4a\x8c\x00" + entry(KEY, b"\x12\x07\x0a\x05small")[2:],
    "an unknown field of the span": b"\xfa\x7f\x05small",
    "a group": b"\xfb\x7f\x0a\x05small\xfc\x7f",
    "a name twice": b"\x2a\x05small\x2a\x05small",
    "a name that is not UTF-8": b"\x2a\x06small\xff",
    "a key that is not UTF-8": entry(b"\x0a\x06small\xff", b"\x12\x02\x18\x01"),
    "a status in two pieces": b"\x7a\x07\x12\x05small\x7a\x02\x18\x02",
}


@pytest.mark.parametrize("how", ODD)
def test_odd_encodings_hide_nothing(how: str) -> None:
    """Legal bytes that a backend reads and a careless walk would pass over."""
    body = wrap(b"\x0a\x02tt" + ODD[how])
    ExportTraceServiceRequest.FromString(body.replace(b"\xff", b"x"))
    new = rewritten("traces", body).payload.join()
    assert b"small" not in new
    assert new != b""
    ExportTraceServiceRequest.FromString(new)


def test_fields_that_nobody_knows_go_and_are_counted_or_stay_when_asked() -> None:
    body = wrap(b"\xfa\x7f\x05small")
    assert rewritten("traces", body).unknown == 1
    assert b"small" in rewritten("traces", body, keep_unknown=True).payload.join()


def test_an_item_that_cannot_be_read_goes_alone() -> None:
    good, bad = b"\x2a\x04name", b"\x4a\x7fx"
    group = b"".join(b"\x12" + protobuf.varint(len(span)) + span for span in (good, bad, good))
    holder = b"\x12" + protobuf.varint(len(group)) + group
    result = rewritten("traces", b"\x0a" + protobuf.varint(len(holder)) + holder, items=3)
    spans = ExportTraceServiceRequest.FromString(result.payload.join()).resource_spans[0].scope_spans[0].spans
    assert [span.name for span in spans] == ["NAME", "NAME"]
    assert (result.unreadable, result.payload.items) == (1, 2)


def test_a_broken_request_is_refused() -> None:
    with pytest.raises(MalformedError):
        rewritten("traces", b"\x0a\x7f")


def test_names_that_cannot_be_looked_at_are_replaced_and_other_texts_go() -> None:
    request = span_request("gone", "STAYS")
    span = request.resource_spans[0].scope_spans[0].spans[0]
    span.name = span.status.message = "gone"
    span.trace_state = "small"
    span.attributes.add(key="gone", value=AnyValue(string_value="X"))
    left = ExportTraceServiceRequest.FromString(rewritten("traces", request.SerializeToString()).payload.join())
    (span,) = left.resource_spans[0].scope_spans[0].spans
    assert (span.name, span.status.message, span.trace_state) == ("redaction_failed", "", "")
    assert [item.key for item in span.attributes] == ["K1"]


@pytest.mark.parametrize(
    ("scope", "key", "is_rewritten"),
    [
        ("opentelemetry.instrumentation.httpx", "http.url", False),
        ("app", "gen_ai.input.messages", True),
        ("opentelemetry.instrumentation.genai.openai", "anything", True),
    ],
)
def test_spans_that_are_no_genai_ones_may_be_left_alone(scope: str, key: str, *, is_rewritten: bool) -> None:
    request = ExportTraceServiceRequest()
    holder = request.resource_spans.add()
    holder.resource.attributes.add(key="K", value=AnyValue(string_value="small"))
    group = holder.scope_spans.add()
    group.scope.name = scope
    group.spans.add(name="N").attributes.add(key=key, value=AnyValue(string_value="text"))
    new = rewritten("traces", request.SerializeToString(), genai_only=True).payload.join()
    assert (b"text" not in new) == is_rewritten
    assert b"small" not in new


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=60))
def test_any_bytes_of_a_span_come_out_rewritten_or_not_at_all(span: bytes) -> None:
    """What the generated classes can still read holds no small letter in its name or in any text of an attribute."""
    try:
        new = rewritten("traces", wrap(span)).payload.join()
    except MalformedError:
        return
    try:
        message = ExportTraceServiceRequest.FromString(new)
    except DecodeError:  # e.g. a name that is not UTF-8 and held nothing to change
        return
    for left in message.resource_spans[0].scope_spans[0].spans:
        assert left.name in (left.name.upper(), "redaction_failed")
        assert all(item.value.string_value == item.value.string_value.upper() for item in left.attributes)


def test_25_attributes_without_end_leave_memory_bounded() -> None:
    """Given unique attributes without end, then few are remembered."""
    clean = _Clean()
    for number in range(100_000):
        clean.add(str(number).encode())
    assert len(clean.new) + len(clean.old) <= 2 * 16_384
    assert b"99999" in clean.new
