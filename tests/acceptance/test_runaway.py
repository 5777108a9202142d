"""Acceptance 58 in the app: agents that run away are stopped before the call; through the OpenAI SDK."""

from __future__ import annotations

import json
import random
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from decimal import Decimal

import openai
import pytest
from opentelemetry import context, trace

from otel_llm.components import Context
from otel_llm.errors import ConfigError, DeniedError
from otel_llm.instrumentation.admit import ended_of
from otel_llm.loopback import LoopbackProvider
from otel_llm.processors.runaway_admission import Config, Runaway, RunawayAdmission
from otel_llm.telemetry import Metrics
from otel_llm.testing import FakeClock
from tests.instrumentation.recording import Recording
from tests.spans import chat, operation
from tests.test_vocabulary import metric_problems

ASKED = {"model": "gpt-4o", "messages": [{"role": "user", "content": "Go on."}], "max_tokens": 1000}
CENT = Decimal("0.01")
# As answered here a call costs 0.008 and a little for its question; before it, a cent and a little are set aside.
USED = {"x-loopback": "input=8;output=800"}


class Agent:
    """An app whose calls are asked about, and what has become of them."""

    def __init__(self, guard: RunawayAdmission, metrics: Metrics) -> None:
        self.guard, self.metrics = guard, metrics
        self.recording = Recording()
        self.provider: LoopbackProvider
        self.client: openai.OpenAI

    @contextmanager
    def run(self):
        """The agent's run: a span round it."""
        engine = self.recording.engine(admissions=[self.guard])
        engine.ended = ended_of([self.guard], engine.boundary)
        with (
            LoopbackProvider() as self.provider,
            openai.OpenAI(base_url=self.provider.openai_base_url, api_key="any", max_retries=0) as self.client,
            self.recording.hooked("openai", engine=engine),
            self.recording.tracers.get_tracer("app").start_as_current_span("invoke_agent"),
        ):
            yield self

    def call(self, **changes):
        return self.client.chat.completions.create(**{**ASKED, "extra_headers": USED, **changes})

    def counted(self) -> dict[tuple[str, ...], object]:
        (family,) = [one for one in self.metrics.collect() if one.definition.name == "otel_llm.runaway.calls"]
        assert list(metric_problems(self.metrics)) == []
        return {tuple(value for _, value in series.attributes): series.value for series in family.series}


def agent(decide=None, **config) -> Agent:
    metrics = Metrics()
    return Agent(RunawayAdmission(Config(**config), Context("runaway", metrics, FakeClock()), decide), metrics)


def test_58_the_call_that_would_take_a_trace_past_its_cap_is_not_made():
    with agent(trace_cost_limit="0.03").run() as it:
        for _ in range(3):
            it.call()
        with pytest.raises(DeniedError) as denied:
            it.call()
        assert (denied.value.reason, denied.value.rule_id) == ("trace_cost", "runaway")
        assert len(it.provider.served()) == 3
        spent = it.guard.costs.spent(trace.get_current_span().get_span_context().trace_id.to_bytes(16, "big"))
        assert Decimal("0.024") <= spent <= 3 * CENT
        with it.recording.tracers.get_tracer("app").start_as_current_span("another", context.Context()):
            it.call()  # another trace has its own
        assert it.counted() == {("trace_cost", "deny"): 1}
    refused = it.recording.spans[3].attributes
    assert refused["otel_llm.runaway.reasons"] == ("trace_cost",)


def test_58_of_many_calls_at_once_no_more_are_made_than_the_cap_has_room_for():
    with agent(trace_cost_limit="0.035").run() as it:
        here = context.get_current()

        def call(_):
            token = context.attach(here)
            try:
                it.call(extra_headers={**USED, "x-loopback": "input=8;output=800;delay_ms=200"})
            except DeniedError:
                return 0
            finally:
                context.detach(token)
            return 1

        with ThreadPoolExecutor(16) as pool:
            made = sum(pool.map(call, range(16)))
    assert made == len(it.provider.served()) == 3


