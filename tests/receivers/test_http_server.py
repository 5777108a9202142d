"""The HTTP server over real sockets, with clients that behave and clients that do not."""

from __future__ import annotations

import gzip
import http.client
import logging
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path

import pytest

from otel_llm.http.message import Request, Response, Route, always_inline
from otel_llm.http.server import HttpServer, Settings
from otel_llm.http.shared import Limits
from tests.certificates import make_certificates
from tests.receivers.recording import DEADLINE_SECONDS, RawClient, RecordingObserver, eventually

Start = Callable[..., HttpServer]
SHORT_SECONDS = 0.1


def echo(request: Request) -> Response:
    return Response(200, request.body, "application/octet-stream", (("x-path", request.path),))


def on_a_worker(_request: Request) -> bool:
    return False


ROUTES = {
    ("POST", "/echo"): Route(echo),
    ("POST", "/worker"): Route(echo, on_a_worker),
    ("GET", "/large"): Route(lambda _: Response(200, b"abc" * 100_000, "text/plain")),
}


@pytest.fixture(params=["fastest", "asyncio"])
def start(request: pytest.FixtureRequest) -> Iterator[Start]:
    """Starts servers that are shut down after the test, on either kind of event loop."""
    with ExitStack() as stack:

        def run(
            limits: Limits | None = None,
            *,
            routes: Mapping[tuple[str, str], Route] = ROUTES,
            observer: RecordingObserver | None = None,
            tls: ssl.SSLContext | None = None,
        ) -> HttpServer:
            settings = Settings(limits=limits or Limits(), event_loop=request.param, tls=tls)
            server = HttpServer(routes, settings, observer)
            server.start()
            stack.callback(server.shutdown, 1.0)
            return server

        yield run


def post(body: bytes, path: str = "/echo", fields: str = "") -> bytes:
    return f"POST {path} HTTP/1.1\r\nHost: h\r\nContent-Length: {len(body)}\r\n{fields}\r\n".encode() + body


def chunked(*chunks: bytes, path: str = "/echo", end: bytes = b"0\r\n\r\n") -> bytes:
    head = f"POST {path} HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
    return head + b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks) + end


def test_a_connection_serves_many_requests(start: Start) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", start().port, timeout=DEADLINE_SECONDS)
    for body in (b"", b"a", b"b" * 100_000, b"c" * 3_000_000):
        for path in ("/echo", "/worker"):
            connection.request("POST", path, body)
            answer = connection.getresponse()
            assert (answer.status, answer.read()) == (200, body)
            assert answer.getheader("x-path") == path
            assert answer.getheader("date", "").endswith("GMT")
    connection.close()


def test_chunked_bodies_are_put_together(start: Start) -> None:
    with RawClient(start().port) as client:
        client.send(chunked(b"one", b"two" * 5000, b"!"))
        assert client.answer()[2] == b"one" + b"two" * 5000 + b"!"
        client.send(chunked(b"x", end=b"0;why=not\r\nTrailer: value\r\n\r\n"))
        assert client.answer()[2] == b"x"


@pytest.mark.parametrize(
    "request_bytes",
    [
        post(b"hello"),
        chunked(b"he", b"llo", end=b"0\r\nA: b\r\n\r\n"),
        b"\r\n" + post(b"hello", path="/worker", fields="Accept: */*\r\n"),
    ],
    ids=["length", "chunked", "worker"],
)
def test_a_request_may_be_split_at_every_byte(start: Start, request_bytes: bytes) -> None:
    port = start().port
    for split in range(1, len(request_bytes)):
        with RawClient(port) as client:
            client.send(request_bytes[:split])
            client.send(request_bytes[split:])
            assert client.answer()[2] == b"hello"


def test_a_request_may_come_byte_by_byte(start: Start) -> None:
    with RawClient(start().port) as client:
        for request_bytes in (post(b"hello"), chunked(b"hello")):
            for index in range(len(request_bytes)):
                client.send(request_bytes[index : index + 1])
            assert client.answer()[2] == b"hello"


