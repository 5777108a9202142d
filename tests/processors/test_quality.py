from __future__ import annotations

import json
from collections.abc import Sequence

import pytest

from otel_llm.codecs.log_records import encode_log_records
from otel_llm.codecs.wire_logs import decode_logs
from otel_llm.components import Context
from otel_llm.errors import ConfigError
from otel_llm.log_records import LogRecord
from otel_llm.operation import AttributeValue, Operation
from otel_llm.pipeline import Pipeline
from otel_llm.processors import quality
from otel_llm.processors.quality_config import Signals
from otel_llm.telemetry import Metrics
from otel_llm.testing import FakeClock
from tests.spans import NOON, SECOND, SpanSpec, chat, operations

Part = dict[str, object]


def text(content: str) -> Part:
    return {"type": "text", "content": content}


def messages(role: str, *parts: Part) -> str:
    return json.dumps([{"role": role, "parts": list(parts)}])


def answered(
    content: str, question: str = "What is the capital of France, and why?", **more: AttributeValue
) -> dict[str, AttributeValue]:
    return chat(
        gen_ai__input__messages=messages("user", text(question)),
        gen_ai__output__messages=messages("assistant", text(content)),
        gen_ai__response__finish_reasons=("stop",),
        **more,
    )


def processor(metrics: Metrics | None = None, **settings: object) -> quality.Quality:
    config = quality.Config(**settings)  # type: ignore[arg-type] # fields of Config
    return quality.create(config, Context("quality", metrics or Metrics(), FakeClock()))


def looked_at(*specs: SpanSpec, **settings: object) -> list[Operation]:
    found = operations(*specs)
    processor(**settings).process(found)
    return found


def flags(attributes: dict[str, AttributeValue], **settings: object) -> Sequence[AttributeValue]:
    (found,) = looked_at(SpanSpec(attributes), **settings)
    value = found.get("otel_llm.quality.flags")
    assert isinstance(value, tuple)
    return value


def test_a_plain_answer_is_checked_and_nothing_is_raised() -> None:
    (found,) = looked_at(SpanSpec(answered("The capital of France is Paris, because the kings of old lived there.")))
    assert found.changes.set == {
        "otel_llm.quality.checks": ("empty", "truncated", "refusal", "repetition", "language_mismatch"),
        "otel_llm.quality.flags": (),
    }


def test_each_raised_signal_is_a_flag_and_an_attribute() -> None:
    (found,) = looked_at(SpanSpec(answered("I'm sorry, but I can't help with that.")))
    assert found.get("otel_llm.quality.flags") == ("refusal",)
    assert found.get("otel_llm.quality.refusal") is True
    assert found.get("otel_llm.quality.answer_type") == "refused"


def test_a_signal_that_is_off_is_neither_checked_nor_raised() -> None:
    (found,) = looked_at(SpanSpec(answered("I'm sorry, but I can't help with that.")), signals=Signals(refusal=False))
    assert "refusal" not in str(found.changes.set)


def test_without_content_only_the_numbers_tell() -> None:
    assert flags(chat(gen_ai__response__finish_reasons=("length",))) == ("truncated",)
    assert flags(chat(gen_ai__usage__output_tokens=0)) == ("empty",)
    (nothing,) = looked_at(SpanSpec(chat()))
    assert not nothing.is_changed


def test_json_is_held_against_the_schema_that_the_span_declares() -> None:
    declared = {"gen_ai.output.type": "json", "otel_llm.request.output_schema": '{"type":"object","required":["city"]}'}
    assert flags({**answered('{"city": "Bern"}'), **declared}) == ()
    assert flags({**answered('```json\n{"city": "Bern"}\n```'), **declared}) == ()
    assert flags({**answered('{"town": "Bern"}'), **declared}) == ("invalid_json",)
    assert flags({**answered("Bern"), **declared}) == ("invalid_json",)


def test_json_is_held_against_the_schema_of_its_prompt(tmp_path) -> None:
    path = tmp_path / "invoice.json"
    path.write_text('{"type": "object", "required": ["total"]}')
    schemas = {"invoice": str(path)}
    assert flags(answered('{"sum": 1}', gen_ai__prompt__name="invoice"), output_schemas=schemas) == ("invalid_json",)
    assert flags(answered('{"sum": 1}', gen_ai__prompt__name="other"), output_schemas=schemas) == ()
    with pytest.raises(ConfigError, match=r"output_schemas\.invoice: cannot read"):
        processor(output_schemas={"invoice": str(tmp_path / "none.json")})


