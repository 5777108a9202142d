"""The wire codec against the generated classes: same operations seen, same result of the same changes, on odd bytes."""

from __future__ import annotations

import gc
import os
import random
from collections.abc import Callable

import pytest
from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import ScopeSpans, Span

from otel_llm.codecs.genai import has_genai_key, is_genai_scope
from otel_llm.codecs.protobuf import from_any_value
from otel_llm.codecs.readers import READERS, Reader
from otel_llm.codecs.wire import decode_traces
from otel_llm.errors import MalformedError
from otel_llm.operation import Operation
from tests.codecs.odd_encoding import OddWriter
from tests.spans import SpanSpec, chat, request, spans_of

CASES = int(os.environ.get("OTEL_LLM_FUZZ_CASES", "3000"))


@pytest.fixture(params=READERS.values(), ids=READERS)
def read(request: pytest.FixtureRequest) -> Reader:
    """Every test here runs with each reader that was built."""
    return request.param


Change = Callable[[Operation], None]


def add(operation: Operation) -> None:
    operation.set("otel_llm.cost.total", 0.25)
    operation.set("otel_llm.cost.currency", "USD")


def replace(operation: Operation) -> None:
    operation.set("gen_ai.request.model", "other")
    operation.remove("http.route")


def rename(operation: Operation) -> None:
    if "gen_ai.system" in operation.keys():  # noqa: SIM118 - not a dict
        operation.rename("gen_ai.system", "gen_ai.provider.name")
    operation.remove_events(["gen_ai.choice"])


def drop(operation: Operation) -> None:
    operation.drop("test")


def attributes_of(span: Span) -> dict[str, object]:
    return {item.key: from_any_value(item.value) for item in span.attributes}


def is_operation(group: ScopeSpans, span: Span) -> bool:
    return is_genai_scope(group.scope.name) or has_genai_key(group.scope.name, attributes_of(span))


def set_attribute(span: Span, key: str, value: object) -> None:
    remove_attribute(span, key)
    entry = span.attributes.add(key=key)
    if isinstance(value, str):
        entry.value.string_value = value
    elif isinstance(value, float):
        entry.value.double_value = value


def remove_attribute(span: Span, key: str) -> None:
    kept = [item for item in span.attributes if item.key != key]
    del span.attributes[:]
    span.attributes.extend(kept)


def expected(span: Span, change: Change) -> Span | None:
    """What the change means for a span held as a generated class."""
    if change is drop:
        return None
    if change is add:
        set_attribute(span, "otel_llm.cost.total", 0.25)
        set_attribute(span, "otel_llm.cost.currency", "USD")
    if change is replace:
        set_attribute(span, "gen_ai.request.model", "other")
        remove_attribute(span, "http.route")
    if change is rename:
        values = [item.value for item in span.attributes if item.key == "gen_ai.system"]
        if values:
            remove_attribute(span, "gen_ai.provider.name")
            remove_attribute(span, "gen_ai.system")
            span.attributes.add(key="gen_ai.provider.name", value=values[-1])
        kept = [event for event in span.events if event.name != "gen_ai.choice"]
        del span.events[:]
        span.events.extend(kept)
    return span


def comparable(span: Span) -> tuple[object, ...]:
    """A span for comparison: attributes as a mapping (the last of a key counts), unknown fields left out."""
    copy = Span()
    copy.CopyFrom(span)
    del copy.attributes[:]
    copy.DiscardUnknownFields()  # type: ignore[attr-defined] # missing from the stubs
    return copy.SerializeToString(deterministic=True), repr(sorted(attributes_of(span).items()))


def run(body: bytes, change: Change, read: Reader) -> None:
    reference = ExportTraceServiceRequest.FromString(body)
    batch = decode_traces(body, read)
    for operation in batch.operations:
        change(operation)
    result = ExportTraceServiceRequest.FromString(batch.encode().join())
    seen = 0
    wanted, got = [], []
    for reference_resource, result_resource in zip(reference.resource_spans, result.resource_spans, strict=True):
        assert reference_resource.resource == result_resource.resource
        for group, result_group in zip(reference_resource.scope_spans, result_resource.scope_spans, strict=True):
            assert group.scope == result_group.scope
            got += [comparable(span) for span in result_group.spans]
            for span in group.spans:
                touched = is_operation(group, span)
                seen += touched
                outcome = expected(span, change) if touched else span
                if outcome is not None:
                    wanted.append(comparable(outcome))
    assert len(batch.operations) == seen
    assert got == wanted
    assert batch.encode().items == len(wanted)


@pytest.mark.parametrize("change", [add, replace, rename, drop])
def test_wire_codec_agrees_with_the_generated_classes_on_odd_encodings(change: Change, read: Reader) -> None:
    rng = random.Random(f"odd {change.__name__}")
    for _ in range(CASES):
        run(OddWriter(rng).request(), change, read)


def test_unchanged_requests_come_out_byte_for_byte(read: Reader) -> None:
    rng = random.Random("identity")
    for _ in range(CASES):
        body = OddWriter(rng).request()
        assert decode_traces(body, read).encode().join() == body


