"""Evaluation results as scores in Langfuse, which does not read them from OTLP logs.

Source: Langfuse public API, `POST /api/public/scores`; a score of the same id takes the place of the one before, so
that sending twice is sending once. A trace in Langfuse has the trace id of OpenTelemetry, an observation the span id.
"""

from __future__ import annotations

import base64
from typing import Annotated, Final

import msgspec

from otel_llm.codecs.evaluations import read_evaluations
from otel_llm.components import Context
from otel_llm.credentials import Secret
from otel_llm.errors import ConfigError, MalformedError, PermanentError
from otel_llm.exporters.exporter import ExportResult
from otel_llm.exporters.json_api import JsonApi
from otel_llm.exporters.tls import TlsConfig
from otel_llm.quality.results import Evaluation
from otel_llm.signals import Payload, Signal

SIGNALS: Final[frozenset[Signal]] = frozenset({"logs"})
_PATH: Final = "/api/public/scores"


class Config(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Evaluation results as scores in Langfuse."""

    endpoint: str = "https://cloud.langfuse.com"
    """Where Langfuse is."""

    public_key: str
    """The project's public key."""

    secret_key: Secret
    """The project's secret key, as `${env:NAME}`. Never logged."""

    timeout_seconds: Annotated[float, msgspec.Meta(gt=0)] = 10.0
    """How long one request may take, connecting included, in seconds. There is one request for each result."""

    tls: TlsConfig = TlsConfig()
    """Whom to trust when the endpoint begins with https://, and who we are."""


class LangfuseExporter:
    """The exporter; see `create`."""

    signals = SIGNALS

    def __init__(self, api: JsonApi, timeout_seconds: float) -> None:
        self._api = api
        self._timeout_seconds = timeout_seconds

    def export(self, payload: Payload, timeout_seconds: float) -> ExportResult:
        """Post the results of a payload, one by one; other log records are passed over.

        A result that is refused for good does not keep the others back. When one may succeed later, all are sent again
        then, which changes nothing for those that were taken.

        Raises:
            RetryableError: no answer, or one that may be another later.
            PermanentError: the payload cannot be read, or all were refused for good.
        """
        try:
            found, unreadable = read_evaluations(payload.join())
        except MalformedError as error:
            raise PermanentError(f"langfuse_scores: {error}") from None
        sendable = [one for one in found if one.target.trace_id and not one.error_type and _value(one) is not None]
        seconds = min(timeout_seconds, self._timeout_seconds)
        refusals: list[PermanentError] = []
        for one in sendable:
            try:
                self._api.post(_PATH, msgspec.json.encode(_score(one)), seconds)
            except PermanentError as error:
                refusals.append(error)
        if refusals and len(refusals) == len(found):
            raise refusals[0]
        rejected = unreadable + len(found) - len(sendable) + len(refusals)
        message = str(refusals[0]) if refusals else "Langfuse takes results with a trace id and a score or label"
        return ExportResult(rejected, message if rejected else "")

    def shutdown(self) -> None:
        """Close all connections."""
        self._api.close()


def _value(one: Evaluation) -> float | str | None:
    return one.score if one.score is not None else one.label or None


def _score(one: Evaluation) -> dict[str, object]:
    # Langfuse has one value: a label beside a score goes into the comment.
    beside = one.label if one.score is not None else ""
    comment = ": ".join(part for part in (beside, one.explanation) if part)
    score: dict[str, object] = {
        "id": one.id,
        "traceId": one.target.trace_id.hex(),
        "name": one.name,
        "value": _value(one),
        "dataType": "NUMERIC" if one.score is not None else "CATEGORICAL",
        "metadata": {
            "evaluator_id": one.evaluator_id,
            "evaluator_version": one.evaluator_version,
            "source": one.source,
            "response_id": one.target.response_id,
        },
    }
    if one.target.span_id:
        score["observationId"] = one.target.span_id.hex()
    if comment:
        score["comment"] = comment
    return score


def create(config: Config, context: Context) -> LangfuseExporter:
    """Make the exporter; it connects with the first request.

    Raises:
        ConfigError: endpoint, keys or TLS files cannot be used.
    """
    setting = f"exporters.{context.name}"
    if not config.public_key or not config.secret_key:
        raise ConfigError([f"{setting}.secret_key: expected the project's keys, got nothing; set both"])
    basic = base64.b64encode(f"{config.public_key}:{config.secret_key}".encode()).decode()
    api = JsonApi(config.endpoint, {"authorization": f"Basic {basic}"}, config.tls, setting)
    return LangfuseExporter(api, config.timeout_seconds)
