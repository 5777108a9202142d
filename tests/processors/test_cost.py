from __future__ import annotations

from typing import Literal

import pytest

from otel_llm._generated import attributes as names
from otel_llm.clock import SystemClock
from otel_llm.components import Context
from otel_llm.cost import Catalogue, Usage
from otel_llm.operation import Operation
from otel_llm.pipeline import Pipeline
from otel_llm.processors.cost import Config, Cost, create
from otel_llm.telemetry import Counter, Metrics
from tests.spans import NOON, SECOND, SpanSpec, chat, operation, operations


def processor(metrics: Metrics | None = None, **settings: object) -> Cost:
    return create(Config(**settings), Context("cost", metrics or Metrics(), SystemClock()))  # type: ignore[arg-type]


def priced(*batch: Operation, **settings: object) -> list[Operation]:
    metrics = Metrics()
    Pipeline([processor(metrics, **settings)], metrics, SystemClock()).process(batch)
    return list(batch)


def costs(one: Operation) -> dict[str, object]:
    return {key.removeprefix("otel_llm.cost."): one.get(key) for key in one.keys() if key.startswith("otel_llm.cost.")}  # noqa: SIM118


def test_a_call_gets_its_cost_by_meter_with_where_it_comes_from() -> None:
    (one,) = priced(operation(chat(gen_ai__usage__cache_read__input_tokens=600)))
    found = costs(one)
    version = found.pop("price_version")
    assert isinstance(version, str)
    assert version
    assert found == {
        "total": 0.00275,
        "input": 0.001,
        "cache_read": 0.00075,
        "output": 0.001,
        "currency": "USD",
        "status": "priced",
        "source": "catalogue",
        "model_matched": "openai/gpt-4o",
        "model_rule": "exact",
    }
    assert one.get(names.OTEL_LLM_USAGE_SOURCE) == "provider"


def test_unknown_model_is_unpriced_with_a_reason_and_never_free() -> None:
    metrics = Metrics()
    one = operation(chat(gen_ai__request__model="grok-99", gen_ai__response__model="grok-99"))
    processor(metrics).process([one])
    assert costs(one) == {"status": "unpriced", "reason": "unknown_model"}
    (family,) = [family for family in metrics.collect() if family.definition.name == "otel_llm.cost.unpriced_calls"]
    assert dict(family.series[0].attributes)[names.GEN_AI_REQUEST_MODEL] == "grok-99"
    assert family.series[0].value == 1


@pytest.mark.parametrize("name", ["invoke_agent", "invoke_workflow", "execute_tool", "plan", None])
def test_spans_that_repeat_their_childrens_usage_carry_no_amount(name: str | None) -> None:
    (one,) = priced(operation(chat(gen_ai__operation__name=name)))
    assert costs(one) == {"status": "not_billable", "reason": "aggregate"}


