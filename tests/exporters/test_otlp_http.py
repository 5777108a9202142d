from __future__ import annotations

import shutil
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from otel_llm import __version__
from otel_llm.components import Context
from otel_llm.errors import ConfigError, CredentialsError, ExportError, PermanentError, RetryableError, TooLargeError
from otel_llm.exporters.exporter import ExportResult
from otel_llm.exporters.otlp_http import Config, OtlpHttpExporter, create
from otel_llm.exporters.tls import TlsConfig
from otel_llm.signals import SIGNALS, Payload
from otel_llm.testing import HANG, TOO_LARGE, UNAUTHORIZED, Answer, Destination, FakeClock, OtlpHttpSink, unused_port
from tests.certificates import Certificates, make_certificates
from tests.delivery.requests import payload
from tests.exporters.eventual import eventually_exported


@contextmanager
def exporting(context: Context, **config: object) -> Iterator[OtlpHttpExporter]:
    exporter = create(msgspec.convert(config, Config), context)
    try:
        yield exporter
    finally:
        exporter.shutdown()


@contextmanager
def raw_server(*answers: bytes) -> Iterator[str]:
    """Gives these bytes as answers, one for each connection, and closes."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            for answer in answers:
                connection, _ = server.accept()
                with connection:
                    connection.recv(65536)
                    connection.sendall(answer)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}"
        thread.join(5)


@pytest.mark.parametrize("compression", ["gzip", "none"])
def test_a_payload_in_pieces_arrives_as_one_request(context: Context, compression: str) -> None:
    with OtlpHttpSink() as sink, exporting(context, endpoint=sink.endpoint, compression=compression) as exporter:
        for signal in SIGNALS:
            whole = payload(1, 30, signal=signal)
            body = memoryview(whole.join())
            pieces = tuple(body[start : start + 7] for start in range(0, len(body), 7))
            assert exporter.export(Payload.of(signal, pieces, 30), 5) == ExportResult()
            assert sink.destination.received[-1].body == whole.join()
    assert [request.signal for request in sink.destination.received] == list(SIGNALS)


def test_a_large_body_of_many_pieces_arrives_whole(context: Context) -> None:
    body = payload(1, 5000, size=600)
    pieces = tuple(body.join()[start : start + 1000] for start in range(0, body.size_bytes, 1000))
    with OtlpHttpSink() as sink, exporting(context, endpoint=sink.endpoint, compression="none") as exporter:
        exporter.export(Payload.of("traces", pieces, 5000), 5)
    assert sink.destination.received[0].body == body.join()


def test_requests_carry_the_configured_headers_and_who_sends(context: Context) -> None:
    with (
        OtlpHttpSink() as sink,
        exporting(context, endpoint=sink.endpoint + "/", headers={"Authorization": "Bearer x"}) as exporter,
    ):
        exporter.export(payload(1, 1), 5)
    headers = sink.destination.received[0].headers
    assert headers["authorization"] == "Bearer x"
    assert headers["user-agent"] == f"otel-llm/{__version__}"
    assert headers["content-type"] == "application/x-protobuf"
    assert headers["host"] == sink.endpoint.removeprefix("http://")


def test_one_connection_serves_many_requests(context: Context) -> None:
    with OtlpHttpSink() as sink, exporting(context, endpoint=sink.endpoint) as exporter:
        for number in range(5):
            exporter.export(payload(number, 1), 5)
        (client,) = {id(target.client): target.client for target in exporter._targets.values()}.values()
        assert len(client._idle) == 1
    assert len(sink.destination.received) == 5


def test_a_kept_connection_that_the_server_closed_is_replaced_at_once(context: Context) -> None:
    ok = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"
    with raw_server(ok, ok) as endpoint, exporting(context, endpoint=endpoint) as exporter:
        exporter.export(payload(1, 1), 5)
        exporter.export(payload(2, 1), 5)


def test_endpoints_of_signals_go_before_the_common_one(context: Context) -> None:
    with OtlpHttpSink() as sink:
        with exporting(context, endpoint="http://127.0.0.1:1", logs_endpoint=f"{sink.endpoint}/x/v1/logs?k=1") as both:
            both.export(payload(1, 1, signal="logs"), 5)
        with exporting(context, traces_endpoint=f"{sink.endpoint}/v1/traces") as one:
            assert one.signals == {"traces"}
    assert len(sink.destination.received) == 1


@pytest.mark.parametrize(
    ("answer", "expected", "words"),
    [
        (Answer.throttled(7), RetryableError, "answered 429: slow down"),
        (Answer.unavailable(), RetryableError, "answered 503: try later"),
        (TOO_LARGE, TooLargeError, "answered 413"),
        (Answer.bad_request("no\nsuch\x00project"), PermanentError, "answered 400: no such project"),
        (UNAUTHORIZED, CredentialsError, r"answered 401: the token has run out \(the credential is in"),
    ],
    ids=["429", "503", "413", "400", "401"],
)
def test_refusals_become_errors_of_their_kind(
    context: Context, answer: Answer, expected: type[ExportError], words: str
) -> None:
    destination = Destination(default=answer)
    with (
        OtlpHttpSink(destination) as sink,
        exporting(context, endpoint=sink.endpoint, headers={"x": "secret"}) as exporter,
        pytest.raises(expected, match=words) as caught,
    ):
        exporter.export(payload(1, 1), 5)
    assert f"{sink.endpoint}/v1/traces" in str(caught.value)
    assert "secret" not in str(caught.value)
    assert getattr(caught.value, "retry_after_seconds", None) == answer.retry_after_seconds


@pytest.mark.parametrize("quoted", ["sk-live-1234", "tenant-key-9", "query-key-7", "Bearer sk-live-1234"])
def test_a_destination_that_quotes_our_secrets_is_shown_without_them(context: Context, quoted: str) -> None:
    config = {"headers": {"x-key": "tenant-key-9"}, "auth": {"token": "sk-live-1234"}}
    for answer in (Answer.bad_request(f"invalid key {quoted}!"), Answer.partial(1, f"invalid key {quoted}!")):
        destination = Destination(default=answer)
        with OtlpHttpSink(destination) as sink:
            address = f"{sink.endpoint}/v1/traces?key=query-key-7"
            with exporting(context, traces_endpoint=address, **config) as exporter:
                try:
                    said = exporter.export(payload(1, 1), 5).message
                except PermanentError as error:
                    said = str(error)
        assert "invalid key" in said
        assert said.endswith("[masked]!")
        assert destination.received[0].headers["authorization"] == "Bearer sk-live-1234"


@pytest.mark.parametrize(
    ("status", "expected"), [(502, RetryableError), (504, RetryableError), (500, PermanentError), (301, PermanentError)]
)
def test_only_the_statuses_the_specification_names_are_retried(
    context: Context, status: int, expected: type[ExportError]
) -> None:
    answer = b"HTTP/1.1 %d No\r\ncontent-length: 0\r\n\r\n" % status
    with (
        raw_server(answer) as endpoint,
        exporting(context, endpoint=endpoint) as exporter,
        pytest.raises(expected, match=str(status)),
    ):
        exporter.export(payload(1, 1), 5)


def test_retry_after_may_be_a_date(context: Context) -> None:
    clock = FakeClock(unix_nano=1_792_270_620 * 10**9)  # Sat, 17 Oct 2026 20:57:00 GMT
    answer = b"HTTP/1.1 503 No\r\nretry-after: Sat, 17 Oct 2026 20:57:30 GMT\r\ncontent-length: 0\r\n\r\n"
    with (
        raw_server(answer) as endpoint,
        exporting(replace(context, clock=clock), endpoint=endpoint) as exporter,
        pytest.raises(RetryableError) as caught,
    ):
        exporter.export(payload(1, 1), 5)
    assert caught.value.retry_after_seconds == pytest.approx(30)


@pytest.mark.parametrize("value", [b"soon", b"-1", b"99999999999999999999999999999999999999999999999999999e999", b""])
def test_a_retry_after_that_is_neither_number_nor_date_is_ignored_or_bounded_later(
    context: Context, value: bytes
) -> None:
    answer = b"HTTP/1.1 503 No\r\nretry-after: %b\r\ncontent-length: 0\r\n\r\n" % value
    with (
        raw_server(answer) as endpoint,
        exporting(context, endpoint=endpoint) as exporter,
        pytest.raises(RetryableError),
    ):
        exporter.export(payload(1, 1), 5)


def test_acceptance_32_partial_success_is_read(context: Context) -> None:
    destination = Destination(default=Answer.partial(3, "too old"))
    with OtlpHttpSink(destination) as sink, exporting(context, endpoint=sink.endpoint) as exporter:
        assert exporter.export(payload(1, 9), 5) == ExportResult(3, "too old")


def test_partial_success_in_json_is_read_too(context: Context) -> None:
    body = b'{"partialSuccess":{"rejectedLogRecords":"2","errorMessage":"no"}}'
    answer = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body)
    with raw_server(answer) as endpoint, exporting(context, endpoint=endpoint) as exporter:
        assert exporter.export(payload(1, 2, signal="logs"), 5) == ExportResult(2, "no")


@pytest.mark.parametrize(
    "answer",
    [
        (
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
            b"2;x=y\r\n\n\x05\r\n5\r\n\x08\x02\x12\x01a\r\n0\r\nt: 1\r\n\r\n"
        ),
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 7\r\n\r\n\n\x05\x08\x02\x12\x01a",
        b"HTTP/1.0 200 OK\r\n\r\n\n\x05\x08\x02\x12\x01a",
    ],
    ids=["chunked", "interim", "until-closed"],
)
def test_every_framing_of_an_answer_is_read(context: Context, answer: bytes) -> None:
    with raw_server(answer) as endpoint, exporting(context, endpoint=endpoint) as exporter:
        assert exporter.export(payload(1, 3), 5) == ExportResult(2, "a")


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"SSH-2.0-OpenSSH\r\n",
        b"HTTP/1.1 two hundred\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"x" * 200_000,
    ],
    ids=["nothing", "ssh", "no-status", "cut-off", "no-chunk-size", "endless"],
)
def test_an_answer_that_is_none_is_retryable(context: Context, answer: bytes) -> None:
    with (
        raw_server(answer) as endpoint,
        exporting(context, endpoint=endpoint) as exporter,
        pytest.raises(RetryableError),
    ):
        exporter.export(payload(1, 1), 5)


def test_acceptance_31_a_refused_connection_is_retryable_and_names_the_destination(context: Context) -> None:
    endpoint = f"http://127.0.0.1:{unused_port()}"
    with (
        exporting(context, endpoint=endpoint) as exporter,
        pytest.raises(RetryableError, match=f"{endpoint}/v1/traces: Connection refused"),
    ):
        exporter.export(payload(1, 1), 5)


def test_acceptance_31_a_destination_that_hangs_costs_the_timeout_and_no_more(context: Context) -> None:
    with (
        OtlpHttpSink(Destination(default=HANG)) as sink,
        exporting(context, endpoint=sink.endpoint, timeout_seconds=5) as exporter,
    ):
        start = time.monotonic()
        with pytest.raises(RetryableError, match=r"no answer within 0\.1 s"):
            exporter.export(payload(1, 1), 0.1)
        assert time.monotonic() - start < 1


def test_shutdown_ends_an_export_that_is_on(context: Context) -> None:
    destination = Destination(default=HANG)
    with OtlpHttpSink(destination) as sink, exporting(context, endpoint=sink.endpoint, timeout_seconds=30) as exporter:
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
        with pytest.raises(RetryableError, match="shut down"):
            exporter.export(payload(1, 1), 30)


def server_context(pem: Certificates, *, asks_client: bool = False) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem.cert_file, pem.key_file)
    if asks_client:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(pem.ca_file)
    return context


def test_tls_with_an_authority_of_our_own_and_a_client_certificate(context: Context, pem: Certificates) -> None:
    tls = {"ca_file": pem.ca_file, "cert_file": pem.cert_file, "key_file": pem.key_file}
    with (
        OtlpHttpSink(tls=server_context(pem, asks_client=True)) as sink,
        exporting(context, endpoint=sink.endpoint, tls=tls, compression="none") as exporter,
    ):
        for number in range(3):
            exporter.export(payload(number, 2000), 5)
    assert sink.destination.items == 6000


def test_tls_files_that_change_are_those_of_the_next_connection(context: Context, tmp_path: Path) -> None:
    """The destination moves to another authority; whoever trusts it by then gets through without a restart."""
    for name in ("old", "moved"):
        (tmp_path / name).mkdir()
    old, moved = make_certificates(tmp_path / "old"), make_certificates(tmp_path / "moved")
    tls = {"ca_file": old.ca_file}
    with (
        OtlpHttpSink(tls=server_context(moved)) as sink,
        exporting(context, endpoint=sink.endpoint, tls=tls) as exporter,
    ):
        with pytest.raises(RetryableError, match="not trusted"):
            exporter.export(payload(1, 1), 5)
        Path(old.ca_file).write_text("half of a file")
        shutil.copy(moved.ca_file, old.ca_file)
        eventually_exported(exporter, payload(1, 1))
    assert len(sink.destination.accepted) == 1


def test_acceptance_31_a_certificate_nobody_vouches_for_is_retryable(context: Context, pem: Certificates) -> None:
    with (
        OtlpHttpSink(tls=server_context(pem)) as sink,
        exporting(context, endpoint=sink.endpoint) as exporter,
        pytest.raises(RetryableError, match="its certificate is not trusted"),
    ):
        exporter.export(payload(1, 1), 5)


def test_the_name_in_the_certificate_may_be_another_than_the_host(context: Context, pem: Certificates) -> None:
    with OtlpHttpSink(tls=server_context(pem)) as sink:
        for name, accepted in (("localhost", 1), ("elsewhere.example", 1)):
            tls = {"ca_file": pem.ca_file, "server_name_override": name}
            with exporting(context, endpoint=sink.endpoint, tls=tls) as exporter:
                if name == "localhost":
                    exporter.export(payload(1, 1), 5)
                else:
                    with pytest.raises(RetryableError, match="not trusted"):
                        exporter.export(payload(1, 1), 5)
            assert len(sink.destination.accepted) == accepted


@pytest.mark.parametrize(
    ("config", "problem"),
    [
        ({}, "exporters.test.endpoint: expected an address, got none; set it, e.g. http://127.0.0.1:4318"),
        (
            {"endpoint": "collector:4318"},
            "exporters.test.endpoint: expected http://host:port or https://host, got 'collector:4318'",
        ),
        (
            {"logs_endpoint": "http://host:99999/?key=secret"},
            "exporters.test.logs_endpoint: expected http://host:port or https://host, got 'http://host:99999/'",
        ),
        (
            {"endpoint": "http://me:secret@host"},
            "exporters.test.endpoint: holds a user name; put credentials into auth, or into headers",
        ),
        (
            {"endpoint": "http://host", "headers": {"x-key": "secret\r\nx: y"}},
            "exporters.test.headers.x-key: expected a header field value of ASCII characters on one line; correct it",
        ),
        (
            {"endpoint": "http://host", "headers": {"Content-Length": "0"}},
            (
                "exporters.test.headers.Content-Length: expected a header field "
                "that is not set by the exporter itself; remove it"
            ),
        ),
        (
            {"endpoint": "https://host", "tls": {"cert_file": "/x.pem"}},
            "exporters.test.tls.key_file: expected a file beside the other of the pair; set both or none",
        ),
        (
            {"endpoint": "https://host", "tls": {"ca_file": "/nowhere/ca.pem"}},
            (
                "exporters.test.tls.ca_file: expected PEM certificates, got /nowhere/ca.pem "
                "(No such file or directory); check path, permissions and format"
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


def test_without_verification_anybody_is_believed(context: Context, pem: Certificates) -> None:
    tls = TlsConfig(insecure_skip_verify=True)
    with OtlpHttpSink(tls=server_context(pem)) as sink:
        exporter = create(Config(endpoint=sink.endpoint, tls=tls), context)
        exporter.export(payload(1, 1), 5)
        exporter.shutdown()
    assert sink.destination.items == 1
