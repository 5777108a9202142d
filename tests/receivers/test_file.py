"""OTLP from files: lines as the Collector writes them, good and bad, once and followed."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from otel_llm.clock import SystemClock
from otel_llm.components import Context
from otel_llm.errors import ConfigError, MalformedError, RefusedError
from otel_llm.receivers import file
from otel_llm.receivers.records import Splitter
from otel_llm.signals import ConsumeResult, Signal
from otel_llm.telemetry import Metrics
from tests.receivers.otlp_client import refusals
from tests.receivers.recording import DEADLINE_SECONDS, RecordingConsumer

Start = Callable[..., file.FileReceiver]


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


@pytest.fixture
def start(metrics: Metrics, tmp_path: Path) -> Iterator[Start]:
    with ExitStack() as stack:

        def run(consumer: RecordingConsumer, **settings: object) -> file.FileReceiver:
            config = file.Config(path=str(tmp_path / "in"), poll_interval_seconds=0.01, **settings)  # type: ignore[arg-type]  # checked by use
            receiver = file.create(config, Context("file", metrics, SystemClock()))
            receiver.start(consumer)
            stack.callback(receiver.shutdown, 1.0)
            return receiver

        yield run


def line(name: str) -> str:
    return json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": [{"name": name}]}]}]}) + "\n"


def names(consumer: RecordingConsumer) -> list[str]:
    return [
        ExportTraceServiceRequest.FromString(body).resource_spans[0].scope_spans[0].spans[0].name
        for _, body in consumer.requests
    ]


def test_each_line_goes_to_the_signal_it_is_of(start: Start, tmp_path: Path) -> None:
    lines = [
        '{"resourceSpans":[{"schemaUrl":"s"}]}',
        ' { "resourceMetrics" : [{"schemaUrl":"m"}]}\r',
        '{"extra": 1, "resourceLogs":[{"schemaUrl":"l"}]}',
    ]
    (tmp_path / "in").write_text("\n".join(lines), newline="")
    consumer = RecordingConsumer()
    assert start(consumer).wait(DEADLINE_SECONDS)
    (s1, traces), (s2, metrics), (s3, logs) = consumer.requests
    assert (s1, s2, s3) == ("traces", "metrics", "logs")
    assert ExportTraceServiceRequest.FromString(traces).resource_spans[0].schema_url == "s"
    assert ExportMetricsServiceRequest.FromString(metrics).resource_metrics[0].schema_url == "m"
    assert ExportLogsServiceRequest.FromString(logs).resource_logs[0].schema_url == "l"


def test_bad_lines_are_counted_and_skipped(start: Start, tmp_path: Path, metrics: Metrics) -> None:
    bad = ["not json", "[]", '{"resourceSpans": 7}', '{"other": []}', '{"resourceSpans"', "x" * 2000]
    text = line("first") + "".join(f"{one}\n\n" for one in bad) + line("last").rstrip("\n")
    (tmp_path / "in").write_text(text)
    consumer = RecordingConsumer()
    assert start(consumer, max_record_size=1000).wait(DEADLINE_SECONDS)
    assert names(consumer) == ["first", "last"]
    assert sum(refusals(metrics).values()) == len(bad)
    assert refusals(metrics)[("too_large",)] == 1


def test_a_bad_line_is_named_and_the_end_of_the_file_said(
    start: Start, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    (tmp_path / "in").write_text(line("first") + "\n" + "not json\n" + line("last"))
    assert start(RecordingConsumer()).wait(DEADLINE_SECONDS)
    assert f"{tmp_path / 'in'}, line 3: the line is not a JSON object" in caplog.text
    assert f"receivers.file: read {tmp_path / 'in'} to its end: 4 lines, 1 bad" in caplog.text


def test_length_prefixed_protobuf_is_read(start: Start, tmp_path: Path, metrics: Metrics) -> None:
    records = [b"one", b"", b"x" * 2000, b"three" * 100]
    data = b"".join(len(record).to_bytes(4, "big") + record for record in records)
    (tmp_path / "in").write_bytes(data)
    consumer = RecordingConsumer()
    assert start(consumer, format="proto", signal="logs", max_record_size=1000).wait(DEADLINE_SECONDS)
    assert consumer.requests == [("logs", b"one"), ("logs", b"three" * 100)]
    assert refusals(metrics) == {("logs", "too_large"): 1}


def test_what_is_refused_is_offered_again_until_it_is_taken(start: Start, tmp_path: Path, metrics: Metrics) -> None:
    (tmp_path / "in").write_text(line("a") + line("b"))
    refused: list[bytes] = []

    def refuse_twice(_signal: Signal, body: bytes) -> ConsumeResult:
        if refused.count(body) < 2:
            refused.append(body)
            raise RefusedError("full", 0.001)
        return ConsumeResult()

    consumer = RecordingConsumer(refuse_twice)
    assert start(consumer).wait(DEADLINE_SECONDS)
    assert names(consumer) == ["a", "b"]
    assert refusals(metrics) == {("traces", "queue_full"): 4}


def test_a_request_that_the_consumer_finds_malformed_is_skipped(start: Start, tmp_path: Path) -> None:
    (tmp_path / "in").write_text(line("a") + line("b"))
    first = threading.Event()

    def refuse_first(*_: object) -> ConsumeResult:
        if not first.is_set():
            first.set()
            raise MalformedError("no")
        return ConsumeResult()

    consumer = RecordingConsumer(refuse_first)
    assert start(consumer).wait(DEADLINE_SECONDS)
    assert names(consumer) == ["b"]


def test_a_followed_file_is_read_as_it_grows_and_through_rotation_and_truncation(start: Start, tmp_path: Path) -> None:
    path = tmp_path / "in"
    consumer = RecordingConsumer()
    receiver = start(consumer, follow=True)  # There is no file yet.
    path.write_text(line("first"))
    consumer.wait_for(1)
    with path.open("a") as growing:
        text = line("second")
        growing.write(text[:10])
        growing.flush()
        growing.write(text[10:] + line("third"))
    consumer.wait_for(3)
    path.rename(tmp_path / "rotated")
    path.write_text(line("after rotation"))
    consumer.wait_for(4)
    path.write_text("")
    path.write_text(line("cut"))  # Shorter than what was there before.
    consumer.wait_for(5)
    assert names(consumer) == ["first", "second", "third", "after rotation", "cut"]
    assert not receiver.wait(0)


def test_reading_may_begin_at_the_end(start: Start, tmp_path: Path) -> None:
    path = tmp_path / "in"
    path.write_text(line("old"))
    consumer = RecordingConsumer()
    receiver = start(consumer, follow=True, start_at="end")
    with path.open("a") as growing:
        growing.write(line("new"))
    # Where the end was depends on which of the two was first; the old line must not be read in either case.
    receiver.shutdown(DEADLINE_SECONDS)
    assert names(consumer) in ([], ["new"])


def test_shutdown_does_not_wait_for_a_consumer_that_refuses(start: Start, tmp_path: Path) -> None:
    (tmp_path / "in").write_text(line("a"))
    asked = threading.Event()

    def refuse(*_: object) -> ConsumeResult:
        asked.set()
        raise RefusedError("full", 3600.0)

    receiver = start(RecordingConsumer(refuse))
    assert asked.wait(DEADLINE_SECONDS)
    receiver.shutdown(DEADLINE_SECONDS)
    assert not receiver.wait(0)


def test_a_missing_file_and_a_missing_signal_are_clear_errors(start: Start) -> None:
    with pytest.raises(ConfigError, match=r"receivers\.file\.path: cannot read .*give a file, or set follow"):
        start(RecordingConsumer())
    with pytest.raises(ConfigError, match=r"receivers\.file\.signal: expected traces, metrics or logs"):
        start(RecordingConsumer(), format="proto")


@given(st.lists(st.binary(max_size=60), max_size=12), st.integers(1, 40), st.booleans())
def test_records_are_the_same_however_the_file_is_read(records: list[bytes], step: int, prefixed: bool) -> None:  # noqa: FBT001 - drawn
    records = records if prefixed else [record.replace(b"\n", b"") for record in records]
    data = b"".join((len(r).to_bytes(4, "big") + r) if prefixed else r + b"\n" for r in records)
    splitter = Splitter(50, prefixed=prefixed)
    found = [record for at in range(0, len(data), step) for record in splitter.feed(data[at : at + step])]
    assert found == [record if len(record) <= 50 else None for record in records]
    assert splitter.end() == b""