def test_pipelined_requests_are_answered_in_order_even_when_workers_are_involved(start: Start) -> None:
    bodies = [str(number).encode() * (number % 7 + 1) for number in range(300)]
    with RawClient(start().port) as client:
        client.send(b"".join(post(body, "/worker" if len(body) % 3 == 0 else "/echo") for body in bodies)).finish()
        assert [client.answer()[2] for _ in bodies] == bodies
        assert client.closed()


def test_pipelined_large_bodies_do_not_run_into_each_other(start: Start) -> None:
    bodies = [bytes([number]) * (700_000 + number) for number in range(6)]
    with RawClient(start().port) as client:
        sender = threading.Thread(target=client.send, args=(b"".join(map(post, bodies)),))
        sender.start()
        assert [client.answer()[2] for _ in bodies] == bodies
        sender.join()


def test_a_client_that_waits_for_100_continue_gets_it(start: Start) -> None:
    with RawClient(start().port) as client:
        client.send(b"POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n")
        assert client.answer()[0] == 100
        client.send(b"ok")
        assert client.answer()[2] == b"ok"


def test_a_client_that_waits_for_100_continue_is_refused_before_it_sends(start: Start) -> None:
    with RawClient(start(Limits(body_bytes=10)).port) as client:
        client.send(b"POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 11\r\nExpect: 100-continue\r\n\r\n")
        assert client.answer()[0] == 413


@pytest.mark.parametrize(
    ("head", "status"),
    [
        ("POST /nowhere HTTP/1.1\r\nHost: h", 404),
        ("GET /echo HTTP/1.1\r\nHost: h", 405),
        ("BREW /echo HTTP/1.1\r\nHost: h", 405),
        ("POST /echo HTTP/2.0\r\nHost: h", 505),
        ("PRI * HTTP/2.0", 505),
        ("POST /echo HTTP/1.1", 400),
        ("POST /echo", 400),
        ("POST  /echo HTTP/1.1\r\nHost: h", 400),
        ("POST echo HTTP/1.1\r\nHost: h", 400),
        ("POST http://[/echo HTTP/1.1\r\nHost: h", 400),
        ("POST /echo HTTP/1.1\r\nHost: h\r\nHost: i", 400),
        ("POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nTransfer-Encoding: chunked", 400),
        ("POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nContent-Length: 2", 400),
        ("POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\ncontent-length: 1", 400),
        ("POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 1, 1", 400),
        ("POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: -1", 400),
        ("POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: +1", 400),
        ("POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 0x1", 400),
        ("POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 1_0", 400),
        ("POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: ", 400),
        ("POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: \xb2", 400),
        ("POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 9" + "9" * 30, 400),
        ("POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length : 1", 400),
        ("POST /echo HTTP/1.1\r\nHost: h\r\nX: a\r\n folded", 400),
        ("POST /echo HTTP/1.1\r\nHost: h\r\nX: a\nContent-Length: 5", 400),
        ("POST /echo HTTP/1.1\r\nHost: h\r\nX: a\rContent-Length: 5", 400),
        ("POST /echo HTTP/1.1\r\nHost: h\r\nX: \0", 400),
        ("POST /echo HTTP/1.1\r\nHost: h\r\n: x", 400),
        ("POST /echo HTTP/1.1\r\nHost: h\r\nno colon", 400),
        ("POST /echo HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: gzip, chunked", 501),
        ("POST /echo HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked", 400),
        ("POST /echo HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: \x0bchunked", 501),
        ("POST /echo HTTP/1.0\r\nTransfer-Encoding: chunked", 400),
        ("POST /echo HTTP/1.1\r\nHost: h\r\nExpect: miracles", 417),
        ("POST /echo HTTP/1.1\r\nHost: h\r\n" + "\r\n".join(f"X-{n}: y" for n in range(200)), 431),
        ("POST /echo HTTP/1.1\r\nHost: h\r\nX: " + "y" * 40_000, 431),
        ("POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 99999999", 413),
    ],
)
def test_what_cannot_be_read_without_doubt_is_refused_and_the_connection_closed(
    start: Start, head: str, status: int
) -> None:
    observer = RecordingObserver()
    with RawClient(start(observer=observer).port) as client:
        client.send(head.encode("latin-1") + b"\r\n\r\n" + post(b"smuggled"))
        assert client.statuses() == [status]
    assert [reason for _, reason in observer.refusals] != []
    assert observer.answers == []


