"""An app in the middle of a long run, as a process: `python -m tests.hosts.open_run ENDPOINT`. It waits to be ended."""

from __future__ import annotations

import sys
import threading

from opentelemetry.sdk.trace import TracerProvider

from otel_llm.delivery.in_app import AppDelivery
from otel_llm.hosts.delivering import AtOnce, Delivering
from otel_llm.hosts.open_spans import OpenSpans
from otel_llm.telemetry import Metrics
from tests.delivery.app import make


def main() -> None:
    metrics = Metrics()
    delivery = AppDelivery(lambda: make(sys.argv[1], metrics), metrics)
    provider = TracerProvider()
    provider.add_span_processor(AtOnce(Delivering(delivery)))
    provider.add_span_processor(OpenSpans(delivery, after_seconds=0.2, every_seconds=0.3))
    tracer = provider.get_tracer("app")
    with (
        tracer.start_as_current_span("invoke_agent planner", attributes={"gen_ai.agent.name": "planner"}),
        tracer.start_as_current_span("chat", attributes={"gen_ai.input.messages": "[secret]"}),
    ):
        threading.Event().wait(60)


if __name__ == "__main__":
    main()
