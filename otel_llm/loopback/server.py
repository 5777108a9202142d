"""The loopback provider on a socket: HTTP/1.1 with keep-alive and chunked streams, on loopback by default."""

from __future__ import annotations

import json
import logging
import socket
import sys
import threading
import time
from collections import deque
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Final, Self

from otel_llm.loopback.directives import HEADER
from otel_llm.loopback.json_types import JsonObject
from otel_llm.loopback.ledger import Served
from otel_llm.loopback.provider import Answer, Provider

MAX_BODY_BYTES: Final = 32 * 1024 * 1024
_IDLE_SECONDS: Final = 60.0
_LOGGER = logging.getLogger(__name__)


class LoopbackProvider:
    """A model provider on a port of its own, for demos and tests. Needs no account and leaves no machine.

    Start it, point SDKs at `openai_base_url` or `anthropic_base_url` with any API key, shut it down; or use `with`.

    Args:
        port: 0 for any that is free.
        host: to listen on.
        kept_bodies: of how many requests, the newest, the bodies are kept for `bodies`.

    Raises:
        OSError: from `__init__`, when the port is taken.
    """

    def __init__(self, port: int = 0, host: str = "127.0.0.1", *, kept_bodies: int = 0) -> None:
        self._provider = Provider()
        self._bodies: deque[bytes] = deque(maxlen=kept_bodies)
        self._server = _Server((host, port), self._provider, self._bodies)
        self._thread: threading.Thread | None = None

    @property
    def url(self) -> str:
        """Where it listens, without a path; the port is the real one when 0 was asked for."""
        host, port = self._server.server_address[:2]
        return f"http://{host!s}:{port}"

    @property
    def openai_base_url(self) -> str:
        """The base URL for the OpenAI SDK."""
        return f"{self.url}/v1"

    @property
    def anthropic_base_url(self) -> str:
        """The base URL for the Anthropic SDK, which adds `/v1` by itself."""
        return self.url

    def start(self) -> Self:
        """Serve on a thread of its own."""
        if self._thread is None:
            self._thread = threading.Thread(
                target=self._server.serve_forever, args=(0.05,), name="loopback-provider", daemon=True
            )
            self._thread.start()
        return self

    def served(self) -> tuple[Served, ...]:
        """What was served so far, in the order in which the answers began to go out."""
        return self._provider.ledger.entries()

    def bodies(self) -> tuple[bytes, ...]:
        """The bodies of requests as they arrived, oldest first, as far as they are kept."""
        return tuple(self._bodies)

    def forget(self) -> None:
        """Empty the ledger; ids go on counting and caches stay warm."""
        self._provider.ledger.clear()

    def shutdown(self) -> None:
        """Stop serving and close every connection. May be called twice, and without `start`."""
        if self._thread is not None:
            self._server.shutdown()
            self._thread.join(timeout=5)
            self._thread = None
        self._server.server_close()
        self._server.close_connections()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.shutdown()


class _Server(ThreadingHTTPServer):
    """Knows its open connections, so that keep-alive ones do not outlive it. `_open` is guarded by `_open_lock`."""

    daemon_threads = True
    block_on_close = False
    # With the usual 5, apps that connect at the same time wait a second or three for the system to try again.
    request_queue_size = 128

    def __init__(self, address: tuple[str, int], provider: Provider, bodies: deque[bytes]) -> None:
        self.provider = provider
        self.bodies = bodies
        self._open: set[socket.socket] = set()
        self._open_lock = threading.Lock()
        super().__init__(address, _Handler)

    def process_request(self, request: socket.socket | tuple[bytes, socket.socket], client_address: object) -> None:
        if isinstance(request, socket.socket):
            with self._open_lock:
                self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: socket.socket | tuple[bytes, socket.socket]) -> None:
        if isinstance(request, socket.socket):
            with self._open_lock:
                self._open.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: object, client_address: object) -> None:  # noqa: ARG002 - the base class's signature
        """A caller that went away is no error of the server; anything else is a defect, logged without the request."""
        error = sys.exception()
        if not isinstance(error, OSError):
            _LOGGER.error("the loopback provider failed to answer a request", exc_info=error)

    def close_connections(self) -> None:
        """Wake every connection's thread, which then closes it."""
        with self._open_lock:
            for connection in self._open:
                try:
                    connection.shutdown(socket.SHUT_RDWR)
                except OSError:
                    continue  # the caller was faster


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version = "otel-llm-loopback"
    sys_version = ""
    disable_nagle_algorithm = True
    timeout = _IDLE_SECONDS
    server: _Server

    def do_GET(self) -> None:
        match self.path:
            case "/health":
                self._send_json(200, {"status": "ok"})
            case "/ledger":
                self._send_json(200, self.server.provider.ledger.as_json())
            case _:
                self._send_json(
                    404, {"error": {"message": "GET knows /health and /ledger.", "type": "invalid_request_error"}}
                )

    def do_DELETE(self) -> None:
        if self.path == "/ledger":
            self.server.provider.ledger.clear()
            self._send_json(200, {"status": "ok"})
        else:
            self._send_json(404, {"error": {"message": "DELETE knows /ledger.", "type": "invalid_request_error"}})

    def do_POST(self) -> None:
        length = self.headers.get("content-length", "")
        if not length.isascii() or not length.isdigit():
            self._refuse(411, "Content-Length must be a whole number; chunked requests are not read.")
            return
        if int(length) > MAX_BODY_BYTES:
            self._refuse(413, f"The body must not be longer than {MAX_BODY_BYTES} bytes.")
            return
        body = self.rfile.read(int(length))
        self.server.bodies.append(body)
        self._send(self.server.provider.answer(self.path, self.headers.get(HEADER), body))

    def _refuse(self, status: int, message: str) -> None:
        self.close_connection = True  # the body was not read
        self._send_json(status, {"error": {"message": message, "type": "invalid_request_error"}})

    def _send(self, answer: Answer) -> None:
        if answer.delay_seconds:
            time.sleep(answer.delay_seconds)
        ledger = self.server.provider.ledger
        number = None if answer.served is None else ledger.add(answer.served)
        try:
            self._send_body(answer, answer.body) if answer.body is not None else self._send_events(answer)
        except OSError:
            if number is not None:
                ledger.broke_off(number)
            raise

    def _send_body(self, answer: Answer, body: JsonObject) -> None:
        if answer.ends == "cut":
            self.close_connection = True
        else:
            self._send_json(answer.status, body, answer.headers)

    def _send_events(self, answer: Answer) -> None:
        framing = {"content-type": "text/event-stream; charset=utf-8", "transfer-encoding": "chunked"}
        self._send_head(answer.status, {**answer.headers, **framing})
        for event in answer.events:
            self.wfile.write(b"%x\r\n%b\r\n" % (len(event), event))
        if answer.ends == "cut":
            self.close_connection = True
        else:
            self.wfile.write(b"0\r\n\r\n")

    def _send_json(self, status: int, body: JsonObject, headers: dict[str, str] | None = None) -> None:
        data = json.dumps(body, separators=(",", ":")).encode()
        self._send_head(
            status, {**(headers or {}), "content-type": "application/json", "content-length": str(len(data))}
        )
        self.wfile.write(data)

    def _send_head(self, status: int, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if self.close_connection:
            self.send_header("connection", "close")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's signature
        """Requests are not logged: their path and size are the caller's business, and the ledger has the rest."""
