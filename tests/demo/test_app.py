"""The demo application, run whole: what it exports is what the gateway meets, and its provider knows the bill."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from otel_llm.demo.app import TURNS, run
from otel_llm.loopback import LoopbackProvider


class Receiver(ThreadingHTTPServer):
    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        super().__init__(("127.0.0.1", 0), Handler)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def spans(self) -> list[Span]:
        requests = map(ExportTraceServiceRequest.FromString, self.bodies)
        scopes = (
            scope for request in requests for resource in request.resource_spans for scope in resource.scope_spans
        )
        return [span for scope in scopes for span in scope.spans]


class Handler(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        self.server.bodies.append(self.rfile.read(int(self.headers["content-length"])))
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's signature
        pass


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture
def provider() -> Iterator[LoopbackProvider]:
    with LoopbackProvider() as running:
        yield running


def attributes(span: Span) -> dict[str, str | int]:
    return {pair.key: pair.value.string_value or pair.value.int_value for pair in span.attributes}


def model_calls(receiver: Receiver) -> list[dict[str, str | int]]:
    return [found for span in receiver.spans() if "gen_ai.operation.name" in (found := attributes(span))]


def test_every_turn_is_made_and_every_model_call_is_one_span(provider, receiver):
    turns = run(provider.url, receiver.url, capture_content=False)
    assert [turn.name for turn in turns] == [turn.__name__.replace("_", " ") for turn in TURNS]
    assert all(turn.answer for turn in turns)
    assert len(model_calls(receiver)) == len(provider.served()) == 12
    assert sum(span.name.startswith("turn: ") for span in receiver.spans()) == len(TURNS)


def test_spans_agree_with_what_the_provider_billed(provider, receiver):
    run(provider.url, receiver.url, capture_content=False)
    by_id = {call["gen_ai.response.id"]: call for call in model_calls(receiver) if "gen_ai.response.id" in call}
    billed = [served for served in provider.served() if served.usage_reported and served.api != "embeddings"]
    assert len(billed) == 9
    for served in billed:
        call = by_id[served.response_id]
        assert call["gen_ai.usage.input_tokens"] == served.usage.input_tokens
        assert call["gen_ai.usage.output_tokens"] == served.usage.output_tokens
        assert call.get("gen_ai.usage.cache_read.input_tokens", 0) == served.usage.cache_read_tokens
        assert call.get("gen_ai.usage.cache_write.input_tokens", 0) == served.usage.cache_write_tokens


def test_the_hard_cases_are_there(provider, receiver):
    run(provider.url, receiver.url, capture_content=False)
    served = provider.served()
    assert [entry.status for entry in served].count(429) == 1
    assert [entry.request_model for entry in served if entry.stream and not entry.usage_reported] == ["gpt-4.1-mini"]
    assert any(entry.usage and entry.usage.cache_write_tokens for entry in served)
    assert any(entry.usage and entry.usage.cache_read_tokens for entry in served)
    assert any(entry.usage and entry.usage.reasoning_tokens for entry in served)
    assert "acme-support-7b" in [entry.request_model for entry in served]


@pytest.mark.parametrize("capture_content", [False, True])
def test_content_is_captured_only_when_asked_for(provider, receiver, capture_content):
    run(provider.url, receiver.url, capture_content=capture_content)
    sent = b"".join(receiver.bodies)
    for said in (b"How long does delivery take?", b"Promise no dates", b"Can I get a refund?"):
        assert (said in sent) == capture_content


def test_the_process_environment_is_left_as_it_was(provider, receiver):
    before = dict(os.environ)
    run(provider.url, receiver.url, capture_content=True)
    assert dict(os.environ) == before


def test_a_proxy_in_the_environment_is_not_asked_for_loopback(provider, receiver, monkeypatch):
    for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    run(provider.url, receiver.url, capture_content=False)
    assert len(model_calls(receiver)) == 12