def test_a_tool_span_without_usage_is_left_alone() -> None:
    (one,) = priced(operation({"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "weather"}))
    assert not one.is_changed


def test_a_failed_call_without_usage_is_not_billed_and_not_unpriced() -> None:
    attributes = chat(gen_ai__usage__input_tokens=None, gen_ai__usage__output_tokens=None)
    (one,) = priced(operation(attributes, status=2))
    assert costs(one) == {"status": "not_billable", "reason": "failed"}


def test_a_failed_call_with_usage_is_billed() -> None:
    (one,) = priced(operation(chat(), status=2))
    assert one.get(names.OTEL_LLM_COST_STATUS) == "priced"


IN, OUT = names.OTEL_LLM_USAGE_ESTIMATED_INPUT_TOKENS, names.OTEL_LLM_USAGE_ESTIMATED_OUTPUT_TOKENS


@pytest.mark.parametrize("existing", ["keep", "replace"])
@pytest.mark.parametrize(
    ("reported", "estimated", "total"),
    [
        ((None, None), {IN: 1000, OUT: 100}, 0.0035),  # a stream abandoned, nothing reported
        ((1000, 1), {OUT: 100}, 0.0035),  # the input was reported at its beginning
        ((1000, 100), {IN: 7, OUT: 7}, 0.0035),  # what was reported is more than was seen
    ],
)
def test_what_an_instrumentation_estimated_completes_what_was_reported(
    existing: Literal["keep", "replace"],
    reported: tuple[int | None, int | None],
    estimated: dict[str, int],
    total: float,
) -> None:
    attributes = chat(gen_ai__usage__input_tokens=reported[0], gen_ai__usage__output_tokens=reported[1]) | estimated
    one = operation(attributes)
    steps = processor(Metrics(), existing=existing)
    steps.process([one])
    steps.process([one])
    assert one.get(names.OTEL_LLM_COST_TOTAL) == total
    assert one.get(names.OTEL_LLM_COST_ESTIMATED) is True
    assert one.get(names.OTEL_LLM_USAGE_SOURCE) == "estimated"
    assert (one.input_tokens, one.output_tokens) == reported
    assert {key: one.get(key) for key in (IN, OUT) if one.get(key) is not None} == estimated


def test_missing_usage_is_estimated_from_the_messages_and_marked() -> None:
    text = "word " * 400
    attributes = chat(
        gen_ai__usage__input_tokens=None,
        gen_ai__usage__output_tokens=None,
        gen_ai__input__messages=f'[{{"role":"user","parts":[{{"type":"text","content":"{text}"}}]}}]',
        gen_ai__output__messages='[{"role":"assistant","parts":[{"type":"text","content":"Yes, it is."}]}]',
    )
    (one,) = priced(operation(attributes))
    assert one.get(names.OTEL_LLM_COST_ESTIMATED) is True
    assert one.get(names.OTEL_LLM_USAGE_SOURCE) == "estimated"
    estimate = one.get(names.OTEL_LLM_USAGE_ESTIMATED_INPUT_TOKENS)
    assert isinstance(estimate, int)
    assert 300 < estimate < 700
    assert one.input_tokens is None, "an estimate never poses as what the provider reported"
    total = one.get(names.OTEL_LLM_COST_TOTAL)
    assert isinstance(total, float)
    assert total > 0


def test_missing_usage_without_content_is_unpriced() -> None:
    (one,) = priced(operation(chat(gen_ai__usage__input_tokens=None, gen_ai__usage__output_tokens=None)))
    assert costs(one) == {"status": "unpriced", "reason": "no_usage"}


@pytest.mark.parametrize("value", [-5, "1000", 2.5, float("nan"), 10**15, True, (1, 2)])
def test_counts_that_are_none_are_refused_by_name_and_not_clamped(value: object) -> None:
    (one,) = priced(operation(chat(gen_ai__usage__input_tokens=value)))  # type: ignore[arg-type] # on purpose
    assert costs(one) == {"status": "unpriced", "reason": "invalid_usage"}


def test_more_cached_tokens_than_input_tokens_are_flagged_and_not_clamped() -> None:
    (one,) = priced(operation(chat(gen_ai__usage__cache_read__input_tokens=5000)))
    assert costs(one) == {"status": "unpriced", "reason": "invalid_usage"}


def test_processing_again_changes_nothing() -> None:
    (one,) = priced(operation(chat()))
    before = one.changes
    priced(one)
    assert one.changes == before


def test_a_cost_that_came_with_the_span_is_kept_unless_replacing_is_asked_for() -> None:
    attributes = chat(otel_llm__cost__status="priced", otel_llm__cost__total=99.0, otel_llm__cost__request=99.0)
    (kept,) = priced(operation(attributes))
    assert not kept.is_changed
    (replaced,) = priced(operation(attributes), existing="replace")
    assert costs(replaced)["total"] == 0.0035
    assert "request" not in costs(replaced)


def test_one_wire_call_reported_by_framework_and_provider_is_billed_once() -> None:
    batch = operations(
        SpanSpec(chat(gen_ai__usage__cache_read__input_tokens=500), span=2, parent=1),
        SpanSpec(chat(), span=1, scope="openinference.instrumentation.langchain"),
    )
    inner, outer = priced(*batch)
    assert inner.get(names.OTEL_LLM_COST_STATUS) == "priced"
    assert costs(outer) == {"status": "not_billable", "reason": "duplicate"}


def test_a_frameworks_span_without_usage_repeats_the_call_below_it() -> None:
    silent = {name: value for name, value in chat().items() if "usage" not in name}
    batch = operations(SpanSpec(chat(), span=2, parent=1), SpanSpec(silent, span=1), SpanSpec(silent, span=7, trace=3))
    inner, outer, alone = priced(*batch)
    assert inner.get(names.OTEL_LLM_COST_STATUS) == "priced"
    assert costs(outer) == {"status": "not_billable", "reason": "duplicate"}
    assert costs(alone) == {"status": "unpriced", "reason": "no_usage"}


def test_one_answer_in_two_traces_is_billed_once() -> None:
    batch = operations(
        SpanSpec(chat(gen_ai__response__id="chatcmpl-1"), trace=1),
        SpanSpec(chat(gen_ai__response__id="chatcmpl-1"), trace=2),
    )
    statuses = [one.get(names.OTEL_LLM_COST_STATUS) for one in priced(*batch)]
    assert sorted(map(str, statuses)) == ["not_billable", "priced"]


def test_a_price_is_the_one_of_the_day_the_call_was_made() -> None:
    """Acceptance 17: the price effective at the span's own start time, however late it is processed."""
    model = {"gen_ai__request__model": "gpt-5.6-sol", "gen_ai__response__model": "gpt-5.6-sol"}
    day = 86_400 * SECOND
    before = operation(chat(**model), start=NOON - 120 * day)
    after = operation(chat(**model), start=NOON)
    priced(before, after)
    assert before.get(names.OTEL_LLM_COST_TOTAL) != after.get(names.OTEL_LLM_COST_TOTAL)
    assert before.get(names.OTEL_LLM_COST_STATUS) == after.get(names.OTEL_LLM_COST_STATUS) == "priced"


def test_what_the_provider_says_it_cost_wins() -> None:
    reported = {
        "gen_ai.usage.cost.amount": 0.5,
        "gen_ai.usage.cost.source": "provider",
        "gen_ai.usage.cost.currency": "USD",
    }
    (one,) = priced(operation(chat() | reported))
    assert one.get(names.OTEL_LLM_COST_TOTAL) == 0.5
    assert one.get(names.OTEL_LLM_COST_SOURCE) == "provider"


def test_absurd_model_names_do_not_grow_metrics_or_memory() -> None:
    """Bad input: model names come from traffic, unbounded in number and length."""
    metrics = Metrics()
    cost = processor(metrics)
    for number in range(5000):
        cost.process(
            [operation(chat(gen_ai__request__model=f"m{number}" * 50, gen_ai__response__model=None), span=number + 1)]
        )
    counters = [metric for metric in metrics._metrics if isinstance(metric, Counter)]
    (family,) = [metric.collect() for metric in counters if metric.definition.name == "otel_llm.cost.unpriced_calls"]
    assert len(family.series) <= 2001
    assert sum(series.value for series in family.series if isinstance(series.value, int | float)) == 5000
    assert max(len(value) for series in family.series for _, value in series.attributes) <= 128


def test_a_span_that_cannot_be_read_takes_no_cost_from_the_spans_before_it() -> None:
    """The calls collected before the failure are billed all the same."""

    class Poisoned(Cost):
        def _usage_to_bill(self, operation: Operation) -> tuple[Operation, Usage, bool] | None:
            if operation.name == "bad":
                raise ValueError
            return super()._usage_to_bill(operation)

    context = Context("cost", Metrics(), SystemClock())
    poisoned = Poisoned(Config(), Catalogue.load(), context)
    batch = operations(*(SpanSpec(chat(), span=n, trace=n, name="bad" if n == 3 else "chat") for n in range(1, 6)))
    Pipeline([poisoned], Metrics(), SystemClock()).process(batch)
    assert [one.get(names.OTEL_LLM_COST_STATUS) for one in batch] == ["priced", "priced", None, "priced", "priced"]
    assert batch[2].get("otel_llm.processing.errors") == ("cost:ValueError",)


def test_messages_nested_without_end_are_no_messages() -> None:
    deep = "[" * 5000 + "]" * 5000
    attributes = chat(gen_ai__usage__input_tokens=None, gen_ai__usage__output_tokens=None, gen_ai__input__messages=deep)
    (one,) = priced(operation(attributes))
    assert costs(one) == {"status": "unpriced", "reason": "no_usage"}


def test_a_memory_of_nothing_still_prices() -> None:
    first, second = priced(operation(chat()), operation(chat(), span=2), remembered_calls=0)
    assert first.get(names.OTEL_LLM_COST_STATUS) == second.get(names.OTEL_LLM_COST_STATUS) == "priced"


def test_the_age_of_the_prices_is_shown_once_after_a_reload() -> None:
    metrics = Metrics()
    processor(metrics)
    processor(metrics)
    (family,) = [one for one in metrics.collect() if one.definition.name == "otel_llm.cost.catalogue.age"]
    assert len(family.series) == 1
