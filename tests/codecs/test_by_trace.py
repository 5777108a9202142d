"""A request as messages: every item in one of them, in order, none too large, each of one trace."""

from __future__ import annotations

from collections import defaultdict

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from otel_llm.codecs.by_trace import messages
from otel_llm.errors import MalformedError
from otel_llm.signals import Payload
from tests.delivery.requests import metrics, numbers

SPAN = st.tuples(st.integers(0, 4), st.integers(0, 300))
GROUPS = st.lists(st.lists(SPAN, max_size=6), max_size=3)
REQUESTS = st.lists(GROUPS, max_size=3)


def built(resources: list[list[list[tuple[int, int]]]]) -> ExportTraceServiceRequest:
    """Resources of scopes of spans: a trace and a size each."""
    request = ExportTraceServiceRequest()
    number = 0
    for resource, scopes in enumerate(resources):
        holder = request.resource_spans.add(schema_url=f"urn:{resource}")
        holder.resource.attributes.add(key="service.name").value.string_value = f"shop-{resource}"
        for scope, spans in enumerate(scopes):
            group = holder.scope_spans.add()
            group.scope.name = f"scope-{scope}"
            for trace, size in spans:
                number += 1
                group.spans.add(trace_id=trace.to_bytes(16, "big"), span_id=number.to_bytes(8, "big"), name="x" * size)
    return request


def places(bodies: list[bytes]) -> dict[bytes, bytes]:
    """What stands around each span, and the span."""
    return {
        span.span_id: resource.resource.SerializeToString() + resource.schema_url.encode()
        + scope.scope.SerializeToString() + span.SerializeToString()
        for body in bodies
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans
        for scope in resource.scope_spans
        for span in scope.spans
    }  # fmt: skip


@given(REQUESTS, st.integers(200, 2000), st.booleans())
def test_every_span_is_in_one_message_and_none_is_too_large(resources, limit: int, by_trace):
    request = built(resources)
    count = sum(len(group) for scopes in resources for group in scopes)
    found = messages(Payload.of("traces", (request.SerializeToString(),), count), limit, by_trace=by_trace)
    assert places([one.value for one in found]) == places([request.SerializeToString()])
    assert sum(one.items for one in found) == count
    order: dict[bytes | None, list[int]] = defaultdict(list)
    for one in found:
        held = numbers("traces", one.value)
        assert len(held) == one.items
        assert len(one.value) <= limit or one.items == 1
        order[one.key] += held
        if by_trace:
            traces = {
                span.trace_id.hex().encode() if any(span.trace_id) else b""
                for resource in ExportTraceServiceRequest.FromString(one.value).resource_spans
                for scope in resource.scope_spans
                for span in scope.spans
            }
            assert traces == {one.key}
    for held in order.values():
        assert held == sorted(held)


def test_messages_are_filled_before_another_is_begun():
    request = built([[[(1, 100)] * 100]])
    found = messages(Payload.of("traces", (request.SerializeToString(),), 100), 2000, by_trace=True)
    assert len(found) <= -(-100 * 135 // (2000 - 100 - 135))
    assert {one.key for one in found} == {b"%032x" % 1}


def test_a_request_that_fits_and_needs_no_key_is_left_as_it_came():
    request = built([[[(1, 5), (2, 5)]]]).SerializeToString() + b"\x78\x01"
    assert [one.value for one in messages(Payload.of("traces", (request,), 2), 5000, by_trace=False)] == [request]


def test_unknown_fields_of_the_request_go_along_once():
    body = built([[[(1, 5), (2, 5)]]]).SerializeToString() + b"\x78\x01"
    found = messages(Payload.of("traces", (body,), 2), 5000, by_trace=True)
    assert [one.value.count(b"\x78\x01") for one in found] == [1, 0]


def test_log_records_without_a_trace_have_no_key():
    request = ExportLogsServiceRequest()
    group = request.resource_logs.add().scope_logs.add()
    group.log_records.add(trace_id=bytes(15) + b"\x07").body.int_value = 1
    group.log_records.add().body.int_value = 2
    payload = Payload.of("logs", (request.SerializeToString(),), 2)
    assert {one.key: numbers("logs", one.value) for one in messages(payload, 5000, by_trace=True)} == {
        b"%032x" % 7: [1],
        None: [2],
    }
    assert [one.key for one in messages(payload, 5000, by_trace=False)] == [None]


def test_metrics_have_no_key_and_are_split_between_metrics():
    payload = Payload.of("metrics", (metrics(1, 60).SerializeToString(),), 60)
    found = messages(payload, 400, by_trace=True)
    assert {one.key for one in found} == {None}
    assert [number for one in found for number in numbers("metrics", one.value)] == list(range(1, 61))
    assert max(len(one.value) for one in found) <= 400


def test_what_is_no_request_is_said_to_be_none():
    with pytest.raises(MalformedError):
        messages(Payload.of("traces", (b"\x0a\x05\x12",), 1), 5000, by_trace=True)
