"""Issue 2, "Bad input": a clear 4xx or a marked span, a counted reason, bounded memory, the rest intact."""

from __future__ import annotations

import gzip
import json
import math
import socket
import tracemalloc
import zlib
from pathlib import Path

import pytest

from otel_llm._generated import attributes as names
from otel_llm.codecs.wire import decode_traces
from otel_llm.operation import AttributeValue
from tests.acceptance.through import Through, derived, started
from tests.golden.recorded import pipeline, processed
from tests.spans import NOON, SpanSpec, attributes_of, chat, request, spans_of

_JSON, _PROTOBUF = "application/json", "application/x-protobuf"
_YEAR = 365 * 86_400 * 10**9
# A bomb of 100 MB, where 8 MiB are the limit.
_BOMB = gzip.compress(bytes(100_000_000), 9)

_REFUSED = {
    "protobuf that is none": (b"\x0a\xff\xff\xff", _PROTOBUF, "identity", 400, "malformed"),
    "protobuf that ends early": (request([SpanSpec(chat())])[:-5], _PROTOBUF, "identity", 400, "malformed"),
    "JSON that ends early": (b'{"resourceSpans": [', _JSON, "identity", 400, "malformed"),
    "JSON of another shape": (b'{"resourceSpans": 5}', _JSON, "identity", 400, "malformed"),
    "JSON nested without end": (b"[" * 100_000, _JSON, "identity", 400, "malformed"),
    "JSON that is not UTF-8": (b'{"resourceSpans": "\xff\xfe"}', _JSON, "identity", 400, "malformed"),
    "another content type": (b"<spans/>", "text/xml", "identity", 415, "unsupported"),
    "another coding": (b"", _PROTOBUF, "zstd", 415, "unsupported"),
    "gzip that is none": (b"not gzip", _PROTOBUF, "gzip", 400, "malformed"),
    "gzip that ends early": (gzip.compress(b"x" * 1000)[:-9], _PROTOBUF, "gzip", 400, "malformed"),
    "a gzip bomb": (_BOMB, _PROTOBUF, "gzip", 413, "too_large"),
    "a deflate bomb": (zlib.compress(bytes(100_000_000), 9), _PROTOBUF, "deflate", 413, "too_large"),
    "a body over the limit": (bytes(5_000_000), _PROTOBUF, "identity", 413, "too_large"),
}


@pytest.mark.parametrize("case", _REFUSED)
def test_bad_input_is_a_clear_4xx_with_a_counted_reason_and_the_next_request_passes(
    through: Through, case: str
) -> None:
    """Given a request that is no OTLP, or far too much of it, then the sender is told why, the reason is counted, and
    the next sender notices nothing."""
    body, content_type, coding, expected, reason = _REFUSED[case]
    labels = {"otel_llm_refusal_reason": reason}
    before = through.own_metric("otel_llm_receiver_requests_refused_total", **labels)
    status, answer = through.post(body, content_type=content_type, content_encoding=coding)
    assert status == expected
    assert len(answer) > 10
    assert through.own_metric("otel_llm_receiver_requests_refused_total", **labels) == before + 1
    assert through.call(chat())[names.OTEL_LLM_COST_TOTAL] == 0.0035


@pytest.mark.parametrize(
    "head",
    [
        b"Content-Length: 4000000000000\r\n",
        b"Content-Length: -1\r\n",
        b"Content-Length: 3, 4\r\n",
        b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
    ],
)
def test_bad_input_a_length_that_lies_is_refused_before_anything_is_kept(through: Through, head: bytes) -> None:
    """Given a head that claims a body of 4 TB, of less than nothing, or of two lengths, then it is refused at once."""
    with socket.create_connection(("127.0.0.1", through.port), timeout=10) as client:
        client.sendall(
            b"POST /v1/traces HTTP/1.1\r\nHost: h\r\nContent-Type: application/x-protobuf\r\n" + head + b"\r\n"
        )
        status = client.recv(1000).split(b" ")[1]
    assert status in (b"400", b"413")
    assert through.call(chat())[names.OTEL_LLM_COST_TOTAL] == 0.0035


