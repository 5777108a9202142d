"""What is said, on either side, when a Collector and the gateway are set up so that they cannot talk.

Wrong addresses and protocols hold telemetry back until they are mended. What the other side refuses for good (a key it
does not know, a path, an encoding) is given up by the Collector, as OTLP has it; docs/collector.md says what to do.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from otel_llm.testing import OtlpHttpSink
from tests.collector_config.collector import COLLECTOR_MARKS
from tests.collector_config.topology import PATIENCE_SECONDS, Front, Middle, Sender, collector, gateway, wait_for_items
from tests.delivery.requests import traces

pytestmark = COLLECTOR_MARKS

_KEY = "a-key-of-tests-0123456789"
_KEPT, _GIVEN_UP = "Will retry the request", "Dropping data"


class Said(logging.Handler):
    """What the gateway logs."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._text = ""
        self._changed = threading.Condition()

    def emit(self, record: logging.LogRecord) -> None:
        with self._changed:
            self._text += record.getMessage() + "\n"
            self._changed.notify_all()

    def wait_for(self, words: str) -> None:
        with self._changed:
            assert self._changed.wait_for(lambda: words in self._text, PATIENCE_SECONDS), self._text


@pytest.fixture
def said() -> Iterator[Said]:
    handler, logger = Said(), logging.getLogger("otel_llm")
    logger.addHandler(handler)
    yield handler
    logger.removeHandler(handler)


@pytest.fixture
def backend() -> Iterator[OtlpHttpSink]:
    with OtlpHttpSink() as sink:
        yield sink


def _sends_to(exporter: str, sink_endpoint: str, *rest: str) -> tuple[str, ...]:
    """The gateway's file with one exporter for all signals."""
    return (
        f"exporters={{{exporter}/next: {{endpoint: {sink_endpoint}{''.join(f', {one}' for one in rest)}}}}}",
        *(f"service.pipelines.{signal}.exporters=[{exporter}/next]" for signal in ("traces", "metrics", "logs")),
        "service.shutdown_timeout_seconds=0",
    )


def _grpc(endpoint: str, *rest: str) -> str:
    """Over agent's file: OTLP/gRPC in place of OTLP/HTTP."""
    signals = ", ".join(f"{signal}: {{exporters: [otlp_grpc/llm]}}" for signal in ("traces", "metrics", "logs"))
    settings = ", ".join((f"endpoint: '{endpoint}'", *rest))
    return f"exporters: {{otlp_grpc/llm: {{{settings}}}}}\nservice: {{pipelines: {{{signals}}}}}"


def _http(endpoint: str, *rest: str) -> str:
    settings = ", ".join((f"endpoint: '{endpoint}'", *rest))
    return f"exporters: {{otlp_http/llm: {{{settings}}}}}"


_PLAIN = "tls: {insecure: true}"


@dataclass(frozen=True)
class Wrong:
    """A Collector that is set up wrongly.

    Attributes:
        over: what is laid over the agent's file.
        collector, gateway: what either says; the gateway says nothing where no request reaches it.
        outcome: whether the Collector keeps what it has.
        key: the gateway wants one.
    """

    over: Callable[[Middle], str]
    collector: str
    gateway: str | None
    outcome: str
    key: bool = False


