"""Runaway agents, and feedback that comes after the span is gone: over real sockets, through a running gateway."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from otel_llm.codecs.evaluations import encode_evaluations, read_evaluations
from otel_llm.ledger.store import Ledger
from otel_llm.operation import AttributeValue
from otel_llm.quality.results import Evaluation, Target
from otel_llm.receivers.feedback import FeedbackReceiver
from otel_llm.testing import Destination, OtlpHttpSink
from tests.acceptance.through import Through
from tests.backends import LANGFUSE_KEYS, langfuse, phoenix
from tests.hosts.running import post, running
from tests.spans import NOON, SECOND, SpanSpec, attributes_of, chat, request

CONFIG = """
receivers:
  otlp:
    protocols:
      http: {{endpoint: "127.0.0.1:0"}}
  feedback: {{endpoint: "127.0.0.1:0", ledger: {ledger}}}
processors: {{normalize: , cost: , quality: , metrics: }}
exporters:
  otlp_http:
    endpoint: {sink}
    compression: none
    sending_queue: {{batch: {{flush_timeout_seconds: 0}}}}
  ledger: {{path: {ledger}, sending_queue: {{batch: {{flush_timeout_seconds: 0}}}}}}
  langfuse_scores:
    endpoint: {langfuse}
    public_key: {keys[0]}
    secret_key: "${{env:LANGFUSE_SECRET_KEY}}"
    sending_queue: {{batch: {{flush_timeout_seconds: 0}}}}
  phoenix_annotations: {{endpoint: "{phoenix}", sending_queue: {{batch: {{flush_timeout_seconds: 0}}}}}}
service:
  admin: {{endpoint: "127.0.0.1:0"}}
  shutdown_timeout_seconds: 5
  pipelines:
    traces: {{receivers: [otlp], processors: [normalize, cost, quality, metrics], exporters: [ledger, otlp_http]}}
    logs:
      receivers: [otlp, feedback]
      processors: [normalize]
      exporters: [ledger, otlp_http, langfuse_scores, phoenix_annotations]
