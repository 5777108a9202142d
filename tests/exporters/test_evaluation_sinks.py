"""Langfuse scores and Phoenix annotations, against loopbacks that speak as they do; Phoenix 20.26 itself was tried."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from otel_llm.codecs.evaluations import encode_evaluations
from otel_llm.components import Context
from otel_llm.errors import ConfigError, CredentialsError, RetryableError
from otel_llm.exporters import langfuse_scores, phoenix_annotations
from otel_llm.quality.results import Evaluation, Target
from otel_llm.signals import Payload
from tests.backends import LANGFUSE_KEYS, Backend, langfuse, phoenix
from tests.delivery.requests import payload as other_records

SPAN = Target(bytes([1]) * 16, bytes([2]) * 8, "resp-1")
TRACE = Target(bytes([1]) * 16)
FEEDBACK = Evaluation(SPAN, "user_feedback", 0.0, "thumbs_down", "no", "user", "", "human")
JUDGED = Evaluation(TRACE, "helpful", None, "yes", "", "judge", "3", "model")
FAILED = Evaluation(SPAN, "helpful", None, "", "", "judge", "3", "model", "timeout")
NOWHERE = Evaluation(Target(response_id="resp-2"), "user_feedback", 1.0)


def logs(*evaluations: Evaluation) -> Payload:
    return Payload.of("logs", (encode_evaluations((one, "shop") for one in evaluations),), len(evaluations))


@contextmanager
def to_langfuse(
    backend: Backend, context: Context, keys: tuple[str, str] = LANGFUSE_KEYS
) -> Iterator[langfuse_scores.LangfuseExporter]:
    config = langfuse_scores.Config(endpoint=backend.endpoint, public_key=keys[0], secret_key=keys[1])
    exporter = langfuse_scores.create(config, context)
    yield exporter
    exporter.shutdown()


@contextmanager
def to_phoenix(backend: Backend, context: Context) -> Iterator[phoenix_annotations.PhoenixExporter]:
    exporter = phoenix_annotations.create(phoenix_annotations.Config(endpoint=backend.endpoint), context)
    yield exporter
    exporter.shutdown()


def test_results_are_scores_in_langfuse_once_however_often_they_are_sent(context: Context) -> None:
    with langfuse() as backend, to_langfuse(backend, context) as exporter:
        for _ in range(2):
            result = exporter.export(logs(FEEDBACK, JUDGED, FAILED, NOWHERE), 5)
    assert result.rejected == 2
    first, second = backend.kept.values()
    assert first == {
        "id": FEEDBACK.id,
        "traceId": "01" * 16,
        "observationId": "02" * 8,
        "name": "user_feedback",
        "value": 0.0,
        "dataType": "NUMERIC",
        "comment": "thumbs_down: no",
        "metadata": {"evaluator_id": "user", "evaluator_version": "", "source": "human", "response_id": "resp-1"},
    }
    assert (second["value"], second["dataType"], "observationId" in second) == ("yes", "CATEGORICAL", False)


def test_results_are_annotations_in_phoenix_once_however_often_they_are_sent(context: Context) -> None:
    with phoenix() as backend, to_phoenix(backend, context) as exporter:
        for _ in range(2):
            result = exporter.export(logs(FEEDBACK, JUDGED, FAILED, NOWHERE), 5)
    assert result.rejected == 2
    assert backend.kept["02" * 8, "user_feedback", "user"] == {
        "span_id": "02" * 8,
        "name": "user_feedback",
        "annotator_kind": "HUMAN",
        "result": {"score": 0.0, "label": "thumbs_down", "explanation": "no"},
        "identifier": "user",
        "metadata": {"evaluation_id": FEEDBACK.id, "response_id": "resp-1"},
    }
    assert backend.kept["01" * 16, "helpful", "judge@3"]["annotator_kind"] == "LLM"


def test_a_name_that_phoenix_keeps_for_itself_does_not_cost_the_others(context: Context) -> None:
    with phoenix() as backend, to_phoenix(backend, context) as exporter:
        result = exporter.export(logs(FEEDBACK, Evaluation(SPAN, "note", 1.0)), 5)
    assert (result.rejected, len(backend.kept)) == (1, 1)


def test_other_log_records_are_passed_over(context: Context) -> None:
    with langfuse() as backend, to_langfuse(backend, context) as exporter:
        assert exporter.export(other_records(1, 3, signal="logs"), 5).rejected == 0
    with phoenix() as other, to_phoenix(other, context) as annotating:
        assert annotating.export(other_records(1, 3, signal="logs"), 5).rejected == 0
    assert (backend.requests, other.requests) == (0, 0)


def test_a_backend_that_is_busy_is_tried_again_and_a_wrong_key_is_told_apart(context: Context) -> None:
    with langfuse() as backend, to_langfuse(backend, context) as exporter:
        backend.fail_with = [503]
        with pytest.raises(RetryableError, match="answered 503"):
            exporter.export(logs(FEEDBACK), 5)
        stranger = to_langfuse(backend, context, ("pk", "sk-secret"))
        with stranger as wrong, pytest.raises(CredentialsError, match="answered 401") as refused:
            wrong.export(logs(FEEDBACK), 5)
    assert "sk-secret" not in str(refused.value)
    with to_langfuse(backend, context) as late, pytest.raises(RetryableError):
        late.export(logs(FEEDBACK), 5)


@pytest.mark.parametrize(
    "endpoint", ["localhost:3000", "ftp://x", "http://", "http://u:p@x", "http://x?key=1", "http://x:port"]
)
def test_an_address_that_cannot_be_used_is_refused_at_the_start(endpoint: str, context: Context) -> None:
    with pytest.raises(ConfigError, match=r"exporters\.test\.endpoint: expected http"):
        phoenix_annotations.create(phoenix_annotations.Config(endpoint=endpoint), context)


def test_langfuse_needs_keys(context: Context) -> None:
    with pytest.raises(ConfigError, match="secret_key"):
        langfuse_scores.create(langfuse_scores.Config(public_key="pk", secret_key=""), context)