def test_bad_input_a_body_shorter_than_it_says_is_never_taken(through: Through) -> None:
    """Given a sender that goes away in the middle of a body, then nothing of it goes on."""
    body = request([SpanSpec(chat())])
    items = through.destination.items
    with socket.create_connection(("127.0.0.1", through.port), timeout=10) as client:
        head = f"POST /v1/traces HTTP/1.1\r\nHost: h\r\nContent-Type: {_PROTOBUF}\r\nContent-Length: {len(body) + 1}"
        client.sendall(head.encode() + b"\r\n\r\n" + body)
        client.shutdown(socket.SHUT_WR)
        client.recv(1000)
    through.call(chat())
    assert through.destination.items == items + 1


def test_bad_input_a_bomb_takes_no_more_memory_than_the_limit(through: Through) -> None:
    """Given a bomb of 100 MB, then no more than the limit of 8 MiB is ever inflated of it."""
    tracemalloc.start()
    try:
        assert through.post(_BOMB, content_encoding="gzip")[0] == 413
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak_bytes < 30_000_000


def test_bad_input_a_span_with_thousands_of_attributes_passes_whole(through: Through) -> None:
    """Given 5,000 attributes beside those of a call, some of them numbered messages far apart, then they are all there,
    and the call is priced."""
    many: dict[str, AttributeValue] = {f"app.key.{number}": "x" * 20 for number in range(5_000)}
    span = through.call(chat() | many)
    assert many.items() <= span.items()
    assert span[names.OTEL_LLM_COST_TOTAL] == 0.0035
    numbered: dict[str, AttributeValue] = {f"gen_ai.prompt.{10**number}.content": "x" for number in range(9)}
    legacy = {"gen_ai.system": "openai", "llm.request.type": "chat", "gen_ai.request.model": "gpt-4o"}
    found = through.call({**legacy, **numbered}, "opentelemetry.instrumentation.openai")
    assert len(json.loads(str(found[names.GEN_AI_INPUT_MESSAGES]))) == len(numbered)


def _with_bad_text() -> bytes:
    """Three spans of which the second has text that is not UTF-8."""
    bodies = [request([SpanSpec(chat(note="marker"), span=number, trace=7_000 + number)]) for number in (1, 2, 3)]
    bodies[1] = bodies[1].replace(b"marker", b"\xff\xfe\xc3\x28\xed\xa0")
    return b"".join(bodies)


def test_bad_input_text_that_is_no_utf_8_harms_no_other_span(through: Through) -> None:
    """Given three spans of which one has text that is not UTF-8, then all are taken and priced."""
    seen, items = len(through.destination.accepted), through.destination.items
    assert through.post(_with_bad_text()) == (200, b"")
    through.destination.wait_for(lambda: through.destination.items >= items + 3)
    arrived = [one for got in through.destination.accepted[seen:] for one in decode_traces(got.body).operations]
    assert [span.span_id[-1] for span in arrived] == [1, 2, 3]
    assert [span.get(names.OTEL_LLM_COST_TOTAL) for span in arrived] == [0.0035] * 3


def test_bad_input_text_that_is_no_utf_8_does_not_cost_the_batch_at_the_destination() -> None:
    """Given the same, then what leaves is a request that the generated classes can read."""
    _, body = processed(_with_bad_text())
    assert len(spans_of(body)) in (2, 3)


@pytest.mark.parametrize(
    "count",
    [-1, math.nan, math.inf, -math.inf, 1.5, "many", 2**41, True, (1, 2)],
    ids=str,
)
@pytest.mark.parametrize("key", [names.GEN_AI_USAGE_INPUT_TOKENS, names.GEN_AI_USAGE_OUTPUT_TOKENS])
def test_bad_input_a_count_that_is_none_is_marked_and_never_makes_a_call_cheaper(
    through: Through, key: str, count: AttributeValue
) -> None:
    """Given a token count that is negative, infinite, not a number or absurd, between two good spans, then its span has
    a reason in place of a price that looks complete, and the others are untouched."""
    good, bad = chat(), {**chat(), key: count}
    first, span, last = through.calls([SpanSpec(good), SpanSpec(bad), SpanSpec(good)])
    assert [first[names.OTEL_LLM_COST_TOTAL], last[names.OTEL_LLM_COST_TOTAL]] == [0.0035, 0.0035]
    assert names.OTEL_LLM_PROCESSING_ERRORS not in span
    assert span[names.OTEL_LLM_COST_STATUS] in ("unpriced", "partial")
    assert span[names.OTEL_LLM_COST_REASON]
    assert not isinstance(span.get(key), float)


