"""Log records and metrics of the Python SDK with their content rewritten, as sdk_redacting.py does it for spans.

Needs an SDK whose log records are of `ReadableLogRecord` (1.38 or so).
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

from otel_llm.codecs.content import FAILED, Content
from otel_llm.codecs.sdk_redacting import as_sdk, rewrite_attributes, rewrite_resource, rewrite_scope, rewrite_text
from otel_llm.operation import AttributeValue

if TYPE_CHECKING:
    from opentelemetry.sdk._logs import ReadableLogRecord
    from opentelemetry.sdk.metrics.export import Metric, MetricsData
    from opentelemetry.sdk.util.instrumentation import InstrumentationScope


def rewrite_record(record: ReadableLogRecord, content: Content) -> ReadableLogRecord:
    """The log record with its content rewritten, as a new one."""
    old = record.log_record
    new = copy.copy(old)
    content.begin_item()
    if old.body is not None:
        body, stays = content.value(cast("AttributeValue", old.body), None)
        new.body = cast("Any", body) if stays else None
    attributes = rewrite_attributes(old.attributes, content)
    new.severity_text = rewrite_text(old.severity_text, content)
    new.event_name = rewrite_text(old.event_name, content)
    new.exception = None  # what there was to say about it is in the attributes
    noted = {key: value for key, value in attributes.items() if key.startswith("otel_llm.redaction.")}
    written = content.end_item(noted)
    attributes.update(written)
    new.attributes = cast("Any", attributes)  # of any type here, unlike those of a span
    if written:
        content.item_changed((old.trace_id or 0).to_bytes(16, "big"), (old.span_id or 0).to_bytes(8, "big"), written)
    return replace(
        record,
        log_record=new,
        resource=rewrite_resource(record.resource, content),
        instrumentation_scope=rewrite_scope(record.instrumentation_scope, content),
    )


def rewrite_metrics(data: MetricsData, content: Content) -> MetricsData:
    """Metrics with what is in names, units, descriptions, attributes and exemplars rewritten, as new ones."""
    return replace(
        data,
        resource_metrics=[
            replace(
                one,
                resource=rewrite_resource(one.resource, content),
                schema_url=rewrite_text(one.schema_url, content) or "",
                scope_metrics=[
                    replace(
                        group,
                        scope=cast("InstrumentationScope", rewrite_scope(group.scope, content)),
                        schema_url=rewrite_text(group.schema_url, content) or "",
                        metrics=[_metric(metric, content) for metric in group.metrics],
                    )
                    for group in one.scope_metrics
                ],
            )
            for one in data.resource_metrics
        ],
    )


def _metric(metric: Metric, content: Content) -> Metric:
    content.begin_item()
    points: Sequence[Any] = metric.data.data_points
    new = replace(
        metric,
        name=content.text(metric.name, None) or FAILED,
        description=rewrite_text(metric.description, content),
        unit=rewrite_text(metric.unit, content),
        data=replace(cast("Any", metric.data), data_points=[_point(point, content) for point in points]),
    )
    content.end_item({})
    return new


def _point(point: Any, content: Content) -> Any:  # noqa: ANN401 - one of three classes
    exemplars = [
        replace(one, filtered_attributes=as_sdk(rewrite_attributes(one.filtered_attributes, content)))
        for one in point.exemplars
    ]
    return replace(point, attributes=as_sdk(rewrite_attributes(point.attributes, content)), exemplars=exemplars)
