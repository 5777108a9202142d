"""The compiled reader beside the portable one: what it reads, what it leaves to it, and that both see the same."""

from __future__ import annotations

import random

import pytest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from otel_llm.codecs.readers import READERS, read_portable
from otel_llm.codecs.wire_source import SpanSource, WireSource
from otel_llm.codecs.wire_span import join_portable
from tests.codecs.odd_encoding import OddWriter
from tests.spans import SpanSpec, chat, request, spans_of

_compiled = pytest.importorskip("otel_llm.codecs._compiled", reason="not built: there was no C compiler")
read_compiled = READERS["compiled"]


class Scope:
    name = "a.library"
    version = "1"
    memory: object = None


class NoResource:
    def get(self) -> dict[str, object]:
        return {}


def reading(span: bytes, scope: Scope | None = None) -> SpanSource:
    return read_compiled(span, 0, len(span), scope or Scope(), NoResource())


def was_compiled(source: SpanSource) -> bool:
    return not isinstance(source, WireSource)


def shown(source: SpanSource) -> dict[str, object]:
    """All that an operation can read."""
    return {
        "attributes": {key: repr(source.get(key)) for key in source.keys()},  # noqa: SIM118 - not a dict
        "absent": source.get("no such key"),
        "encoded": {key: AnyValue.FromString(source.encoded(key) or b"") for key in source.keys()},  # noqa: SIM118
        "no encoded": source.encoded("no such key"),
        "has": source.has_exactly(source.keys()),
        "identity": source.identity,
        "ids": (source.trace_id, source.span_id, source.parent_span_id),
        "name": (source.name, source.kind, source.scope_name, source.scope_version),
        "times": (source.start_unix_nano, source.end_unix_nano),
        "status": (source.status_code, source.status_message),
        "events": [(event.name, event.time_unix_nano, repr(event.attributes)) for event in source.events],
        "raw": (source.raw, source.size, source.is_mended),
    }


def with_values() -> dict[str, object]:
    return chat() | {
        "empty": "",
        "text": "é" * 300,
        "long": "x" * 70_000,
        "zero": 0,
        "big": 2**62,
        "negative": -1,
        "real": -0.5,
        "yes": True,
        "no": False,
        "list": ("a", "b"),
        "pairs": {"a": 1, "b": {"c": 2.5}},
        "bytes": b"\x00\xff",
        "none": None,
    }


def only_span(attributes: dict[str, object]) -> bytes:
    (span,) = spans_of(request([SpanSpec(attributes)]))
    return span.SerializeToString()


@pytest.mark.parametrize("key", sorted(with_values()))
def test_a_value_of_every_kind_is_read_as_the_portable_reader_reads_it(key: str) -> None:
    span = only_span({key: with_values()[key]})
    assert shown(reading(span)) == shown(read_portable(span, 0, len(span), Scope(), NoResource()))


def test_spans_as_libraries_write_them_are_not_left_to_the_portable_reader() -> None:
    scope = Scope()
    ordinary = {key: value for key, value in with_values().items() if key != "negative"}
    for attributes in (ordinary, chat(), {}, ordinary):
        assert was_compiled(reading(only_span(attributes), scope))


def test_the_same_shape_twice_has_the_very_same_set_of_keys() -> None:
    scope = Scope()
    first, second = (reading(only_span(chat(note=note)), scope) for note in ("a", "b"))
    assert first.keys() is second.keys()
    assert second.get("note") == "b"


def test_many_shapes_in_turn_are_told_apart_and_memory_of_them_is_bounded() -> None:
    scope = Scope()
    for number in range(100):
        attributes = {f"key-{number % 20}-{index}": index for index in range(number % 5)}
        assert {key: reading(only_span(attributes), scope).get(key) for key in attributes} == attributes


def test_odd_encodings_are_read_as_the_portable_reader_reads_them() -> None:
    rng = random.Random("readers")
    scope, compiled = Scope(), 0
    for _ in range(20_000):
        span = OddWriter(rng).span()
        source = reading(span, scope)
        compiled += was_compiled(source)
        assert shown(source) == shown(read_portable(span, 0, len(span), Scope(), NoResource()))
    assert compiled > 100


def test_damaged_ordinary_spans_are_read_alike_or_refused_alike() -> None:
    """One bit or one length wrong in what the compiled reader likes best."""
    rng = random.Random("damaged")
    ordinary = only_span({key: value for key, value in with_values().items() if key != "long"})
    scope = Scope()
    for _ in range(20_000):
        span = bytearray(ordinary)
        for _ in range(rng.randrange(1, 3)):
            span[rng.randrange(len(span))] = rng.choice((0, 1, 10, 18, 127, 128, 255, rng.randrange(256)))
        if rng.random() < 0.3:
            del span[rng.randrange(len(span)) :]
        assert outcome(read_compiled, bytes(span), scope) == outcome(read_portable, bytes(span), scope)


def outcome(read: object, span: bytes, scope: Scope) -> object:
    try:
        return shown(read(span, 0, len(span), scope, NoResource()))
    except Exception as error:  # noqa: BLE001 - whatever one raises, the other must raise as well
        return type(error)


def test_a_span_with_more_attributes_than_the_compiled_reader_takes_is_read_all_the_same() -> None:
    attributes = {f"key-{number}": number for number in range(300)}
    source = reading(only_span(attributes))
    assert not was_compiled(source)
    assert {key: source.get(key) for key in attributes} == attributes


def test_two_pieces_of_a_status_are_merged() -> None:
    span = Span(name="a", status={"message": "bad"}).SerializeToString() + Span(status={"code": 2}).SerializeToString()
    source = reading(span)
    assert was_compiled(source)
    assert (source.status_code, source.status_message) == (2, "bad")


def test_the_compiled_join_gives_what_the_portable_one_gives() -> None:
    overlay = {"known": "text", "unknown": "other text", "real": 0.1, "new real": 0.2, "yes": True, "count": 7}
    texts, doubles = {"known": {"text": b"KNOWN"}, "unknown": {}}, {"real": b"REAL"}

    def encode(key: str, value: object) -> bytes:
        return f"<{key}={value}>".encode()

    expected = join_portable(overlay, texts, doubles, encode)
    assert _compiled.join_entries(overlay, texts, doubles, encode) == expected
    assert expected.count(b"<") == 4