@pytest.mark.parametrize(
    ("start", "seconds"),
    [(0, 1.0), (1, 1.0), (NOON + 75 * _YEAR, 1.0), (NOON, -3600.0), (2**63, 1.0), (NOON, 10.0**7)],
    ids=["no start", "1970", "75 years ahead", "ends before it starts", "2262", "116 days long"],
)
def test_bad_input_times_that_cannot_be_are_priced_and_break_nothing(
    through: Through, start: int, seconds: float
) -> None:
    """Given a clock that was wrong, then the span passes with its own times, with a price or a reason for none."""
    spec = SpanSpec(
        chat(), start=start, seconds=seconds, span=1, trace=9_000_000 + start % 1_000_003 + int(seconds) % 97
    )
    body = request([spec])
    (span,) = through.send(body)
    (sent,) = spans_of(body)
    found = attributes_of(span)
    assert (span.start_time_unix_nano, span.end_time_unix_nano) == (sent.start_time_unix_nano, sent.end_time_unix_nano)
    assert names.OTEL_LLM_PROCESSING_ERRORS not in found
    assert (names.OTEL_LLM_COST_TOTAL in found) != (names.OTEL_LLM_COST_REASON in found)
    assert math.isfinite(through.own_metric("otel_llm_receiver_items_accepted_total"))


def test_bad_input_counts_that_are_astronomical_cost_no_other_metric(tmp_path: Path) -> None:
    """Given two calls of 2^63 - 1 tokens each beside a good one, then the metrics of the good one are exported."""
    with started(tmp_path) as through:
        through.calls(SpanSpec(chat(gen_ai__usage__input_tokens=count)) for count in (2**63 - 1, 2**63 - 1, 1000))
        destination = through.destination
    costs = [value for _, value in derived(destination, "otel_llm.cost.usage")]
    assert sum(costs) == pytest.approx(0.0035)


def test_bad_input_any_number_of_absurd_model_names_makes_a_bounded_number_of_short_series(tmp_path: Path) -> None:
    """Given model names of 10 kB each, never the same twice, then every call is unpriced with a reason and counted, in
    no more series than the limit, none of them with a long name."""
    with started(tmp_path, series_limit=100) as through:
        for first in range(0, 600, 100):
            spans = through.calls(SpanSpec(_absurd(number)) for number in range(first, first + 100))
            assert {span[names.OTEL_LLM_COST_REASON] for span in spans} == {"unknown_model"}
        text = through.own_metrics()
        counted = through.own_metric("otel_llm_cost_unpriced_calls_total", otel_llm_cost_reason="unknown_model")
        destination = through.destination
    assert counted == 600
    assert max(len(line) for line in text.splitlines()) < 2_000
    series = derived(destination, "gen_ai.client.inference.usage.input_tokens")
    assert len(series) <= 101
    assert sum(value for _, value in series) == 600_000
    assert max(len(str(value)) for attributes, _ in series for value in attributes.values()) <= 128


def test_bad_input_absurd_model_names_are_not_remembered() -> None:
    """Given 10 MB of such names, then what the pipeline remembers of them is a small part of that."""
    steps = pipeline()
    tracemalloc.start()
    try:
        for number in range(1_000):
            steps.process(decode_traces(request([SpanSpec(_absurd(number), trace=number + 1)])).operations)
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert held < 3_000_000


def _absurd(number: int) -> dict[str, AttributeValue]:
    model = f"{number}-" + "модель" * 900
    return chat(gen_ai__request__model=model, gen_ai__response__model=model)