@pytest.mark.parametrize(
    ("coding", "status"),
    [
        (b"x\r\n", 400),
        (b"-1\r\n", 400),
        (b"\r\n", 400),
        (b"0x1\r\n", 400),
        (b"1\r\nab\r\n", 400),
        (b"1\nab\r\n", 400),
        (b"1;" + b"e" * 1000 + b"\r\na\r\n", 400),
        (b"123456789\r\n", 400),
        (b"fffffff\r\n", 413),
        (b"0\r\n" + b"T: t\r\n" * 3000 + b"\r\n", 431),
    ],
)
def test_a_broken_chunked_coding_is_refused(start: Start, coding: bytes, status: int) -> None:
    with RawClient(start().port) as client:
        client.send(chunked(b"good", end=b"") + coding)
        assert client.statuses() == [status]


def test_many_small_chunks_cannot_exceed_the_limit(start: Start) -> None:
    with RawClient(start(Limits(body_bytes=1000)).port) as client:
        client.send(chunked(*[b"12345678"] * 126))
        assert client.statuses() == [413]


def test_a_client_still_sending_a_refused_body_reads_the_refusal(start: Start) -> None:
    with RawClient(start(Limits(body_bytes=1000)).port) as client:
        client.send(post(b"x" * 5_000_000))
        assert client.statuses() == [413]


def test_the_answer_to_head_has_no_body(start: Start) -> None:
    with RawClient(start().port) as client:
        client.send(b"HEAD /echo HTTP/1.1\r\nHost: h\r\n\r\n")
        while data := client.socket.recv(65536):
            client._read += data
        assert client._read.startswith(b"HTTP/1.1 405 ")
        assert client._read.endswith(b"\r\n\r\n")


def test_old_clients_and_those_that_ask_for_it_get_one_answer_per_connection(start: Start) -> None:
    port = start().port
    for head in (b"POST /echo HTTP/1.0\r\n\r\n", b"POST /echo HTTP/1.1\r\nHost: h\r\nConnection: x, Close\r\n\r\n"):
        with RawClient(port) as client:
            client.send(head)
            status, fields, _ = client.answer()
            assert (status, fields["connection"]) == (200, "close")
            assert client.closed()


def test_absolute_targets_and_queries_are_understood(start: Start) -> None:
    with RawClient(start().port) as client:
        client.send(post(b"1", "http://h:1/echo?a=b") + post(b"2", "/echo?c"))
        assert [client.answer()[2], client.answer()[2]] == [b"1", b"2"]


def test_something_that_is_not_http_is_refused_at_once(start: Start) -> None:
    with RawClient(start().port) as client:
        client.send(b"\x16\x03\x01\x02\x00\x01\x00")
        assert client.statuses() == [400]


def test_a_large_answer_is_compressed_for_those_who_accept_it(start: Start) -> None:
    with RawClient(start().port) as client:
        client.send(b"GET /large HTTP/1.1\r\nHost: h\r\nAccept-Encoding: br, gzip\r\n\r\n")
        _, fields, body = client.answer()
        assert fields["content-encoding"] == "gzip"
        assert gzip.decompress(body) == b"abc" * 100_000
        client.send(b"GET /large HTTP/1.1\r\nHost: h\r\nAccept-Encoding: gzip;q=0\r\n\r\n")
        _, fields, body = client.answer()
        assert "content-encoding" not in fields
        assert len(body) == 300_000


@pytest.mark.parametrize(
    ("sent", "statuses"),
    [
        (b"", []),
        (b"POST /ec", [408]),
        (b"POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhel", [408]),
        (b"POST /echo HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel", [408]),
    ],
    ids=["idle", "head", "body", "chunk"],
)
def test_a_slow_client_is_cut_off(start: Start, sent: bytes, statuses: list[int]) -> None:
    limits = Limits(idle_seconds=SHORT_SECONDS, head_seconds=SHORT_SECONDS, body_seconds=SHORT_SECONDS)
    observer = RecordingObserver()
    with RawClient(start(limits, observer=observer).port) as client:
        client.send(sent)
        assert client.statuses() == statuses
    assert [reason for _, reason in observer.refusals] == ["timeout"] * len(statuses)


