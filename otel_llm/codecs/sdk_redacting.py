"""Spans of the Python SDK with their content rewritten: what redacting.py does for requests, inside of the app.

Name, attributes, events, links, status, and the attributes of resource and scope; of spans of every kind. Ids and times
stay. A value that could not be looked at goes, as there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, cast

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, Status

from otel_llm.codecs.content import FAILED, Content
from otel_llm.operation import AttributeValue

if TYPE_CHECKING:
    from opentelemetry.util.types import Attributes


def rewrite_span(span: ReadableSpan, content: Content) -> ReadableSpan:
    """The span with its content rewritten, as a new one."""
    resource = span.resource
    content.begin_item()
    name = content.text(span.name, None)
    attributes = _attributes(span.attributes, content)
    events = [
        Event(content.text(event.name, None) or FAILED, _sdk(_attributes(event.attributes, content)), event.timestamp)
        for event in span.events
    ]
    links = [Link(link.context, _sdk(_attributes(link.attributes, content))) for link in span.links]
    description = span.status.description
    status = Status(span.status.status_code, None if description is None else content.text(description, None))
    noted = {key: value for key, value in attributes.items() if key.startswith("otel_llm.redaction.")}
    written = content.end_item(noted)
    attributes.update(written)
    where = span.get_span_context()
    if written and where is not None:
        content.item_changed(where.trace_id.to_bytes(16, "big"), where.span_id.to_bytes(8, "big"), written)
    return ReadableSpan(
        name=FAILED if name is None else name,
        context=span.get_span_context(),
        parent=span.parent,
        resource=Resource(_sdk(_attributes(resource.attributes, content)) or {}, resource.schema_url),
        attributes=_sdk(attributes),
        events=events,
        links=links,
        kind=span.kind,
        status=status,
        start_time=span.start_time,
        end_time=span.end_time,
        instrumentation_scope=_scope(span.instrumentation_scope, content),
    )


def _scope(scope: InstrumentationScope | None, content: Content) -> InstrumentationScope | None:
    if scope is None:
        return None
    version = None if scope.version is None else content.text(scope.version, None)
    attributes = _sdk(_attributes(scope.attributes, content))
    return InstrumentationScope(content.text(scope.name, None) or FAILED, version, scope.schema_url, attributes)


def _attributes(attributes: Mapping[str, object] | None, content: Content) -> dict[str, AttributeValue]:
    found: dict[str, AttributeValue] = {}
    for key, value in (attributes or {}).items():
        new_key = content.key(key)
        new, stays = content.value(cast("AttributeValue", value), key)
        if new_key is not None and stays:
            found[new_key] = new
    return found


def _sdk(attributes: Mapping[str, AttributeValue]) -> Attributes:
    """Attributes as the SDK takes them: the items of a sequence are of one type, and a marker made one of them text."""
    return cast("Attributes", {key: _uniform(value) for key, value in attributes.items()})


def _uniform(value: AttributeValue) -> AttributeValue:
    if not isinstance(value, Sequence) or isinstance(value, str | bytes):
        return value
    return tuple(str(item) for item in value) if len({type(item) for item in value}) > 1 else value
