from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

from otel_llm.codecs.evaluations import read_evaluations
from otel_llm.components import Context
from otel_llm.errors import RefusedError
from otel_llm.ledger.row import row_of
from otel_llm.ledger.store import Ledger
from otel_llm.quality.results import Evaluation
from otel_llm.receivers import feedback
from otel_llm.receivers.auth import AuthConfig, KeyConfig
from otel_llm.receivers.feedback_body import read_piece
from otel_llm.signals import ConsumeResult, Signal
from otel_llm.telemetry import Metrics
from otel_llm.testing import FakeClock
from tests.hosts.running import post
from tests.spans import SpanSpec, chat, operations


class Taken:
    """A consumer that keeps evaluation results."""

    def __init__(self) -> None:
        self.evaluations: list[Evaluation] = []
        self.is_full = False
        self.tenants: list[str] = []

    def consume(self, signal: Signal, body: bytes) -> ConsumeResult:
        assert signal == "logs"
        if self.is_full:
            raise RefusedError("no room", 3.0)
        self.evaluations += read_evaluations(body)[0]
        for holder in ExportLogsServiceRequest.FromString(body).resource_logs:
            found = {item.key: item.value.string_value for item in holder.resource.attributes}
            self.tenants += [found["otel_llm.tenant.id"]] if "otel_llm.tenant.id" in found else []
        return ConsumeResult()


class Running:
    def __init__(self, receiver: feedback.FeedbackReceiver, taken: Taken, metrics: Metrics, clock: FakeClock) -> None:
        self.receiver = receiver
        self.taken, self.metrics, self.clock = taken, metrics, clock
        self._port = int(receiver.endpoint.rpartition(":")[2])

    def send(self, body: object, **headers: str) -> tuple[int, dict[str, object]]:
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        status, answer = post(self._port, "/v1/feedback", raw, {"content-type": "application/json", **headers})
        return status, json.loads(answer) if answer.startswith(b"{") else {"error": answer.decode()}

    def counts(self) -> dict[tuple[str, ...], object]:
        family = next(one for one in self.metrics.collect() if one.definition.name == "otel_llm.feedback.results")
        return {tuple(value for _, value in series.attributes[1:]): series.value for series in family.series}


@contextmanager
def running(**settings: object) -> Iterator[Running]:
    metrics, clock, taken = Metrics(), FakeClock(), Taken()
    config = feedback.Config(endpoint="127.0.0.1:0", **settings)  # type: ignore[arg-type] # fields of Config
    receiver = feedback.create(config, Context("feedback", metrics, clock))
    receiver.start(taken)
    try:
        yield Running(receiver, taken, metrics, clock)
    finally:
        receiver.shutdown(1)


@pytest.fixture
def ledger_path(tmp_path: Path) -> str:
    path = str(tmp_path / "ledger.db")
    ledger = Ledger(path)
    ledger.record(
        [row for one in operations(SpanSpec(chat(gen_ai__response__id="resp-1"), span=7)) if (row := row_of(one))]
    )
    ledger.close()
    return path


def test_feedback_by_response_id_stands_in_the_context_of_the_span(ledger_path: str) -> None:
    with running(ledger=ledger_path) as it:
        status, answer = it.send({"response_id": "resp-1", "score": 0, "label": "thumbs_down", "comment": "no"})
        (one,) = it.taken.evaluations
    assert (status, answer) == (200, {"results": [{"id": one.id, "outcome": "accepted", "target": "known"}]})
    assert (one.target.trace_id, one.target.span_id) == ((1).to_bytes(16, "big"), (7).to_bytes(8, "big"))
    assert (one.name, one.score, one.label, one.explanation, one.source) == (
        "user_feedback",
        0.0,
        "thumbs_down",
        "no",
        "human",
    )
    assert one.time_unix_nano == it.clock.unix_nano()


