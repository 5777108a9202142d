"""What the cost processor bills of the spans an app made: the same that runs in the gateway."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from opentelemetry.sdk.trace import ReadableSpan

from otel_llm.codecs.sdk import decode_span
from otel_llm.hosts.sdk import default_pipeline


def statuses(spans: Sequence[ReadableSpan]) -> list[Any]:
    """`otel_llm.cost.status` of each span that has usage, in order."""
    operations = [operation for operation in map(decode_span, spans) if operation is not None]
    default_pipeline().process(operations)
    found = [operation.get("otel_llm.cost.status") for operation in operations]
    return [status for status in found if status is not None]
