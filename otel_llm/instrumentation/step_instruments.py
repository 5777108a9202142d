"""The metrics of steps around calls: workflows, agents, tools, retrievals."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from opentelemetry.metrics import Meter

from otel_llm._generated import attributes as names
from otel_llm._generated import metrics as definitions
from otel_llm.instrumentation.instruments import histogram_of
from otel_llm.instrumentation.invocations import Invocation
from otel_llm.operation import AttributeValue

_DURATIONS: Final = {
    "invoke_workflow": definitions.GEN_AI_INVOKE_WORKFLOW_DURATION,
    "invoke_agent": definitions.GEN_AI_INVOKE_AGENT_DURATION,
    "execute_tool": definitions.GEN_AI_EXECUTE_TOOL_DURATION,
    "retrieval": definitions.GEN_AI_CLIENT_OPERATION_DURATION,
}


class StepInstruments:
    """The instruments of one meter."""

    __slots__ = ("_durations", "_has_seen_model", "_has_seen_tool", "_inference_calls", "_tool_calls")

    def __init__(self, meter: Meter) -> None:
        self._durations = {
            operation: (histogram_of(meter, metric), metric.attributes) for operation, metric in _DURATIONS.items()
        }
        self._inference_calls = histogram_of(meter, definitions.GEN_AI_INVOKE_AGENT_INFERENCE_CALLS)
        self._tool_calls = histogram_of(meter, definitions.GEN_AI_INVOKE_AGENT_TOOL_CALLS)
        self._has_seen_model = False
        self._has_seen_tool = False

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

    def record_invocation(self, agent: Invocation, dimensions: Mapping[str, AttributeValue]) -> None:
        """Record what an agent that has ended set going.

        None is recorded as 0 once any agent was seen to call something of the kind. Until then nobody can tell whether
        agents call no models (or tools), or call them where no hook (or `otel_llm.tool`) sees it.

        Args:
            agent: its run.
            dimensions: further dimensions.
        """
        said = {names.GEN_AI_AGENT_NAME: agent.name, **dimensions} if agent.name else dimensions
        self._has_seen_model = self._has_seen_model or agent.inference_calls > 0
        self._has_seen_tool = self._has_seen_tool or agent.tool_calls > 0
        if self._has_seen_model:
            self._inference_calls.record(agent.inference_calls, said)
        if self._has_seen_tool:
            self._tool_calls.record(agent.tool_calls, said)
