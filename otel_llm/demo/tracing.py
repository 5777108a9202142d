"""How the demo application is traced: an OTLP exporter and an instrumentation, as a user would set them up."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.instrumentation.genai.openai import OpenAIInstrumentor
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

SERVICE_NAME = "support-assistant"
BATCH_SERVICE_NAME = "ticket-summaries"
EXPORT_TIMEOUT_SECONDS = 5
CAPTURE_CONTENT = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"


@contextmanager
def traced(otlp_endpoint: str, *, capture_content: bool, service_name: str = SERVICE_NAME) -> Iterator[TracerProvider]:
    """Send spans of what happens inside to `otlp_endpoint` (OTLP/HTTP, without `/v1/traces`), all before it ends.

    The provider is not made the global one, so this can run in a process that has its own tracing, and more than once.
    What has to be in the process environment meanwhile is put back afterwards: whether the instrumentation captures
    content, and that loopback is never reached through a proxy.
    """
    provider = TracerProvider(resource=_resource(service_name))
    exporter = OTLPSpanExporter(endpoint=f"{otlp_endpoint.rstrip('/')}/v1/traces", timeout=EXPORT_TIMEOUT_SECONDS)
    provider.add_span_processor(BatchSpanProcessor(exporter))
    instrumentor = OpenAIInstrumentor()
    direct = f"127.0.0.1,localhost,{os.environ.get('no_proxy') or os.environ.get('NO_PROXY', '')}"
    content = "SPAN_ONLY" if capture_content else "NO_CONTENT"
    with _environment("no_proxy", direct), _environment(CAPTURE_CONTENT, content):
        instrumentor.instrument(tracer_provider=provider)
        try:
            yield provider
        finally:
            instrumentor.uninstrument()
            provider.shutdown()


def _resource(service_name: str) -> Resource:
    return Resource.create({"service.name": service_name, "deployment.environment.name": "demo"})


@contextmanager
def _environment(name: str, value: str) -> Iterator[None]:
    before = os.environ.get(name)
    os.environ[name] = value
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before
