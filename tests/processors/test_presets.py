from __future__ import annotations

import json
from typing import get_args

import pytest

from otel_llm.clock import SystemClock
from otel_llm.components import Context
from otel_llm.operation import Operation
from otel_llm.processors import cost, presets
from otel_llm.telemetry import Metrics
from tests.spans import chat, operation


def with_presets(one: Operation, *wanted: presets.Preset) -> dict[str, object]:
    """What the presets add to a priced span."""
    context = Context("presets", Metrics(), SystemClock())
    cost.create(cost.Config(), context).process([one])
    before = set(one.changes.set)
    presets.create(presets.Config(presets=wanted), context).process([one])
    return {key: value for key, value in one.changes.set.items() if key not in before}


def cached() -> Operation:
    return operation(chat(gen_ai__usage__cache_read__input_tokens=600))


def test_each_backend_gets_the_names_it_reads() -> None:
    assert with_presets(cached(), "openlit", "logfire") == {"gen_ai.usage.cost": 0.00275, "operation.cost": 0.00275}
    assert with_presets(cached(), "openinference") == {
        "llm.cost.total": 0.00275,
        "llm.cost.prompt": 0.00175,
        "llm.cost.completion": 0.001,
        "llm.cost.prompt_details.cache_read": 0.00075,
    }
    assert with_presets(cached(), "semconv_draft") == {
        "gen_ai.usage.cost.amount": 0.00275,
        "gen_ai.usage.cost.currency": "USD",
        "gen_ai.usage.cost.source": "local",
    }
    assert with_presets(cached(), "signoz")["_signoz.gen_ai.cost_cache_read"] == 0.00075
    assert with_presets(cached(), "sentry")["gen_ai.cost.input_tokens"] == 0.00175


def test_langfuse_gets_its_exclusive_buckets_as_json() -> None:
    added = with_presets(cached(), "langfuse")
    assert json.loads(str(added["langfuse.observation.cost_details"])) == {
        "input": 0.001,
        "input_cached_tokens": 0.00075,
        "output": 0.001,
        "total": 0.00275,
    }


def test_mlflow_gets_input_with_what_was_cached_output_and_total_as_json() -> None:
    added = with_presets(cached(), "mlflow")
    costs = {"input_cost": 0.00175, "output_cost": 0.001, "total_cost": 0.00275}
    assert json.loads(str(added["mlflow.llm.cost"])) == costs


def test_an_amount_in_another_currency_is_not_taken_for_dollars() -> None:
    one = operation(chat(otel_llm__cost__currency="EUR", otel_llm__cost__total=0.5, otel_llm__cost__source="contract"))
    context = Context("presets", Metrics(), SystemClock())
    presets.create(presets.Config(presets=get_args(presets.Preset)), context).process([one])
    assert dict(one.changes.set) == {}


ANSWER = '[{"role":"assistant","parts":[{"type":"text","content":"Hi."}]}]'


def test_phoenix_gets_the_finish_reason_in_each_answer_that_lacks_it() -> None:
    one = operation(chat(gen_ai__output__messages=ANSWER, gen_ai__response__finish_reasons=["stop"]))
    [message] = json.loads(str(with_presets(one, "phoenix")["gen_ai.output.messages"]))
    assert message == {**json.loads(ANSWER)[0], "finish_reason": "stop"}


@pytest.mark.parametrize(
    ("messages", "reasons"),
    [
        (ANSWER, None),
        (ANSWER, ["stop", "stop"]),
        (ANSWER.replace('"role"', '"finish_reason":"length","role"'), ["stop"]),
        ("not JSON", ["stop"]),
        ('{"role":"assistant"}', ["stop"]),
        ("[" * 100_000, ["stop"]),
        (None, ["stop"]),
    ],
)
def test_an_answer_stays_as_it_is_where_its_reason_is_there_or_unknown(
    messages: str | None, reasons: list[str] | None
) -> None:
    one = operation(chat(gen_ai__output__messages=messages, gen_ai__response__finish_reasons=reasons))
    assert with_presets(one, "phoenix") == {}


def test_an_unpriced_call_gets_no_amount_under_any_name() -> None:
    one = operation(chat(gen_ai__request__model="nobody-knows", gen_ai__response__model=None))
    assert with_presets(one, *get_args(presets.Preset)) == {}
