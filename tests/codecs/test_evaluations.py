from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

from otel_llm.codecs.evaluations import encode_evaluations, read_evaluations
from otel_llm.codecs.wire_logs import decode_logs
from otel_llm.errors import MalformedError
from otel_llm.quality.results import Evaluation, Target

TARGET = Target(bytes([1]) * 16, bytes([2]) * 8, "resp-1")
NAMES = st.text(st.characters(codec="utf-8"), min_size=1, max_size=40)
EVALUATIONS = st.builds(
    Evaluation,
    st.sampled_from([TARGET, Target(bytes([1]) * 16), Target(response_id="resp-9")]),
    NAMES,
    st.none() | st.floats(allow_nan=False, allow_infinity=False),
    st.just("") | NAMES,
    st.just("") | NAMES,
    st.just("") | NAMES,
    st.just("") | NAMES,
    st.sampled_from(["code", "model", "human", ""]),
    st.just("") | NAMES,
    st.integers(0, 2**62),
    st.none() | st.floats(0.001, 1),
)


@given(st.lists(st.tuples(EVALUATIONS, st.sampled_from(["", "shop"])), max_size=5))
def test_results_come_back_as_they_were(given: list[tuple[Evaluation, str]]) -> None:
    found, unreadable = read_evaluations(encode_evaluations(given))
    assert sorted(found, key=repr) == sorted((one for one, _ in given), key=repr)
    assert unreadable == 0


def test_a_result_is_an_event_in_the_context_of_the_evaluated_span() -> None:
    one = Evaluation(TARGET, "user_feedback", 0.0, "thumbs_down", "no", "user", "1", "human", time_unix_nano=5)
    request = ExportLogsServiceRequest.FromString(encode_evaluations([(one, "shop")]))
    (record,) = request.resource_logs[0].scope_logs[0].log_records
    assert (record.event_name, record.trace_id, record.span_id) == (
        "gen_ai.evaluation.result",
        TARGET.trace_id,
        TARGET.span_id,
    )
    values = {item.key: item.value for item in record.attributes}
    assert values["gen_ai.evaluation.name"].string_value == "user_feedback"
    assert values["gen_ai.evaluation.score.value"].WhichOneof("value") == "double_value"
    assert values["gen_ai.evaluation.score.label"].string_value == "thumbs_down"
    assert values["gen_ai.evaluation.explanation"].string_value == "no"
    assert values["gen_ai.response.id"].string_value == "resp-1"
    assert values["otel_llm.evaluation.evaluator.source"].string_value == "human"
    assert values["otel_llm.evaluation.id"].string_value == one.id
    assert request.resource_logs[0].resource.attributes[0].value.string_value == "shop"


def test_the_id_tells_target_name_and_evaluator_version_apart_and_nothing_else() -> None:
    one = Evaluation(TARGET, "helpful", 1.0, evaluator_id="judge", evaluator_version="1")
    assert (
        one.id
        == Evaluation(TARGET, "helpful", 0.0, "no", evaluator_id="judge", evaluator_version="1", time_unix_nano=9).id
    )
    others = {
        Evaluation(TARGET, "helpful", 1.0, evaluator_id="judge", evaluator_version="2").id,
        Evaluation(TARGET, "harmful", 1.0, evaluator_id="judge", evaluator_version="1").id,
        Evaluation(Target(TARGET.trace_id), "helpful", 1.0, evaluator_id="judge", evaluator_version="1").id,
    }
    assert len(others | {one.id}) == 4


def test_records_without_name_or_target_are_counted_and_others_passed_over() -> None:
    request = ExportLogsServiceRequest()
    records = request.resource_logs.add().scope_logs.add().log_records
    records.add(event_name="gen_ai.evaluation.result", trace_id=bytes([1]) * 16)
    records.add(event_name="gen_ai.evaluation.result").attributes.add(
        key="gen_ai.evaluation.name"
    ).value.string_value = "x"
    records.add(event_name="something.else", trace_id=bytes([1]) * 16)
    assert read_evaluations(request.SerializeToString()) == ([], 2)


def test_what_is_no_log_request_is_refused() -> None:
    with pytest.raises(MalformedError):
        read_evaluations(b"\x0a\xffgen_ai.evaluation.result")


def test_the_logs_pipeline_leaves_results_as_they_are() -> None:
    body = encode_evaluations([(Evaluation(TARGET, "helpful", 1.0), "")])
    batch = decode_logs(body)
    assert batch.message_events() == []
    batch.operations()
    assert batch.encode().join() == body