def test_bytes_that_are_no_utf8_never_raise_and_never_leave_a_genai_spans_text_invalid(read: Reader) -> None:
    rng = random.Random("bad text")
    for _ in range(CASES):
        body = OddWriter(rng, invalid_utf8=True).request()
        batch = decode_traces(body, read)
        for operation in batch.operations:
            add(operation)
            assert all(isinstance(key, str) for key in operation.keys())  # noqa: SIM118 - not a dict
        decode_traces(batch.encode().join(), read)


@pytest.mark.parametrize("place", ["name", "key", "value"])
def test_a_span_with_invalid_text_is_mended_and_marked_and_its_neighbours_stay_as_they_are(
    place: str, read: Reader
) -> None:
    bad = {"name": "PLACE_HERE" if place == "name" else "chat"}
    attributes = chat(**{"PLACE_HERE" if place == "key" else "note": "PLACE_HERE" if place == "value" else "fine"})
    good = SpanSpec(chat(), span=1)
    body = request([good, SpanSpec(attributes, span=2, **bad), SpanSpec(chat(), span=3)])
    broken = body.replace(b"PLACE_HERE", b"\xff\xfe gen_ai.")
    with pytest.raises(DecodeError):
        ExportTraceServiceRequest.FromString(broken)
    batch = decode_traces(broken, read)
    first, mended, last = spans_of(batch.encode().join())
    assert attributes_of(first) == attributes_of(last) == chat()
    shown = attributes_of(mended)
    assert shown.pop("otel_llm.processing.errors") == ("codec:invalid_utf8",)
    text = "\ufffd\ufffd gen_ai."
    assert mended.name == (text if place == "name" else "chat")
    assert shown == {key.replace("PLACE_HERE", text): value for key, value in attributes.items()} | (
        {"note": text} if place == "value" else {}
    )
    assert batch.unreadable == 0


def test_an_event_with_invalid_text_is_shown_with_it_replaced(read: Reader) -> None:
    body = request([SpanSpec(chat(), events=(("PLACE_HERE", {"exception.message": "secret PLACE_HERE"}),))])
    (operation,) = decode_traces(body.replace(b"PLACE_HERE", b"\xff\xfe gen_ai."), read).operations
    (event,) = operation.events
    assert event.name == "\ufffd\ufffd gen_ai."
    assert event.attributes == {"exception.message": "secret \ufffd\ufffd gen_ai."}


def test_reading_never_raises_anything_but_malformed_on_damaged_bytes(read: Reader) -> None:
    rng = random.Random("damage")
    for _ in range(CASES):
        body = bytearray(OddWriter(rng).request())
        if not body:
            continue
        if rng.random() < 0.5:
            del body[rng.randrange(len(body)) :]
        else:
            body[rng.randrange(len(body))] ^= 1 << rng.randrange(8)
        try:
            batch = decode_traces(bytes(body), read)
            for operation in batch.operations:
                add(operation)
                rename(operation)
            ours = batch.encode().join()
        except MalformedError:
            with pytest.raises(DecodeError):
                ExportTraceServiceRequest.FromString(bytes(body))
            continue
        try:
            reference = ExportTraceServiceRequest.FromString(bytes(body))
        except DecodeError:
            continue  # a span that is not looked into; see the codec's docstring
        assert batch.unreadable == 0
        counted = sum(len(group.spans) for resource in reference.resource_spans for group in resource.scope_spans)
        assert batch.items == counted
        ExportTraceServiceRequest.FromString(ours)


def test_operations_read_the_same_values_as_the_generated_classes(read: Reader) -> None:
    rng = random.Random("values")
    for _ in range(CASES):
        body = OddWriter(rng).request()
        reference = ExportTraceServiceRequest.FromString(body)
        spans = [
            span
            for resource in reference.resource_spans
            for group in resource.scope_spans
            for span in group.spans
            if is_operation(group, span)
        ]
        operations = decode_traces(body, read).operations
        assert len(operations) == len(spans)
        for operation, span in zip(operations, spans, strict=True):
            assert {key: operation.get(key) for key in operation.keys()} == attributes_of(span)  # noqa: SIM118
            assert (operation.trace_id, operation.span_id, operation.name) == (span.trace_id, span.span_id, span.name)
            assert (operation.status_code, operation.status_message) == (span.status.code, span.status.message)
            assert operation.start_unix_nano == span.start_time_unix_nano
            assert [event.name for event in operation.events] == [event.name for event in span.events]


def test_changed_operations_are_freed_at_once_and_not_by_the_garbage_collector(read: Reader) -> None:
    """A cycle in each of them made a gateway hold 200 MB of what it had already sent on."""

    def alive() -> int:
        return sum(isinstance(one, Operation) for one in gc.get_objects())

    body = request([SpanSpec(chat(), span=number) for number in range(1, 20)])
    gc.collect()
    gc.disable()
    try:
        before = alive()
        batch = decode_traces(body, read)
        for operation in batch.operations:
            add(operation)
            rename(operation)
            operation.input_messages  # noqa: B018 - reading keeps the parsed messages
        batch.encode()
        del batch, operation
        assert alive() == before
    finally:
        gc.enable()
