"""OTLP over HTTP with OpenTelemetry's own exporters, with http.client, and with what should be refused."""

from __future__ import annotations

import gzip
import http.client
import json
import ssl
import threading
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from google.rpc.status_pb2 import Status
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceResponse
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceResponse
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.sdk.trace.export import SpanExportResult

from otel_llm.errors import ConfigError, MalformedError, RefusedError
from otel_llm.receivers import otlp_http
from otel_llm.receivers.endpoint import TlsConfig
from otel_llm.signals import SIGNALS, ConsumeResult, Signal
from otel_llm.telemetry import Metrics
from tests.certificates import Certificates
from tests.receivers.otlp_client import PROTOBUF, refusals, send, some_spans
from tests.receivers.recording import DEADLINE_SECONDS, RawClient, RecordingConsumer

JSON = "application/json"
Start = Callable[..., otlp_http.OtlpHttpReceiver]


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


@pytest.fixture
def start(metrics: Metrics) -> Iterator[Start]:
    with ExitStack() as stack:

        def run(consumer: RecordingConsumer, **settings: object) -> otlp_http.OtlpHttpReceiver:
            config = otlp_http.Config(endpoint="127.0.0.1:0", **settings)  # type: ignore[arg-type]  # checked by use
            receiver = otlp_http.create(config, name="otlp", metrics=metrics)
            receiver.start(consumer)
            stack.callback(receiver.shutdown, 1.0)
            return receiver

        yield run


@pytest.mark.parametrize("compression", list(Compression))
def test_the_exporter_of_the_sdk_is_understood(start: Start, compression: Compression) -> None:
    consumer = RecordingConsumer()
    receiver = start(consumer)
    exporter = OTLPSpanExporter(f"http://{receiver.endpoint}/v1/traces", compression=compression)
    for count in (1, 400):
        assert exporter.export(some_spans(count)) is SpanExportResult.SUCCESS
    exporter.shutdown()
    for (signal, body), count in zip(consumer.requests, (1, 400), strict=True):
        assert signal == "traces"
        request = ExportTraceServiceRequest.FromString(body)
        assert len(request.resource_spans[0].scope_spans[0].spans) == count


