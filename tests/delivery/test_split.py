from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from otel_llm.delivery.split import count_items, split
from otel_llm.errors import MalformedError
from otel_llm.signals import SIGNALS, Payload, Signal
from tests.delivery.requests import numbers, payload, traces


@pytest.mark.parametrize("signal", SIGNALS)
@given(count=st.integers(2, 40))
def test_halves_hold_every_item_once_and_in_order(signal: Signal, count: int) -> None:
    whole = payload(1, count, signal=signal)
    halves = split(whole)
    assert halves is not None
    left, right = halves
    assert numbers(signal, left.join()) + numbers(signal, right.join()) == list(range(1, count + 1))
    assert (left.items, right.items) == (count // 2, count - count // 2)
    assert left.items == count_items(signal, left.join())


@pytest.mark.parametrize("signal", SIGNALS)
def test_a_single_item_cannot_be_split(signal: Signal) -> None:
    assert split(payload(1, 1, signal=signal)) is None


def test_resource_scope_and_schema_urls_go_with_both_halves() -> None:
    halves = split(payload(1, 3))
    assert halves is not None
    for half in halves:
        (holder,) = ExportTraceServiceRequest.FromString(half.join()).resource_spans
        assert holder.schema_url == "urn:resource"
        assert holder.resource.attributes[0].value.string_value == "shop"
        assert all(group.schema_url == "urn:scope" and group.scope.name for group in holder.scope_spans)


def test_a_metric_that_is_cut_keeps_name_unit_and_temporality_in_both_halves() -> None:
    request = ExportMetricsServiceRequest()
    metric = request.resource_metrics.add().scope_metrics.add().metrics.add(name="calls", unit="1")
    metric.sum.aggregation_temporality = 2
    metric.sum.is_monotonic = True
    for number in range(4):
        metric.sum.data_points.add(time_unix_nano=number)
    halves = split(Payload.of("metrics", (request.SerializeToString(),), 4))
    assert halves is not None
    for half in halves:
        (cut,) = ExportMetricsServiceRequest.FromString(half.join()).resource_metrics[0].scope_metrics[0].metrics
        assert (cut.name, cut.unit, cut.sum.aggregation_temporality, cut.sum.is_monotonic) == ("calls", "1", 2, True)
        assert len(cut.sum.data_points) == 2


def test_requests_concatenated_as_a_batch_are_split_like_one() -> None:
    pieces = tuple(traces(first, 5).SerializeToString() for first in (1, 6, 11))
    halves = split(Payload.of("traces", pieces, 15))
    assert halves is not None
    assert [numbers("traces", half.join()) for half in halves] == [list(range(1, 8)), list(range(8, 16))]


def test_unknown_fields_go_with_both_halves() -> None:
    unknown = b"\xfa\x3e\x03abc"  # field 1007
    halves = split(Payload.of("traces", (traces(1, 2).SerializeToString(), unknown), 2))
    assert halves is not None
    assert all(unknown in half.join() for half in halves)


def test_the_payloads_own_count_is_kept_when_it_is_wrong() -> None:
    halves = split(Payload.of("traces", (traces(1, 10).SerializeToString(),), 3))
    assert halves is not None
    assert sum(half.items for half in halves) == 3


@given(st.binary(max_size=200))
def test_any_bytes_are_split_or_malformed(body: bytes) -> None:
    try:
        halves = split(Payload.of("traces", (body,), 2))
    except MalformedError:
        return
    assert halves is None or sum(count_items("traces", half.join()) for half in halves) == count_items("traces", body)
