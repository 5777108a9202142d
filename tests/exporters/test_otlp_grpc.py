from __future__ import annotations

import shutil
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc
import msgspec
import pytest

from otel_llm.components import Context
from otel_llm.delivery.config import Config as DeliveryConfig
from otel_llm.delivery.config import RetryConfig
from otel_llm.delivery.delivery import Delivery
from otel_llm.errors import ConfigError, CredentialsError, ExportError, PermanentError, RetryableError, TooLargeError
from otel_llm.exporters.exporter import ExportResult
from otel_llm.exporters.otlp_grpc import Config, OtlpGrpcExporter, create
from otel_llm.signals import SIGNALS, Payload
from otel_llm.testing import HANG, TOO_LARGE, UNAUTHORIZED, Answer, Destination, OtlpGrpcSink, unused_port
from tests.certificates import Certificates, make_certificates
from tests.delivery.requests import payload
from tests.exporters.eventual import eventually_exported

PLAIN = {"insecure": True}


@contextmanager
def exporting(context: Context, **config: object) -> Iterator[OtlpGrpcExporter]:
    exporter = create(msgspec.convert(config, Config), context)
    try:
        yield exporter
    finally:
        exporter.shutdown()


@pytest.mark.parametrize("compression", ["gzip", "none"])
def test_a_payload_in_pieces_arrives_as_one_call(context: Context, compression: str) -> None:
    with (
        OtlpGrpcSink() as sink,
        exporting(
            context, endpoint=sink.endpoint, tls=PLAIN, compression=compression, headers={"X-Key": "k"}
        ) as exporter,
    ):
        for signal in SIGNALS:
            body = payload(1, 30, signal=signal).join()
            assert exporter.export(Payload.of(signal, (body[:9], memoryview(body)[9:]), 30), 5) == ExportResult()
            assert sink.destination.received[-1].body == body
    assert [request.signal for request in sink.destination.received] == list(SIGNALS)
    assert sink.destination.received[0].headers["x-key"] == "k"
    assert sink.destination.received[0].headers["user-agent"].startswith("otel-llm/")


@pytest.mark.parametrize(
    ("answer", "expected", "words"),
    [
        (Answer.throttled(7.5), RetryableError, "RESOURCE_EXHAUSTED: slow down"),
        (Answer("throttled", message="quota"), PermanentError, "RESOURCE_EXHAUSTED: quota"),
        (Answer.unavailable(), RetryableError, "UNAVAILABLE: try later"),
        (UNAUTHORIZED, CredentialsError, r"UNAUTHENTICATED: the token has run out \(the credential is in"),
        (Answer.unavailable(2), RetryableError, "UNAVAILABLE: try later"),
        (TOO_LARGE, TooLargeError, "RESOURCE_EXHAUSTED: Received message larger than max"),
        (Answer.bad_request("no\nsuch project"), PermanentError, "INVALID_ARGUMENT: no such project"),
    ],
    ids=[
        "throttled",
        "exhausted-for-good",
        "unavailable",
        "unauthorized",
        "unavailable-retry-info",
        "too-large",
        "bad-request",
    ],
)
def test_refusals_become_errors_of_their_kind(
    context: Context, answer: Answer, expected: type[ExportError], words: str
) -> None:
    with (
        OtlpGrpcSink(Destination(default=answer)) as sink,
        exporting(context, endpoint=f"http://{sink.endpoint}", headers={"x": "secret"}) as exporter,
        pytest.raises(expected, match=f"{sink.endpoint} answered {words}") as caught,
    ):
        exporter.export(payload(1, 1), 5)
    assert getattr(caught.value, "retry_after_seconds", None) == answer.retry_after_seconds
    assert "secret" not in str(caught.value)


def test_the_servers_own_limit_of_a_message_is_too_large(context: Context) -> None:
    with (
        OtlpGrpcSink(max_receive_bytes=10_000) as sink,
        exporting(context, endpoint=sink.endpoint, tls=PLAIN, compression="none") as exporter,
        pytest.raises(TooLargeError),
    ):
        exporter.export(payload(1, 100, size=1000), 5)


