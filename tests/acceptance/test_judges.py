"""Acceptance 60, the part of judges: a score that comes after the span is gone."""

from __future__ import annotations

import json
from pathlib import Path
from urllib.parse import quote

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

from otel_llm._generated import attributes as names
from otel_llm.codecs.protobuf import from_any_value
from otel_llm.loopback import LoopbackProvider
from otel_llm.testing import Destination, OtlpHttpSink
from tests.hosts.running import SIMPLE, http_port, post, running
from tests.spans import SpanSpec, chat, request

VERDICT = quote('{"evidence": "Lyon", "label": "fail"}')
JUDGE = """
  judge:
    endpoint: {{url: "{provider}", model: "gpt-4o-mini#text={verdict}"}}
    others: 1
    rubrics: [{{id: correctness, version: "{version}", question: "Is it true?"}}]
"""


def said(role: str, text: str) -> str:
    return json.dumps([{"role": role, "parts": [{"type": "text", "content": text}]}])


def results(destination: Destination) -> list[tuple[bytes, bytes, dict[str, object]]]:
    """Trace, span and attributes of each evaluation result that arrived."""
    return [
        (record.trace_id, record.span_id, {item.key: from_any_value(item.value) for item in record.attributes})
        for received in destination.accepted
        if received.signal == "logs"
        for holder in ExportLogsServiceRequest.FromString(received.body).resource_logs
        for group in holder.scope_logs
        for record in group.log_records
        if record.event_name == "gen_ai.evaluation.result"
    ]


def test_scenario_60_a_judge_score_and_a_re_score_are_events_about_the_same_span_which_stays_as_it_was(
    tmp_path: Path,
) -> None:
    texts = {
        names.GEN_AI_INPUT_MESSAGES: said("user", "What is the capital of France?"),
        names.GEN_AI_OUTPUT_MESSAGES: said("assistant", "Lyon."),
        "gen_ai.response.id": "r7",
    }
    body = request([SpanSpec({**chat(), **texts}, trace=7, span=8)])
    exported = []
    with LoopbackProvider() as provider, OtlpHttpSink() as sink:
        for version in ("1", "1", "2"):
            # `{{` as the text is a template still
            section = JUDGE.format(provider=provider.openai_base_url, verdict=VERDICT, version=version)
            section = section.replace("{", "{{").replace("}", "}}")
            text = SIMPLE.replace("  cost:\n", f"  cost:\n{section}").replace(
                "cost], exporters", "cost, judge], exporters"
            )
            before = len(results(sink.destination))
            with running(text.format(sink=sink.endpoint), tmp_path) as gateway:
                assert post(http_port(gateway), "/v1/traces", body)[0] == 200
                sink.destination.wait_for(lambda before=before: len(results(sink.destination)) > before)  # type: ignore[misc] # a default of a lambda
            exported.append([one.body for one in sink.destination.accepted if one.signal == "traces"][-1])
    found = results(sink.destination)
    assert [(trace, span) for trace, span, _ in found] == [((7).to_bytes(16, "big"), (8).to_bytes(8, "big"))] * 3
    assert {values["gen_ai.response.id"] for _, _, values in found} == {"r7"}
    assert [values["gen_ai.evaluation.score.value"] for _, _, values in found] == [0.0] * 3
    # What makes a result the same one again: target, name, evaluator and its version.
    keys = (names.GEN_AI_EVALUATION_NAME, names.OTEL_LLM_EVALUATION_EVALUATOR_ID)
    versions = [values[names.OTEL_LLM_EVALUATION_EVALUATOR_VERSION] for _, _, values in found]
    assert len({tuple(values[key] for key in keys) for _, _, values in found}) == 1
    assert versions == ["1", "1", "2"]
    assert exported[0] == exported[1] == exported[2]  # the span says nothing of it
