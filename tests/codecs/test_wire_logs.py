from __future__ import annotations

import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue

from otel_llm.codecs.protobuf import encode_value, from_any_value
from otel_llm.codecs.wire_logs import DETAILS_EVENT, count_metrics, decode_logs
from otel_llm.errors import MalformedError
from otel_llm.operation import AttributeValue

Record = tuple[str, dict[str, AttributeValue], AttributeValue, int]


def request(*records: Record) -> bytes:
    """Name, attributes, body, span of each; a name that starts with "@" goes into the attribute `event.name`."""
    message = ExportLogsServiceRequest()
    group = message.resource_logs.add().scope_logs.add()
    group.scope.name = "opentelemetry.instrumentation.openai_v2"
    for number, (name, attributes, body, span) in enumerate(records):
        record = group.log_records.add(time_unix_nano=100 + number, trace_id=b"t" * 16)
        record.span_id = span.to_bytes(8, "big") if span else b""
        if name.startswith("@"):
            record.attributes.add(key="event.name").value.string_value = name[1:]
        else:
            record.event_name = name
        if body is not None:
            record.body.CopyFrom(AnyValue.FromString(encode_value(body)))
        for key, value in attributes.items():
            record.attributes.add(key=key, value=AnyValue.FromString(encode_value(value)))
    return message.SerializeToString()


def records_of(body: bytes) -> list[tuple[str, dict[str, AttributeValue], AttributeValue]]:
    message = ExportLogsServiceRequest.FromString(body)
    return [
        (r.event_name, {a.key: from_any_value(a.value) for a in r.attributes}, from_any_value(r.body))
        for holder in message.resource_logs
        for group in holder.scope_logs
        for r in group.log_records
    ]


def test_logs_without_genai_events_pass_byte_for_byte() -> None:
    body = request(("", {"http.route": "/x"}, "hello", 0), ("app.started", {}, None, 0)) + b"\xa2\x06\x03odd"
    batch = decode_logs(body)
    assert batch.operations() == []
    assert batch.encode().join() == body
    assert batch.items == batch.encode().items == 2


def test_the_message_events_of_each_span_are_replaced_by_one_event_in_place() -> None:
    body = request(
        ("gen_ai.user.message", {"gen_ai.system": "openai"}, {"content": "hi"}, 1),
        ("", {}, "an ordinary line", 1),
        ("@gen_ai.user.message", {"gen_ai.system": "openai"}, {"content": "ho"}, 2),
        ("gen_ai.choice", {"gen_ai.system": "openai"}, {"index": 0, "message": {"content": "yes"}}, 1),
        ("gen_ai.user.message", {}, {"content": "nobody's"}, 0),
    )
    batch = decode_logs(body)
    groups = batch.message_events()
    assert [[event[0] for event in group.events] for group in groups] == [
        ["gen_ai.user.message", "gen_ai.choice"],
        ["gen_ai.user.message"],
    ]
    assert groups[0].events[1][2] == {"index": 0, "message": {"content": "yes"}}
    for number, group in enumerate(groups):
        group.replace({"gen_ai.input.messages": ({"number": number},)})
    assert records_of(batch.encode().join()) == [
        (DETAILS_EVENT, {"gen_ai.system": "openai", "gen_ai.input.messages": ({"number": 0},)}, None),
        ("", {}, "an ordinary line"),
        (DETAILS_EVENT, {"gen_ai.system": "openai", "gen_ai.input.messages": ({"number": 1},)}, None),
        ("gen_ai.user.message", {}, {"content": "nobody's"}),
    ]
    assert batch.encode().items == 4


def test_an_event_with_genai_attributes_is_an_operation_in_its_span() -> None:
    batch = decode_logs(request((DETAILS_EVENT, {"gen_ai.system": "openai", "gen_ai.request.model": "m"}, None, 7)))
    (operation,) = batch.operations()
    assert operation.span_id == (7).to_bytes(8, "big")
    assert operation.name == DETAILS_EVENT
    assert operation.scope_name == "opentelemetry.instrumentation.openai_v2"
    operation.rename("gen_ai.system", "gen_ai.provider.name")
    assert records_of(batch.encode().join()) == [
        (DETAILS_EVENT, {"gen_ai.request.model": "m", "gen_ai.provider.name": "openai"}, None)
    ]


