from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from otel_llm.components import Context
from otel_llm.errors import ConfigError
from otel_llm.log_records import LogRecord
from otel_llm.processors import compare
from otel_llm.telemetry import Metrics
from otel_llm.testing import FakeClock
from tests.spans import SpanSpec, chat, operations
from tests.test_vocabulary import metric_problems

PROMPT = {"name": "prompt", "attribute": "gen_ai.prompt.version", "control": "1", "canary": "2"}


class Comparing:
    """A compare processor of one comparison."""

    def __init__(self, folder: Path | None = None, **config: object) -> None:
        self.metrics = Metrics()
        self.context = Context("compare", self.metrics, FakeClock())
        one = compare.ComparisonConfig(**{**PROMPT, **config})  # type: ignore[arg-type] # its fields
        file = None if folder is None else str(folder / "compare.json")
        self.processor = compare.create(compare.Config(comparisons=(one,), state_file=file), self.context)
        self.sent = 0

    def send(self, version: str, *, fails: bool = False, seconds: float = 1.0, **attributes: object) -> None:
        self.sent += 1
        values = chat(gen_ai__prompt__version=version, **attributes)  # type: ignore[arg-type] # values of attributes
        status = 2 if fails else 0
        spec = SpanSpec(values, status=status, seconds=seconds, trace=self.sent, span=self.sent)
        self.processor.process(operations(spec))

    def decisions(self) -> list[LogRecord]:
        return self.context.records.take()


def test_a_canary_that_fails_is_rolled_back_by_an_event_that_routing_can_act_on() -> None:
    comparing = Comparing()
    draw = random.Random(1).random
    for _ in range(150):
        comparing.send("1", fails=draw() < 0.02)
        comparing.send("2", fails=draw() < 0.5)
        comparing.send("3", fails=True)  # neither of the two
    (decision,) = comparing.decisions()
    assert decision.event_name == "otel_llm.comparison.result"
    assert decision.attributes == {
        "otel_llm.comparison.name": "prompt",
        "otel_llm.comparison.verdict": "roll_back",
        "otel_llm.comparison.attribute": "gen_ai.prompt.version",
        "otel_llm.comparison.canary": "2",
        "otel_llm.comparison.control": "1",
        "otel_llm.comparison.signal": "error",
    }
    assert decision.severity_number == 13
    assert decision.body.startswith("prompt: roll back gen_ai.prompt.version=2: error is worse")
    assert comparing.processor.results["prompt"].verdict == "roll_back"
    assert list(metric_problems(comparing.metrics)) == []


def test_a_canary_whose_users_complain_is_rolled_back_though_no_span_says_so() -> None:
    comparing = Comparing(guardrails={"user_friction": 0.05})
    draw = random.Random(7).random
    for _ in range(200):
        for version, rate in (("1", 0.05), ("2", 0.5)):
            text = "No, that is not what I asked." if draw() < rate else "What does it cost?"
            messages = json.dumps([{"role": "user", "parts": [{"type": "text", "content": text}]}])
            comparing.send(version, gen_ai__input__messages=messages)
    comparing.send("2")  # without content nothing is known
    (decision,) = comparing.decisions()
    assert decision.attributes["otel_llm.comparison.signal"] == "user_friction"
    assert "No, that" not in repr(decision)


def test_a_canary_that_is_as_good_is_promoted() -> None:
    comparing = Comparing(guardrails={"error": 0.2, "duration": 0.4}, alpha=0.05)
    draw = random.Random(2)
    while comparing.processor.results["prompt"].verdict == "keep_watching":
        for version in "12":
            comparing.send(version, fails=draw.random() < 0.02, seconds=draw.expovariate(1))
        assert comparing.sent < 4000
    (decision,) = comparing.decisions()
    assert decision.attributes["otel_llm.comparison.verdict"] == "promote"
    assert decision.severity_number == 9


def test_a_guardrail_of_which_nothing_is_known_keeps_a_canary_from_being_promoted() -> None:
    comparing = Comparing(guardrails={"error": 0.5, "refusal": 0.5}, alpha=0.1)
    for _ in range(300):
        comparing.send("1")
        comparing.send("2")
    assert comparing.decisions() == []
    (error, refusal) = comparing.processor.results["prompt"].standings
    assert error.safe > error.safe_decides
    assert refusal.blocks == 0


def test_only_operations_with_the_attributes_asked_for_are_compared() -> None:
    comparing = Comparing(where={"gen_ai.prompt.name": "answer", "service.name": "shop"})
    for name in ("answer", "summary"):
        comparing.send("1", gen_ai__prompt__name=name)
        comparing.send("2", gen_ai__prompt__name=name)
    assert comparing.processor.results["prompt"].standings[0].blocks == 1


def test_less_support_by_documents_is_worse() -> None:
    comparing = Comparing(guardrails={"lexical_support": 0.1})
    draw = random.Random(3)
    for _ in range(400):
        comparing.send("1", otel_llm__quality__lexical_support=draw.uniform(0.4, 1.0))
        comparing.send("2", otel_llm__quality__lexical_support=draw.uniform(0.0, 0.6))
    (decision,) = comparing.decisions()
    assert decision.attributes["otel_llm.comparison.signal"] == "lexical_support"


def test_state_survives_a_restart_but_not_another_canary(tmp_path: Path) -> None:
    first = Comparing(tmp_path)
    first.processor.start()
    for _ in range(20):
        first.send("1")
        first.send("2", fails=True)
    first.processor.shutdown(1)
    second, third = Comparing(tmp_path), Comparing(tmp_path, canary="3")
    for one in (second, third):
        one.processor.start()
    assert second.processor.results == first.processor.results
    assert third.processor.results["prompt"].standings[0].blocks == 0
    for one in (second, third):
        one.processor.shutdown(1)


def test_a_state_that_is_of_no_use_is_set_aside(tmp_path: Path) -> None:
    first = Comparing(tmp_path)
    first.processor.start()
    first.processor.shutdown(1)
    file = tmp_path / "compare.json"
    state = json.loads(file.read_text())
    state["prompt"]["comparison"]["signals"] = {}
    file.write_text(json.dumps(state))
    second = Comparing(tmp_path)
    second.processor.start()
    second.processor.shutdown(1)
    assert (tmp_path / "compare.json.unreadable").exists()


def test_a_configuration_that_follows_goes_on_with_comparisons_that_are_the_same() -> None:
    first, same, other = Comparing(), Comparing(), Comparing(canary="3")
    first.send("1")
    first.send("2")
    for one in (same, other):
        one.processor.succeed(first.processor)
    assert same.processor.results["prompt"].standings[0].blocks == 1
    assert other.processor.results["prompt"].standings[0].blocks == 0


def test_every_problem_of_the_configuration_is_said_at_once() -> None:
    wrong = compare.ComparisonConfig(name="x", attribute="a", control="1", canary="1", guardrails={})
    config = compare.Config(comparisons=(wrong, wrong))
    with pytest.raises(ConfigError) as error:
        compare.create(config, Context("compare", Metrics(), FakeClock()))
    assert len(error.value.problems) == 5
    assert error.value.problems[0].startswith("processors.compare.comparisons[0].canary: expected another value")
