"""Requests taken apart and put together in parts: nothing is lost, nothing is changed, odd encodings included."""

from __future__ import annotations

import random
from collections import Counter

import pytest
from google.protobuf.message import DecodeError
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from otel_llm.codecs.regroup import read_holders, read_layout, split_holders, split_items
from otel_llm.errors import MalformedError
from tests.codecs.odd_encoding import OddWriter
from tests.spans import SpanSpec, chat, request, spans_of


def _spans(body: bytes) -> Counter[tuple[bytes, bytes, bytes]]:
    """Every span with its resource and scope."""
    message = ExportTraceServiceRequest.FromString(body)
    return Counter(
        (
            holder.resource.SerializeToString(deterministic=True) + holder.schema_url.encode(),
            group.scope.SerializeToString(deterministic=True) + group.schema_url.encode(),
            span.SerializeToString(deterministic=True),
        )
        for holder in message.resource_spans
        for group in holder.scope_spans
        for span in group.spans
    )


@given(st.integers(0, 2**32), st.integers(1, 4))
@settings(max_examples=300, deadline=None)
def test_whatever_the_encoding_every_item_is_in_exactly_one_part_with_its_resource_and_scope(
    seed: int, parts: int
) -> None:
    body = OddWriter(random.Random(seed)).request()
    try:
        expected = _spans(body)
    except DecodeError:
        return
    layout = read_layout(body)
    items = layout.items()
    rng = random.Random(seed)
    keys = [rng.randrange(parts) for _ in items]
    found = split_items(layout, keys, "traces")
    assert sum((_spans(part.join()) for part in found.values()), Counter()) == expected
    assert {key: part.items for key, part in found.items()} == Counter(keys)
    assert all(len(part.join()) == part.size_bytes for part in found.values())


@given(st.integers(0, 2**32), st.integers(1, 4))
@settings(max_examples=200, deadline=None)
def test_parts_by_resource_hold_what_the_request_held(seed: int, parts: int) -> None:
    body = OddWriter(random.Random(seed)).request()
    try:
        expected = _spans(body)
    except DecodeError:
        return
    layout = read_holders(body)
    rng = random.Random(seed)
    found = split_holders(layout, [rng.randrange(parts) for _ in layout.holders], "traces")
    assert sum((_spans(part.join()) for part in found.values()), Counter()) == expected
    assert sum(part.items for part in found.values()) == expected.total()


@given(st.binary(max_size=200))
@settings(max_examples=500, deadline=None)
def test_any_bytes_are_read_or_refused(body: bytes) -> None:
    try:
        layout = read_layout(body)
    except MalformedError:
        return
    found = split_items(layout, [0] * len(layout.items()), "traces")
    assert sum(part.items for part in found.values()) == len(layout.items())


@pytest.mark.parametrize("cut", range(1, 40))
def test_a_request_that_ends_early_is_refused(cut: int) -> None:
    body = request([SpanSpec(chat())])
    with pytest.raises(MalformedError):
        read_layout(body[:-cut])


def test_items_keep_their_order_within_a_part() -> None:
    body = request([SpanSpec(chat(), span=number, scope=f"scope {number // 3}") for number in range(1, 10)])
    layout = read_layout(body)
    found = split_items(layout, [number % 2 for number in range(9)], "traces")
    ids = [int.from_bytes(span.span_id, "big") for span in spans_of(found[0].join())]
    assert ids == [1, 3, 5, 7, 9]