def test_a_head_that_trickles_in_is_cut_off_although_it_never_pauses(start: Start) -> None:
    server = start(Limits(head_seconds=SHORT_SECONDS))
    with RawClient(server.port) as client:
        client.send(b"POST /echo HTTP/1.1\r\n")
        client.socket.settimeout(0.01)
        answer = b""
        for _ in range(1000):
            try:
                answer = client.socket.recv(65536)
                break
            except TimeoutError:
                client.send(b"X-Y: z\r\n")
        assert answer.startswith(b"HTTP/1.1 408 ")


def test_a_client_that_does_not_read_is_cut_off_and_does_not_fill_memory(start: Start) -> None:
    server = start(Limits(answer_seconds=SHORT_SECONDS))
    with RawClient(server.port, read_buffer_bytes=4096) as client:
        # More than the kernel keeps of requests on one side and of answers on the other.
        requests = b"GET /large HTTP/1.1\r\nHost: h\r\n\r\n" * 2_000_000
        with pytest.raises(ConnectionError):
            client.send(requests)


def test_connections_over_the_limit_are_turned_away(start: Start) -> None:
    observer = RecordingObserver()
    port = start(Limits(connections=2), observer=observer).port
    with RawClient(port) as first, RawClient(port) as second:
        assert first.send(post(b"1")).answer()[0] == 200
        assert second.send(post(b"2")).answer()[0] == 200
        with RawClient(port) as third:
            status, fields, _ = third.answer()
            assert (status, fields["retry-after"]) == (503, "1")
        first.socket.close()
        eventually(lambda: _is_served(port))
    assert ("", "queue_full") in observer.refusals


def _is_served(port: int) -> bool:
    with RawClient(port) as client:
        try:
            return client.send(post(b"x", fields="Connection: close\r\n")).statuses() == [200]
        except ConnectionError:  # Turned away while still sending.
            return False


def test_bodies_in_flight_are_bounded_over_all_connections(start: Start) -> None:
    observer = RecordingObserver()
    port = start(Limits(in_flight_bytes=1_000_000), observer=observer).port
    with RawClient(port) as first, RawClient(port) as second:
        head = b"POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 900000\r\n\r\n"
        first.send(head + b"x" * 800_000)
        second.send(b"POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 900000\r\n\r\n")
        # Which of the two reaches the limit depends on how fast the kernel hands the bytes over.
        second.send(b"x" * 800_000)
        eventually(lambda: observer.refusals == [("/echo", "queue_full")])
        clients = (first, second)
        for client in clients:
            client.finish()
        assert sorted(client.statuses() for client in clients) == [[], [429]]
    with RawClient(port) as client:
        assert client.send(post(b"x" * 900_000)).answer()[0] == 200


def test_a_body_that_stops_short_is_counted(start: Start) -> None:
    observer = RecordingObserver()
    with RawClient(start(observer=observer).port) as client:
        client.send(b"POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhel").finish()
        assert client.statuses() == []
    assert observer.refusals == [("/echo", "malformed")]


@pytest.mark.parametrize("inline", [always_inline, on_a_worker])
def test_a_defect_in_a_handler_is_a_500_for_its_request_only(
    start: Start, inline: Callable[[Request], bool], caplog: pytest.LogCaptureFixture
) -> None:
    def fail(request: Request) -> Response:
        raise KeyError(request.body.decode())

    routes = {**ROUTES, ("POST", "/fail"): Route(fail, inline)}
    port = start(routes=routes).port
    with RawClient(port) as other, RawClient(port) as client, caplog.at_level(logging.WARNING):
        assert other.send(post(b"1")).answer()[0] == 200
        assert client.send(post(b"secret", "/fail")).statuses() == [500]
        assert other.send(post(b"2")).answer()[0] == 200
    assert "KeyError" in caplog.text
    assert "secret" not in caplog.text


