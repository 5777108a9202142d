"""Acceptance 30, 31 and 35 in an app with a real OpenTelemetry SDK in front of our delivery."""

from __future__ import annotations

import gc
import time
import tracemalloc

import pytest
from opentelemetry.sdk.trace import TracerProvider

from otel_llm.delivery.config import BatchConfig, Config, QueueConfig
from otel_llm.delivery.delivery import Delivery
from otel_llm.delivery.in_app import AppDelivery
from otel_llm.hosts.delivering import AtOnce, Delivering
from otel_llm.telemetry import Metrics
from otel_llm.testing import HANG, Answer, Destination, InMemoryExporter

MIB = 1024 * 1024


def app(destination: Destination, size_bytes: int = MIB) -> tuple[TracerProvider, AppDelivery]:
    metrics = Metrics()
    # The destination keeps a copy of what it was sent, which is not the app's.
    batch = BatchConfig(max_size_bytes=150_000, flush_timeout_seconds=0.01)
    queue = QueueConfig(size_bytes=size_bytes, on_full="drop", batch=batch)
    delivery = AppDelivery(
        lambda: Delivery("app", InMemoryExporter(destination), Config(sending_queue=queue), metrics),
        metrics,
        exit_seconds=0.2,
        on_sigterm=False,
    )
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(AtOnce(Delivering(delivery)))
    return provider, delivery


def test_spans_of_an_sdk_arrive_and_a_flush_waits_for_them() -> None:
    destination = Destination()
    provider, _ = app(destination)
    tracer = provider.get_tracer("app")
    for number in range(100):
        with tracer.start_as_current_span(f"call {number}"):
            pass
    assert provider.force_flush(5000)
    assert destination.items == 100
    provider.shutdown()


@pytest.mark.parametrize("answer", [HANG, Answer.unavailable(), Answer.throttled(3600)], ids=lambda a: str(a.kind))
def test_acceptance_31_neither_flush_nor_shutdown_waits_for_a_dead_destination(answer: Answer) -> None:
    provider, delivery = app(Destination(default=answer))
    with provider.get_tracer("app").start_as_current_span("call"):
        pass
    start = time.monotonic()
    assert not delivery.force_flush(0.1)
    assert time.monotonic() - start < 0.1 + 0.5
    provider.shutdown()
    assert time.monotonic() - start < 0.1 + 0.2 + 1.0
    assert delivery.delivery is not None
    assert dict(delivery.delivery.balance().dropped) == {"shutdown": 1}


def test_acceptance_30_a_stalled_destination_costs_the_app_its_limit_and_the_account_is_exact() -> None:
    provider, delivery = app(Destination(default=HANG), size_bytes=8 * MIB)
    tracer = provider.get_tracer("app")
    content = "x" * 100_000
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    for _ in range(400):  # 40 MB
        with tracer.start_as_current_span("call") as span:
            span.set_attribute("gen_ai.output.messages", content)
    gc.collect()  # the SDK's spans refer to themselves
    grown = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    assert delivery.delivery is not None
    balance = delivery.delivery.balance()
    assert grown <= 1.1 * 8 * MIB + MIB
    assert balance.accepted == 400
    assert balance.is_balanced
    assert balance.dropped["queue_full"] == 400 - balance.queued
    provider.shutdown()