"""


@contextmanager
def gateway(
    folder: Path, scores: str = "http://127.0.0.1:9", annotations: str = "http://127.0.0.1:9"
) -> Iterator[Through]:
    with OtlpHttpSink() as sink:
        text = CONFIG.format(
            ledger=folder / "ledger.db", sink=sink.endpoint, langfuse=scores, phoenix=annotations, keys=LANGFUSE_KEYS
        )
        secrets = {"LANGFUSE_SECRET_KEY": LANGFUSE_KEYS[1]}
        with running(text, folder, environment=secrets) as started:
            yield Through(started, sink.destination, sink.port)


def tool_span(trace: int, number: int, tool: str, arguments: object, result: object = "done") -> SpanSpec:
    attributes: dict[str, AttributeValue] = {
        "gen_ai.operation.name": "execute_tool",
        "gen_ai.tool.name": tool,
        "gen_ai.tool.call.arguments": json.dumps(arguments),
        "gen_ai.tool.call.result": json.dumps(result),
    }
    return SpanSpec(attributes, trace=trace, span=number, start=NOON + number * SECOND)


def looping(through: Through, specs: list[SpanSpec]) -> list[int]:
    """The spans of a trace, one request each as they end; the numbers of those that are said to be in a loop."""
    found = []
    for spec in specs:
        (span,) = through.send(request([spec]))
        if attributes_of(span).get("otel_llm.quality.agent_loop"):
            found.append(spec.span)
    return found


def test_58_an_agent_in_a_loop_is_found_at_the_third_repeat(tmp_path: Path) -> None:
    """Given an agent repeating the same tool with the same arguments five times, then two tools in turn, then agents
    ten deep, each is found: the loop at its third repeat."""
    with gateway(tmp_path) as through:
        same = [tool_span(1, number, "search", {"q": "mill"}, []) for number in range(1, 6)]
        assert looping(through, same) == [3, 4, 5]
        turns = [tool_span(2, number, "read" if number % 2 else "write", {"path": "a"}) for number in range(1, 9)]
        assert looping(through, turns) == [6, 7, 8]
        agents = [
            SpanSpec({"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": "a"}, trace=3, span=n, parent=n - 1)
            for n in range(12, 0, -1)
        ]
        found = [attributes_of(span) for span in through.send(request(agents))]
        assert [
            n for n, one in zip(range(12, 0, -1), found, strict=True) if one.get("otel_llm.quality.agent_recursion")
        ] == [3, 2, 1]
        assert through.own_metric("otel_llm_quality_operations_raised_total", otel_llm_quality_signal="agent_loop") == 6


def _legitimate(trace: int, draw: random.Random) -> list[SpanSpec]:
    """An agent at honest work: pages, polls, reads and edits, retries that change something."""
    kind = trace % 5
    number = draw.randint(5, 15)
    if kind == 0:
        return [tool_span(trace, n, "list_orders", {"page": n}, [n]) for n in range(1, number)]
    if kind == 1:
        return [tool_span(trace, n, "fetch_job", {"id": trace}, {"percent": n}) for n in range(1, number)]
    if kind == 2:
        return [tool_span(trace, n, "get_job_status", {"id": trace}, "running") for n in range(1, number)]
    if kind == 3:
        steps = [("read_file", {"path": f"{n}.py"}) if n % 2 else ("run_tests", {}) for n in range(1, number)]
        return [tool_span(trace, n, *step, f"{n} failed") for n, step in enumerate(steps, 1)]
    words = [draw.choice(["mill", "bridge", "river", "sea"]) + str(n) for n in range(1, number)]
    return [tool_span(trace, n, "search", {"q": word}, []) for n, word in enumerate(words, 1)]


def test_58_two_hundred_traces_of_honest_work_raise_no_alarm(tmp_path: Path) -> None:
    """Pagination, polling with changing results or by a tool that polls, read and test in turn, searches."""
    draw = random.Random(58)
    with gateway(tmp_path) as through:
        specs = [spec for trace in range(1, 201) for spec in _legitimate(trace, draw)]
        found = [
            attributes_of(span)
            for start in range(0, len(specs), 200)
            for span in through.send(request(specs[start : start + 200]))
        ]
    assert len(found) == len(specs)
    assert [one for one in found if one.get("otel_llm.quality.agent_loop")] == []


def results_at(destination: Destination) -> list[Evaluation]:
    return [
        one
        for received in destination.accepted
        if received.signal == "logs"
        for one in read_evaluations(received.body)[0]
    ]


def feedback(through: Through, body: dict[str, object]) -> dict[str, str]:
    receiver = through.gateway.receiver("feedback")
    assert isinstance(receiver, FeedbackReceiver)
    port = int(receiver.endpoint.rpartition(":")[2])
    status, answer = post(port, "/v1/feedback", json.dumps(body).encode(), {"content-type": "application/json"})
    assert status == 200
    found: dict[str, str] = json.loads(answer)["results"][0]
    return found


def test_60_feedback_a_judge_and_a_re_score_join_the_call_they_speak_of(tmp_path: Path) -> None:
    """Given a response id returned to the client, then a thumbs-down days later, a judge's score and a re-score each
    become a `gen_ai.evaluation.result` with the target's ids; sent twice they are one; the exported span stays as it
    was; they add up per model and prompt version; an unknown target is kept and counted; Langfuse and Phoenix get
    them."""
    call = SpanSpec(
        chat(gen_ai__response__id="resp-1", gen_ai__prompt__name="help", gen_ai__prompt__version="7"), trace=5, span=6
    )
    target = Target((5).to_bytes(16, "big"), (6).to_bytes(8, "big"), "resp-1")
    judged = Evaluation(target, "helpful", 0.25, "no", "", "judge", "2", "model", time_unix_nano=NOON)
    with (
        langfuse() as scores,
        phoenix() as annotations,
        gateway(tmp_path, scores.endpoint, annotations.endpoint) as through,
    ):
        through.send(request([call]))
        through.gateway.delivery("ledger").force_flush(10)
        down = {"response_id": "resp-1", "score": 0, "label": "thumbs_down"}
        first, second = feedback(through, down), feedback(through, down)
        forged = feedback(through, {"response_id": "nobody-knows", "score": 1})
        for _ in range(2):
            assert post(through.port, "/v1/logs", encode_evaluations([(judged, "shop")]))[0] == 200
        again = feedback(through, {**down, "score": 1, "label": "thumbs_up"})
        scores.wait_for(2)
        annotations.wait_for(2)
        spans = [received for received in through.destination.accepted if received.signal == "traces"]
        through.destination.wait_for(lambda: len(results_at(through.destination)) >= 5)
        arrived = results_at(through.destination)
        through.gateway.delivery("ledger").force_flush(10)
        counted = through.own_metric("otel_llm_evaluation_score_count", gen_ai_response_model="gpt-4o")
    assert [one["outcome"] for one in (first, second, again)] == ["accepted", "duplicate", "accepted"]
    assert [one["target"] for one in (first, forged)] == ["known", "unknown"]
    assert {one.target for one in arrived} == {target, Target(response_id="nobody-knows")}
    assert len(spans) == 1
    ledger = Ledger(tmp_path / "ledger.db")
    totals = {
        one.group["name"]: one
        for one in ledger.evaluation_totals(["name", "model", "prompt_version"])
        if not one.unknown_targets
    }
    kept = len(ledger.evaluations())
    ledger.close()
    assert kept == 3
    assert counted == 2
    assert dict(totals["user_feedback"].group) == {"name": "user_feedback", "model": "gpt-4o", "prompt_version": "7"}
    assert (totals["user_feedback"].results, totals["user_feedback"].mean_score) == (1, 1.0)
    assert (totals["helpful"].results, totals["helpful"].mean_score) == (1, 0.25)
    assert scores.kept[(first["id"],)]["value"] == 1.0
    assert annotations.kept["0000000000000006", "helpful", "judge@2"]["result"]["score"] == 0.25
    assert len(scores.kept) == len(annotations.kept) == 2


@pytest.mark.parametrize("path", ["/v1/feedback/", "/feedback", "/v1/logs"])
def test_60_feedback_elsewhere_is_nothing(path: str, tmp_path: Path) -> None:
    with gateway(tmp_path) as through:
        receiver = through.gateway.receiver("feedback")
        assert isinstance(receiver, FeedbackReceiver)
        assert post(int(receiver.endpoint.rpartition(":")[2]), path, b"{}")[0] == 404
