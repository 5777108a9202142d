"""Results that come later: what a person or a judge thought of an answer, as `gen_ai.evaluation.result` log records.

A span that was exported is never changed. A result names its target by trace and span, or by the provider's response
id, and has the same id whenever the same evaluator judges the same target again, so that it takes the place of what it
said before.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

from opentelemetry import trace
from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags

from otel_llm._generated import attributes as names
from otel_llm._generated import events
from otel_llm.instrumentation import ambient
from otel_llm.instrumentation.steps import STEPS
from otel_llm.operation import AttributeValue

Source = Literal["code", "model", "human"]

_NAMESPACE: Final = uuid.UUID("6f1d5f0c-8f0e-5b6a-9a53-2f6d6a4f5e11")
USER_FEEDBACK: Final = "user_feedback"


@dataclass(frozen=True, slots=True)
class Target:
    """What a result is about.

    Attributes:
        trace_id: 32 hexadecimal digits, None when it is not known.
        span_id: 16 hexadecimal digits, None for the whole trace.
        response_id: the provider's id of the answer.
    """

    trace_id: str | None = None
    span_id: str | None = None
    response_id: str | None = None

    @property
    def key(self) -> str:
        """What identifies it: the most exact of what is known."""
        return f"{self.trace_id}:{self.span_id or ''}" if self.trace_id else f"response:{self.response_id}"


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
    return Target(_hex(trace_id, 32), _hex(span_id, 16), response_id)


def _hex(value: str | int | None, digits: int) -> str | None:
    if value is None:
        return None
    number = value if isinstance(value, int) else int(value, 16)
    if not 0 < number < 16**digits:
        raise ValueError(f"{value!r} is no id of {digits} hexadecimal digits")
    return f"{number:0{digits}x}"


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
    parts = (target.key, name, evaluator[0] or "", evaluator[1] or "")
    result_id = str(uuid.uuid5(_NAMESPACE, "\x1f".join(part.replace("\x1f", " ") for part in parts)))
    said = {
        **ambient.attributes(),
        names.GEN_AI_EVALUATION_NAME: name,
        names.GEN_AI_RESPONSE_ID: target.response_id,
        names.OTEL_LLM_EVALUATION_ID: result_id,
        names.OTEL_LLM_EVALUATION_EVALUATOR_ID: evaluator[0],
        names.OTEL_LLM_EVALUATION_EVALUATOR_VERSION: evaluator[1],
        **found,
    }
    STEPS.engine.boundary.run("evaluation", _emit, target, {key: one for key, one in said.items() if one is not None})
    return result_id


def _emit(target: Target, attributes: Mapping[str, AttributeValue]) -> None:
    failed = names.ERROR_TYPE in attributes
    at = None
    if target.trace_id is not None:
        # A record without a span id is of its whole trace, which OpenTelemetry's API cannot say; the SDK writes what
        # the context holds, valid or not.
        span_id = int(target.span_id or "0", 16)
        of = SpanContext(int(target.trace_id, 16), span_id, is_remote=True, trace_flags=TraceFlags(TraceFlags.SAMPLED))
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