def test_what_is_no_log_request_is_malformed() -> None:
    with pytest.raises(MalformedError, match="not an OTLP log request"):
        decode_logs(b"\x0a\xff")


def test_metrics_are_counted_by_their_borders() -> None:
    message = ExportMetricsServiceRequest()
    for _ in range(2):
        group = message.resource_metrics.add().scope_metrics.add()
        group.metrics.add(name="a").gauge.data_points.add(as_int=1)
        group.metrics.add(name="b")
    body = message.SerializeToString()
    assert count_metrics(body) == 4
    with pytest.raises(MalformedError):
        count_metrics(body[:-1])


def test_a_dropped_event_does_not_leave() -> None:
    batch = decode_logs(request((DETAILS_EVENT, {"gen_ai.request.model": "m"}, None, 7), ("", {}, "a line", 0)))
    batch.operations()[0].drop("policy")
    payload = batch.encode()
    assert [body for _, _, body in records_of(payload.join())] == ["a line"]
    assert payload.items == 1


def test_content_nested_without_end_stays_a_text() -> None:
    for depth in (60, 5000):
        batch = decode_logs(request((DETAILS_EVENT, {"gen_ai.request.model": "m"}, None, 7)))
        deep = "[" * depth + "]" * depth
        batch.operations()[0].set("gen_ai.tool.call.arguments", deep)
        ((_, attributes, _),) = records_of(batch.encode().join())
        assert attributes["gen_ai.tool.call.arguments"] == deep


def test_message_events_of_the_all_zero_span_are_nobodys() -> None:
    message = ExportLogsServiceRequest.FromString(request(("gen_ai.user.message", {}, {"content": "hi"}, 1)))
    message.resource_logs[0].scope_logs[0].log_records[0].span_id = bytes(8)
    assert decode_logs(message.SerializeToString()).message_events() == []


def test_replaced_events_keep_the_attributes_of_all_of_them() -> None:
    batch = decode_logs(
        request(
            ("gen_ai.user.message", {"gen_ai.system": "openai", "one": 1}, {"content": "hi"}, 1),
            ("gen_ai.choice", {"gen_ai.system": "other", "two": 2}, {"message": {"content": "ho"}}, 1),
        )
    )
    batch.message_events()[0].replace({})
    ((_, attributes, _),) = records_of(batch.encode().join())
    assert attributes == {"gen_ai.system": "openai", "one": 1, "two": 2}


@pytest.mark.parametrize("bad", [b"\xff\xfe\xfd\xfc\xfb\xfa", b"\xed\xa0\x80\xc3\x28x"])
def test_text_that_is_not_utf8_is_mended_and_marked_and_the_other_records_stay(bad: bytes) -> None:
    body = request(
        ("gen_ai.choice", {"gen_ai.system": "openai"}, {"content": "marker"}, 1),
        ("", {"http.route": "marker"}, "a line", 0),
        ("", {"http.route": "/x"}, "another line", 0),
    ).replace(b"marker", bad)
    batch = decode_logs(body)
    assert (batch.items, len(batch.message_events())) == (3, 1)
    first, second, third = records_of(batch.encode().join())
    text = bad.decode("utf-8", "replace")
    mark = {"otel_llm.processing.errors": ("codec:invalid_utf8",)}
    assert (first[1], first[2]) == ({"gen_ai.system": "openai", **mark}, {"content": text})
    assert second[1] == {"http.route": text, **mark}
    assert third == ("", {"http.route": "/x"}, "another line")


def test_a_scope_whose_name_is_not_utf8_does_not_cost_its_records() -> None:
    body = request(("gen_ai.choice", {"gen_ai.system": "openai"}, "x", 1)).replace(b"openai_v2", b"openai_\xff2")
    assert records_of(decode_logs(body).encode().join()) == [("gen_ai.choice", {"gen_ai.system": "openai"}, "x")]
