"""Phoenix behind gateway-phoenix.yaml, asked over its REST and GraphQL interfaces."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

import pytest

from otel_llm.testing import unused_port
from tests.backends_real.feeding import CALLS, Attributes, Fed, fed, span_id, trace_id
from tests.backends_real.programs import BACKEND_MARKS, Backend, program, started

pytestmark = [*BACKEND_MARKS, pytest.mark.usefixtures("sent")]
_REASONS = "gen_ai.response.finish_reasons"
_PROJECT = "/v1/projects/default"


@pytest.fixture(scope="module")
def phoenix(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Backend]:
    folder = tmp_path_factory.mktemp("phoenix")
    backend = Backend(unused_port())
    environment = {
        "PHOENIX_HOST": "127.0.0.1",
        "PHOENIX_PORT": str(backend.port),
        "PHOENIX_GRPC_PORT": str(unused_port()),
        "PHOENIX_WORKING_DIR": str(folder),
        "PHOENIX_TELEMETRY_ENABLED": "false",
    }
    with started([program("phoenix"), "serve"], backend, "/healthz", folder, environment) as running:
        yield running


@pytest.fixture(scope="module")
def sent(phoenix: Backend) -> Iterator[Fed]:
    feedback = "receivers.feedback.endpoint=127.0.0.1:0"
    with fed("phoenix", {"PHOENIX_ENDPOINT": phoenix.endpoint}, "otlp_http/phoenix", feedback) as gateway:
        gateway.send_all()
        phoenix.wait_for(lambda: len(spans(phoenix)) == len(gateway.spans))
        yield gateway


def spans(phoenix: Backend) -> list[dict[str, Any]]:
    return phoenix.json(f"{_PROJECT}/spans?limit=1000")["data"]


def call(phoenix: Backend, number: int) -> Attributes:
    [span] = phoenix.json(f"{_PROJECT}/spans?trace_id={trace_id(number)}")["data"]
    return span["attributes"]


def graph(phoenix: Backend, query: str) -> Any:
    answer = phoenix.json("/graphql", {"query": query})
    assert "errors" not in answer, answer
    return answer["data"]


def test_every_span_is_there_with_every_attribute(phoenix: Backend, sent: Fed):
    kept = {(one["context"]["trace_id"], one["context"]["span_id"]): one["attributes"] for one in spans(phoenix)}
    assert kept.keys() == sent.spans.keys()
    for identity, attributes in sent.spans.items():
        found = {key: kept[identity].get(key) for key in attributes}
        assert found == {key: list(value) if isinstance(value, tuple) else value for key, value in attributes.items()}


def test_cost_verdict_and_signals_are_attributes(phoenix: Backend):
    assert call(phoenix, CALLS.priced)["otel_llm.cost.total"] == 0.00275
    unpriced = call(phoenix, CALLS.unpriced)
    assert unpriced["otel_llm.cost.status"] == "unpriced"
    assert "otel_llm.cost.total" not in unpriced
    assert call(phoenix, CALLS.denied)["otel_llm.policy.verdict.type"] == "deny"
    assert "refusal" in str(call(phoenix, CALLS.refused)["otel_llm.quality.flags"])


def test_its_own_cost_is_ours_for_a_call_that_it_knows_and_nothing_for_one_it_does_not(phoenix: Backend):
    def own(number: int) -> Any:
        query = f'{{getSpanByOtelId(spanId: "{span_id(number)}") {{costSummary {{total {{cost tokens}}}}}}}}'
        return graph(phoenix, query)["getSpanByOtelId"]["costSummary"]["total"]

    phoenix.wait_for(lambda: own(CALLS.priced)["cost"] is not None)
    assert own(CALLS.priced)["cost"] == pytest.approx(0.00275)
    assert own(CALLS.unpriced)["cost"] is None


def test_its_own_sum_counts_calls_twice_that_two_instrumentations_recorded_and_ours_does_not(
    phoenix: Backend, sent: Fed
):
    # The recorded emitters tell of the same calls: same response ids, of which the gateway bills one.
    ours = sum(float(cast("float", one.get("otel_llm.cost.total", 0.0))) for one in sent.spans.values())
    repeated = [one for one in sent.spans.values() if one.get("otel_llm.cost.reason") == "duplicate"]
    edges = graph(phoenix, "{projects {edges {node {costSummary {total {cost}}}}}}")["projects"]["edges"]
    [theirs] = [edge["node"]["costSummary"]["total"]["cost"] for edge in edges]
    assert repeated
    assert theirs > ours > 0


def test_messages_are_shown_as_messages(phoenix: Backend):
    refused = call(phoenix, CALLS.refused)
    assert refused["llm.output_messages.0.message.role"] == "assistant"
    assert "I'm sorry" in str(refused["llm.output_messages.0.message.content"])


def test_every_answer_whose_finish_reason_is_known_is_shown(phoenix: Backend):
    kept = [one["attributes"] for one in spans(phoenix)]
    answered = [one for one in kept if one.get("gen_ai.output.messages", "[]") != "[]" and one.get(_REASONS, []) != []]
    assert len(answered) > 20
    assert [one for one in answered if "llm.output_messages.0.message.role" not in one] == []


def test_the_thumb_of_a_user_becomes_an_annotation_of_the_span(phoenix: Backend, sent: Fed):
    sent.send_thumb(CALLS.priced)
    path = f"{_PROJECT}/span_annotations?span_ids={span_id(CALLS.priced)}"
    phoenix.wait_for(lambda: phoenix.json(path)["data"])
    [annotation] = phoenix.json(path)["data"]
    assert (annotation["annotator_kind"], annotation["result"]["score"]) == ("HUMAN", 0.0)
