"""Evaluation results as OTLP log records: `gen_ai.evaluation.result`, in the context of the evaluated span.

Source: semantic conventions for GenAI, event `gen_ai.evaluation.result`. Who evaluated is in `otel_llm.evaluation.*`,
or in the names that pydantic-evals uses for it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Final, cast, get_args

from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord, SeverityNumber

from otel_llm import __version__
from otel_llm._generated import attributes as names
from otel_llm._generated.events import GEN_AI_EVALUATION_RESULT
from otel_llm.codecs.protobuf import encode_value, from_any_value
from otel_llm.codecs.wire_logs import event_name
from otel_llm.errors import MalformedError
from otel_llm.operation import AttributeValue
from otel_llm.quality.results import Evaluation, Source, Target

_SCOPE: Final = "otel_llm.evaluation"
# Names are for people and for series; what is longer is no name.
_NAME_CHARACTERS: Final = 256
_EXPLANATION_CHARACTERS: Final = 64 * 1024
_TRACE_BYTES: Final = 16
_SPAN_BYTES: Final = 8
_EVALUATOR: Final = {
    "id": (
        names.OTEL_LLM_EVALUATION_EVALUATOR_ID,
        "gen_ai.evaluation.evaluator.id",
        "gen_ai.evaluation.evaluator.name",
    ),
    "version": (names.OTEL_LLM_EVALUATION_EVALUATOR_VERSION, "gen_ai.evaluation.evaluator.version"),
    "source": (names.OTEL_LLM_EVALUATION_EVALUATOR_SOURCE, "gen_ai.evaluation.evaluator.source"),
}


def encode_evaluations(evaluations: Iterable[tuple[Evaluation, str]]) -> bytes:
    """A serialized log request.

    Args:
        evaluations: each with the `service.name` of what was evaluated; empty when that is not known.
    """
    request = ExportLogsServiceRequest()
    groups: dict[str, list[Evaluation]] = {}
    for evaluation, service in evaluations:
        groups.setdefault(service, []).append(evaluation)
    for service, found in groups.items():
        holder = request.resource_logs.add()
        if service:
            holder.resource.attributes.add(key=names.SERVICE_NAME).value.string_value = service
        group = holder.scope_logs.add()
        group.scope.name, group.scope.version = _SCOPE, __version__
        group.log_records.extend(map(_record, found))
    return request.SerializeToString()


def _record(evaluation: Evaluation) -> LogRecord:
    target = evaluation.target
    failed = bool(evaluation.error_type)
    record = LogRecord(
        time_unix_nano=evaluation.time_unix_nano,
        observed_time_unix_nano=evaluation.time_unix_nano,
        severity_number=SeverityNumber.SEVERITY_NUMBER_WARN if failed else SeverityNumber.SEVERITY_NUMBER_INFO,
        event_name=GEN_AI_EVALUATION_RESULT,
        trace_id=target.trace_id,
        span_id=target.span_id,
    )
    attributes: dict[str, AttributeValue] = {
        names.GEN_AI_EVALUATION_NAME: evaluation.name,
        names.GEN_AI_EVALUATION_SCORE_VALUE: evaluation.score,
        names.GEN_AI_EVALUATION_SCORE_LABEL: evaluation.label,
        names.GEN_AI_EVALUATION_EXPLANATION: evaluation.explanation,
        names.GEN_AI_RESPONSE_ID: target.response_id,
        names.ERROR_TYPE: evaluation.error_type,
        names.OTEL_LLM_EVALUATION_ID: evaluation.id,
        names.OTEL_LLM_EVALUATION_EVALUATOR_ID: evaluation.evaluator_id,
        names.OTEL_LLM_EVALUATION_EVALUATOR_VERSION: evaluation.evaluator_version,
        names.OTEL_LLM_EVALUATION_EVALUATOR_SOURCE: evaluation.source,
        names.OTEL_LLM_EVALUATION_SAMPLING_PROBABILITY: evaluation.sampling_probability,
    }
    for key, value in attributes.items():
        if value not in (None, ""):
            record.attributes.add(key=key).value.CopyFrom(AnyValue.FromString(encode_value(value)))
    return record


def read_evaluations(body: bytes) -> tuple[list[Evaluation], int]:
    """The evaluation results in a serialized log request, and how many of its results cannot be read as one.

    Other records are passed over.

    Raises:
        MalformedError: the bytes are no log request.
    """
    if GEN_AI_EVALUATION_RESULT.encode() not in body:
        return [], 0
    try:
        request = ExportLogsServiceRequest.FromString(body)
    except DecodeError:
        raise MalformedError("ExportLogsServiceRequest: the bytes are not an OTLP log request") from None
    found = [
        _evaluation(record)
        for holder in request.resource_logs
        for group in holder.scope_logs
        for record in group.log_records
        if event_name(record) == GEN_AI_EVALUATION_RESULT
    ]
    known = [one for one in found if one is not None]
    return known, len(found) - len(known)


def _evaluation(record: LogRecord) -> Evaluation | None:
    """None when it has no name, or nothing that says what it is about."""
    values = {item.key: from_any_value(item.value) for item in record.attributes}
    target = Target(
        record.trace_id if len(record.trace_id) == _TRACE_BYTES and any(record.trace_id) else b"",
        record.span_id if len(record.span_id) == _SPAN_BYTES and any(record.span_id) else b"",
        _text(values, names.GEN_AI_RESPONSE_ID),
    )
    name = _text(values, names.GEN_AI_EVALUATION_NAME)
    if not name or not (target.trace_id or target.response_id):
        return None
    source = _text(values, *_EVALUATOR["source"]).lower()
    return Evaluation(
        target,
        name,
        _number(values.get(names.GEN_AI_EVALUATION_SCORE_VALUE)),
        _text(values, names.GEN_AI_EVALUATION_SCORE_LABEL),
        _text(values, names.GEN_AI_EVALUATION_EXPLANATION, limit=_EXPLANATION_CHARACTERS),
        _text(values, *_EVALUATOR["id"]),
        _text(values, *_EVALUATOR["version"]),
        cast("Source", source) if source in get_args(Source) else "",
        _text(values, names.ERROR_TYPE),
        record.time_unix_nano or record.observed_time_unix_nano,
        _probability(values.get(names.OTEL_LLM_EVALUATION_SAMPLING_PROBABILITY)),
    )


def _text(values: Mapping[str, AttributeValue], *keys: str, limit: int = _NAME_CHARACTERS) -> str:
    for key in keys:
        value = values.get(key)
        if isinstance(value, str) and value:
            return value[:limit]
    return ""


def _number(value: AttributeValue) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(value)


def _probability(value: AttributeValue) -> float | None:
    number = _number(value)
    return number if number is not None and 0 < number <= 1 else None
