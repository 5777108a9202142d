from __future__ import annotations

import base64
import json
import math
import string
from collections.abc import Callable
from typing import Any

import pytest
from google.protobuf import json_format
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from otel_llm.codecs.json import to_json, to_protobuf
from otel_llm.errors import MalformedError
from otel_llm.signals import SIGNALS, Signal

REQUESTS: dict[Signal, type[Message]] = {
    "traces": ExportTraceServiceRequest,
    "metrics": ExportMetricsServiceRequest,
    "logs": ExportLogsServiceRequest,
}
IDS = {"traceId", "spanId", "parentSpanId"}
RANGES = {
    FieldDescriptor.CPPTYPE_INT32: (-(1 << 31), (1 << 31) - 1),
    FieldDescriptor.CPPTYPE_INT64: (-(1 << 63), (1 << 63) - 1),
    FieldDescriptor.CPPTYPE_UINT32: (0, (1 << 32) - 1),
    FieldDescriptor.CPPTYPE_UINT64: (0, (1 << 64) - 1),
}


def scalars(field: FieldDescriptor) -> st.SearchStrategy[Any]:
    if field.enum_type is not None:
        return st.sampled_from([value.number for value in field.enum_type.values] + [97])
    if field.type == FieldDescriptor.TYPE_BYTES:
        return st.binary(max_size=17)
    if field.type == FieldDescriptor.TYPE_STRING:
        return st.text(max_size=5)
    if field.type == FieldDescriptor.TYPE_BOOL:
        return st.booleans()
    if field.type == FieldDescriptor.TYPE_DOUBLE:
        return st.floats(allow_nan=False)
    low, high = RANGES[field.cpp_type]
    return st.integers(low, high) | st.sampled_from([low, high, 0])


@st.composite
def arguments(draw: st.DrawFn, descriptor: Descriptor, depth: int = 0) -> dict[str, Any]:
    """Constructor arguments of a message with any of its fields set, those that nobody thought of too."""
    chosen: dict[str, Any] = {}
    oneofs: set[str] = set()
    for field in descriptor.fields:
        if not draw(st.booleans()) or (field.message_type is not None and depth > 7):
            continue
        oneof = field.containing_oneof
        if oneof is not None and oneof.name in oneofs:
            continue
        oneofs.add(oneof.name if oneof is not None else "")
        one = scalars(field) if field.message_type is None else arguments(field.message_type, depth + 1)
        chosen[field.name] = draw(st.lists(one, max_size=2) if field.is_repeated else one)
    return chosen


def requests(signal: Signal) -> st.SearchStrategy[Message]:
    request = REQUESTS[signal]
    return arguments(request.DESCRIPTOR).map(lambda chosen: request(**chosen))


any_request = st.sampled_from(SIGNALS).flatmap(lambda signal: st.tuples(st.just(signal), requests(signal)))


def ids_as_base64(value: Any) -> Any:
    """OTLP/JSON as protobuf's own JSON: the same but for ids."""
    if isinstance(value, list):
        return [ids_as_base64(item) for item in value]
    if not isinstance(value, dict):
        return value
    return {
        key: base64.b64encode(bytes.fromhex(item)).decode() if key in IDS else ids_as_base64(item)
        for key, item in value.items()
    }


@settings(max_examples=150, deadline=None)
@given(any_request)
def test_a_request_survives_the_way_to_json_and_back(case: tuple[Signal, Message]) -> None:
    signal, request = case
    body = to_json(signal, request.SerializeToString())
    assert REQUESTS[signal].FromString(to_protobuf(signal, body)) == request
    assert b"\n" not in body


@settings(max_examples=150, deadline=None)
@given(any_request)
def test_json_is_that_of_protobuf_but_for_ids(case: tuple[Signal, Message]) -> None:
    signal, request = case
    ours = ids_as_base64(json.loads(to_json(signal, request.SerializeToString())))
    theirs = json_format.MessageToDict(request, use_integers_for_enums=True)
    assert ours == theirs


