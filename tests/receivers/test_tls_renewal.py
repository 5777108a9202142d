"""Certificates that change while a receiver runs."""

from __future__ import annotations

import logging
import shutil
import socket
import ssl
from collections.abc import Callable
from pathlib import Path

import grpc
import pytest

from otel_llm.receivers import otlp_grpc, otlp_http
from otel_llm.receivers.endpoint import TlsConfig
from otel_llm.receivers.tls_renewal import TlsRenewal
from otel_llm.testing import FakeClock
from tests.certificates import Certificates, make_certificates
from tests.receivers.recording import DEADLINE_SECONDS, RecordingConsumer, eventually

METHOD = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"


@pytest.fixture
def old(tmp_path: Path) -> Certificates:
    folder = tmp_path / "in use"
    folder.mkdir()
    return make_certificates(folder)


@pytest.fixture
def new(tmp_path: Path) -> Certificates:
    folder = tmp_path / "new"
    folder.mkdir()
    return make_certificates(folder)


def install(new: Certificates, old: Certificates) -> None:
    """Put the new files in place of the old ones, one after the other, as tools do."""
    for name in ("ca_file", "cert_file", "key_file"):
        shutil.copy(getattr(new, name), getattr(old, name))


def served(port: int) -> bytes:
    """The certificate that a server shows now."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with (
        socket.create_connection(("127.0.0.1", port), timeout=DEADLINE_SECONDS) as plain,
        context.wrap_socket(plain) as client,
    ):
        found = client.getpeercert(binary_form=True)
    assert found is not None
    return found


def der(path: str) -> bytes:
    return ssl.PEM_cert_to_DER_cert(Path(path).read_text())


@pytest.mark.parametrize("module", [otlp_http, otlp_grpc])
def test_a_new_certificate_is_served_without_a_restart_and_open_connections_go_on(
    module: object, old: Certificates, new: Certificates
) -> None:
    tls = TlsConfig(cert_file=old.cert_file, key_file=old.key_file)
    receiver = module.create(module.Config(endpoint="127.0.0.1:0", tls=tls), name="otlp")  # type: ignore[attr-defined]
    receiver.start(RecordingConsumer())
    port = int(receiver.endpoint.rpartition(":")[2])
    try:
        assert served(port) == der(old.cert_file)
        authority = Path(old.ca_file).read_bytes()
        with socket.create_connection(("127.0.0.1", port)) as plain:
            trusting = ssl.create_default_context(cadata=authority.decode())
            trusting.set_alpn_protocols(["h2" if module is otlp_grpc else "http/1.1"])
            with trusting.wrap_socket(plain, server_hostname="localhost") as client:
                install(new, old)
                eventually(lambda: served(port) == der(new.cert_file))
                is_http = module is otlp_http
                client.sendall(
                    b"POST /v1/traces HTTP/1.1\r\nHost: h\r\nContent-Type: application/x-protobuf\r\n\r\n"
                    if is_http
                    else b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0"
                )
                client.settimeout(DEADLINE_SECONDS)
                assert client.recv(100).startswith(b"HTTP/1.1 200") is is_http
    finally:
        receiver.shutdown(1.0)


def http_works(endpoint: str, ca_file: str, pem: Certificates) -> bool:
    context = ssl.create_default_context(cafile=ca_file)
    context.load_cert_chain(pem.cert_file, pem.key_file)
    try:
        with (
            socket.create_connection(("127.0.0.1", int(endpoint.rpartition(":")[2])), DEADLINE_SECONDS) as plain,
            context.wrap_socket(plain, server_hostname="localhost") as client,
        ):
            client.sendall(b"POST /v1/traces HTTP/1.1\r\nHost: h\r\nContent-Type: application/x-protobuf\r\n\r\n")
            return client.recv(100).startswith(b"HTTP/1.1 200")
    except (ssl.SSLError, ConnectionError):
        return False


def grpc_works(endpoint: str, ca_file: str, pem: Certificates) -> bool:
    parts = [Path(path).read_bytes() for path in (ca_file, pem.key_file, pem.cert_file)]
    with grpc.secure_channel(endpoint, grpc.ssl_channel_credentials(*parts)) as channel:
        try:
            channel.unary_unary(METHOD)(b"", timeout=DEADLINE_SECONDS)
        except grpc.RpcError:
            return False
    return True


@pytest.mark.parametrize(("module", "works"), [(otlp_http, http_works), (otlp_grpc, grpc_works)])
def test_clients_of_an_authority_that_was_replaced_are_not_let_in_any_more(
    module: object,
    works: Callable[[str, str, Certificates], bool],
    old: Certificates,
    new: Certificates,
    tmp_path: Path,
) -> None:
    """Mutual TLS: the server's own certificate stays, the authority of its clients changes."""
    clients = tmp_path / "clients.pem"
    shutil.copy(old.ca_file, clients)
    tls = TlsConfig(cert_file=old.cert_file, key_file=old.key_file, client_ca_file=str(clients))
    receiver = module.create(module.Config(endpoint="127.0.0.1:0", tls=tls), name="otlp")  # type: ignore[attr-defined]
    receiver.start(RecordingConsumer())
    try:
        assert works(receiver.endpoint, old.ca_file, old)
        assert not works(receiver.endpoint, old.ca_file, new)
        shutil.copy(new.ca_file, clients)
        eventually(lambda: works(receiver.endpoint, old.ca_file, new))
        assert not works(receiver.endpoint, old.ca_file, old)
    finally:
        receiver.shutdown(1.0)


def test_files_that_do_not_fit_leave_those_before_in_force(
    old: Certificates, new: Certificates, caplog: pytest.LogCaptureFixture
) -> None:
    clock = FakeClock()
    renewal = TlsRenewal(TlsConfig(cert_file=old.cert_file, key_file=old.key_file), "tls", clock.monotonic)

    def looked() -> bool:
        clock.advance(2.0)
        return renewal.context() is not None

    assert not looked()
    shutil.copy(new.cert_file, old.cert_file)
    with caplog.at_level(logging.WARNING):
        assert not looked()
        Path(old.key_file).unlink()
        assert not looked()
    assert caplog.text.count("stay in force") == 1
    shutil.copy(new.key_file, old.key_file)
    assert looked()
    assert not looked()
