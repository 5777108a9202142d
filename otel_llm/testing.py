"""Test doubles that are real: a destination that answers as told, in memory and over sockets, and a clock to turn.

    destination = Destination()
    destination.will(Answer.unavailable(), Answer.partial(3, "too old"))      # then it accepts
    with OtlpHttpSink(destination) as sink:
        ...                                                                   # send to sink.endpoint
        destination.wait_for(lambda: destination.items == 512)

`Destination` holds what came and decides what to answer; `InMemoryExporter`, `OtlpHttpSink` and `OtlpGrpcSink` are
three ways to reach it. Nothing here sleeps: waits end with an event or with their deadline.
"""

from __future__ import annotations

import gzip
import re
import socket
import ssl
import threading
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import TYPE_CHECKING, Literal, Self

from google.protobuf.duration_pb2 import Duration
from google.rpc.error_details_pb2 import RetryInfo  # type: ignore[import-untyped]  # publishes no types
from google.rpc.status_pb2 import Status  # type: ignore[import-untyped]  # as above
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from otel_llm.admission import ALLOW, Decision
from otel_llm.delivery.split import count_items
from otel_llm.errors import CredentialsError, RejectedError, RetryableError, TooLargeError
from otel_llm.exporters.exporter import ExportResult
from otel_llm.http.free_ports import bind_free
from otel_llm.operation import Message, Operation
from otel_llm.signals import SIGNALS, Payload, Signal

if TYPE_CHECKING:
    import grpc

_LONGEST_HANG_SECONDS = 30.0

Kind = Literal["accept", "throttled", "unavailable", "too_large", "bad_request", "unauthorized", "hang", "disconnect"]


class FakeClock:
    """A Clock that stands still until it is told otherwise; thread-safe."""

    def __init__(self, unix_nano: int = 1_795_003_200_000_000_000, monotonic: float = 1000.0) -> None:
        self._unix_nano = unix_nano
        self._monotonic = monotonic
        self._lock = threading.Lock()

    def unix_nano(self) -> int:
        """Wall-clock time in nanoseconds since 1970."""
        with self._lock:
            return self._unix_nano

    def monotonic(self) -> float:
        """Seconds from an arbitrary start."""
        with self._lock:
            return self._monotonic

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        with self._lock:
            self._unix_nano += int(seconds * 1e9)
            self._monotonic += seconds


@dataclass(frozen=True, slots=True)
class Answer:
    """What a destination does with one request.

    Attributes:
        kind: what it does; `hang` never answers, `disconnect` closes the connection instead.
        rejected: items it turns away although it accepts the request.
        message: what it says.
        retry_after_seconds: when to try again, None when it does not say.
    """

    kind: Kind = "accept"
    rejected: int = 0
    message: str = ""
    retry_after_seconds: float | None = None

    @classmethod
    def partial(cls, rejected: int, message: str) -> Self:
        """Take a request but for some items."""
        return cls(rejected=rejected, message=message)

    @classmethod
    def throttled(cls, retry_after_seconds: float = 1.0) -> Self:
        """429, or RESOURCE_EXHAUSTED with retry information."""
        return cls("throttled", message="slow down", retry_after_seconds=retry_after_seconds)

    @classmethod
    def unavailable(cls, retry_after_seconds: float | None = None) -> Self:
        """503, or UNAVAILABLE."""
        return cls("unavailable", message="try later", retry_after_seconds=retry_after_seconds)

    @classmethod
    def bad_request(cls, message: str = "not understood") -> Self:
        """400, or INVALID_ARGUMENT."""
        return cls("bad_request", message=message)


ACCEPT = Answer()
UNAUTHORIZED = Answer("unauthorized", message="the token has run out")
TOO_LARGE = Answer("too_large", message="Received message larger than max")
HANG = Answer("hang")
DISCONNECT = Answer("disconnect")


@dataclass(frozen=True, slots=True)
class Received:
    """One request that reached a destination.

    Attributes:
        signal: which service it was for.
        body: the serialized request, inflated.
        headers: header fields or metadata, names in lower case.
        answer: what was answered.
    """

    signal: Signal
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)
    answer: Answer = ACCEPT


