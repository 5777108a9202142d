"""The metrics of steps around calls: workflows, agents, tools, retrievals."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from opentelemetry.metrics import Meter

from otel_llm._generated import attributes as names
from otel_llm._generated import metrics as definitions
from otel_llm.operation import AttributeValue

_DURATIONS: Final = {
    "invoke_workflow": definitions.GEN_AI_INVOKE_WORKFLOW_DURATION,
    "invoke_agent": definitions.GEN_AI_INVOKE_AGENT_DURATION,
    "execute_tool": definitions.GEN_AI_EXECUTE_TOOL_DURATION,
    "retrieval": definitions.GEN_AI_CLIENT_OPERATION_DURATION,
}


class StepInstruments:
    """The instruments of one meter."""

    __slots__ = ("_durations",)

    def __init__(self, meter: Meter) -> None:
        self._durations = {
            operation: (
                meter.create_histogram(
                    metric.name, metric.unit, metric.description, explicit_bucket_boundaries_advisory=metric.buckets
                ),
                metric.attributes,
            )
            for operation, metric in _DURATIONS.items()
        }

    def record(
        self, span: Mapping[str, AttributeValue], seconds: float, dimensions: Mapping[str, AttributeValue]
    ) -> None:
        """Record a step that has ended.

        Args:
            span: the attributes of its span.
            seconds: how long it took.
            dimensions: further dimensions.
        """
        found = self._durations.get(str(span.get(names.GEN_AI_OPERATION_NAME)))
        if found is not None:
            histogram, keys = found
            histogram.record(seconds, {**{key: span[key] for key in keys if key in span}, **dimensions})
