"""Attributes found on the bytes against the generated classes; ambiguity is seen whatever the encoding."""

from __future__ import annotations

import random

import pytest
from google.protobuf.message import DecodeError
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from otel_llm.codecs.annotate import Annotation, annotate
from otel_llm.codecs.lookup import CONFLICT, Found, find_attributes, find_trace_id
from otel_llm.codecs.protobuf import from_any_value
from otel_llm.codecs.regroup import read_layout
from otel_llm.codecs.stamp import stamp_resources
from tests.codecs.odd_encoding import GENAI_KEYS, OTHER_KEYS, OddWriter
from tests.spans import SpanSpec, attributes_of, chat, request, spans_of

KEYS = {key: key.decode() for key in (*GENAI_KEYS, *OTHER_KEYS) if key}


def expected(span: Span | Resource | LogRecord) -> dict[str, Found]:
    found: dict[str, Found] = {}
    for item in span.attributes:
        if item.key in KEYS.values():
            value = from_any_value(item.value)
            found[item.key] = value if found.get(item.key, value) == value else CONFLICT
    return found


@given(st.integers(0, 2**32))
def test_attributes_and_trace_are_those_that_protobuf_reads(seed: int) -> None:
    raw = OddWriter(random.Random(seed)).span()
    try:
        span = Span.FromString(raw)
    except DecodeError:
        return
    body = b"in front" + raw + b"behind"
    found = find_attributes(body, 8, 8 + len(raw), 74, KEYS)
    assert repr(sorted(found.items())) == repr(sorted(expected(span).items()))
    assert find_trace_id(body, 8, 8 + len(raw), 74) == span.trace_id


@pytest.mark.parametrize(("kind", "tag"), [(Resource, 10), (Span, 74), (LogRecord, 50)])
def test_every_kind_of_message_is_read(kind: type[Resource | Span | LogRecord], tag: int) -> None:
    message = kind()
    for key, value in (("tenant.id", "acme"), ("x", "tenant.id"), ("y", "1")):
        message.attributes.add(key=key).value.string_value = value
    raw = message.SerializeToString()
    keys = {b"tenant.id": "tenant.id", b"y": "y", b"z": "z"}
    assert find_attributes(raw, 0, len(raw), tag, keys) == {"tenant.id": "acme", "y": "1"}


@pytest.mark.parametrize("second", ["globex", "acme"])
def test_a_key_that_stands_there_twice_is_a_conflict_unless_both_agree(second: str) -> None:
    span = Span()
    for value in ("acme", second):
        span.attributes.add(key="tenant.id").value.string_value = value
    raw = span.SerializeToString()
    found = find_attributes(raw, 0, len(raw), 74, {b"tenant.id": "tenant.id"})
    assert found == {"tenant.id": "acme" if second == "acme" else CONFLICT}


def test_a_value_in_two_pieces_of_which_the_last_is_empty_is_what_protobuf_makes_of_it() -> None:
    value = b"\x0a\x04acme"
    pair = b"\x0a\x09tenant.id" + b"\x12" + bytes((len(value),)) + value + b"\x12\x00"
    raw = b"\x4a" + bytes((len(pair),)) + pair
    assert from_any_value(Span.FromString(raw).attributes[0].value) == "acme"
    assert find_attributes(raw, 0, len(raw), 74, {b"tenant.id": "tenant.id"}) == {"tenant.id": "acme"}


@given(st.integers(0, 2**32))
def test_an_annotated_span_has_what_it_was_given_and_all_else_as_it_was(seed: int) -> None:
    body = OddWriter(random.Random(seed)).request()
    try:
        before = spans_of(body)
    except DecodeError:
        return
    annotation = Annotation({"http.route": "new", "added": 2.5}, b"ot=th:8")
    layout = read_layout(body)
    after = spans_of(annotate(layout, [annotation] * len(layout.items())).join())
    for old, new in zip(before, after, strict=True):
        attributes = attributes_of(new)
        assert (attributes.pop("http.route"), attributes.pop("added"), new.trace_state) == ("new", 2.5, "ot=th:8")
        assert [item.key for item in new.attributes].count("http.route") == 1
        kept = {key: value for key, value in attributes_of(old).items() if key not in ("http.route", "added")}
        assert repr(attributes) == repr(kept)
        assert (new.name, new.span_id, len(new.events)) == (old.name, old.span_id, len(old.events))


@given(st.integers(0, 2**32))
def test_a_stamp_changes_nothing_but_the_resource(seed: int) -> None:
    body = OddWriter(random.Random(seed)).request()
    try:
        before = ExportTraceServiceRequest.FromString(body)
    except DecodeError:
        return
    after = ExportTraceServiceRequest.FromString(stamp_resources(body, "x", "acme"))
    for old, new in zip(before.resource_spans, after.resource_spans, strict=True):
        assert [from_any_value(item.value) for item in new.resource.attributes if item.key == "x"] == ["acme"]
        for holder in (old, new):
            others = [item for item in holder.resource.attributes if item.key != "x"]
            del holder.resource.attributes[:]
            holder.resource.attributes.extend(others)
        assert old.SerializeToString(deterministic=True) == new.SerializeToString(deterministic=True)


def test_an_annotation_that_adds_leaves_the_bytes_in_front_as_they_were() -> None:
    body = request([SpanSpec(chat())])
    layout = read_layout(body)
    (start, payload, end) = layout.items()[0]
    changed = annotate(layout, [Annotation({"added": "x"})]).join()
    assert body[payload:end] in changed
    assert annotate(layout, [None]).join() == body
    assert start < payload