class Destination:
    """What came to a fake destination, and what it answers; thread-safe.

    Args:
        max_body_bytes: larger requests are too large.
        default: the answer when no other is scripted.
        refuses: tells which requests are a bad request for what is in them.

    Attributes:
        received: every request, in order, whatever was answered.
        default: may be changed at any time.
    """

    def __init__(
        self,
        max_body_bytes: int | None = None,
        default: Answer = ACCEPT,
        refuses: Callable[[Signal, bytes], bool] = lambda signal, body: False,  # noqa: ARG005 - takes everything
    ) -> None:
        self.default = default
        self._refuses = refuses
        self.received: list[Received] = []
        self._max_body_bytes = max_body_bytes
        self._script: deque[Answer] = deque()
        self._changed = threading.Condition()
        self._released = threading.Event()

    def will(self, *answers: Answer) -> None:
        """Give these answers to the next requests, in order."""
        with self._changed:
            self._script.extend(answers)

    def take(self, signal: Signal, body: bytes, headers: Mapping[str, str] | None = None) -> Answer:
        """Record a request and decide on the answer; blocks to hang."""
        with self._changed:
            if self._max_body_bytes is not None and len(body) > self._max_body_bytes:
                answer = TOO_LARGE
            elif self._refuses(signal, body):
                answer = Answer.bad_request("something in it is invalid")
            else:
                answer = self._script.popleft() if self._script else self.default
            self.received.append(Received(signal, body, headers or {}, answer))
            self._changed.notify_all()
        if answer.kind == "hang":
            self._released.wait(_LONGEST_HANG_SECONDS)
        return answer

    def release(self) -> None:
        """End all hanging, now and from now on."""
        self._released.set()

    @property
    def accepted(self) -> list[Received]:
        """The requests it took."""
        return [request for request in list(self.received) if request.answer.kind == "accept"]

    @property
    def items(self) -> int:
        """Spans, data points and log records in the requests it took, without those rejected."""
        return sum(count_items(r.signal, r.body) - r.answer.rejected for r in self.accepted)

    def wait_for(self, condition: Callable[[], bool], timeout_seconds: float = 10.0) -> None:
        """Wait until the condition holds, looking again after each request.

        Raises:
            AssertionError: it did not come to hold in time.
        """
        with self._changed:
            if not self._changed.wait_for(condition, timeout_seconds):
                got = [f"{request.signal} {len(request.body)} B {request.answer.kind}" for request in self.received]
                raise AssertionError(f"not within {timeout_seconds} s; received: {got}")


class ScriptedAdmission:
    """An Admission that does as it is told, and remembers what it was asked.

    Args:
        admit: decides; may change the operation, or raise.
        on_error: as of every admission.

    Attributes:
        name: as of every admission.
        on_error: as of every admission.
        asked: the requests so far: model and messages of each.
    """

    def __init__(
        self, admit: Callable[[Operation], Decision] = lambda _: ALLOW, on_error: Literal["allow", "deny"] = "allow"
    ) -> None:
        self.name = "scripted"
        self.on_error = on_error
        self.asked: list[tuple[str | None, tuple[Message, ...]]] = []
        self._admit = admit

    def admit(self, operation: Operation) -> Decision:
        """Remember and decide."""
        self.asked.append((operation.request_model, operation.input_messages))
        return self._admit(operation)


class InMemoryExporter:
    """An Exporter whose destination is in the same process.

    Args:
        destination: what answers.
        signals: what it takes.

    Attributes:
        is_shut_down: whether it was shut down.
    """

    def __init__(self, destination: Destination | None = None, signals: frozenset[Signal] = frozenset(SIGNALS)) -> None:
        self.destination = destination or Destination()
        self.signals = signals
        self.is_shut_down = False

    def export(self, payload: Payload, timeout_seconds: float) -> ExportResult:  # noqa: ARG002 - the Exporter's call
        """Hand the payload over; answers become results and errors."""
        answer = self.destination.take(payload.signal, payload.join())
        if answer.kind == "accept":
            return ExportResult(answer.rejected, answer.message)
        if answer.kind == "too_large":
            raise TooLargeError(answer.message)
        if answer.kind == "bad_request":
            raise RejectedError(answer.message)
        if answer.kind == "unauthorized":
            raise CredentialsError(answer.message)
        raise RetryableError(answer.message or answer.kind, answer.retry_after_seconds)

    def shutdown(self) -> None:
        """End all hanging."""
        self.is_shut_down = True
        self.destination.release()


def response_body(answer: Answer) -> bytes:
    """The Export response for an accepted request; the same bytes for all three signals."""
    response = ExportTraceServiceResponse()
    if answer.rejected or answer.message:
        response.partial_success.rejected_spans = answer.rejected
        response.partial_success.error_message = answer.message
    return response.SerializeToString()


