"""Results that come later: what a person or a judge thought of an answer, as `gen_ai.evaluation.result` log records.

A span that was exported is never changed. A result names its target by trace and span, or by the provider's response
id, and has the same id whenever the same evaluator judges the same target again, so that it takes the place of what it
said before.
"""

from __future__ import annotations

import time
from collections.abc import Mapping

from opentelemetry import trace
from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags

from otel_llm._generated import attributes as names
from otel_llm._generated import events
from otel_llm.instrumentation import ambient
from otel_llm.instrumentation.steps import STEPS
from otel_llm.operation import AttributeValue
from otel_llm.quality.results import Evaluation, Target


def target_of(trace_id: str | int | None, span_id: str | int | None, response_id: str | None) -> Target:
    """A target from what the app knows: ids as hexadecimal or as OpenTelemetry's integers; without any, where we are.

    Raises:
        ValueError: an id is none, or nothing is known and no span is current.
    """
    if trace_id is None and response_id is None:
        current = trace.get_current_span().get_span_context()
        if not current.is_valid:
            raise ValueError("name the target by trace_id or response_id: there is no current span")
        trace_id, span_id = current.trace_id, current.span_id
    return Target(_id(trace_id, 16), _id(span_id, 8), response_id or "")


def _id(value: str | int | None, size_bytes: int) -> bytes:
    if value is None:
        return b""
    number = value if isinstance(value, int) else int(value, 16)
    if not 0 < number < 256**size_bytes:
        raise ValueError(f"{value!r} is no id of {2 * size_bytes} hexadecimal digits")
    return number.to_bytes(size_bytes, "big")


def emit(
    name: str, target: Target, found: Mapping[str, AttributeValue], *, evaluator: tuple[str | None, str | None]
) -> str:
    """Emit one result.

    Args:
        name: of what was evaluated.
        target: what it is about.
        found: score, label and the like; those that are None are left out.
        evaluator: its id and version.

    Returns:
        The result's id.
    """
    result = Evaluation(target, name, evaluator_id=evaluator[0] or "", evaluator_version=evaluator[1] or "")
    said = {
        **ambient.attributes(),
        names.GEN_AI_EVALUATION_NAME: name,
        names.GEN_AI_RESPONSE_ID: target.response_id or None,
        names.OTEL_LLM_EVALUATION_ID: result.id,
        names.OTEL_LLM_EVALUATION_EVALUATOR_ID: evaluator[0],
        names.OTEL_LLM_EVALUATION_EVALUATOR_VERSION: evaluator[1],
        **found,
    }
    STEPS.engine.boundary.run("evaluation", _emit, target, {key: one for key, one in said.items() if one is not None})
    return result.id


def _emit(target: Target, attributes: Mapping[str, AttributeValue]) -> None:
    failed = names.ERROR_TYPE in attributes
    at = None
    if target.trace_id:
        # A record without a span id is of its whole trace, which OpenTelemetry's API cannot say; the SDK writes what
        # the context holds, valid or not.
        span_id = int.from_bytes(target.span_id, "big")
        of = SpanContext(
            int.from_bytes(target.trace_id, "big"), span_id, is_remote=True, trace_flags=TraceFlags(TraceFlags.SAMPLED)
        )
        at = trace.set_span_in_context(NonRecordingSpan(of))
    STEPS.engine.outlet().logger.emit(
        LogRecord(
            timestamp=time.time_ns(),
            context=at,
            severity_number=SeverityNumber.WARN if failed else SeverityNumber.INFO,
            attributes=attributes,
            event_name=events.GEN_AI_EVALUATION_RESULT,
        )
    )