_IN_FRONT = {
    "OTLP/HTTP to the port for gRPC": Wrong(
        lambda to: _http(f"http://{to.grpc}"), "malformed HTTP response", None, _KEPT
    ),
    "OTLP/gRPC to the port for HTTP": Wrong(
        lambda to: _grpc(to.endpoint.removeprefix("http://"), _PLAIN),
        "the frame header looked like an HTTP/1.1 header",
        "HTTP/2.0 is not supported here; gRPC has a port of its own",
        _KEPT,
    ),
    "TLS to a gRPC port without": Wrong(
        lambda to: _grpc(to.grpc), "first record does not look like a TLS handshake", None, _KEPT
    ),
    "TLS to an HTTP port without": Wrong(
        lambda to: _http(to.endpoint.replace("http:", "https:")),
        "server gave HTTP response to HTTPS client",
        "this is not HTTP; this port speaks plain HTTP/1.1",
        _KEPT,
    ),
    "a port where nobody listens": Wrong(lambda _: _http("http://127.0.0.1:9"), "connection refused", None, _KEPT),
    "an endpoint that has the path already": Wrong(
        lambda to: _http(f"{to.endpoint}/v1/traces"),
        "responded with HTTP Status Code 404",
        "there is nothing at this path; what is here: /v1/traces",
        _GIVEN_UP,
    ),
    "a compression that the gateway does not know": Wrong(
        lambda to: _http(to.endpoint, "compression: zstd"),
        "the content encoding is not supported; use gzip, deflate or none",
        "the content encoding is not supported; use gzip, deflate or none",
        _GIVEN_UP,
    ),
    "the same over gRPC": Wrong(
        lambda to: _grpc(to.grpc, _PLAIN, "compression: zstd"),
        "Error parsing 'grpc-encoding' metadata",
        None,
        _GIVEN_UP,
    ),
    "no key over HTTP": Wrong(
        lambda to: _http(to.endpoint),
        "HTTP Status Code 401, Message=the authorization field holds no key that is known here",
        "the authorization field holds no key that is known here",
        _GIVEN_UP,
        key=True,
    ),
    "a wrong key over gRPC": Wrong(
        lambda to: _grpc(to.grpc, _PLAIN, "headers: {authorization: Bearer wrong}"),
        "the authorization field holds no key that is known here",
        "the authorization field holds no key that is known here",
        _GIVEN_UP,
        key=True,
    ),
}


@pytest.mark.parametrize("wrong", _IN_FRONT.values(), ids=_IN_FRONT.keys())
def test_a_collector_in_front_that_is_set_up_wrongly(wrong: Wrong, tmp_path: Path, said: Said, backend: OtlpHttpSink):
    (tmp_path / "key").write_text(_KEY)
    auth = f"auth={{keys: [{{token_file: {tmp_path / 'key'}}}]}}"
    keys = tuple(f"receivers.otlp.protocols.{protocol}.{auth}" for protocol in ("http", "grpc") if wrong.key)
    with (
        gateway("collector", {}, overrides=(*_sends_to("otlp_http", backend.endpoint), *keys)) as to,
        collector("agent", tmp_path, {}, over=wrong.over(to)) as agent,
    ):
        _send(agent.http)
        agent.collector.wait_for_log(
            lambda log: any(wrong.collector in line and wrong.outcome in line for line in log.splitlines())
        )
        if wrong.gateway is not None:
            said.wait_for(wrong.gateway)
    assert [got for got in backend.destination.received if got.signal == "traces"] == []


def test_a_signal_without_a_pipeline_is_refused_with_what_to_add(tmp_path: Path, said: Said, backend: OtlpHttpSink):
    only = "service.pipelines={metrics: {receivers: [otlp], exporters: [otlp_http/next]}}"
    with (
        gateway("collector", {}, overrides=(*_sends_to("otlp_http", backend.endpoint), only)) as to,
        collector("agent", tmp_path, {"GATEWAY": to.endpoint}) as agent,
    ):
        _send(agent.http)
        says = "receiver otlp is in no traces pipeline; add it to service.pipelines.traces"
        agent.collector.wait_for_log(lambda log: says in log)
        said.wait_for(says)


_TOKEN = "token-of-tests"
_TOKENS = {"RIGHT": _TOKEN, "WRONG": "wrong"}


def _bearer(variable: str) -> str:
    return f'headers: {{authorization: "Bearer ${{env:{variable}}}"}}'