_HTTP_STATUS = {"throttled": 429, "unavailable": 503, "too_large": 413, "bad_request": 400, "unauthorized": 401}
_PATH = re.compile(r"/v1/(traces|metrics|logs)")


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length", "0")))
        if self.headers.get("content-encoding") == "gzip":
            body = gzip.decompress(body)
        path = _PATH.search(self.path)
        if path is None:
            self._answer(404, b"")
            return
        headers = {name.lower(): value for name, value in self.headers.items()}
        signal: Signal = path[1]  # type: ignore[assignment] # the pattern lists the three
        answer = self.server.destination.take(signal, body, headers)
        if answer.kind in ("hang", "disconnect"):
            self.close_connection = True
        elif answer.kind == "accept":
            self._answer(200, response_body(answer))
        else:
            self._answer(_HTTP_STATUS[answer.kind], _status(answer), answer.retry_after_seconds)

    def _answer(self, status: int, body: bytes, retry_after_seconds: float | None = None) -> None:
        self.send_response(status)
        self.send_header("content-type", "application/x-protobuf")
        self.send_header("content-length", str(len(body)))
        if retry_after_seconds is not None:
            self.send_header("retry-after", f"{retry_after_seconds:g}")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name in the base class
        """Stay quiet."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    # A response to a client that went away is not this test's business.
    block_on_close = False

    def __init__(self, destination: Destination, port: int, tls: ssl.SSLContext | None) -> None:
        self.destination = destination
        super().__init__(("127.0.0.1", port), _Handler)
        if tls is not None:
            self.socket = tls.wrap_socket(self.socket, server_side=True)

    def handle_error(self, request: object, client_address: object) -> None:
        """Clients of tests break off on purpose."""


class OtlpHttpSink:
    """An OTLP/HTTP server on loopback; a context manager.

    Args:
        destination: what answers.
        port: 0 for any that is free.
        tls: serve HTTPS with this.
    """

    def __init__(
        self, destination: Destination | None = None, *, port: int = 0, tls: ssl.SSLContext | None = None
    ) -> None:
        self.destination = destination or Destination()
        self._server = _Server(self.destination, port, tls)
        self.port: int = self._server.server_address[1]
        self.endpoint = f"{'https' if tls else 'http'}://127.0.0.1:{self.port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.destination.release()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)


def _status(answer: Answer, code: int = 0) -> bytes:
    status = Status(code=code, message=answer.message)
    if answer.retry_after_seconds is not None:
        nanos = int(answer.retry_after_seconds * 1e9)
        info = RetryInfo(retry_delay=Duration(seconds=nanos // 10**9, nanos=nanos % 10**9))
        status.details.add().Pack(info)
    body: bytes = status.SerializeToString()
    return body


_GRPC_CODES = {
    "throttled": "RESOURCE_EXHAUSTED",
    "too_large": "RESOURCE_EXHAUSTED",
    "bad_request": "INVALID_ARGUMENT",
    "unauthorized": "UNAUTHENTICATED",
}
_PACKAGES: dict[Signal, str] = {"traces": "trace.v1.Trace", "metrics": "metrics.v1.Metrics", "logs": "logs.v1.Logs"}


class OtlpGrpcSink:
    """An OTLP/gRPC server on loopback; a context manager. `endpoint` is host:port.

    Args:
        destination: what answers.
        port: 0 for any that is free.
        credentials: serve TLS with these.
        max_receive_bytes: the server's own limit of a message, as gRPC servers have one; 4 MiB as is usual.
    """

    def __init__(
        self,
        destination: Destination | None = None,
        *,
        port: int = 0,
        credentials: grpc.ServerCredentials | None = None,
        max_receive_bytes: int = 4 * 1024 * 1024,
    ) -> None:
        import grpc  # noqa: PLC0415 - tests without gRPC need no grpcio

        self.destination = destination or Destination()
        self._codes = grpc.StatusCode
        options = (("grpc.max_receive_message_length", max_receive_bytes), ("grpc.so_reuseport", 0))
        self._server = grpc.server(ThreadPoolExecutor(8), options=options)
        for signal in SIGNALS:
            service = f"opentelemetry.proto.collector.{_PACKAGES[signal]}Service"
            handler = grpc.unary_unary_rpc_method_handler(self._handler(signal))
            self._server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, {"Export": handler}),))
        address = f"127.0.0.1:{port}"
        if credentials is None:
            self.port: int = self._server.add_insecure_port(address)
        else:
            self.port = self._server.add_secure_port(address, credentials)
        self.endpoint = f"127.0.0.1:{self.port}"

    def _handler(self, signal: Signal) -> Callable[[bytes, grpc.ServicerContext], bytes]:
        def export(body: bytes, context: grpc.ServicerContext) -> bytes:
            metadata = {key: value for key, value in context.invocation_metadata() if isinstance(value, str)}
            answer = self.destination.take(signal, body, metadata)
            if answer.kind == "accept":
                return response_body(answer)
            code = self._codes[_GRPC_CODES.get(answer.kind, "UNAVAILABLE")]
            if answer.retry_after_seconds is not None:
                context.set_trailing_metadata((("grpc-status-details-bin", _status(answer, code.value[0])),))
            context.abort(code, answer.message)
            raise AssertionError("abort raises")

        return export

    def __enter__(self) -> Self:
        self._server.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.destination.release()
        self._server.stop(0).wait(5)


def unused_port() -> int:
    """A port on loopback where nobody listens: connections are refused, until a server is told to listen there."""
    with socket.socket() as probe:
        bind_free(probe)
        port: int = probe.getsockname()[1]
    return port
