from __future__ import annotations

import socket

import pytest

from tests.config.documents import SMALL, Folder

LOOP = (
    "{path}: expected another process, got {target}, which is this one's own {listener}: everything would come back "
    "for ever; give the address of a backend, or another port to the receiver"
)
REMEDY = "choose another port for one of them"
GRPC = "receivers.otlp.protocols.grpc.endpoint"
HTTP = "receivers.otlp.protocols.http.endpoint"


def text(receiver: str, exporter: str) -> str:
    return SMALL.replace("otlp:\n", f"otlp: {{protocols: {{http: {{endpoint: '{receiver}'}}}}}}\n", 1).replace(
        "https://otlp.example.com", exporter
    )


@pytest.mark.parametrize(
    ("receiver", "exporter", "target"),
    [
        ("127.0.0.1:4318", "http://localhost:4318", "localhost:4318"),
        ("127.0.0.1:4318", "http://127.0.0.1:4318/", "127.0.0.1:4318"),
        ("localhost:4318", "http://LOCALHOST:4318", "localhost:4318"),
        ("0.0.0.0:4318", "http://127.0.0.1:4318", "127.0.0.1:4318"),
        (":4318", "http://[::1]:4318", "[::1]:4318"),
        ("[::]:4318", "http://localhost:4318", "localhost:4318"),
        (":4318", f"http://{socket.gethostname()}:4318", f"{socket.gethostname().lower()}:4318"),
        ("gateway.example.com:80", "http://gateway.example.com", "gateway.example.com:80"),
        ("gateway.example.com:443", "https://gateway.example.com/otlp", "gateway.example.com:443"),
        ("127.0.0.1:4318", "http://0.0.0.0:4318", "0.0.0.0:4318"),
    ],
)
def test_an_exporter_that_sends_to_the_own_receiver_is_refused(
    folder: Folder, receiver: str, exporter: str, target: str
):
    path = "exporters.otlp_http.endpoint"
    assert folder.problems(text(receiver, exporter)) == [LOOP.format(path=path, target=target, listener=HTTP)]


@pytest.mark.parametrize(
    ("receiver", "exporter"),
    [
        ("127.0.0.1:4318", "http://localhost:4319"),
        ("127.0.0.1:4318", "http://127.0.0.2:4318"),
        ("127.0.0.1:4318", "http://[::1]:4318"),
        ("127.0.0.1:4318", "http://backend.example.com:4318"),
        ("10.0.0.1:4318", "http://127.0.0.1:4318"),
        ("127.0.0.1:0", "http://127.0.0.1:4318"),
        (":4318", "http://backend.example.com:4318"),
    ],
)
def test_an_exporter_that_sends_elsewhere_is_not(folder: Folder, receiver: str, exporter: str):
    assert folder.load(text(receiver, exporter))


def test_a_receiver_without_settings_is_where_its_defaults_say(folder: Folder):
    for section in ("otlp:", "otlp: {protocols: {grpc: , http: }}"):
        problems = folder.problems(
            SMALL.replace("otlp:\n", f"{section}\n", 1).replace("https://otlp.example.com", "http://localhost:4318")
        )
        assert problems == [LOOP.format(path="exporters.otlp_http.endpoint", target="localhost:4318", listener=HTTP)]


def test_a_protocol_that_is_not_spoken_is_nowhere(folder: Folder):
    only_grpc = SMALL.replace("otlp:\n", "otlp: {protocols: {grpc: }}\n", 1)
    assert folder.load(only_grpc.replace("https://otlp.example.com", "http://localhost:4318"))


def test_the_endpoint_of_a_single_signal_counts_as_well(folder: Folder):
    text_ = SMALL.replace(
        "    endpoint: https://otlp.example.com", "    traces_endpoint: http://localhost:4318/v1/traces"
    )
    assert folder.problems(text_) == [
        LOOP.format(path="exporters.otlp_http.traces_endpoint", target="localhost:4318", listener=HTTP)
    ]


def test_two_listeners_cannot_share_an_address(folder: Folder):
    text_ = SMALL.replace("otlp:\n", "otlp:\n  otlp/b:\n", 1).replace("[otlp]", "[otlp, otlp/b]")
    assert folder.problems(text_.replace("service:", "service:\n  admin: {endpoint: 0.0.0.0:4318}")) == [
        f"receivers.otlp/b.protocols.grpc.endpoint: 127.0.0.1:4317 is taken by {GRPC}; {REMEDY}",
        f"receivers.otlp/b.protocols.http.endpoint: 127.0.0.1:4318 is taken by {HTTP}; {REMEDY}",
        f"service.admin.endpoint: 0.0.0.0:4318 is taken by {HTTP}; {REMEDY}",
        f"service.admin.endpoint: 0.0.0.0:4318 is taken by receivers.otlp/b.protocols.http.endpoint; {REMEDY}",
    ]


@pytest.mark.parametrize("endpoint", ["4318", "localhost", "localhost:http", "::1:4318", "http://localhost:4318"])
def test_a_listener_that_is_not_host_and_port_is_refused(folder: Folder, endpoint: str):
    assert folder.problems(text(endpoint, "https://otlp.example.com")) == [
        f"{HTTP}: expected host:port, got {endpoint!r}; write for example 127.0.0.1:4318 or [::1]:4318"
    ]
