"""OTLP over gRPC with OpenTelemetry's own exporter and with a client of raw bytes."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import grpc
import pytest
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.sdk.trace.export import SpanExportResult

from otel_llm.clock import SystemClock
from otel_llm.components import Context
from otel_llm.errors import ConfigError, MalformedError, RefusedError
from otel_llm.receivers import otlp, otlp_grpc, otlp_http
from otel_llm.receivers.endpoint import TlsConfig
from otel_llm.signals import ConsumeResult, Signal
from otel_llm.telemetry import Metrics
from tests.certificates import Certificates
from tests.receivers.otlp_client import refusals, send, some_spans
from tests.receivers.recording import DEADLINE_SECONDS, RawClient, RecordingConsumer

METHODS: dict[Signal, str] = {
    "traces": "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
    "metrics": "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export",
    "logs": "/opentelemetry.proto.collector.logs.v1.LogsService/Export",
}
Start = Callable[..., otlp_grpc.OtlpGrpcReceiver]


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


@pytest.fixture
def start(metrics: Metrics) -> Iterator[Start]:
    with ExitStack() as stack:

        def run(consumer: RecordingConsumer, **settings: object) -> otlp_grpc.OtlpGrpcReceiver:
            config = otlp_grpc.Config(endpoint="127.0.0.1:0", **settings)  # type: ignore[arg-type]  # checked by use
            receiver = otlp_grpc.create(config, name="otlp", metrics=metrics)
            receiver.start(consumer)
            stack.callback(receiver.shutdown, 1.0)
            return receiver

        yield run


def export(
    endpoint: str,
    body: bytes,
    signal: Signal = "traces",
    compression: grpc.Compression = grpc.Compression.NoCompression,
) -> bytes:
    with grpc.insecure_channel(endpoint) as channel:
        answer: bytes = channel.unary_unary(METHODS[signal])(body, timeout=DEADLINE_SECONDS, compression=compression)
    return answer


def failure(
    endpoint: str, body: bytes, compression: grpc.Compression = grpc.Compression.NoCompression
) -> grpc.RpcError:
    with pytest.raises(grpc.RpcError) as caught:
        export(endpoint, body, compression=compression)
    return caught.value


@pytest.mark.parametrize("compression", [None, grpc.Compression.Gzip])
def test_the_exporter_of_the_sdk_is_understood(start: Start, compression: grpc.Compression | None) -> None:
    consumer = RecordingConsumer()
    exporter = OTLPSpanExporter(start(consumer).endpoint, insecure=True, compression=compression)
    assert exporter.export(some_spans(200)) is SpanExportResult.SUCCESS
    exporter.shutdown()
    ((signal, body),) = consumer.requests
    assert signal == "traces"
    assert len(ExportTraceServiceRequest.FromString(body).resource_spans[0].scope_spans[0].spans) == 200


@pytest.mark.parametrize("signal", METHODS)
@pytest.mark.parametrize("compression", [grpc.Compression.NoCompression, grpc.Compression.Gzip])
def test_every_signal_reaches_the_consumer_as_sent(start: Start, signal: Signal, compression: grpc.Compression) -> None:
    consumer = RecordingConsumer()
    endpoint = start(consumer).endpoint
    bodies = [b"", b"abc", bytes(5_000_000)]  # The last is above the default limit of gRPC.
    assert [export(endpoint, body, signal, compression) for body in bodies] == [b""] * 3
    assert consumer.requests == [(signal, body) for body in bodies]


def test_partial_success_is_told(start: Start) -> None:
    endpoint = start(RecordingConsumer(lambda *_: ConsumeResult(3, "odd " * 1000))).endpoint
    partial = ExportTraceServiceResponse.FromString(export(endpoint, b"")).partial_success
    assert (partial.rejected_spans, partial.error_message) == (3, "odd " * 1000)


def test_a_full_queue_is_resource_exhausted_with_retry_info(start: Start, metrics: Metrics) -> None:
    def refuse(*_: object) -> ConsumeResult:
        raise RefusedError("the queue is full", 1.5)

    error = failure(start(RecordingConsumer(refuse)).endpoint, b"")
    assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert error.details() == "the queue is full"
    status = Status.FromString(dict(error.trailing_metadata())["grpc-status-details-bin"])
    retry = RetryInfo()
    assert status.details[0].Unpack(retry)
    assert retry.retry_delay.ToTimedelta().total_seconds() == 1.5
    assert refusals(metrics) == {("traces", "queue_full"): 1}


def test_a_malformed_request_is_invalid_argument_and_not_retried(start: Start, metrics: Metrics) -> None:
    def find_malformed(*_: object) -> ConsumeResult:
        raise MalformedError("protobuf: not a request")

    error = failure(start(RecordingConsumer(find_malformed)).endpoint, b"")
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert error.details() == "protobuf: not a request"
    assert not Status.FromString(dict(error.trailing_metadata())["grpc-status-details-bin"]).details
    assert refusals(metrics) == {("traces", "malformed"): 1}


def test_a_defect_is_an_internal_error_and_quotes_nothing(start: Start, caplog: pytest.LogCaptureFixture) -> None:
    def fail(_signal: Signal, body: bytes) -> ConsumeResult:
        raise KeyError(body.decode())

    error = failure(start(RecordingConsumer(fail)).endpoint, b"secret")
    assert (error.code(), error.details()) == (grpc.StatusCode.INTERNAL, "internal error")
    assert "KeyError in fail" in caplog.text
    assert "secret" not in caplog.text


def test_messages_over_the_limit_are_refused_before_and_after_decompression(start: Start) -> None:
    consumer = RecordingConsumer()
    endpoint = start(consumer, max_recv_msg_size_mib=1).endpoint
    for compression in (grpc.Compression.NoCompression, grpc.Compression.Gzip):
        error = failure(endpoint, bytes(3_000_000), compression)
        assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert "larger than max" in error.details()
    assert consumer.requests == []
    assert export(endpoint, b"fine") == b""


def test_other_methods_are_unimplemented(start: Start) -> None:
    with grpc.insecure_channel(start(RecordingConsumer()).endpoint) as channel, pytest.raises(grpc.RpcError) as caught:
        channel.unary_unary("/opentelemetry.proto.collector.trace.v1.TraceService/Import")(b"")
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED


def test_calls_in_progress_are_answered_at_shutdown_and_new_ones_get_a_retryable_status(start: Start) -> None:
    entered, leave = threading.Event(), threading.Event()

    def wait(_: Signal, body: bytes) -> ConsumeResult:
        if body == b"body":
            entered.set()
            leave.wait(DEADLINE_SECONDS)
        return ConsumeResult()

    consumer = RecordingConsumer(wait)
    receiver = start(consumer)

    def first_failure() -> grpc.RpcError:
        """Of new calls; until the shutdown has begun, they are taken."""
        while True:
            try:
                export(receiver.endpoint, b"")
            except grpc.RpcError as error:
                return error

    with grpc.insecure_channel(receiver.endpoint) as channel:
        call = channel.unary_unary(METHODS["traces"])
        in_progress = call.future(b"body", timeout=DEADLINE_SECONDS)
        assert entered.wait(DEADLINE_SECONDS)
        stopper = threading.Thread(target=receiver.shutdown, args=(DEADLINE_SECONDS,))
        stopper.start()
        assert first_failure().code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED)
        leave.set()
        assert in_progress.result() == b""
        stopper.join(DEADLINE_SECONDS)
    assert [body for _, body in consumer.requests if body] == [b"body"]
    receiver.shutdown(0.1)


def test_a_connection_is_renewed_when_it_reaches_its_age(start: Start) -> None:
    receiver = start(RecordingConsumer(), max_connection_age_seconds=0.05)
    with grpc.insecure_channel(receiver.endpoint) as channel:
        states: list[grpc.ChannelConnectivity] = []
        renewed = threading.Event()

        def watch(state: grpc.ChannelConnectivity) -> None:
            states.append(state)
            if states.count(grpc.ChannelConnectivity.READY) and state is grpc.ChannelConnectivity.IDLE:
                renewed.set()

        channel.subscribe(watch)
        assert channel.unary_unary(METHODS["traces"])(b"", timeout=DEADLINE_SECONDS) == b""
        assert renewed.wait(DEADLINE_SECONDS), states
        assert channel.unary_unary(METHODS["traces"])(b"", timeout=DEADLINE_SECONDS) == b""
        channel.unsubscribe(watch)


def test_tls_and_mutual_tls(start: Start, pem: Certificates) -> None:
    files = {"cert_file": pem.cert_file, "key_file": pem.key_file}
    authority, certificate, key = (Path(path).read_bytes() for path in (pem.ca_file, pem.cert_file, pem.key_file))
    trusting = grpc.ssl_channel_credentials(authority)
    with_certificate = grpc.ssl_channel_credentials(authority, key, certificate)
    for client_ca, credentials in ((None, trusting), (pem.ca_file, with_certificate)):
        receiver = start(RecordingConsumer(), tls=TlsConfig(**files, client_ca_file=client_ca))
        with grpc.secure_channel(receiver.endpoint, credentials) as channel:
            assert channel.unary_unary(METHODS["traces"])(b"", timeout=DEADLINE_SECONDS) == b""
    with grpc.secure_channel(receiver.endpoint, trusting) as channel, pytest.raises(grpc.RpcError) as caught:
        channel.unary_unary(METHODS["traces"])(b"", timeout=DEADLINE_SECONDS)
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE


def test_a_taken_port_is_a_clear_error(start: Start) -> None:
    taken = start(RecordingConsumer()).endpoint
    second = otlp_grpc.create(otlp_grpc.Config(endpoint=taken), name="otlp/second")
    with pytest.raises(ConfigError) as caught:
        second.start(RecordingConsumer())
    assert str(caught.value).startswith(f"receivers.otlp/second.endpoint: cannot listen on {taken}")
    second.shutdown(0.1)


def test_the_two_protocols_start_and_stop_as_one(metrics: Metrics) -> None:
    protocols = otlp.Protocols(
        grpc=otlp_grpc.Config(endpoint="127.0.0.1:0"), http=otlp_http.Config(endpoint="127.0.0.1:0")
    )
    receiver = otlp.create(otlp.Config(protocols=protocols), Context("otlp", metrics, SystemClock()))
    consumer = RecordingConsumer()
    receiver.start(consumer)
    assert receiver.grpc is not None
    assert receiver.http is not None
    assert export(receiver.grpc.endpoint, b"grpc") == b""
    assert send(receiver.http, b"http")[0] == 200
    assert consumer.requests == [("traces", b"grpc"), ("traces", b"http")]
    receiver.shutdown(1.0)
    receiver.shutdown(1.0)


def test_when_one_protocol_cannot_start_neither_does(start: Start) -> None:
    taken = start(RecordingConsumer()).endpoint
    with_taken_http = otlp.Protocols(
        grpc=otlp_grpc.Config(endpoint="127.0.0.1:0"), http=otlp_http.Config(endpoint=taken)
    )
    receiver = otlp.create(otlp.Config(protocols=with_taken_http), Context("otlp", Metrics(), SystemClock()))
    with pytest.raises(ConfigError, match=r"receivers\.otlp\.protocols\.http\.endpoint"):
        receiver.start(RecordingConsumer())
    assert receiver.grpc is not None
    assert failure(receiver.grpc.endpoint, b"").code() is grpc.StatusCode.UNAVAILABLE


def test_a_protocol_without_a_value_has_its_defaults_and_an_absent_one_is_off() -> None:
    both = otlp.create(otlp.Config(), Context("otlp", Metrics(), SystemClock()))
    assert both.grpc is not None
    assert both.http is not None
    assert (both.grpc.endpoint, both.http.endpoint) == ("127.0.0.1:4317", "127.0.0.1:4318")
    one = otlp.create(otlp.Config(protocols=otlp.Protocols(http=None)), Context("otlp", Metrics(), SystemClock()))
    assert one.grpc is None
    with pytest.raises(ConfigError, match=r"receivers\.otlp\.protocols: expected grpc, http or both"):
        otlp.create(otlp.Config(protocols=otlp.Protocols()), Context("otlp", Metrics(), SystemClock()))


def test_connections_beyond_the_limit_are_closed_and_the_others_go_on(start: Start) -> None:
    receiver = start(RecordingConsumer(), max_connections=2)
    with RawClient(int(receiver.endpoint.rpartition(":")[2])) as first, grpc.insecure_channel(receiver.endpoint) as two:
        first.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0")
        assert first._receive()
        assert two.unary_unary(METHODS["traces"])(b"", timeout=DEADLINE_SECONDS) == b""
        with RawClient(int(receiver.endpoint.rpartition(":")[2])) as third:
            assert third.closed()
        assert two.unary_unary(METHODS["traces"])(b"", timeout=DEADLINE_SECONDS) == b""


def test_a_connection_without_calls_is_closed(start: Start) -> None:
    receiver = start(RecordingConsumer(), idle_timeout_seconds=0.05)
    with RawClient(int(receiver.endpoint.rpartition(":")[2])) as idle:
        idle.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0")
        while idle._receive():
            pass


def test_metadata_beyond_the_limit_is_refused(start: Start) -> None:
    receiver = start(RecordingConsumer())
    with grpc.insecure_channel(receiver.endpoint) as channel, pytest.raises(grpc.RpcError) as caught:
        channel.unary_unary(METHODS["traces"])(b"", metadata=(("x", "y" * 40_000),), timeout=DEADLINE_SECONDS)
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


class _SharingASync:
    """Nobody is answered before 16 have come: as many share one sync of a disk."""

    may_wait = True

    def __init__(self) -> None:
        self._all = threading.Barrier(16, timeout=DEADLINE_SECONDS)

    def consume(self, signal: Signal, body: bytes) -> ConsumeResult:
        del signal, body
        self._all.wait()
        return ConsumeResult()


def test_calls_that_wait_for_the_disk_wait_together() -> None:
    receiver = otlp_grpc.create(otlp_grpc.Config(endpoint="127.0.0.1:0", worker_threads=1), name="otlp")
    receiver.start(_SharingASync())
    with grpc.insecure_channel(receiver.endpoint) as channel:
        call = channel.unary_unary(METHODS["traces"])
        calls = [call.future(b"", timeout=DEADLINE_SECONDS) for _ in range(16)]
        assert [one.result() for one in calls] == [b""] * 16
    receiver.shutdown(1.0)
