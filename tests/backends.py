"""Langfuse and Phoenix as far as our sinks speak to them: their paths, credentials, bodies and upserts, on loopback."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from otel_llm.http.message import Request, Response, Route
from otel_llm.http.server import HttpServer, Settings

LANGFUSE_KEYS = ("pk-lf-test", "sk-lf-test")


class Backend:
    """What came to it, by what identifies it there.

    Attributes:
        kept: the scores or annotations; a later one of the same id takes the place of the one before.
        requests: how many came, refused ones included.
    """

    def __init__(self) -> None:
        self.kept: dict[tuple[str, ...], dict[str, Any]] = {}
        self.requests = 0
        self.fail_with: list[int] = []
        self.endpoint = ""
        self._changed = threading.Condition()

    def came(self) -> Response | None:
        """Count a request; the failure it is to get, None for none."""
        with self._changed:
            self.requests += 1
            self._changed.notify_all()
            return Response(self.fail_with.pop(0)) if self.fail_with else None

    def keep(self, key: tuple[str, ...], value: dict[str, Any]) -> None:
        """Take something in."""
        with self._changed:
            self.kept[key] = value
            self._changed.notify_all()

    def wait_for(self, number: int) -> list[dict[str, Any]]:
        """What is kept, when so many are."""
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.kept) >= number, 10), self.kept
            return list(self.kept.values())

    def wait_for_requests(self, number: int) -> None:
        """Wait until so many requests came."""
        with self._changed:
            assert self._changed.wait_for(lambda: self.requests >= number, 10), self.requests


@contextmanager
def _serving(backend: Backend, routes: dict[tuple[str, str], Route]) -> Iterator[Backend]:
    server = HttpServer(routes, Settings(name="backend", worker_threads=1))
    server.start()
    backend.endpoint = f"http://127.0.0.1:{server.port}"
    try:
        yield backend
    finally:
        server.shutdown(1)


@contextmanager
def langfuse() -> Iterator[Backend]:
    """Langfuse's scores: Basic authentication, one score a request, value and data type must fit."""
    backend = Backend()
    basic = "Basic " + base64.b64encode(":".join(LANGFUSE_KEYS).encode()).decode()

    def scores(request: Request) -> Response:
        failure = backend.came()
        if failure is not None:
            return failure
        if request.headers.get("authorization") != basic:
            return Response(401)
        body = json.loads(request.body)
        fits = {"NUMERIC": (int, float), "CATEGORICAL": str}[body["dataType"]]
        if not (isinstance(body["value"], fits) and body["traceId"] and body["name"]):
            return Response(400)
        backend.keep((body["id"],), body)
        return Response(200, json.dumps({"id": body["id"]}).encode(), "application/json")

    with _serving(backend, {("POST", "/api/public/scores"): Route(scores)}) as served:
        yield served


@contextmanager
def phoenix() -> Iterator[Backend]:
    """Phoenix's annotations of spans and traces, upserted by target, name and identifier; `note` is refused."""
    backend = Backend()

    def annotations(request: Request) -> Response:
        failure = backend.came()
        if failure is not None:
            return failure
        found = json.loads(request.body)["data"]
        if any(one["name"] == "note" or one["annotator_kind"] not in ("LLM", "CODE", "HUMAN") for one in found):
            return Response(400)
        for one in found:
            backend.keep((one.get("span_id") or one["trace_id"], one["name"], one["identifier"]), one)
        return Response(200, b'{"data":[]}', "application/json")

    paths = ("/v1/span_annotations", "/v1/trace_annotations")
    with _serving(backend, {("POST", path): Route(annotations) for path in paths}) as served:
        yield served
