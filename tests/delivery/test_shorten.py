from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from otel_llm.delivery.shorten import shorten
from otel_llm.signals import Payload
from tests.delivery.requests import payload, traces

MIB = 1024 * 1024


def payload_of(request: ExportTraceServiceRequest) -> Payload:
    return Payload.of("traces", (request.SerializeToString(),), 1)


def spans_of(shortened: Payload | None) -> list[Span]:
    assert shortened is not None
    request = ExportTraceServiceRequest.FromString(shortened.join())
    return [span for resource in request.resource_spans for scope in resource.scope_spans for span in scope.spans]


def one_span(**attributes: str) -> ExportTraceServiceRequest:
    request = traces(1, 1)
    span = request.resource_spans[0].scope_spans[0].spans[0]
    for key, value in attributes.items():
        span.attributes.add(key=key.replace("__", ".")).value.string_value = value
    span.attributes.add(key="gen_ai.usage.input_tokens").value.int_value = 7
    return request


def text(span: Span, key: str) -> str:
    (found,) = (attribute.value.string_value for attribute in span.attributes if attribute.key == key)
    return found


def marks(span: Span) -> dict[str, object]:
    return {
        attribute.key.removeprefix("otel_llm.shortened."): attribute.value.int_value
        or [one.string_value for one in attribute.value.array_value.values]
        for attribute in span.attributes
        if attribute.key.startswith("otel_llm.shortened.")
    }


def test_messages_stay_json_with_their_roles_and_the_span_says_what_was_cut() -> None:
    messages = [
        {"role": "system", "parts": [{"type": "text", "content": "be brief"}]},
        {"role": "user", "parts": [{"type": "text", "content": "ü" * 3 * MIB}]},
    ]
    request = one_span(gen_ai__input__messages=json.dumps(messages, ensure_ascii=False), gen_ai__request__model="m")
    before = payload_of(request)
    (span,) = spans_of(shorten(before, MIB))
    kept = json.loads(text(span, "gen_ai.input.messages"))
    assert [message["role"] for message in kept] == ["system", "user"]
    assert kept[0] == messages[0]
    assert kept[1]["parts"][0]["content"].endswith("ü…")
    assert text(span, "gen_ai.request.model") == "m"
    assert marks(span)["keys"] == ["gen_ai.input.messages"]
    after = shorten(before, MIB)
    assert after is not None
    assert 0 <= before.size_bytes - after.size_bytes - int(str(marks(span)["bytes"])) + 200 < 400
    assert any(attribute.key == "gen_ai.usage.input_tokens" for attribute in span.attributes)


def test_plain_text_structured_values_and_events_are_cut_too() -> None:
    request = one_span(note="[not json " + "x" * MIB)
    span = request.resource_spans[0].scope_spans[0].spans[0]
    nested = span.attributes.add(key="nested").value.array_value.values.add().kvlist_value.values.add(key="content")
    nested.value.string_value = "y" * MIB
    span.attributes.add(key="image").value.bytes_value = bytes(MIB)
    span.events.add(name="e").attributes.add(key="body").value.string_value = "z" * MIB
    (short,) = spans_of(shorten(payload_of(request), 100_000))
    assert marks(short)["keys"] == ["e:body", "image", "nested", "note"]
    assert text(short, "note").endswith("x…")


def test_a_log_record_is_cut_in_its_body() -> None:
    request = ExportLogsServiceRequest()
    record = request.resource_logs.add().scope_logs.add().log_records.add()
    record.body.string_value = "x" * MIB
    short = shorten(Payload.of("logs", (request.SerializeToString(),), 1), 300_000)
    assert short is not None
    assert short.size_bytes <= 300_000


def test_cutting_again_adds_up() -> None:
    first = shorten(payload_of(one_span(a="x" * MIB, b="y" * 100_000)), 500_000)
    assert first is not None
    second = shorten(first, 60_000)
    (span,) = spans_of(second)
    assert marks(span)["keys"] == ["a", "b"]
    assert int(str(marks(span)["bytes"])) > MIB


@pytest.mark.parametrize(
    "given_payload",
    [payload(1, 1, size=MIB), payload(1, 2), payload(1, 1, signal="metrics"), Payload.of("traces", (b"\xff",), 1)],
    ids=["no content", "two items", "metrics", "malformed"],
)
def test_what_cannot_be_cut_is_not(given_payload: Payload) -> None:
    assert shorten(given_payload, 1000) is None


@given(content=st.text(min_size=300, max_size=2000), size_bytes=st.integers(600, 4000))
def test_a_shortened_item_fits_and_is_a_request(content: str, size_bytes: int) -> None:
    short = shorten(payload_of(one_span(content=content)), size_bytes)
    if short is not None:
        assert short.size_bytes <= size_bytes
        assert len(spans_of(short)) == 1
