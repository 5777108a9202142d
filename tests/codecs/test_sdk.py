from __future__ import annotations

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, Status, StatusCode

from otel_llm.codecs.sdk import decode_span, encode_span


def finished(scope: str = "app", **attributes: object) -> ReadableSpan:
    exporter = InMemorySpanExporter()
    provider = TracerProvider(resource=Resource({"service.name": "shop"}), shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    tracer = provider.get_tracer(scope, "1.0")
    with (
        tracer.start_as_current_span("parent"),
        tracer.start_as_current_span("chat gpt-4o", kind=SpanKind.CLIENT) as span,
    ):
        span.set_attributes({key.replace("__", "."): value for key, value in attributes.items()})
        span.add_event("gen_ai.choice", {"index": 0}, timestamp=5)
        span.add_event("other", {}, timestamp=6)
        span.set_status(Status(StatusCode.ERROR, "boom"))
    provider.shutdown()
    return exporter.get_finished_spans()[0]


def test_an_operation_reads_the_span() -> None:
    span = finished(gen_ai__request__model="gpt-4o", gen_ai__usage__input_tokens=7)
    operation = decode_span(span)
    assert operation is not None
    assert operation.request_model == "gpt-4o"
    assert operation.input_tokens == 7
    assert operation.kind == 3
    assert (operation.status_code, operation.status_message) == (2, "boom")
    assert (operation.scope_name, operation.scope_version) == ("app", "1.0")
    assert operation.resource["service.name"] == "shop"
    assert [(event.name, event.time_unix_nano) for event in operation.events] == [("gen_ai.choice", 5), ("other", 6)]
    context = span.get_span_context()
    assert context is not None
    assert operation.trace_id == context.trace_id.to_bytes(16, "big")
    assert operation.span_id == context.span_id.to_bytes(8, "big")
    assert len(operation.parent_span_id) == 8
    assert 0 < operation.start_unix_nano <= operation.end_unix_nano


def test_a_span_without_genai_attributes_is_no_operation_unless_its_scope_is_a_genai_library() -> None:
    assert decode_span(finished(http__route="/x")) is None
    assert decode_span(finished("openinference.instrumentation.openai", http__route="/x")) is not None


def test_changes_make_a_new_span_and_leave_the_old_one_alone() -> None:
    span = finished(gen_ai__system="openai", gen_ai__request__model="gpt-4o")
    operation = decode_span(span)
    assert operation is not None
    operation.rename("gen_ai.system", "gen_ai.provider.name")
    operation.set("otel_llm.cost.total", 0.5)
    operation.remove("gen_ai.request.model")
    operation.remove_events(["gen_ai.choice"])
    changed = encode_span(span, operation)
    assert changed is not None
    assert dict(changed.attributes or {}) == {"gen_ai.provider.name": "openai", "otel_llm.cost.total": 0.5}
    assert [event.name for event in changed.events] == ["other"]
    assert dict(span.attributes or {}) == {"gen_ai.system": "openai", "gen_ai.request.model": "gpt-4o"}
    for name in ("name", "kind", "parent", "resource", "links", "status", "start_time", "end_time"):
        assert getattr(changed, name) == getattr(span, name), name
    assert changed.get_span_context() == span.get_span_context()
    assert changed.instrumentation_scope == span.instrumentation_scope


def test_an_unchanged_span_is_the_same_object_and_a_dropped_one_is_none() -> None:
    span = finished(gen_ai__request__model="gpt-4o")
    operation = decode_span(span)
    assert operation is not None
    assert encode_span(span, operation) is span
    operation.drop("unwanted")
    assert encode_span(span, operation) is None