@settings(max_examples=150, deadline=None)
@given(any_request)
def test_what_protobuf_reads_from_its_json_is_read_alike(case: tuple[Signal, Message]) -> None:
    signal, request = case
    body = to_json(signal, request.SerializeToString())
    theirs = json_format.ParseDict(ids_as_base64(json.loads(body)), REQUESTS[signal]())
    assert REQUESTS[signal].FromString(to_protobuf(signal, body)) == theirs


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["resourceSpans", "scopeSpans", "spans", "attributes", "key", "value", "stringValue", "traceId"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


def refusal(convert: Callable[[Signal, bytes], bytes], signal: Signal, body: bytes) -> str | None:
    """Why a body was refused, None when it was converted; any other exception fails the test."""
    try:
        convert(signal, body)
    except MalformedError as refused:
        return str(refused)
    return None


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(SIGNALS), json_values)
def test_any_json_is_read_or_refused_with_what_was_expected(signal: Signal, value: Any) -> None:
    assert "expected" in (refusal(to_protobuf, signal, json.dumps(value).encode()) or "expected")


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(SIGNALS), st.binary(max_size=40) | st.text(string.printable, max_size=40).map(str.encode))
def test_any_bytes_are_read_or_refused_with_what_was_expected(signal: Signal, body: bytes) -> None:
    assert "expected" in (refusal(to_protobuf, signal, body) or "expected")
    assert "expected" in (refusal(to_json, signal, body) or "expected")


def span(body: str) -> Any:
    request = to_protobuf("traces", f'{{"resourceSpans":[{{"scopeSpans":[{{"spans":[{body}]}}]}}]}}'.encode())
    return ExportTraceServiceRequest.FromString(request).resource_spans[0].scope_spans[0].spans[0]


def test_ids_are_hex_of_either_case() -> None:
    assert span('{"traceId":"0AF7651916CD43DD8448EB211C80319C"}').trace_id.hex() == "0af7651916cd43dd8448eb211c80319c"


def test_64_bit_integers_may_be_texts_or_numbers() -> None:
    assert span('{"startTimeUnixNano":"1795237293539244363"}').start_time_unix_nano == 1795237293539244363
    assert span('{"startTimeUnixNano":1795237293539244363}').start_time_unix_nano == 1795237293539244363
    assert span('{"startTimeUnixNano":1e18}').start_time_unix_nano == 10**18


def test_enums_may_be_numbers_names_or_not_known_yet() -> None:
    assert [span(f'{{"kind":{kind}}}').kind for kind in ("3", '"SPAN_KIND_CLIENT"', "250")] == [3, 3, 250]


def test_bytes_are_base64_in_either_alphabet_with_or_without_padding() -> None:
    for text in ("+/8=", "-_8=", "-_8"):
        attribute = span(f'{{"attributes":[{{"key":"k","value":{{"bytesValue":"{text}"}}}}]}}').attributes[0]
        assert attribute.value.bytes_value == b"\xfb\xff"


def test_unknown_fields_and_nulls_are_passed_over() -> None:
    read = span('{"name":"chat","endTimeUnixNano":null,"start_time_unix_nano":5,"futureField":{"a":[1]}}')
    assert (read.name, read.start_time_unix_nano, read.end_time_unix_nano) == ("chat", 0, 0)


def test_an_attribute_with_an_empty_value_keeps_its_presence() -> None:
    attribute = span('{"attributes":[{"key":"k","value":{}}]}').attributes[0]
    assert attribute.HasField("value")
    assert attribute.value.WhichOneof("value") is None


def test_zeros_that_are_set_are_not_absent() -> None:
    attribute = span('{"attributes":[{"key":"k","value":{"intValue":0}}]}').attributes[0]
    assert attribute.value.WhichOneof("value") == "int_value"


def test_numbers_that_json_has_no_word_for_are_texts() -> None:
    request = ExportMetricsServiceRequest()
    metric = request.resource_metrics.add().scope_metrics.add().metrics.add()
    for value in (math.nan, math.inf, -math.inf):
        metric.gauge.data_points.add(as_double=value)
    body = to_json("metrics", request.SerializeToString())
    read = ExportMetricsServiceRequest.FromString(to_protobuf("metrics", body))
    points = read.resource_metrics[0].scope_metrics[0].metrics[0].gauge.data_points
    assert [str(point.as_double) for point in points] == ["nan", "inf", "-inf"]


def test_half_an_emoji_does_not_cost_the_batch() -> None:
    assert span(r'{"name":"cut \ud83d here"}').name == "cut � here"
    assert (
        span(r'{"name":"a backslash \\ud83d and \ud83d\ude00 and \udc00"}').name == "a backslash \\ud83d and 😀 and �"
    )


