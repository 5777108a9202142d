"""A server on loopback that answers as it is told: by the end of the path, with JSON, lines, events or bytes."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(frozen=True, slots=True)
class Answer:
    """What a path is answered with.

    Attributes:
        body: an object or a list, as JSON; bytes as they are; a function makes it anew for each request.
        chunks: pieces of a stream, sent one by one.
        kind: the content type.
        status: the HTTP status.
        headers: further headers.
        cut: whether the connection ends in the middle of the stream.
        pause_seconds: between two chunks.
    """

    body: Any = None
    chunks: Sequence[bytes] = ()
    kind: str = "application/json"
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    cut: bool = False
    pause_seconds: float = 0.0


def events(*items: Any, done: bool = False) -> Answer:
    """Server-sent events of JSON."""
    chunks = [b"data: " + json.dumps(item).encode() + b"\n\n" for item in items]
    return Answer(chunks=[*chunks, *([b"data: [DONE]\n\n"] if done else [])], kind="text/event-stream")


def named_events(*items: tuple[str, Any]) -> Answer:
    """Server-sent events with names."""
    chunks = [f"event: {name}\ndata: {json.dumps(item)}\n\n".encode() for name, item in items]
    return Answer(chunks=chunks, kind="text/event-stream")


def lines(*items: Any) -> Answer:
    """One JSON a line."""
    return Answer(chunks=[json.dumps(item).encode() + b"\n" for item in items], kind="application/x-ndjson")


@dataclass(frozen=True, slots=True)
class Asked:
    """A request that came.

    Attributes:
        path: with its query.
        headers: names in lower case.
        body: what it sent.
    """

    path: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Answers(ThreadingHTTPServer):
    """Use it in a `with` block."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self) -> None:
        self.answers: dict[str, Answer] = {}
        self.asked: list[Asked] = []
        super().__init__(("127.0.0.1", 0), _Handler)
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def port(self) -> int:
        return int(self.server_address[1])

    def __exit__(self, *args: object) -> None:
        self.shutdown()
        super().__exit__(*args)


class _Handler(BaseHTTPRequestHandler):
    server: Answers
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        if "chunked" in (self.headers.get("transfer-encoding") or ""):
            body = self._read_chunked()
        self.server.asked.append(Asked(self.path, {key.lower(): value for key, value in self.headers.items()}, body))
        path = self.path.partition("?")[0]
        found = [answer for end, answer in self.server.answers.items() if path.endswith(end)]
        self._send(found[0] if found else Answer({"error": f"no answer for {path}"}, status=404))

    do_GET = do_PUT = do_POST  # noqa: N815 - the base class's names

    def _read_chunked(self) -> bytes:
        body = b""
        while size := int(self.rfile.readline(), 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def _send(self, answer: Answer) -> None:
        self.send_response(answer.status)
        for key, value in answer.headers.items():
            self.send_header(key, value)
        self.send_header("content-type", answer.kind)
        if answer.chunks:
            self.send_header("transfer-encoding", "chunked")
            self.end_headers()
            self._send_chunks(answer)
            return
        found = answer.body() if callable(answer.body) else answer.body
        body = found if isinstance(found, bytes) else json.dumps(found).encode()
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _send_chunks(self, answer: Answer) -> None:
        try:
            for chunk in answer.chunks:
                self.wfile.write(f"{len(chunk):x}\r\n".encode() + chunk + b"\r\n")
                self.wfile.flush()
                time.sleep(answer.pause_seconds)
            if not answer.cut:
                self.wfile.write(b"0\r\n\r\n")
        except OSError:  # the client has gone
            self.close_connection = True
        if answer.cut:
            self.close_connection = True

    def handle_one_request(self) -> None:
        try:
            super().handle_one_request()
        except OSError:  # a client that has gone
            self.close_connection = True

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's signature
        """Quiet."""
