"""Budgets asked by the hooks of a real SDK: what is denied is not sent, what was sent is counted, once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import openai
import pytest
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF

from otel_llm.admission import ALLOW, Decision
from otel_llm.clock import SystemClock
from otel_llm.codecs.sdk import decode_span
from otel_llm.components import Context
from otel_llm.errors import DeniedError
from otel_llm.instrumentation.admit import ended_of
from otel_llm.instrumentation.boundary import Boundary
from otel_llm.pipeline import Processor
from otel_llm.processors import budget, cost
from otel_llm.processors.budget_admission import Asking, BudgetAdmission, create_admission
from otel_llm.processors.budget_config import BudgetConfig, Config
from otel_llm.telemetry import Metrics
from tests.instrumentation.recording import Recording

ASKED = {"model": "gpt-4o", "messages": [{"role": "user", "content": "Which colour?"}], "max_tokens": 1000}


def config(path: Path, limit: float) -> Config:
    budgets = (BudgetConfig(name="shop", limit=limit, at_limit="deny", match={"service": "shop"}),)
    return Config(budgets=budgets, path=str(path), fresh_seconds=60)


@pytest.fixture
def admission(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[BudgetAdmission]:
    limit = getattr(request, "param", 100.0)
    context = Context("budget", Metrics(), SystemClock())
    made = create_admission(config(tmp_path / "b.db", limit), context, {"service.name": "shop"}, Asking(30.0))
    yield made
    made.shutdown(20)


def ask(recording: Recording, admission: BudgetAdmission, client: openai.OpenAI, **more: object) -> None:
    engine = recording.engine(admissions=[admission])
    engine.ended = ended_of([admission], engine.boundary)
    with recording.hooked("openai", engine=engine):
        client.chat.completions.create(**(ASKED | more))


def known(admission: BudgetAdmission) -> tuple[int | None, int | None]:
    [status] = admission.statuses()
    return status.calls, status.spent_nano


def test_a_call_is_counted_by_the_app_and_not_again_by_a_gateway(
    recording: Recording, openai_client: openai.OpenAI, admission: BudgetAdmission, tmp_path: Path
) -> None:
    ask(recording, admission, openai_client)
    assert admission.held_nano == 0
    calls, spent = known(admission)
    assert calls == 1
    span = decode_span(recording.span())
    assert span is not None
    context = Context("budget", Metrics(), SystemClock())
    gateway: list[Processor] = [
        cost.create(cost.Config(), context),
        budget.create(config(tmp_path / "gateway.db", 100.0), context),
    ]
    for processor in gateway:
        processor.process([span])
    # The app and a gateway agree on the price, and the gateway leaves the counting to the app.
    assert round(float(str(span.get("otel_llm.cost.total"))) * 1e9) == spent
    assert isinstance(gateway[1], budget.BudgetProcessor)
    assert gateway[1].flush()
    assert [(one.calls, one.spent_nano) for one in gateway[1].statuses()] == [(0, 0)]


def test_calls_that_are_not_sampled_are_counted(openai_client: openai.OpenAI, admission: BudgetAdmission) -> None:
    recording = Recording(ALWAYS_OFF)
    ask(recording, admission, openai_client)
    assert recording.spans == ()
    assert known(admission)[0] == 1
    assert admission.held_nano == 0


@pytest.mark.parametrize("admission", [0.005], indirect=True)
def test_a_call_that_has_no_room_is_not_sent(recording, openai_client, admission, provider) -> None:
    with pytest.raises(DeniedError, match="the budget shop has no room for this call in this month") as denied:
        ask(recording, admission, openai_client)
    assert (denied.value.reason, denied.value.rule_id) == ("budget_exhausted", "shop")
    assert provider.served() == ()
    assert known(admission)[0] == 0


def test_a_failed_call_holds_nothing_and_costs_nothing(recording: Recording, admission: BudgetAdmission) -> None:
    with (
        openai.OpenAI(base_url="http://127.0.0.1:9", api_key="any", max_retries=0) as nowhere,
        pytest.raises(openai.APIConnectionError),
    ):
        ask(recording, admission, nowhere)
    assert admission.held_nano == 0
    assert known(admission)[0] == 0


def test_a_stream_is_counted_when_it_ends(recording, openai_client, admission) -> None:
    engine = recording.engine(admissions=[admission])
    engine.ended = ended_of([admission], engine.boundary)
    with recording.hooked("openai", engine=engine):
        stream = openai_client.chat.completions.create(**ASKED, stream=True, stream_options={"include_usage": True})
        assert admission.held_nano > 0
        for _ in stream:
            pass
    assert admission.held_nano == 0
    assert known(admission)[0] == 1


def test_only_admissions_that_want_to_know_are_told_how_calls_end(admission: BudgetAdmission) -> None:
    assert ended_of([], Boundary()) is None
    assert ended_of([admission], Boundary()) is not None


def test_an_admission_that_fails_at_the_end_of_a_call_keeps_no_other_from_being_told(
    recording: Recording, openai_client: openai.OpenAI, admission: BudgetAdmission
) -> None:
    class Failing(NamedTuple):
        name: str = "failing"
        on_error: str = "allow"

        def admit(self, _: object) -> Decision:
            return ALLOW

        def ended(self, _: object) -> None:
            raise RuntimeError

    engine = recording.engine(admissions=[Failing(), admission])
    engine.ended = ended_of([Failing(), admission], engine.boundary)
    with recording.hooked("openai", engine=engine):
        openai_client.chat.completions.create(**ASKED)
    assert admission.held_nano == 0
    assert known(admission)[0] == 1