def test_tool_calls_are_held_against_the_tools_offered() -> None:
    tools = json.dumps(
        [{"type": "function", "name": "weather", "parameters": {"properties": {"city": {"type": "string"}}}}]
    )

    def calling(name: str, arguments: object) -> Sequence[AttributeValue]:
        call = {"type": "tool_call", "id": "1", "name": name, "arguments": arguments}
        return flags(chat(gen_ai__output__messages=messages("assistant", call), gen_ai__tool__definitions=tools))

    assert calling("weather", {"city": "Bern"}) == ()
    assert calling("wether", {"city": "Bern"}) == ("unknown_tool",)
    assert calling("weather", {"city": 7}) == ("invalid_tool_arguments",)


def retrieval(documents: object, span: int = 9, **more: AttributeValue) -> SpanSpec:
    attributes: dict[str, AttributeValue] = {
        "gen_ai.operation.name": "retrieval",
        "gen_ai.retrieval.documents": json.dumps(documents),
        **{key.replace("__", "."): value for key, value in more.items()},
    }
    return SpanSpec(attributes, span=span)


def test_an_answer_is_held_against_what_its_trace_retrieved_whatever_the_order() -> None:
    documents = [{"content": "Paris became the capital because the kings lived there."}]
    answer = SpanSpec(answered("Paris became the capital because the kings lived there."))
    other = SpanSpec(answered("Bananas grow mostly around tropical plantations overseas."), span=2)
    first, second, _ = looked_at(answer, other, retrieval(documents))
    assert first.get("otel_llm.quality.lexical_support") == 1
    assert first.get("otel_llm.quality.flags") == ()
    assert second.get("otel_llm.quality.lexical_support") == 0
    assert second.get("otel_llm.quality.flags") == ("lexical_support",)


