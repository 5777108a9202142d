"""Acceptance 29 and 31 over real sockets: a delivery in front of an OTLP/HTTP exporter."""

from __future__ import annotations

import json
import logging
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from otel_llm.clock import SystemClock
from otel_llm.components import Context
from otel_llm.delivery.config import BatchConfig, Config, DiskConfig, QueueConfig, RetryConfig
from otel_llm.delivery.delivery import Delivery
from otel_llm.exporters import otlp_grpc, otlp_http
from otel_llm.exporters.exporter import Exporter
from otel_llm.exporters.tls import TlsConfig
from otel_llm.signals import Payload
from otel_llm.telemetry import Metrics
from otel_llm.testing import HANG, Answer, Destination, OtlpGrpcSink, OtlpHttpSink, unused_port
from tests.certificates import make_certificates
from tests.delivery.requests import numbers, payload, traces

MIB = 1024 * 1024


def http(endpoint: str) -> Exporter:
    context = Context("test", Metrics(), SystemClock())
    return otlp_http.create(otlp_http.Config(endpoint=endpoint, timeout_seconds=30), context)


def grpc(endpoint: str) -> Exporter:
    context = Context("test", Metrics(), SystemClock())
    tls = TlsConfig(insecure=True)
    return otlp_grpc.create(otlp_grpc.Config(endpoint=endpoint, tls=tls, timeout_seconds=30), context)