def test_the_same_call_by_any_of_its_ids_is_the_same_result(ledger_path: str) -> None:
    trace, span = (1).to_bytes(16, "big").hex(), (7).to_bytes(8, "big").hex()
    ways: list[dict[str, object]] = [
        {"response_id": "resp-1"},
        {"trace_id": trace, "span_id": span},
        {"trace_id": trace.upper()},
    ]
    with running(ledger=ledger_path) as it:
        answers = [it.send({**way, "score": 1})[1]["results"] for way in ways]
        again = it.send({**ways[0], "score": 0})[1]["results"]
    found = [one for answer in (*answers, again) for one in answer]  # type: ignore[attr-defined] # JSON
    assert len({one["id"] for one in found}) == 1
    assert [one["outcome"] for one in found] == ["accepted", "duplicate", "duplicate", "accepted"]
    assert [one.score for one in it.taken.evaluations] == [1.0, 0.0]


def test_an_unknown_target_is_passed_on_and_counted(ledger_path: str) -> None:
    with running(ledger=ledger_path) as it:
        it.send({"response_id": "forged", "score": 1})
        assert [one.target.response_id for one in it.taken.evaluations] == ["forged"]
        assert it.counts() == {("accepted", "unknown"): 1}
    with running() as it:
        it.send({"response_id": "resp-1", "score": 1})
        assert it.counts() == {("accepted", "unchecked"): 1}


