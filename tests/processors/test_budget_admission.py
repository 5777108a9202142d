from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from otel_llm.components import Context
from otel_llm.operation import AttributeValue, Operation
from otel_llm.processors.budget_admission import Asking, BudgetAdmission, create_admission
from otel_llm.processors.budget_config import BudgetConfig, Config
from otel_llm.telemetry import Metrics
from otel_llm.testing import FakeClock
from tests.spans import NOON, chat, operation

PATIENT = Asking(wait_seconds=30.0)
RESOURCE = {"service.name": "shop", "deployment.environment.name": "production"}


@contextmanager
def asking(
    path: Path, *budgets: BudgetConfig, metrics: Metrics | None = None, **more: object
) -> Iterator[BudgetAdmission]:
    context = Context("budget", metrics or Metrics(), FakeClock(NOON))
    made = create_admission(Config(budgets=budgets, path=str(path)), context, RESOURCE, PATIENT, **more)  # type: ignore[arg-type] # arguments of create_admission
    try:
        yield made
    finally:
        made.shutdown(20)


def budget(name: str = "all", limit: float = 1.0, at_limit: str = "deny", **more: object) -> BudgetConfig:
    return BudgetConfig(name=name, limit=limit, at_limit=at_limit, **more)  # type: ignore[arg-type] # fields of BudgetConfig


def call(**attributes: AttributeValue) -> Operation:
    kept = {
        key: value for key, value in chat(**attributes).items() if not key.startswith(("gen_ai.usage", "gen_ai.resp"))
    }
    return operation(kept)


def end(admission: BudgetAdmission, asked: Operation, **more: AttributeValue) -> None:
    attributes = {key: asked.get(key) for key in sorted(asked.keys())}
    admission.ended(attributes | {key.replace("__", "."): value for key, value in more.items()})


def decisions(metrics: Metrics) -> dict[tuple[str, str], object]:
    return {
        (one["otel_llm.budget.decision"], one.get("otel_llm.budget.name", "")): series.value
        for family in metrics.collect()
        if family.definition.name == "otel_llm.budget.admissions"
        for series in family.series
        for one in [dict(series.attributes)]
    }


def test_a_call_holds_what_its_request_and_the_most_it_may_answer_cost(tmp_path: Path) -> None:
    with asking(tmp_path / "b.db", budget(limit=100)) as admission:
        admission.admit(call(gen_ai__request__max_tokens=1000))  # gpt-4o: $10 a million
        assert admission.held_nano == 10_000_000
        admission.admit(call(gen_ai__request__max_tokens=1000, gen_ai__request__choice__count=3))
        assert admission.held_nano == 40_000_000
        admission.admit(call())  # no limit: 1,024 tokens are assumed
        assert admission.held_nano == 50_240_000
        long = call(
            gen_ai__input__messages='[{"role":"user","parts":[{"type":"text","content":"' + "word " * 4000 + '"}]}]'
        )
        admission.admit(long)
        # Some 4,000 tokens at $2.50 a million, by rule of thumb.
        assert 0.008 <= (admission.held_nano - 50_240_000 - 10_240_000) / 1e9 <= 0.013


def test_an_embedding_holds_nothing_for_an_answer(tmp_path: Path) -> None:
    with asking(tmp_path / "b.db", budget()) as admission:
        admission.admit(call(gen_ai__operation__name="embeddings", gen_ai__request__model="text-embedding-3-small"))
        assert admission.held_nano == 1


def test_a_model_without_a_price_passes_until_the_budget_is_used_up_and_is_counted_as_such(tmp_path: Path) -> None:
    with asking(tmp_path / "b.db", budget()) as admission:
        free = call(gen_ai__request__model="house-model", gen_ai__provider__name="house")
        assert admission.admit(free).action == "allow"
        end(admission, free, gen_ai__usage__input_tokens=5, gen_ai__usage__output_tokens=5)
        [status] = admission.statuses()
        assert (status.calls, status.unpriced_calls, status.spent_nano) == (1, 1, 0)
        dear = call(gen_ai__request__max_tokens=1000)
        admission.admit(dear)
        end(admission, dear, gen_ai__usage__input_tokens=0, gen_ai__usage__output_tokens=100_000)
        assert (
            admission.admit(call(gen_ai__request__model="house-model", gen_ai__provider__name="house")).action == "deny"
        )