@contextmanager
def black_hole() -> Iterator[str]:
    """Accepts connections and never reads."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"127.0.0.1:{server.getsockname()[1]}"


@contextmanager
def dead(kind: str, folder: Path) -> Iterator[Exporter]:
    """An exporter to a destination that is dead in one of the ways they are."""
    with ExitStack() as stack:
        if kind == "refused":
            yield http(f"http://127.0.0.1:{unused_port()}")
        elif kind == "black hole":
            yield http(f"http://{stack.enter_context(black_hole())}")
        elif kind == "black hole grpc":
            yield grpc(stack.enter_context(black_hole()))
        elif kind == "untrusted":
            pem = make_certificates(folder)
            tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            tls.load_cert_chain(pem.cert_file, pem.key_file)
            yield http(stack.enter_context(OtlpHttpSink(tls=tls)).endpoint)
        else:
            answer = {"hangs": HANG, "503": Answer.unavailable(), "429": Answer.throttled(3600)}[kind]
            yield http(stack.enter_context(OtlpHttpSink(Destination(default=answer))).endpoint)


KINDS = ["refused", "black hole", "black hole grpc", "untrusted", "hangs", "503", "429"]


@pytest.mark.parametrize("queue", ["memory", "disk"])
@pytest.mark.parametrize("kind", KINDS)
def test_acceptance_31_a_dead_destination_holds_up_neither_flush_nor_exit_and_floods_no_log(
    kind: str, queue: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    retry = RetryConfig(initial_interval_seconds=0.01, max_interval_seconds=0.02)
    with dead(kind, tmp_path) as exporter:
        # Not synced: the bounds below are the destination's and not the disk's.
        disk = DiskConfig(directory=str(tmp_path / "queue"), sync="never") if queue == "disk" else None
        config = Config(sending_queue=QueueConfig(disk=disk), retry_on_failure=retry)
        delivery = Delivery("test", exporter, config, Metrics())
        delivery.start()
        start = time.monotonic()
        for number in range(1, 1001):
            delivery.offer(payload(number, 1))
        offered = time.monotonic()
        assert not delivery.force_flush(0.3)
        flushed = time.monotonic()
        assert len(caplog.records) <= 2
        delivery.shutdown(0.3)
        stopped = time.monotonic()
    # The bounds are 100 ms each on an idle machine; tests share theirs.
    assert flushed - offered < 0.3 + 0.5
    assert stopped - flushed < 0.3 + 0.7
    assert offered - start < 1.0  # 1 ms for each, whatever the destination does
    balance = delivery.balance()
    assert balance.is_balanced
    assert dict(balance.dropped) == ({} if disk else {"shutdown": 1000})
    assert balance.queued == (1000 if disk else 0)


def test_acceptance_31_delivery_goes_on_when_the_destination_comes_back() -> None:
    port = unused_port()
    retry = RetryConfig(initial_interval_seconds=0.01, max_interval_seconds=0.02)
    delivery = Delivery("test", http(f"http://127.0.0.1:{port}"), Config(retry_on_failure=retry), Metrics())
    delivery.start()
    delivery.offer(payload(1, 10))
    assert not delivery.force_flush(0.05)
    with OtlpHttpSink(port=port) as sink:
        assert delivery.force_flush(10)
        delivery.offer(payload(11, 10))
        delivery.shutdown(5)
    arrived = [number for request in sink.destination.accepted for number in numbers("traces", request.body)]
    assert sorted(set(arrived)) == list(range(1, 21))


@pytest.mark.parametrize("protocol", ["http", "grpc"])
@pytest.mark.parametrize("max_size_bytes", [BatchConfig().max_size_bytes, 64 * MIB], ids=["split-before", "discovered"])
def test_acceptance_29_511_spans_arrive_beside_one_of_5_mb(protocol: str, max_size_bytes: int) -> None:
    make: Callable[[str], Exporter] = http if protocol == "http" else grpc
    destination = Destination(max_body_bytes=4 * MIB if protocol == "http" else None)
    queue = QueueConfig(batch=BatchConfig(max_size_bytes=max_size_bytes))
    with OtlpHttpSink(destination) if protocol == "http" else OtlpGrpcSink(destination) as sink:
        delivery = Delivery("test", make(sink.endpoint), Config(sending_queue=queue), Metrics())
        delivery.start()
        delivery.offer(payload(1, 300, size=100))
        delivery.offer(payload(301, 1, size=5 * MIB))
        delivery.offer(payload(302, 211, size=100))
        assert delivery.force_flush(20)
        delivery.shutdown(5)
    arrived = [number for request in destination.accepted for number in numbers("traces", request.body)]
    assert sorted(arrived) == [number for number in range(1, 513) if number != 301]
    assert dict(delivery.balance().dropped) == {"too_large": 1}
    refused = [request for request in destination.received if request.answer.kind == "too_large"]
    assert len(refused) <= 10  # log2(512) + 1


@pytest.mark.parametrize("protocol", ["http", "grpc"])
def test_acceptance_29_a_span_with_5_mb_of_content_arrives_cut_and_marked(protocol: str) -> None:
    make: Callable[[str], Exporter] = http if protocol == "http" else grpc
    big = traces(301, 1)
    content = big.resource_spans[0].scope_spans[0].spans[0].attributes.add(key="gen_ai.input.messages")
    content.value.string_value = json.dumps([{"role": "user", "parts": [{"type": "text", "content": "x" * 5 * MIB}]}])
    destination = Destination(max_body_bytes=4 * MIB if protocol == "http" else None)
    metrics = Metrics()
    with OtlpHttpSink(destination) if protocol == "http" else OtlpGrpcSink(destination) as sink:
        delivery = Delivery("test", make(sink.endpoint), Config(), metrics)
        delivery.start()
        delivery.offer(payload(1, 300, size=100))
        delivery.offer(Payload.of("traces", (big.SerializeToString(),), 1))
        delivery.offer(payload(302, 211, size=100))
        assert delivery.force_flush(20)
        delivery.shutdown(5)
    arrived = [number for request in destination.accepted for number in numbers("traces", request.body)]
    assert sorted(arrived) == list(range(1, 513))
    (cut,) = [request.body for request in destination.accepted if b"otel_llm.shortened.keys" in request.body]
    assert numbers("traces", cut) == [301]
    assert delivery.balance().exported == 512
    shortened = [f for f in metrics.collect() if f.definition.name == "otel_llm.delivery.items.shortened"]
    assert [series.value for series in shortened[0].series] == [1]