def test_shutdown_finishes_what_is_in_flight_and_closes_what_is_idle(start: Start) -> None:
    entered, leave = threading.Event(), threading.Event()

    def wait(_request: Request) -> Response:
        entered.set()
        leave.wait(DEADLINE_SECONDS)
        return Response(200, b"done")

    server = start(routes={("POST", "/wait"): Route(wait, on_a_worker)})
    with RawClient(server.port) as busy, RawClient(server.port) as idle, RawClient(server.port) as half:
        half.send(b"POST /wait HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n")
        assert half.answer()[0] == 100
        busy.send(post(b"x", "/wait"))
        assert entered.wait(DEADLINE_SECONDS)
        stopper = threading.Thread(target=server.shutdown, args=(DEADLINE_SECONDS,))
        stopper.start()
        assert idle.closed()
        leave.set()
        half.send(b"half")
        for client in (busy, half):
            status, fields, body = client.answer()
            assert (status, body, fields["connection"]) == (200, b"done", "close")
        stopper.join(DEADLINE_SECONDS)
        assert not stopper.is_alive()
    with pytest.raises(ConnectionError):
        RawClient(server.port)


def test_shutdown_cuts_off_what_takes_longer_than_the_deadline(start: Start) -> None:
    server = start()
    with RawClient(server.port) as client:
        client.send(b"POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhel")
        with RawClient(server.port) as other:
            other.send(post(b"x")).answer()
        server.shutdown(0.05)
        assert client.closed()


def test_shutdown_leaves_a_stuck_handler_behind(start: Start, caplog: pytest.LogCaptureFixture) -> None:
    entered, leave, left = threading.Event(), threading.Event(), threading.Event()

    def wait(_request: Request) -> Response:
        entered.set()
        leave.wait(DEADLINE_SECONDS)
        left.set()
        return Response(200, b"late")

    server = start(routes={("POST", "/wait"): Route(wait, on_a_worker)})
    with RawClient(server.port) as client:
        client.send(post(b"x", "/wait"))
        assert entered.wait(DEADLINE_SECONDS)
        server.shutdown(0.05)
        assert client.closed()
    workers = [thread for thread in threading.enumerate() if thread.name.startswith("http-worker")]
    leave.set()
    for worker in workers:
        worker.join(DEADLINE_SECONDS)
    assert left.is_set()
    assert caplog.text == ""


class Slow:
    """Answers when it is let go; an answer that is known later."""

    def __init__(self) -> None:
        self.asked = threading.Semaphore(0)
        self.wakes: list[Callable[[], None]] = []
        self.answer: Response | None = None
        self.defect: Exception | None = None

    def __call__(self, _request: Request) -> Slow:
        return self

    def ask(self, wake: Callable[[], None]) -> Response | None:
        if self.defect is not None:
            raise self.defect
        if self.answer is None:
            self.wakes.append(wake)
        self.asked.release()
        return self.answer


@pytest.mark.parametrize("inline", [always_inline, on_a_worker])
def test_an_answer_that_is_known_later_holds_up_nobody_else(start: Start, inline: Callable[[Request], bool]) -> None:
    slow = Slow()
    port = start(routes={**ROUTES, ("POST", "/slow"): Route(slow, inline)}).port
    with RawClient(port) as waiting, RawClient(port) as other:
        waiting.send(post(b"1", "/slow") + post(b"2"))
        assert slow.asked.acquire(timeout=DEADLINE_SECONDS)
        assert other.send(post(b"3")).answer()[2] == b"3"
        slow.wakes.pop()()  # too early: it is asked again
        assert slow.asked.acquire(timeout=DEADLINE_SECONDS)
        slow.answer = Response(200, b"done")
        slow.wakes.pop()()
        assert [waiting.answer()[2], waiting.answer()[2]] == [b"done", b"2"]


def test_a_defect_while_an_answer_is_waited_for_is_a_500(start: Start, caplog: pytest.LogCaptureFixture) -> None:
    slow = Slow()
    port = start(routes={("POST", "/slow"): Route(slow)}).port
    with RawClient(port) as client, caplog.at_level(logging.WARNING):
        client.send(post(b"secret", "/slow"))
        assert slow.asked.acquire(timeout=DEADLINE_SECONDS)
        slow.defect = KeyError("secret")
        slow.wakes.pop()()
        assert client.statuses() == [500]
    assert "KeyError" in caplog.text
    assert "secret" not in caplog.text