def test_58_a_call_that_failed_costs_nothing_and_one_without_a_price_is_not_held_against_the_cap():
    with agent(trace_cost_limit="0.011").run() as it:
        for _ in range(3):
            with pytest.raises(openai.InternalServerError):
                it.call(extra_headers={"x-loopback": "error=500"})
            it.call(model="nobody-knows-it")
        it.call()
        assert it.counted() == {}


def looping(repeats: int) -> list[dict[str, object]]:
    """A history in which the same search came back empty this many times."""
    history: list[dict[str, object]] = [{"role": "user", "content": "Find it."}]
    for number in range(repeats):
        function = {"name": "search", "arguments": '{"q": "mill"}'}
        history.append(
            {"role": "assistant", "tool_calls": [{"id": f"c{number}", "type": "function", "function": function}]}
        )
        history.append({"role": "tool", "tool_call_id": f"c{number}", "content": "[]"})
    return history


def test_58_an_agent_in_a_loop_is_stopped_at_the_third_repeat():
    with agent().run() as it:
        it.call(messages=looping(2))
        with pytest.raises(DeniedError) as denied:
            it.call(messages=looping(3))
        assert denied.value.reason == "agent_loop"
        assert len(it.provider.served()) == 1


def test_58_observed_it_is_made_marked_and_counted():
    with agent(action="observe", trace_cost_limit="0.005").run() as it:
        it.call(messages=looping(5))
        assert it.counted() == {("agent_loop", "observe"): 1, ("trace_cost", "observe"): 1}
    (span, _) = it.recording.spans
    assert span.attributes["otel_llm.runaway.reasons"] == ("agent_loop", "trace_cost")
    assert span.attributes["otel_llm.runaway.action"] == "observe"


def test_58_a_callback_decides_and_one_that_raises_stops_nothing():
    told: list[Runaway] = []

    def decide(runaway: Runaway) -> bool:
        told.append(runaway)
        if len(told) == 3:
            raise RuntimeError("broken")
        return len(told) == 1

    with agent(decide, trace_cost_limit="1").run() as it:
        it.call(messages=looping(3))
        with pytest.raises(DeniedError):
            it.call(messages=looping(3))
        it.call(messages=looping(3))
        trace_id = f"{trace.get_current_span().get_span_context().trace_id:032x}"
    assert [one.reasons for one in told] == [("agent_loop",)] * 3
    assert {one.trace_id for one in told} == {trace_id}
    assert told[1].spent > 0
    assert told[0].may_cost is not None
    assert told[0].may_cost >= CENT


def honest(kind: int, number: int, draw: random.Random) -> list[dict[str, object]]:
    """The history of an agent at honest work: pages, polls, reads and edits, searches."""
    messages: list[dict[str, object]] = []
    for n in range(number):
        call, result = [
            (("list_orders", {"page": n}), [n]),
            (("fetch_job", {"id": 1}), {"percent": n}),
            (("get_job_status", {"id": 1}), "running"),
            (("read_file", {"path": f"{n}.py"}) if n % 2 else ("run_tests", {}), f"{n} failed"),
            (("search", {"q": draw.choice(["mill", "sea"]) + str(n)}), []),
        ][kind]
        part = {"type": "tool_call", "id": str(n), "name": call[0], "arguments": call[1]}
        messages.append({"role": "assistant", "parts": [part]})
        messages.append({"role": "tool", "parts": [{"type": "tool_call_response", "id": str(n), "response": result}]})
    return messages


def test_58_two_hundred_traces_of_honest_work_are_left_alone():
    it, draw = agent(), random.Random(58)
    for number in range(200):
        history = honest(number % 5, draw.randint(5, 15), draw)
        decision = it.guard.admit(operation(chat(gen_ai__input__messages=json.dumps(history))))
        assert decision.action == "allow"
    assert it.counted() == {}


def test_a_limit_that_is_none_is_refused():
    with pytest.raises(ConfigError, match="trace_cost_limit: expected an amount"):
        agent(trace_cost_limit="much")
    with pytest.raises(ConfigError, match=r"prices\[0\]: cannot read"):
        agent(prices=("/none",))
