"""Evaluation results as annotations in Phoenix, which does not read them from OTLP logs.

Source: Phoenix REST interface, `POST /v1/span_annotations` and `/v1/trace_annotations`: an annotation of the same name
and identifier takes the place of the one before, so that sending twice is sending once.
"""

from __future__ import annotations

from typing import Annotated, Final

import msgspec

from otel_llm.codecs.evaluations import read_evaluations
from otel_llm.components import Context
from otel_llm.errors import MalformedError, PermanentError
from otel_llm.exporters.exporter import ExportResult
from otel_llm.exporters.json_api import JsonApi
from otel_llm.exporters.tls import TlsConfig
from otel_llm.quality.results import Evaluation
from otel_llm.signals import Payload, Signal

SIGNALS: Final[frozenset[Signal]] = frozenset({"logs"})
_KINDS: Final = {"human": "HUMAN", "model": "LLM", "code": "CODE", "": "CODE"}
# Phoenix keeps this name for itself and refuses whatever stands beside it in the request.
_RESERVED: Final = "note"


class Config(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Evaluation results as annotations of spans and traces in Phoenix."""

    endpoint: str = "http://127.0.0.1:6006"
    """Where Phoenix is."""

    headers: dict[str, str] = {}
    """Header fields of every request, e.g. `authorization: Bearer ...`. Never logged."""

    timeout_seconds: Annotated[float, msgspec.Meta(gt=0)] = 10.0
    """How long one request may take, connecting included, in seconds."""

    tls: TlsConfig = TlsConfig()
    """Whom to trust when the endpoint begins with https://, and who we are."""


class PhoenixExporter:
    """The exporter; see `create`."""

    signals = SIGNALS

    def __init__(self, api: JsonApi, timeout_seconds: float) -> None:
        self._api = api
        self._timeout_seconds = timeout_seconds

    def export(self, payload: Payload, timeout_seconds: float) -> ExportResult:
        """Post the results of a payload; other log records are passed over.

        Raises:
            RetryableError: no answer, or one that may be another later.
            TooLargeError: too many at once.
            PermanentError: refused.
        """
        try:
            found, unreadable = read_evaluations(payload.join())
        except MalformedError as error:
            raise PermanentError(f"phoenix_annotations: {error}") from None
        sendable = [one for one in found if one.target.trace_id and one.name != _RESERVED and not one.error_type]
        seconds = min(timeout_seconds, self._timeout_seconds)
        spans = [_annotation(one) for one in sendable if one.target.span_id]
        traces = [_annotation(one) for one in sendable if not one.target.span_id]
        for path, batch in (("/v1/span_annotations", spans), ("/v1/trace_annotations", traces)):
            if batch:
                self._api.post(path, msgspec.json.encode({"data": batch}), seconds)
        rejected = unreadable + len(found) - len(sendable)
        return ExportResult(rejected, "Phoenix takes results with a trace id, a score or label" if rejected else "")

    def shutdown(self) -> None:
        """Close all connections."""
        self._api.close()


def _annotation(one: Evaluation) -> dict[str, object]:
    target = one.target
    version = f"@{one.evaluator_version}" if one.evaluator_version else ""
    result = {"score": one.score, "label": one.label or None, "explanation": one.explanation or None}
    return {
        **({"span_id": target.span_id.hex()} if target.span_id else {"trace_id": target.trace_id.hex()}),
        "name": one.name,
        "annotator_kind": _KINDS[one.source],
        "result": {key: value for key, value in result.items() if value is not None},
        "identifier": f"{one.evaluator_id}{version}",
        "metadata": {"evaluation_id": one.id, **({"response_id": target.response_id} if target.response_id else {})},
    }


def create(config: Config, context: Context) -> PhoenixExporter:
    """Make the exporter; it connects with the first request.

    Raises:
        ConfigError: endpoint, header fields or TLS files cannot be used.
    """
    api = JsonApi(config.endpoint, config.headers, config.tls, f"exporters.{context.name}")
    return PhoenixExporter(api, config.timeout_seconds)
