"""Coverage-guided fuzzing of the parsers: HTTP heads and chunks, inflating, the OTLP codecs, regrouping, JSON.

    ./dev fuzz parsers [--seconds 60] [--corpus FOLDER]

Each parser may refuse with its own error and nothing else, and what it takes must obey its laws: unchanged is byte for
byte what came, and parts hold what the whole held. With --corpus, what was found is kept and used again the next time.
Needs atheris, which has wheels for Linux.
"""

from __future__ import annotations

import argparse
import contextlib
import gzip
import sys
import tempfile
import zlib
from collections.abc import Callable
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["otel_llm"], enable_loader_override=False):
    from otel_llm.codecs.annotate import Annotation, annotate
    from otel_llm.codecs.json import to_protobuf
    from otel_llm.codecs.lookup import find_attributes, find_trace_id
    from otel_llm.codecs.mending import mend
    from otel_llm.codecs.regroup import read_holders, read_layout, split_holders, split_items
    from otel_llm.codecs.span_facts import read_facts
    from otel_llm.codecs.stamp import stamp_resources
    from otel_llm.codecs.wire import decode_traces
    from otel_llm.codecs.wire_logs import count_metrics, decode_logs
    from otel_llm.dialects import Normalizer
    from otel_llm.errors import MalformedError
    from otel_llm.http.chunked import ChunkedBody
    from otel_llm.http.head import parse_head
    from otel_llm.http.message import HttpError
    from otel_llm.receivers.inflate import InflateLimitError, inflate
    from otel_llm.receivers.records import Splitter
    from otel_llm.signals import SIGNALS, Payload

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

from tests.spans import SpanSpec, chat, request

_LIMIT_BYTES = 100_000
_NORMALIZER = Normalizer((), keep_originals=False)


def _head(data: bytes) -> None:
    parse_head(data + b"\r\n")


def _chunked(data: bytes) -> None:
    """Fed whole or byte by byte, the same body comes out, or both ways are refused."""
    outcomes = []
    for step in (len(data) or 1, 1):
        body, buffer, used = ChunkedBody(_LIMIT_BYTES), bytearray(data), 0
        try:
            for end in range(step, len(data) + step, step):
                used = body.feed(buffer, used, min(end, len(data)))
            outcomes.append(body.take() if body.complete else None)
        except HttpError:
            outcomes.append(b"refused")
    assert outcomes[0] == outcomes[1]


def _inflate(data: bytes) -> None:
    for coding in ("gzip", "deflate"):
        try:
            assert len(inflate(data, coding, _LIMIT_BYTES)) <= _LIMIT_BYTES
        except (MalformedError, InflateLimitError):
            continue


def _traces(data: bytes) -> None:
    batch = decode_traces(data)
    if not batch.unreadable and not any(operation.is_changed for operation in batch.operations):
        assert batch.encode().join() == data
    for operation in batch.operations:
        _NORMALIZER.normalize(operation)
    again = decode_traces(batch.encode().join())
    assert again.items == batch.items - batch.unreadable


def _logs(data: bytes) -> None:
    batch = decode_logs(data)
    for operation in batch.operations():
        _NORMALIZER.normalize(operation)
    assert batch.encode().items <= batch.items


def _metrics(data: bytes) -> None:
    count_metrics(data)


def _regroup(data: bytes) -> None:
    layout = read_layout(data)
    number = len(layout.items())
    parts = split_items(layout, [position % 3 for position in range(number)], "traces")
    assert sum(part.items for part in parts.values()) == number
    assert sum(len(read_layout(part.join()).items()) for part in parts.values()) == number
    holders = read_holders(data)
    by_holder = split_holders(holders, [position % 2 for position in range(len(holders.holders))], "traces")
    assert sum(_items(part) for part in by_holder.values()) == number


def _items(part: Payload) -> int:
    return len(read_layout(part.join()).items())


def _edge(data: bytes) -> None:
    """Stamps, look-ups, facts, annotations and mending, on whatever looks like a request."""
    stamped = stamp_resources(data, "tenant.id", "acme")
    assert stamp_resources(stamped, "tenant.id", "acme") == stamped
    layout = read_layout(stamped)
    for _, start, end in layout.items():
        read_facts(stamped, start, end)
        find_trace_id(stamped, start, end, 74)
        with contextlib.suppress(MalformedError):
            find_attributes(stamped, start, end, 74, {b"gen_ai": "gen_ai", b"http.route": "http.route"})
    annotation = Annotation({"added": 1.5, "http.route": "x"}, b"ot=th:8")
    assert annotate(layout, [annotation] * len(layout.items())).items == len(layout.items())
    mend(data, ExportLogsServiceRequest.DESCRIPTOR)


def _json(data: bytes) -> None:
    for signal in SIGNALS:
        try:
            to_protobuf(signal, data)
        except MalformedError:
            continue


def _records(data: bytes) -> None:
    for prefixed in (False, True):
        splitter = Splitter(64, prefixed=prefixed)
        for position in range(0, len(data), 7):
            for record in splitter.feed(data[position : position + 7]):
                assert record is None or len(record) <= 64
        splitter.end()


TARGETS: tuple[Callable[[bytes], None], ...] = (
    _head, _chunked, _inflate, _traces, _logs, _metrics, _regroup, _json, _records, _edge
)  # fmt: skip


def one_input(data: bytes) -> None:
    """The first byte says which parser, the rest is what it gets."""
    if not data:
        return
    with contextlib.suppress(HttpError, MalformedError):
        TARGETS[data[0] % len(TARGETS)](data[1:])


def write_seeds(folder: Path) -> None:
    """Valid input of each parser, so that fuzzing begins behind the first checks."""
    traces = request([SpanSpec(chat(gen_ai__input__messages="[]")), SpanSpec({"http.route": "/"}, scope="http")])
    head = b"POST /v1/traces HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nExpect: 100-continue"
    json = b'{"resourceSpans":[{"scopeSpans":[{"spans":[{"traceId":"aa","name":"n","attributes":[]}]}]}]}'
    seeds: dict[Callable[[bytes], None], list[bytes]] = {
        _head: [head],
        _chunked: [b"5;a=b\r\nhello\r\n0\r\nx: y\r\n\r\n"],
        _inflate: [gzip.compress(b"hello"), zlib.compress(b"hello")],
        _traces: [traces],
        _logs: [traces],
        _metrics: [traces],
        _regroup: [traces],
        _edge: [traces],
        _json: [json],
        _records: [b"{}\n{}\n", b"\0\0\0\x02ab"],
    }
    for target, inputs in seeds.items():
        for number, data in enumerate(inputs):
            path = folder / f"seed-{target.__name__}-{number}"
            path.write_bytes(bytes((TARGETS.index(target),)) + data)


def main() -> None:
    parser = argparse.ArgumentParser(prog="./dev fuzz parsers", description=__doc__)
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--corpus", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        corpus = options.corpus or Path(scratch)
        corpus.mkdir(parents=True, exist_ok=True)
        write_seeds(corpus)
        arguments = [f"-max_total_time={options.seconds}", "-max_len=4096", "-timeout=10", "-rss_limit_mb=1024"]
        atheris.Setup([sys.argv[0], str(corpus), f"-artifact_prefix={corpus}/", *arguments], one_input)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
