"""Whatever is sent in whatever pieces, the server answers or refuses it, forgets it, and goes on serving."""

from __future__ import annotations

import gzip
import http.client
import logging
import tracemalloc
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from otel_llm.clock import SystemClock
from otel_llm.components import Context
from otel_llm.http.message import Request, Response, Route
from otel_llm.http.server import HttpServer, Settings
from otel_llm.http.shared import Limits
from otel_llm.receivers import otlp, otlp_grpc, otlp_http
from otel_llm.telemetry import Metrics
from tests.receivers.otlp_client import PROTOBUF
from tests.receivers.recording import DEADLINE_SECONDS, RawClient, RecordingConsumer, eventually

FRAGMENTS = [
    b"POST /echo HTTP/1.1\r\n",
    b"POST /worker HTTP/1.1\r\n",
    b"GET / HTTP/1.0\r\n",
    b"Host: h\r\n",
    b"Content-Length: 5\r\n",
    b"Content-Length: 70000\r\n",
    b"Content-Length: 300000\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"Expect: 100-continue\r\n",
    b"Connection: close\r\n",
    b"\r\n",
    b"\n",
    b"\r",
    b"hello",
    b"5\r\nhello\r\n",
    b"FFFFFFFF\r\n",
    b"0\r\n\r\n",
    b"x" * 70_000,
    b"\0",
    b": ",
    b"POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello",
    b"POST /worker HTTP/1.1\r\nHost: h\r\nContent-Length: 70000\r\n\r\n",
    b"POST /echo HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n",
]


def echo(request: Request) -> Response:
    return Response(200, request.body)


@pytest.fixture(scope="module")
def server() -> Iterator[HttpServer]:
    routes = {("POST", "/echo"): Route(echo), ("POST", "/worker"): Route(echo, lambda _: False)}
    limits = Limits(
        head_bytes=1000,
        body_bytes=500_000,
        in_flight_bytes=600_000,
        head_seconds=0.1,
        body_seconds=0.1,
        linger_seconds=0.1,
    )
    server = HttpServer(routes, Settings(limits=limits))
    server.start()
    yield server
    server.shutdown(1.0)


@settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.one_of(st.sampled_from(FRAGMENTS), st.binary(max_size=50)), max_size=12), st.booleans())
def test_no_sequence_of_fragments_harms_the_server(
    server: HttpServer,
    caplog: pytest.LogCaptureFixture,
    fragments: list[bytes],
    ends: bool,  # noqa: FBT001 - drawn
) -> None:
    with caplog.at_level(logging.WARNING), RawClient(server.port) as client:
        try:
            for fragment in fragments:
                client.send(fragment)
            if ends:
                client.finish()
                for status in client.statuses():
                    assert status in (100, 200, 400, 404, 405, 408, 413, 417, 429, 431, 501, 505)
        except (ConnectionError, OSError):
            pass  # The server has closed, which is its right.
    assert "a request failed" not in caplog.text
    eventually(lambda: (server.open_connections, server.in_flight_bytes) == (0, 0))
    with RawClient(server.port) as client:
        assert client.send(FRAGMENTS[-3]).answer()[2] == b"hello"


def test_bombs_and_lying_lengths_leave_memory_bounded() -> None:
    protocols = otlp.Protocols(
        grpc=otlp_grpc.Config(endpoint="127.0.0.1:0"), http=otlp_http.Config(endpoint="127.0.0.1:0")
    )
    receiver = otlp.create(otlp.Config(protocols=protocols), Context("otlp", Metrics(), SystemClock()))
    consumer = RecordingConsumer()
    receiver.start(consumer)
    assert receiver.http is not None
    bomb = gzip.compress(bytes(300_000_000), 9)
    port = int(receiver.http.endpoint.rpartition(":")[2])
    liars = [RawClient(port) for _ in range(200)]
    tracemalloc.start()
    for liar in liars:
        liar.send(b"POST /v1/traces HTTP/1.1\r\nHost: h\r\nContent-Length: 20000000\r\n\r\nx")
    connection = http.client.HTTPConnection(receiver.http.endpoint, timeout=DEADLINE_SECONDS)
    for _ in range(3):
        connection.request("POST", "/v1/traces", bomb, {"content-type": PROTOBUF, "content-encoding": "gzip"})
        answer = connection.getresponse()
        assert (answer.status, b"larger than" in answer.read()) == (413, True)
    connection.close()
    for liar in liars:
        liar.socket.close()
    receiver.shutdown(1.0)
    assert consumer.requests == []
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak_bytes < 200_000_000