def test_a_destination_that_quotes_our_secrets_is_shown_without_them(context: Context) -> None:
    config = {"headers": {"x-key": "tenant-key-9"}, "auth": {"token": "sk-live-1234"}, "tls": PLAIN}
    answer = Answer.bad_request("invalid key sk-live-1234 of tenant-key-9")
    with (
        OtlpGrpcSink(Destination(default=answer)) as sink,
        exporting(context, endpoint=sink.endpoint, **config) as exporter,
        pytest.raises(PermanentError, match=r"invalid key \[masked\] of \[masked\]$"),
    ):
        exporter.export(payload(1, 1), 5)


@contextmanager
def proxy(status: bytes) -> Iterator[str]:
    """An HTTP/2 proxy that answers the first request with this status, as one does that never asks the server."""

    def frame(kind: int, flags: int, stream: int, body: bytes = b"") -> bytes:
        return len(body).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + body

    def serve() -> None:
        connection, _ = listening.accept()
        with connection, connection.makefile("rb") as stream:
            stream.read(len(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"))
            connection.sendall(frame(4, 0, 0))  # SETTINGS
            while len(head := stream.read(9)) == len(bytes(9)):
                stream.read(int.from_bytes(head[:3], "big"))
                if head[3] == 4 and not head[4]:
                    connection.sendall(frame(4, 1, 0))
                if head[3] == 1:  # HEADERS: `:status`, the eighth of HPACK's table, as a literal; the stream ends
                    number = int.from_bytes(head[5:], "big")
                    connection.sendall(frame(1, 5, number, b"\x08" + bytes([len(status)]) + status))

    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"127.0.0.1:{listening.getsockname()[1]}"
    thread.join(5)


@pytest.mark.parametrize(("status", "expected"), [(b"413", TooLargeError), (b"503", RetryableError)])
def test_a_proxy_that_answers_for_the_server_is_understood(
    context: Context, status: bytes, expected: type[ExportError]
) -> None:
    with (
        proxy(status) as endpoint,
        exporting(context, endpoint=endpoint, tls=PLAIN) as exporter,
        pytest.raises(expected, match=status.decode()),
    ):
        exporter.export(payload(1, 1), 5)


def test_a_service_that_is_not_there_is_permanent(context: Context) -> None:
    server = grpc.server(__import__("concurrent.futures").futures.ThreadPoolExecutor(1))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    with (
        exporting(context, endpoint=f"127.0.0.1:{port}", tls=PLAIN) as exporter,
        pytest.raises(PermanentError, match="UNIMPLEMENTED"),
    ):
        exporter.export(payload(1, 1), 5)
    server.stop(0).wait(5)


def test_acceptance_32_partial_success_is_read(context: Context) -> None:
    with (
        OtlpGrpcSink(Destination(default=Answer.partial(3, "too old"))) as sink,
        exporting(context, endpoint=sink.endpoint, tls=PLAIN) as exporter,
    ):
        assert exporter.export(payload(1, 9), 5) == ExportResult(3, "too old")


def test_acceptance_31_a_refused_connection_and_a_hanging_call_are_retryable_in_time(context: Context) -> None:
    with (
        exporting(context, endpoint=f"127.0.0.1:{unused_port()}", tls=PLAIN) as exporter,
        pytest.raises(RetryableError, match="UNAVAILABLE"),
    ):
        exporter.export(payload(1, 1), 2)
    with (
        OtlpGrpcSink(Destination(default=HANG)) as sink,
        exporting(context, endpoint=sink.endpoint, tls=PLAIN) as exporter,
    ):
        start = time.monotonic()
        with pytest.raises(RetryableError, match="DEADLINE_EXCEEDED"):
            exporter.export(payload(1, 1), 0.2)
        assert time.monotonic() - start < 2


def test_shutdown_ends_a_call_that_is_on(context: Context) -> None:
    destination = Destination(default=HANG)
    with OtlpGrpcSink(destination) as sink, exporting(context, endpoint=sink.endpoint, tls=PLAIN) as exporter:
        failures: list[Exception] = []

        def export() -> None:
            try:
                exporter.export(payload(1, 1), 30)
            except RetryableError as error:
                failures.append(error)

        thread = threading.Thread(target=export)
        thread.start()
        destination.wait_for(lambda: len(destination.received) == 1)
        exporter.shutdown()
        thread.join(5)
        assert len(failures) == 1
        with pytest.raises(RetryableError):
            exporter.export(payload(1, 1), 5)


def test_tls_with_an_authority_of_our_own_and_a_client_certificate(context: Context, pem: Certificates) -> None:
    ca, cert, key = (Path(path).read_bytes() for path in (pem.ca_file, pem.cert_file, pem.key_file))
    credentials = grpc.ssl_server_credentials([(key, cert)], root_certificates=ca, require_client_auth=True)
    tls = {"ca_file": pem.ca_file, "cert_file": pem.cert_file, "key_file": pem.key_file}
    with (
        OtlpGrpcSink(credentials=credentials) as sink,
        exporting(context, endpoint=sink.endpoint, tls=tls) as exporter,
    ):
        exporter.export(payload(1, 10), 5)
    assert sink.destination.items == 10


def test_tls_files_that_change_are_those_of_the_next_channel(context: Context, tmp_path: Path) -> None:
    for name in ("old", "moved"):
        (tmp_path / name).mkdir()
    old, moved = make_certificates(tmp_path / "old"), make_certificates(tmp_path / "moved")
    ca, cert, key = (Path(path).read_bytes() for path in (moved.ca_file, moved.cert_file, moved.key_file))
    credentials = grpc.ssl_server_credentials([(key, cert)], root_certificates=ca)
    with (
        OtlpGrpcSink(credentials=credentials) as sink,
        exporting(context, endpoint=sink.endpoint, tls={"ca_file": old.ca_file}) as exporter,
    ):
        with pytest.raises(RetryableError):
            exporter.export(payload(1, 1), 5)
        shutil.copy(moved.ca_file, old.ca_file)
        eventually_exported(exporter, payload(1, 1))
    assert len(sink.destination.accepted) == 1


def test_acceptance_31_delivery_recovers_when_the_destination_comes_up(context: Context) -> None:
    port = unused_port()
    exporter = create(msgspec.convert({"endpoint": f"127.0.0.1:{port}", "tls": PLAIN}, Config), context)
    retry = RetryConfig(initial_interval_seconds=0.05, max_interval_seconds=0.1)
    delivery = Delivery("test", exporter, DeliveryConfig(retry_on_failure=retry), context.metrics)
    delivery.start()
    delivery.offer(payload(1, 5))
    assert not delivery.force_flush(0.3)
    with OtlpGrpcSink(port=port) as sink:
        assert delivery.force_flush(20)
        delivery.shutdown(5)
    assert sink.destination.items == 5


@pytest.mark.parametrize(
    ("config", "problem"),
    [
        ({"endpoint": "ftp://host:1"}, "exporters.test.endpoint: expected host:port, got 'ftp://host:1'"),
        ({"endpoint": "host:1/path"}, "exporters.test.endpoint: expected host:port, got 'host:1/path'"),
        ({"endpoint": "me:secret@host:1"}, "exporters.test.endpoint: expected host:port, got 'host:1'"),
        ({"endpoint": "host:99999"}, "exporters.test.endpoint: expected host:port, got 'host:99999'"),
        (
            {"endpoint": "host:1", "headers": {"a b": "secret"}},
            (
                "exporters.test.headers.a b: expected a metadata key of letters, digits, '-', '_' and '.', "
                "and a value of printable ASCII"
            ),
        ),
        (
            {"endpoint": "host:1", "tls": {"ca_file": "/nowhere"}},
            (
                "exporters.test.tls.ca_file: expected PEM certificates, got /nowhere (No such file or directory); "
                "check path, permissions and format"
            ),
        ),
        (
            {"endpoint": "host:1", "tls": {"insecure_skip_verify": True}},
            (
                "exporters.test.tls.insecure_skip_verify: gRPC cannot do that; "
                "set ca_file to the destination's authority instead"
            ),
        ),
    ],
)
def test_what_cannot_work_is_said_at_start_up_without_secrets(
    context: Context, config: dict[str, object], problem: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        create(msgspec.convert(config, Config), context)
    assert caught.value.problems == (problem,)