def test_a_call_priced_in_another_currency_takes_nothing_and_is_counted_as_without_a_price(tmp_path: Path) -> None:
    with asking(tmp_path / "b.db", budget(limit=0.001, currency="EUR")) as admission:
        asked = call(gen_ai__request__max_tokens=1000)  # $0.01
        assert admission.admit(asked).action == "allow"
        assert admission.held_nano == 0
        end(admission, asked, gen_ai__usage__input_tokens=0, gen_ai__usage__output_tokens=1000)
        admission._counting.keeper.shutdown(20)  # its last trip brings what is counted
        assert [(one.calls, one.unpriced_calls) for one in admission.statuses()] == [(1, 1)]


def test_a_call_of_no_budget_is_left_alone(tmp_path: Path) -> None:
    with asking(tmp_path / "b.db", budget(match={"environment": "staging"})) as admission:
        asked = call()
        assert admission.admit(asked).action == "allow"
        assert asked.get("otel_llm.budget.reservation") is None


def test_the_app_says_for_whom_it_is_when_the_call_does_not(tmp_path: Path) -> None:
    with asking(tmp_path / "b.db", budget(match={"environment": "production", "service": "shop"})) as admission:
        asked = call()
        admission.admit(asked)
        assert asked.get("otel_llm.budget.reservation") is not None


def test_a_budget_that_warns_marks_calls_and_lets_them_pass(tmp_path: Path) -> None:
    metrics = Metrics()
    with asking(
        tmp_path / "b.db", budget(at_limit="warn"), budget("other", 100.0, at_limit="record"), metrics=metrics
    ) as admission:
        first = call()
        admission.admit(first)
        end(admission, first, gen_ai__usage__input_tokens=0, gen_ai__usage__output_tokens=100_000)
        admission._counting.keeper.shutdown(20)  # its last trip brings what is spent
        second = call()
        assert admission.admit(second).action == "allow"
        assert second.get("otel_llm.budget.exceeded") == ("all",)
        assert decisions(metrics) == {("allow", ""): 1, ("warn", "all"): 1}


def test_one_budget_without_room_denies_and_holds_nothing_in_the_others(tmp_path: Path) -> None:
    metrics = Metrics()
    with asking(tmp_path / "b.db", budget("large", 100.0), budget("small", 0.005), metrics=metrics) as admission:
        asked = call(gen_ai__request__max_tokens=1000)
        decision = admission.admit(asked)
        assert (decision.action, decision.rule_id) == ("deny", "small")
        assert (admission.held_nano, asked.get("otel_llm.budget.reservation")) == (0, None)
        assert decisions(metrics) == {("deny", "small"): 1}


@pytest.mark.parametrize(("when_unknown", "action"), [("allow", "allow"), ("deny", "deny")])
def test_a_store_that_was_never_there_fails_open_or_closed_as_the_budget_says(
    tmp_path: Path, when_unknown: str, action: str
) -> None:
    metrics = Metrics()
    path = tmp_path / "folder" / "b.db"
    with asking(path, budget(when_unknown=when_unknown), metrics=metrics) as admission:
        assert admission.on_error == action
        asked = call(gen_ai__request__max_tokens=1000)
        decision = admission.admit(asked)  # waits until the first trip has failed, and no longer
        assert decision.action == action
        assert decision.reason == (None if action == "allow" else "budget_unknown")
        assert decisions(metrics) == {(f"{action}_unknown", "all"): 1}
        end(admission, asked, gen_ai__usage__input_tokens=0, gen_ai__usage__output_tokens=1000)
        path.parent.mkdir()
    if action == "allow":  # what passed was counted, and written at the end
        with asking(path, budget()) as again:
            again.admit(call())
            assert [one.spent_nano for one in again.statuses()] == [10_000_000]
