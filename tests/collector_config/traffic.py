"""Traffic of two apps through the real SDK, with something of everything that the dashboards show."""

from __future__ import annotations

import json
import time

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import SpanKind, Status, StatusCode

Attributes = dict[str, str | int | float | list[str]]
_REFUSAL = "I'm sorry, but I can't help with that request."


def _messages(role: str, text: str) -> str:
    return json.dumps([{"role": role, "parts": [{"type": "text", "content": text}]}])


def _chat(number: int, model: str, answer: str, **more: str | float) -> Attributes:
    return {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "anthropic" if model.startswith("claude") else "openai",
        "gen_ai.request.model": model,
        "gen_ai.response.model": model,
        "gen_ai.response.id": f"answer-{number}-{time.time_ns()}",
        "gen_ai.usage.input_tokens": 1200 + number,
        "gen_ai.usage.output_tokens": 150,
        "gen_ai.usage.cache_read.input_tokens": 400,
        "gen_ai.response.finish_reasons": ["stop"],
        "gen_ai.response.time_to_first_chunk": 0.2 + number % 7 / 10,
        "gen_ai.prompt.name": "support",
        "gen_ai.prompt.version": str(1 + number % 2),
        "gen_ai.input.messages": _messages("user", f"Please summarise ticket {number}: the parcel came late."),
        "gen_ai.output.messages": _messages("assistant", answer),
        "otel_llm.feature.name": "summary" if number % 3 else "search",
        **{key.replace("__", "."): value for key, value in more.items()},
    }


def _calls() -> list[tuple[Attributes, str]]:
    """Attributes of each call, and the kind of error of those that failed."""
    good = [(_chat(n, "gpt-4o", "The parcel came late, and the customer wants to know why."), "") for n in range(20)]
    claude = [(_chat(n, "claude-haiku-4-5", "It came late; say sorry and offer a voucher."), "") for n in range(20)]
    refused = [(_chat(n, "gpt-4o", _REFUSAL), "") for n in range(30)]
    failed = [(_chat(n, "gpt-4o", ""), "429") for n in range(3)]
    unknown = [(_chat(1, "a-model-nobody-knows", "Late."), "")]
    broken = [(_chat(2, "gpt-4o", "{not json", gen_ai__output__type="json"), "")]
    embedded: Attributes = {
        "gen_ai.operation.name": "embeddings",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "text-embedding-3-small",
        "gen_ai.usage.input_tokens": 20,
    }
    document = {"id": "1", "score": 0.8, "content": "The parcel came late because of the snow."}
    found: Attributes = {
        "gen_ai.operation.name": "retrieval",
        "gen_ai.provider.name": "openai",
        "gen_ai.data_source.id": "tickets",
        "gen_ai.retrieval.query.text": "why was the parcel late",
        "gen_ai.retrieval.documents": json.dumps([document]),
    }
    nothing = {**found, "gen_ai.retrieval.documents": "[]"}
    return [*good, *claude, *failed, *unknown, *broken, (embedded, ""), (found, ""), (nothing, "timeout"), *refused]


def send(otlp_endpoint: str) -> int:
    """Make all calls once, of two services; the number of spans sent."""
    sent = 0
    for service, team in (("shop", "retail"), ("desk", "support")):
        resource = Resource({"service.name": service, "team": team, "deployment.environment.name": "test"})
        provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(f"{otlp_endpoint}/v1/traces")))
        tracer = provider.get_tracer("app")
        for number, (attributes, error) in enumerate(_calls()):
            start = time.time_ns() - 2_000_000_000
            span = tracer.start_span("call", kind=SpanKind.CLIENT, attributes=attributes, start_time=start)
            if error:
                span.set_attribute("error.type", error)
                span.set_status(Status(StatusCode.ERROR))
            span.end(start + 100_000_000 * (1 + number % 15))
            sent += 1
        provider.shutdown()
    return sent