@pytest.mark.parametrize("signal", SIGNALS)
@pytest.mark.parametrize("size", [0, 10, 100_000, 3_000_000])
def test_every_signal_and_size_reaches_the_consumer_as_sent(start: Start, signal: Signal, size: int) -> None:
    consumer = RecordingConsumer()
    receiver = start(consumer)
    body = bytes(range(250)) * (size // 250) + b"." * (size % 250)
    codings = {
        "identity": body,
        "gzip": gzip.compress(body),
        "deflate": zlib.compress(body),
        "GZIP": gzip.compress(body),
    }
    for coding, encoded in codings.items():
        status, fields, answer = send(receiver, encoded, signal, content_encoding=coding)
        assert (status, fields["content-type"], answer) == (200, PROTOBUF, b"")
    status, _, _ = send(receiver, body, signal, content_type="application/x-protobuf; charset=utf-8")
    assert status == 200
    assert consumer.requests == [(signal, body)] * 5
    assert all(type(received) is bytes for _, received in consumer.requests)


def test_json_becomes_protobuf(start: Start) -> None:
    consumer = RecordingConsumer()
    receiver = start(consumer)
    span = {"traceId": "0102030405060708090a0b0c0d0e0f10", "spanId": "0102030405060708", "name": "chat"}
    request = json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": [span]}]}]}).encode()
    for body, fields in ((request, {}), (gzip.compress(request * 1), {"content_encoding": "gzip"})):
        status, headers, answer = send(receiver, body, content_type=JSON, **fields)
        assert (status, headers["content-type"], json.loads(answer)) == (200, JSON, {})
    for _, body in consumer.requests:
        read = ExportTraceServiceRequest.FromString(body).resource_spans[0].scope_spans[0].spans[0]
        assert (read.name, read.trace_id.hex()) == ("chat", span["traceId"])
    assert len(consumer.requests) == 2


@pytest.mark.parametrize("content_type", [PROTOBUF, JSON])
@pytest.mark.parametrize(
    ("signal", "response", "field", "key"),
    [
        ("traces", ExportTraceServiceResponse, "rejected_spans", "rejectedSpans"),
        ("metrics", ExportMetricsServiceResponse, "rejected_data_points", "rejectedDataPoints"),
        ("logs", ExportLogsServiceResponse, "rejected_log_records", "rejectedLogRecords"),
    ],
)
def test_partial_success_is_answered_in_the_encoding_of_the_request(
    start: Start, content_type: str, signal: Signal, response: type, field: str, key: str
) -> None:
    receiver = start(RecordingConsumer(lambda *_: ConsumeResult(3, "three were odd")))
    body = b"{}" if content_type == JSON else b""
    status, fields, answer = send(receiver, body, signal, content_type=content_type)
    assert (status, fields["content-type"]) == (200, content_type)
    if content_type == JSON:
        assert json.loads(answer) == {"partialSuccess": {key: "3", "errorMessage": "three were odd"}}
    else:
        partial = response.FromString(answer).partial_success
        assert (getattr(partial, field), partial.error_message) == (3, "three were odd")


def refuse(*_: object) -> ConsumeResult:
    raise RefusedError("the queue is full", 1.2)


def find_malformed(*_: object) -> ConsumeResult:
    raise MalformedError("protobuf: a varint is longer than 10 bytes")


@pytest.mark.parametrize("content_type", [PROTOBUF, JSON])
@pytest.mark.parametrize(
    "expected",
    [(refuse, 429, 8, "queue_full"), (find_malformed, 400, 3, "malformed")],
)
def test_what_the_consumer_does_not_take_is_answered_with_a_status_and_counted(
    start: Start, metrics: Metrics, content_type: str, expected: tuple[Callable[..., ConsumeResult], int, int, str]
) -> None:
    answer, status, code, reason = expected
    receiver = start(RecordingConsumer(answer))
    got, fields, body = send(receiver, b"{}" if content_type == JSON else b"", content_type=content_type)
    assert (got, fields["content-type"]) == (status, content_type)
    if content_type == JSON:
        message = json.loads(body)
        assert message["code"] == code
        assert message["message"]
    else:
        read = Status.FromString(body)
        assert read.code == code
        assert read.message
    assert fields.get("retry-after") == ("2" if status == 429 else None)
    assert refusals(metrics) == {("traces", reason): 1}


@pytest.mark.parametrize(
    ("body", "fields", "status", "reason"),
    [
        (b"", {"content_type": "text/plain"}, 415, "unsupported"),
        (b"", {"content_type": ""}, 415, "unsupported"),
        (b"", {"content_encoding": "br"}, 415, "unsupported"),
        (b"", {"content_encoding": "gzip, gzip"}, 415, "unsupported"),
        (b"not gzip", {"content_encoding": "gzip"}, 400, "malformed"),
        (gzip.compress(b"hello")[:-3], {"content_encoding": "gzip"}, 400, "malformed"),
        (gzip.compress(bytes(2_000_000)), {"content_encoding": "gzip"}, 413, "too_large"),
        (zlib.compress(bytes(30_000_000)), {"content_encoding": "deflate"}, 413, "too_large"),
        (bytes(600_000), {}, 413, "too_large"),
        (b'{"resourceSpans": 5}', {"content_type": JSON}, 400, "malformed"),
        (b'{"resourceSpans": [', {"content_type": JSON}, 400, "malformed"),
        (b"[" * 20_000, {"content_type": JSON}, 400, "malformed"),
        (b"\xff\xfe", {"content_type": JSON}, 400, "malformed"),
        (b"", {"content_type": JSON}, 400, "malformed"),
    ],
)
def test_bad_input_is_a_clear_4xx_and_a_counted_reason(
    start: Start, metrics: Metrics, body: bytes, fields: dict[str, str], status: int, reason: str
) -> None:
    consumer = RecordingConsumer()
    receiver = start(consumer, max_inflated_body_size=1_000_000, max_request_body_size=500_000)
    got, _, answer = send(receiver, body, **fields)
    assert got == status
    assert len(answer) > 10
    assert refusals(metrics) == {("traces", reason): 1}
    assert consumer.requests == []
    assert send(receiver, b"fine")[0] == 200


def test_other_paths_and_methods_are_refused(start: Start, metrics: Metrics) -> None:
    receiver = start(RecordingConsumer())
    assert send(receiver, b"", method="GET")[:1] == (405,)
    assert send(receiver, b"", method="OPTIONS", origin="https://a.example")[0] == 405
    assert send(receiver, b"", "profiles")[0] == 404  # type: ignore[arg-type]  # the point
    assert refusals(metrics) == {("traces", "unsupported"): 2, ("unsupported",): 1}


def test_duration_and_bytes_are_counted(start: Start, metrics: Metrics) -> None:
    receiver = start(RecordingConsumer())
    encoded = gzip.compress(bytes(10_000))
    send(receiver, encoded, "logs", content_encoding="gzip")
    receiver.shutdown(1.0)
    counted = {family.definition.name: family.series for family in metrics.collect()}
    attributes = (("otel_llm.component.name", "otlp"), ("otel_llm.signal", "logs"))
    (bytes_series,) = counted["otel_llm.receiver.io"]
    assert (bytes_series.attributes, bytes_series.value) == (attributes, len(encoded))
    (duration,) = counted["otel_llm.receiver.request.duration"]
    assert duration.attributes == attributes
    assert getattr(duration.value, "count", 0) == 1


def test_a_web_page_may_send_only_when_its_origin_is_allowed(start: Start) -> None:
    cors = otlp_http.CorsConfig(allowed_origins=("https://*.example.com",), allowed_headers=("x-api-key",))
    receiver = start(RecordingConsumer(), cors=cors)
    good, bad = "https://app.example.com", "https://app.example.com.evil.net"
    status, fields, _ = send(receiver, b"", method="OPTIONS", origin=good)
    assert (status, fields["access-control-allow-origin"]) == (204, good)
    assert "x-api-key" in fields["access-control-allow-headers"]
    assert send(receiver, b"", origin=good)[1]["access-control-allow-origin"] == good
    for method in ("OPTIONS", "POST"):
        assert "access-control-allow-origin" not in send(receiver, b"", method=method, origin=bad)[1]


def test_without_a_cors_section_no_web_page_is_allowed(start: Start) -> None:
    receiver = start(RecordingConsumer())
    assert "access-control-allow-origin" not in send(receiver, b"", origin="https://app.example.com")[1]


def post_once(connection: http.client.HTTPConnection) -> None:
    connection.request("POST", "/v1/traces", b"", {"content-type": PROTOBUF})
    connection.getresponse()


def test_tls_and_mutual_tls(start: Start, pem: Certificates) -> None:
    files = {"cert_file": pem.cert_file, "key_file": pem.key_file}
    trusting = ssl.create_default_context(cafile=pem.ca_file)
    with_certificate = ssl.create_default_context(cafile=pem.ca_file)
    with_certificate.load_cert_chain(pem.cert_file, pem.key_file)
    body = bytes(2_000_000)
    for client_ca, context in ((None, trusting), (pem.ca_file, with_certificate)):
        consumer = RecordingConsumer()
        receiver = start(consumer, tls=TlsConfig(**files, client_ca_file=client_ca))
        connection = http.client.HTTPSConnection(receiver.endpoint, context=context, timeout=DEADLINE_SECONDS)
        for _ in range(2):
            connection.request("POST", "/v1/traces", body, {"content-type": PROTOBUF})
            answer = connection.getresponse()
            assert (answer.status, answer.read()) == (200, b"")
        connection.close()
        assert consumer.requests == [("traces", body)] * 2
    stranger = http.client.HTTPSConnection(receiver.endpoint, context=trusting, timeout=DEADLINE_SECONDS)
    with pytest.raises((ssl.SSLError, ConnectionError, http.client.RemoteDisconnected)):
        post_once(stranger)
    stranger.close()
    with RawClient(int(receiver.endpoint.rpartition(":")[2])) as plain:
        plain.send(b"POST /v1/traces HTTP/1.1\r\nHost: h\r\n\r\n")
        assert b"HTTP/1.1 200" not in plain._receive()


def test_wrong_tls_files_are_named(start: Start, pem: Certificates, tmp_path: Path) -> None:
    missing = TlsConfig(cert_file=str(tmp_path / "none.pem"), key_file=str(tmp_path / "nokey.pem"))
    with pytest.raises(ConfigError, match=r"none\.pem") as caught:
        start(RecordingConsumer(), tls=missing)
    assert len(caught.value.problems) == 2
    swapped = TlsConfig(cert_file=pem.key_file, key_file=pem.cert_file)
    with pytest.raises(ConfigError, match=r"receivers\.otlp\.tls"):
        start(RecordingConsumer(), tls=swapped)


def test_a_taken_port_is_a_clear_error(start: Start) -> None:
    taken = start(RecordingConsumer()).endpoint
    second = otlp_http.create(otlp_http.Config(endpoint=taken), name="otlp/second")
    with pytest.raises(ConfigError) as caught:
        second.start(RecordingConsumer())
    message = str(caught.value)
    assert message.startswith(f"receivers.otlp/second.endpoint: cannot listen on {taken}")
    assert "another port" in message
    second.shutdown(0.1)


@pytest.mark.parametrize(
    "endpoint", ["4318", "localhost", "http://localhost:4318", "::1:4318", "h:65536", "h:-1", "h:"]
)
def test_an_endpoint_that_is_not_host_and_port_is_a_clear_error(endpoint: str) -> None:
    with pytest.raises(ConfigError, match=r"receivers\.otlp\.endpoint: expected"):
        otlp_http.create(otlp_http.Config(endpoint=endpoint), name="otlp")


def test_what_was_accepted_before_shutdown_is_answered(start: Start) -> None:
    entered, leave = threading.Event(), threading.Event()

    def wait(*_: object) -> ConsumeResult:
        entered.set()
        leave.wait(DEADLINE_SECONDS)
        return ConsumeResult()

    consumer = RecordingConsumer(wait)
    receiver = start(consumer, inline_body_size=0)
    answers: list[int] = []
    sender = threading.Thread(target=lambda: answers.append(send(receiver, b"body")[0]))
    sender.start()
    assert entered.wait(DEADLINE_SECONDS)
    stopper = threading.Thread(target=receiver.shutdown, args=(DEADLINE_SECONDS,))
    stopper.start()
    leave.set()
    stopper.join(DEADLINE_SECONDS)
    sender.join(DEADLINE_SECONDS)
    assert answers == [200]
    assert consumer.requests == [("traces", b"body")]


def test_a_slow_consumer_does_not_keep_small_requests_waiting(start: Start) -> None:
    leave = threading.Event()

    def wait_for_large(_signal: Signal, body: bytes) -> ConsumeResult:
        if len(body) > 2_000_000:
            leave.wait(DEADLINE_SECONDS)
        return ConsumeResult()

    consumer = RecordingConsumer(wait_for_large)
    receiver = start(consumer)
    large = threading.Thread(target=send, args=(receiver, bytes(3_000_000)))
    large.start()
    assert send(receiver, b"small")[0] == 200
    leave.set()
    large.join(DEADLINE_SECONDS)
    assert len(consumer.wait_for(2)) == 2


class _Waiting(RecordingConsumer):
    """Accepts, or refuses, when it is let go; a Beginning, an Accepting, and like a disk never asked in vain."""

    may_wait = True

    def __init__(self) -> None:
        super().__init__()
        self.begun = threading.Semaphore(0)
        self.wakes: list[Callable[[], None]] = []
        self.outcome: ConsumeResult | Exception | None = None

    def begin(self, signal: Signal, body: bytes) -> _Waiting:
        self.requests.append((signal, body))
        return self

    def ask(self, wake: Callable[[], None]) -> ConsumeResult | None:
        if isinstance(self.outcome, Exception):
            raise self.outcome
        if self.outcome is None:
            self.wakes.append(wake)
            self.begun.release()
        return self.outcome


@pytest.mark.parametrize(
    ("outcome", "status", "said"),
    [
        (ConsumeResult(), 200, b""),
        (ConsumeResult(3, "three of them"), 200, b"three of them"),
        (RefusedError("the disk says no"), 429, b"the disk says no"),
    ],
    ids=["accepted", "in part", "refused"],
)
@pytest.mark.parametrize("size", [10, 3_000_000], ids=["on the loop", "on a worker"])
def test_many_requests_wait_for_a_disk_without_a_thread_for_each(
    start: Start, metrics: Metrics, outcome: ConsumeResult | Exception, status: int, said: bytes, size: int
) -> None:
    consumer = _Waiting()
    receiver = start(consumer, worker_threads=1, cors=otlp_http.CorsConfig(allowed_origins=("*",)))
    answers: list[tuple[int, bytes]] = []

    def post() -> None:
        code, _, body = send(receiver, bytes(size))
        answers.append((code, body))

    threads = [threading.Thread(target=post) for _ in range(5)]
    for thread in threads:
        thread.start()
    assert all(consumer.begun.acquire(timeout=DEADLINE_SECONDS) for _ in threads)
    assert answers == []
    consumer.outcome = outcome
    for wake in consumer.wakes[:]:
        wake()
    for thread in threads:
        thread.join(DEADLINE_SECONDS)
    assert [code for code, _ in answers] == [status] * 5
    assert all(said in body for _, body in answers)
    assert len(consumer.requests) == 5
    assert refusals(metrics) == ({("traces", "queue_full"): 5} if status == 429 else {})