def test_invalid_utf8_does_not_cost_the_batch() -> None:
    body = b'{"resourceLogs":[{"schemaUrl":"\xff"}]}'
    assert ExportLogsServiceRequest.FromString(to_protobuf("logs", body)).resource_logs[0].schema_url == "�"


@pytest.mark.parametrize(
    ("body", "path", "expected"),
    [
        ('{"startTimeUnixNano":"abc"}', "startTimeUnixNano", "an unsigned 64-bit integer"),
        ('{"startTimeUnixNano":-1}', "startTimeUnixNano", "an unsigned 64-bit integer"),
        ('{"startTimeUnixNano":1.5}', "startTimeUnixNano", "an unsigned 64-bit integer"),
        ('{"startTimeUnixNano":true}', "startTimeUnixNano", "an unsigned 64-bit integer"),
        (f'{{"startTimeUnixNano":"{"9" * 5000}"}}', "startTimeUnixNano", "an unsigned 64-bit integer"),
        ('{"flags":4294967296}', "flags", "an unsigned 32-bit integer"),
        ('{"traceId":"secret!"}', "traceId", "hex"),
        ('{"traceId":"0A F7"}', "traceId", "hex"),
        ('{"traceId":5}', "traceId", "a text"),
        ('{"name":5}', "name", "a text"),
        ('{"kind":"SECRET"}', "kind", "SpanKind"),
        ('{"attributes":{}}', "attributes", "an array"),
        ('{"attributes":[{},{"value":5}]}', "attributes[1].value", "an object"),
        ('{"attributes":[{"value":{"boolValue":1}}]}', "attributes[0].value.boolValue", "true or false"),
        ('{"attributes":[{"value":{"doubleValue":"secret"}}]}', "attributes[0].value.doubleValue", "a number"),
        ('{"attributes":[{"value":{"doubleValue":"inf"}}]}', "attributes[0].value.doubleValue", "a number"),
        ('{"attributes":[{"value":{"bytesValue":"secret!"}}]}', "attributes[0].value.bytesValue", "base64"),
        ("null", "", "an object"),
    ],
)
def test_what_is_wrong_is_named_by_path_and_never_quoted(body: str, path: str, expected: str) -> None:
    with pytest.raises(MalformedError) as refused:
        span(body)
    dotted = f"resourceSpans[0].scopeSpans[0].spans[0].{path}".rstrip(".")
    assert str(refused.value).startswith(f"OTLP/JSON: {dotted}: expected ")
    assert expected in str(refused.value)
    assert "secret" not in str(refused.value).lower()


@pytest.mark.parametrize("body", [b"", b"[]", b"5", b"{", b'{"resourceSpans":1}', b"{" * 100_000, b"\x00\x01"])
def test_a_body_that_is_no_request_is_malformed(body: bytes) -> None:
    with pytest.raises(MalformedError, match="expected"):
        to_protobuf("traces", body)


def nested(depth: int) -> bytes:
    value = '{"arrayValue":{"values":[' * depth + '{"intValue":1}' + "]}}" * depth
    return f'{{"resourceSpans":[{{"resource":{{"attributes":[{{"key":"k","value":{value}}}]}}}}]}}'.encode()


def test_values_are_read_as_deep_as_protobuf_can_read_them_again() -> None:
    read = ExportTraceServiceRequest.FromString(to_protobuf("traces", nested(40)))
    assert read.resource_spans[0].resource.attributes[0].value.HasField("array_value")


@pytest.mark.parametrize("depth", [50, 5_000, 200_000])
def test_deeper_values_are_refused(depth: int) -> None:
    with pytest.raises(MalformedError, match="expected"):
        to_protobuf("traces", nested(depth))


def test_an_oversized_body_is_refused_before_it_is_read() -> None:
    with pytest.raises(MalformedError, match="at most 10 bytes, got 11"):
        to_protobuf("traces", b"x" * 11, max_bytes=10)


def test_bytes_that_are_no_protobuf_are_malformed() -> None:
    with pytest.raises(MalformedError, match="expected an ExportTraceServiceRequest"):
        to_json("traces", b"\xff\xff")