_WANTS_A_TOKEN = f"""
extensions: {{bearertokenauth: {{token: {_TOKEN}}}}}
receivers:
  otlp:
    protocols:
      http: {{auth: {{authenticator: bearertokenauth}}}}
      grpc: {{auth: {{authenticator: bearertokenauth}}}}
service: {{extensions: [bearertokenauth]}}
"""
_BEHIND = {
    "OTLP/HTTP to the port for gRPC": (
        lambda to: _sends_to("otlp_http", f"http://127.0.0.1:{to.grpc}"),
        ("a port for gRPC, which otlp_grpc speaks", "the items are kept and sent again"),
    ),
    "OTLP/gRPC to the port for HTTP": (
        lambda to: _sends_to("otlp_grpc", f"http://127.0.0.1:{to.http}"),
        ("a port for HTTP: otlp_http, or the port for OTLP/gRPC in `endpoint`", "the items are kept and sent again"),
    ),
    "TLS to an HTTP port without": (
        lambda to: _sends_to("otlp_http", f"https://127.0.0.1:{to.http}"),
        ("the other side speaks no TLS there: `endpoint` with http://", "the items are kept and sent again"),
    ),
    "TLS to a gRPC port without": (
        lambda to: _sends_to("otlp_grpc", f"https://127.0.0.1:{to.grpc}"),
        ("the other side speaks no TLS there: `endpoint` with http://", "the items are kept and sent again"),
    ),
    "an endpoint that has the path already": (
        lambda to: _sends_to("otlp_http", f"http://127.0.0.1:{to.http}/v1/traces"),
        ("`endpoint` is the address in front of /v1/traces", "dropped 3 items (permanent_error)"),
    ),
    "no credential over HTTP": (
        lambda to: _sends_to("otlp_http", f"http://127.0.0.1:{to.http}"),
        ("answered 401", "the credential is in `headers` or `auth`", "the items are kept and sent again"),
    ),
    "a wrong credential over gRPC": (
        lambda to: _sends_to("otlp_grpc", f"http://127.0.0.1:{to.grpc}", _bearer("WRONG")),
        ("UNAUTHENTICATED", "the credential is in `headers` or `auth`", "the items are kept and sent again"),
    ),
}


@pytest.mark.parametrize(("overrides", "words"), _BEHIND.values(), ids=_BEHIND.keys())
def test_a_gateway_that_is_set_up_wrongly_for_the_collector_behind_it(
    overrides: Callable[[Front], tuple[str, ...]],
    words: tuple[str, ...],
    tmp_path: Path,
    said: Said,
    backend: OtlpHttpSink,
):
    over = _WANTS_A_TOKEN if "credential" in "".join(words) else None
    with (
        collector("behind", tmp_path, {"BACKEND": backend.endpoint}, over=over) as to,
        gateway("collector", _TOKENS, overrides=overrides(to)) as sending,
    ):
        _send(int(sending.endpoint.rpartition(":")[2]))
        for part in words:
            said.wait_for(part)
    assert backend.destination.received == []


def test_with_the_right_credential_it_passes(tmp_path: Path, backend: OtlpHttpSink):
    with (
        collector("behind", tmp_path, {"BACKEND": backend.endpoint}, over=_WANTS_A_TOKEN) as to,
        gateway(
            "collector", _TOKENS, overrides=_sends_to("otlp_grpc", f"http://127.0.0.1:{to.grpc}", _bearer("RIGHT"))
        ) as sending,
    ):
        _send(int(sending.endpoint.rpartition(":")[2]))
        wait_for_items(backend.destination, 3)


def test_a_backend_that_refuses_one_span_costs_that_span_and_says_so(tmp_path: Path, said: Said):
    """Through a Collector: it passes the backend's 400 on as a refusal for good, so the gateway halves and finds it."""
    with OtlpHttpSink() as backend:
        backend.destination._refuses = lambda signal, body: signal == "traces" and b"x" * 50 in body
        with (
            collector("behind", tmp_path, {"BACKEND": backend.endpoint}) as to,
            gateway("collector", {}, overrides=_sends_to("otlp_grpc", f"http://127.0.0.1:{to.grpc}")) as sending,
        ):
            request = traces(1, 30)
            request.resource_spans[0].scope_spans[0].spans[4].name = "x" * 50
            sender = Sender(int(sending.endpoint.rpartition(":")[2]))
            assert sender.send(request.SerializeToString()) == 200
            sender.close()
            wait_for_items(backend.destination, 29)
            said.wait_for("dropped 1 items")
            said.wait_for("something in it is invalid")


def _send(port: int) -> None:
    sender = Sender(port)
    assert sender.send(traces(1, 3).SerializeToString()) == 200
    sender.close()
