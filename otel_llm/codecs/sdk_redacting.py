"""Spans of the Python SDK with their content rewritten: what redacting.py does for requests, inside of the app.

Name, attributes, events, links, status, trace state, and the attributes of resource and scope; of spans of every kind.
Ids and times stay. A value that could not be looked at goes, as there; so does a trace state that holds anything.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, cast

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, SpanContext, Status, TraceState

from otel_llm.codecs.content import FAILED, Content
from otel_llm.operation import AttributeValue

if TYPE_CHECKING:
    from opentelemetry.util.types import Attributes


def rewrite_span(span: ReadableSpan, content: Content) -> ReadableSpan:
    """The span with its content rewritten, as a new one."""
    content.begin_item()
    name = content.text(span.name, None)
    attributes = rewrite_attributes(span.attributes, content)
    events = [
        Event(
            content.text(event.name, None) or FAILED,
            as_sdk(rewrite_attributes(event.attributes, content)),
            event.timestamp,
        )
        for event in span.events
    ]
    links = [
        Link(_context(link.context, content), as_sdk(rewrite_attributes(link.attributes, content)))
        for link in span.links
    ]
    status = Status(span.status.status_code, rewrite_text(span.status.description, content))
    noted = {key: value for key, value in attributes.items() if key.startswith("otel_llm.redaction.")}
    written = content.end_item(noted)
    attributes.update(written)
    context = span.get_span_context()
    if written and context is not None:
        content.item_changed(context.trace_id.to_bytes(16, "big"), context.span_id.to_bytes(8, "big"), written)
    return ReadableSpan(
        name=FAILED if name is None else name,
        context=None if context is None else _context(context, content),
        parent=None if span.parent is None else _context(span.parent, content),
        resource=rewrite_resource(span.resource, content),
        attributes=as_sdk(attributes),
        events=events,
        links=links,
        kind=span.kind,
        status=status,
        start_time=span.start_time,
        end_time=span.end_time,
        instrumentation_scope=rewrite_scope(span.instrumentation_scope, content),
    )


def _context(context: SpanContext, content: Content) -> SpanContext:
    """The context without its trace state when there was something in that: a marker is no value of a trace state."""
    header = context.trace_state.to_header()
    if not header or content.text(header, None) == header:
        return context
    return SpanContext(context.trace_id, context.span_id, context.is_remote, context.trace_flags, TraceState())


def rewrite_resource(resource: Resource, content: Content) -> Resource:
    """A resource with its attributes and schema URL rewritten."""
    attributes = as_sdk(rewrite_attributes(resource.attributes, content))
    return Resource(attributes or {}, rewrite_text(resource.schema_url, content))


def rewrite_scope(scope: InstrumentationScope | None, content: Content) -> InstrumentationScope | None:
    """A scope with name, version, schema URL and attributes rewritten."""
    if scope is None:
        return None
    name, version, schema_url = (rewrite_text(text, content) for text in (scope.name, scope.version, scope.schema_url))
    attributes = as_sdk(rewrite_attributes(scope.attributes, content))
    return InstrumentationScope(name or FAILED, version, schema_url, attributes)


def rewrite_text(text: str | None, content: Content) -> str | None:
    """What is left of a text, if there is one; None when it could not be looked at."""
    return text and content.text(text, None)


def rewrite_attributes(attributes: Mapping[str, object] | None, content: Content) -> dict[str, AttributeValue]:
    """Attributes of any type with keys and values rewritten."""
    found: dict[str, AttributeValue] = {}
    for key, value in (attributes or {}).items():
        new_key = content.key(key)
        new, stays = content.value(cast("AttributeValue", value), key)
        if new_key is not None and stays:
            found[new_key] = new
    return found


def as_sdk(attributes: Mapping[str, AttributeValue]) -> Attributes:
    """Attributes as the SDK takes them: the items of a sequence are of one type, and a marker made one of them text."""
    return cast("Attributes", {key: _uniform(value) for key, value in attributes.items()})


def _uniform(value: AttributeValue) -> AttributeValue:
    if not isinstance(value, Sequence) or isinstance(value, str | bytes):
        return value
    return tuple(str(item) for item in value) if len({type(item) for item in value}) > 1 else value