def test_the_room_of_a_client_that_left_before_its_answer_is_given_back(start: Start) -> None:
    slow = Slow()
    server = start(routes={("POST", "/slow"): Route(slow)})
    with RawClient(server.port) as client:
        client.send(post(b"x" * 1000, "/slow"))
        assert slow.asked.acquire(timeout=DEADLINE_SECONDS)
        # Closing resets the connection: one that is only half closed may still wait for its answer.
        client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    eventually(lambda: server.open_connections == 0)
    assert server.in_flight_bytes == 1000
    slow.answer = Response(200)
    slow.wakes.pop()()
    eventually(lambda: server.in_flight_bytes == 0)


def test_shutdown_waits_for_answers_that_are_known_later_and_not_longer_than_its_deadline(start: Start) -> None:
    slow, never = Slow(), Slow()
    server = start(routes={("POST", "/slow"): Route(slow), ("POST", "/never"): Route(never)})
    with RawClient(server.port) as client, RawClient(server.port) as other:
        client.send(post(b"1", "/slow"))
        other.send(post(b"1", "/never"))
        assert slow.asked.acquire(timeout=DEADLINE_SECONDS)
        assert never.asked.acquire(timeout=DEADLINE_SECONDS)
        stopper = threading.Thread(target=server.shutdown, args=(0.2,))
        stopper.start()
        slow.answer = Response(200, b"done")
        slow.wakes.pop()()
        assert client.answer()[2] == b"done"
        assert other.closed()
        stopper.join(DEADLINE_SECONDS)
    never.wakes.pop()()  # nobody is there any more


def test_only_one_empty_line_is_passed_over(start: Start) -> None:
    with RawClient(start().port) as client:
        client.send(b"\r\n" * 1000 + post(b"x"))
        assert client.statuses() == [400]


def test_shutdown_is_idempotent_and_safe_without_start() -> None:
    server = HttpServer(ROUTES, Settings())
    server.shutdown(0.1)
    server.start()
    server.shutdown(1.0)
    server.shutdown(1.0)


def test_two_servers_share_a_port_only_when_asked_to() -> None:
    with ExitStack() as stack:
        first = HttpServer(ROUTES, Settings(reuse_port=True))
        first.start()
        stack.callback(first.shutdown, 1.0)
        with pytest.raises(OSError, match="in use"):
            HttpServer(ROUTES, Settings(port=first.port)).start()
        second = HttpServer(ROUTES, Settings(port=first.port, reuse_port=True))
        second.start()
        stack.callback(second.shutdown, 1.0)


def test_all_interfaces_and_ipv6_can_be_listened_on() -> None:
    hosts = ["", "localhost", *(["::1"] if socket.has_ipv6 and socket.has_dualstack_ipv6() else [])]
    for host in hosts:
        server = HttpServer(ROUTES, Settings(host=host))
        server.start()
        connection = http.client.HTTPConnection(host or "127.0.0.1", server.port, timeout=DEADLINE_SECONDS)
        connection.request("POST", "/echo", b"x")
        assert connection.getresponse().read() == b"x"
        connection.close()
        server.shutdown(1.0)


def test_clients_that_never_shake_hands_count_as_connections_and_are_let_go(start: Start, tmp_path: Path) -> None:
    pem = make_certificates(tmp_path)
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(pem.cert_file, pem.key_file)
    observer = RecordingObserver()
    server = start(Limits(connections=5, head_seconds=SHORT_SECONDS), tls=tls, observer=observer)
    with ExitStack() as stack:
        address = ("127.0.0.1", server.port)
        silent = [stack.enter_context(socket.create_connection(address, DEADLINE_SECONDS)) for _ in range(40)]
        for client in silent[5:]:
            assert _is_closed(client)
        assert observer.refusals.count(("", "queue_full")) == 35
        for client in silent[:5]:  # when they have had their time
            assert _is_closed(client)
        trusting = ssl.create_default_context(cafile=pem.ca_file)
        connection = http.client.HTTPSConnection(*address, timeout=DEADLINE_SECONDS, context=trusting)
        connection.request("POST", "/echo", b"x")
        assert connection.getresponse().read() == b"x"
        connection.close()


def _is_closed(client: socket.socket) -> bool:
    try:
        return client.recv(1) == b""
    except ConnectionResetError:
        return True