def test_a_retrieval_may_be_empty_stale_or_beside_the_question() -> None:
    settings = {"stale_after_days": 30}

    def of(documents: object, query: str = "capital of France") -> object:
        (found,) = looked_at(retrieval(documents, gen_ai__retrieval__query__text=query), **settings)
        return found.get("otel_llm.quality.flags")

    fresh = {"content": "The capital of France is Paris", "metadata": {"updated_at": NOON // SECOND - 86_400}}
    old = {"content": "The capital of France is Paris", "metadata": {"updated_at": "2019-01-01"}}
    assert of([fresh, old]) == ()
    assert of([old]) == ("stale_retrieval",)
    assert of([]) == ("empty_retrieval",)
    assert of([{**fresh, "content": "Bananas are yellow"}]) == ("query_coverage",)


def tool(span: int, arguments: object, status: int = 1, **more: AttributeValue) -> SpanSpec:
    attributes: dict[str, AttributeValue] = {
        "gen_ai.operation.name": "execute_tool",
        "gen_ai.tool.name": "search",
        "gen_ai.tool.call.arguments": json.dumps(arguments),
        **{key.replace("__", "."): value for key, value in more.items()},
    }
    return SpanSpec(attributes, span=span, status=status)


def test_a_tool_that_failed_says_so_by_status_or_in_its_result() -> None:
    found = looked_at(
        tool(1, {"n": 1}, status=2),
        tool(2, {"n": 2}, gen_ai__tool__call__result='{"error": "no such file"}'),
        tool(3, {"n": 3}, gen_ai__tool__call__result="Error: timed out"),
        tool(4, {"n": 4}, gen_ai__tool__call__result='{"rows": []}'),
    )
    assert [one.get("otel_llm.quality.tool_error") for one in found] == [True, True, True, None]


def test_a_span_that_comes_again_is_counted_once_and_repeats_no_step() -> None:
    metrics = Metrics()
    one = processor(metrics)
    for _ in range(5):
        (found,) = operations(tool(1, {"n": 1}))
        one.process([found])
        assert found.get("otel_llm.quality.agent_loop") is None
    counts = {family.definition.name: family.series for family in metrics.collect()}
    assert {series.value for series in counts["otel_llm.quality.operations.checked"]} == {1}


def test_a_second_otel_llm_changes_nothing_and_counts_nothing() -> None:
    (found,) = looked_at(SpanSpec(answered("I'm sorry, but I can't help with that.")))
    (again,) = operations(SpanSpec({key: found.get(key) for key in found.keys()}))  # noqa: SIM118 - not a mapping
    metrics = Metrics()
    processor(metrics).process([again])
    assert not again.is_changed
    assert [series for family in metrics.collect() for series in family.series] == []


def test_rates_are_told_by_model_prompt_version_and_service() -> None:
    metrics = Metrics()
    one = processor(metrics)
    one.process(
        operations(
            SpanSpec(answered("I'm sorry, but I can't help with that.", gen_ai__prompt__version="2"), span=1),
            SpanSpec(answered("It is Paris.", gen_ai__prompt__version="2"), span=2),
            SpanSpec(answered("It is Paris.", "no, that's wrong", gen_ai__prompt__version="1"), span=3),
        )
    )
    found = {
        (
            family.definition.name,
            dict(series.attributes)["otel_llm.quality.signal"],
            dict(series.attributes)["gen_ai.prompt.version"],
        ): (series.value, dict(series.attributes)["service.name"], dict(series.attributes)["gen_ai.response.model"])
        for family in metrics.collect()
        for series in family.series
    }
    assert found["otel_llm.quality.operations.checked", "refusal", "2"] == (2, "shop", "gpt-4o")
    assert found["otel_llm.quality.operations.raised", "refusal", "2"] == (1, "shop", "gpt-4o")
    assert found["otel_llm.quality.operations.raised", "user_friction", "1"] == (1, "shop", "gpt-4o")
    assert ("otel_llm.quality.operations.raised", "refusal", "1") not in found


def events(attributes: dict[str, AttributeValue], span: int = 1) -> list[Operation]:
    """An event with the details of a call, recorded in its span."""
    record = LogRecord(
        "gen_ai.client.inference.operation.details",
        NOON,
        attributes,
        "",
        trace_id=(1).to_bytes(16, "big"),
        span_id=span.to_bytes(8, "big"),
    )
    return list(decode_logs(encode_log_records([record], {"service.name": "shop"}).join()).operations())


def test_content_in_log_events_is_looked_at_there_and_counted_once() -> None:
    metrics = Metrics()
    one = processor(metrics)
    said = answered("I'm sorry, but I can't help with that.")
    bare = {key: value for key, value in said.items() if not key.endswith("messages")}
    (span,), (event,) = operations(SpanSpec(bare)), events(said)
    one.process([span])
    one.process([event])
    one.process(events(said))  # sent again
    one.process(operations(SpanSpec(said, span=2)))  # another span, with its content on it and in an event
    one.process(events(said, span=2))
    assert span.get("otel_llm.quality.checks") == ("truncated",)
    assert event.get("otel_llm.quality.refusal") is True
    assert "truncated" not in str(event.get("otel_llm.quality.checks"))
    counts = {
        (family.definition.name.rpartition(".")[2], dict(series.attributes)["otel_llm.quality.signal"]): series.value
        for family in metrics.collect()
        if "operations" in family.definition.name
        for series in family.series
    }
    assert counts["checked", "refusal"] == counts["raised", "refusal"] == 2
    assert counts["checked", "truncated"] == 2
    assert counts["checked", "user_friction"] == 2


def test_friction_is_a_rate_and_never_on_a_span() -> None:
    (found,) = looked_at(SpanSpec(answered("It is Paris.", "no, that's wrong")))
    assert "friction" not in str(found.changes.set)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("[" + '{"role":"assistant","parts":[]},' * 400_000, "too_large"),
        ("hello", "not_messages"),
        ("[" * 5000, None),
        ('[7, {"parts": 3}, {"parts": [3, {"type": "text", "content": 7}]}]', None),
    ],
    ids=["10 MB", "no JSON", "deep", "odd"],
)
def test_content_that_cannot_be_read_is_counted_and_nothing_raises(content: str, reason: str | None) -> None:
    metrics = Metrics()
    pipeline = Pipeline([processor(metrics)], metrics, FakeClock())
    (found,) = operations(
        SpanSpec(chat(gen_ai__output__messages=content, gen_ai__response__finish_reasons=("length",)))
    )
    pipeline.process([found])
    assert found.get("otel_llm.processing.errors") is None
    assert "truncated" in str(found.get("otel_llm.quality.flags"))
    skipped = [family for family in metrics.collect() if family.definition.name.endswith("skipped")]
    reasons = [
        dict(series.attributes)["otel_llm.quality.skip_reason"] for family in skipped for series in family.series
    ]
    assert reasons == ([] if reason is None else [reason])


def test_a_history_that_is_too_long_does_not_keep_the_answer_from_being_looked_at() -> None:
    metrics = Metrics()
    spans = operations(SpanSpec(answered("I'm sorry, but I can't help with that.", question="x" * 2_000_000)))
    processor(metrics).process(spans)
    assert spans[0].get("otel_llm.quality.flags") == ("refusal",)
    assert (
        sum(
            one.value
            for family in metrics.collect()
            if family.definition.name.endswith("skipped")
            for one in family.series
        )
        == 1
    )


def test_one_retrieval_that_cannot_be_read_costs_the_others_nothing() -> None:
    """A defect within the loop over retrievals must not lose what was found before it."""
    metrics = Metrics()

    class Broken(str):
        __slots__ = ()

        def __len__(self) -> int:
            raise ValueError

    good, bad, last = operations(SpanSpec(answered("Fine.")), retrieval([]), SpanSpec(answered("Good."), span=3))
    bad.set("gen_ai.retrieval.documents", Broken("[]"))
    Pipeline([processor(metrics)], metrics, FakeClock()).process([good, bad, last])
    assert bad.get("otel_llm.processing.errors") == ("quality:ValueError",)
    assert good.get("otel_llm.quality.flags") == ()
    assert last.get("otel_llm.quality.flags") == ()