def test_feedback_that_is_quicker_than_its_span_is_passed_on_again_in_its_context(ledger_path: str) -> None:
    with running(ledger=ledger_path) as it:
        it.send({"response_id": "resp-2", "score": 1})
        it.send({"response_id": "never", "score": 1})
        it.receiver.pending.look()
        assert len(it.taken.evaluations) == 2
        ledger = Ledger(ledger_path)
        late = operations(SpanSpec(chat(gen_ai__response__id="resp-2"), span=8))
        ledger.record([row for one in late if (row := row_of(one))])
        ledger.close()
        it.taken.is_full = True
        it.receiver.pending.look()
        it.taken.is_full = False
        it.receiver.pending.look()
        it.receiver.pending.look()
        assert [one.target.span_id for one in it.taken.evaluations] == [b"", b"", (8).to_bytes(8, "big")]
        assert it.send({"response_id": "resp-2", "score": 1})[1]["results"][0]["outcome"] == "duplicate"  # type: ignore[index] # JSON
        assert it.counts()["resolved", "known"] == 1
        assert len(it.receiver.pending) == 1
        it.clock.advance(601)
        it.receiver.pending.look()
        assert len(it.receiver.pending) == 0


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        (b"{", "expected a JSON object"),
        (b"[" * 100_000, "expected a JSON object"),
        ([], "expected 1 to 100"),
        ([{"response_id": "a", "score": 1}] * 101, "expected 1 to 100"),
        (7, "feedback: expected an object"),
        ({"score": 1}, "response_id: expected"),
        ({"response_id": "a"}, "score: expected a score, a label"),
        ({"response_id": "a", "score": "1"}, "score: expected a number"),
        ({"response_id": "a", "score": True}, "score: expected a number"),
        ({"response_id": "a", "score": 10**400}, "score: expected a number"),
        ({"response_id": "a" * 300, "score": 1}, "response_id: expected text of 1 to 256"),
        ({"trace_id": "0" * 32, "score": 1}, "trace_id: expected 32 hex digits"),
        ({"trace_id": "x" * 32, "score": 1}, "trace_id: expected 32 hex digits"),
        ({"span_id": "1" * 16, "score": 1}, "span_id: expected 16 hex digits"),
        ({"response_id": "a", "score": 1, "source": "alien"}, "source: expected one of"),
        ([{"response_id": "a", "score": 1}, {"response_id": "a", "stars": 5}], "[1].stars: unknown field"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_no_feedback_is_refused_with_what_was_expected(body: object, problem: str) -> None:
    with running() as it:
        status, answer = it.send(body)
        assert status == 400
        assert str(answer["error"]).startswith(problem)
        assert it.taken.evaluations == []
        assert sum(float(str(value)) for value in it.counts().values()) >= 1
        assert {key[0] for key in it.counts()} == {"invalid"}


def test_a_flood_is_told_to_wait_and_let_in_again_later() -> None:
    with running(max_results_per_second=1) as it:
        first = [it.send({"response_id": str(number), "score": 1})[0] for number in range(12)]
        it.clock.advance(5)
        later = it.send({"response_id": "later", "score": 1})[0]
        assert it.counts() == {("accepted", "unchecked"): 11, ("refused",): 2}
    assert (first, later) == ([200] * 10 + [429] * 2, 200)


def test_the_same_after_a_restart_is_known_by_the_ledger_and_another_opinion_is_new(ledger_path: str) -> None:
    down = {"response_id": "resp-1", "score": 0, "label": "thumbs_down"}
    with running(ledger=ledger_path) as first:
        assert first.send(down)[1]["results"][0]["outcome"] == "accepted"  # type: ignore[index] # JSON
        ledger = Ledger(ledger_path)
        ledger.record_evaluations(first.taken.evaluations)
        ledger.close()
    with running(ledger=ledger_path) as second:
        up = {**down, "score": 1, "label": "thumbs_up"}
        outcomes = [second.send(one)[1]["results"][0]["outcome"] for one in (down, up, down)]  # type: ignore[index] # JSON
        assert outcomes == ["duplicate", "accepted", "accepted"]  # the ledger still has the first: memory is newer
        with_comment = second.send({**down, "comment": "not my question"})
        assert with_comment[1]["results"][0]["outcome"] == "accepted"  # type: ignore[index] # JSON


def test_a_flood_of_forged_ids_is_counted_and_held_within_bounds(ledger_path: str) -> None:
    with running(ledger=ledger_path, max_results_per_second=2000.0, remembered_results=50) as it:
        forged = [{"response_id": f"forged-{number}", "score": 1} for number in range(10_100)]
        for start in range(0, 10_100, 100):
            status, answer = it.send(forged[start : start + 100])
            assert status == 200
            assert {one["target"] for one in answer["results"]} == {"unknown"}  # type: ignore[attr-defined] # JSON
        assert it.counts() == {("accepted", "unknown"): 10_100}
        assert len(it.receiver.pending) == 10_000
        assert it.send({"trace_id": "0" * 32, "score": 1})[0] == 400  # no trace has this id
        assert it.send({"response_id": "x" * 100_000, "score": 1})[0] == 400


def test_no_room_in_delivery_is_429_and_the_result_is_not_taken_for_known() -> None:
    with running() as it:
        it.taken.is_full = True
        assert it.send({"response_id": "a", "score": 1})[0] == 429
        it.taken.is_full = False
        assert it.send({"response_id": "a", "score": 1})[1]["results"][0]["outcome"] == "accepted"  # type: ignore[index] # JSON


def test_without_a_key_nothing_is_taken() -> None:
    auth = AuthConfig(keys=(KeyConfig(token="0123456789abcdef", tenant="acme"),))
    with running(auth=auth) as it:
        body = {"response_id": "a", "score": 1}
        assert it.send(body)[0] == 401
        assert it.send(body, authorization="Bearer wrong")[0] == 401
        assert it.send(body, authorization="Bearer 0123456789abcdef")[0] == 200
        assert it.counts() == {("accepted", "unchecked"): 1}
        assert it.taken.tenants == ["acme"]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["trace_id", "span_id", "response_id", "score", "label", "name", "x"]), inner, max_size=4
        )
    ),
)


@given(JSON)
def test_any_json_is_an_evaluation_or_a_sentence(item: object) -> None:
    assert isinstance(read_piece(item, ""), Evaluation | str)
