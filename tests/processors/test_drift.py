from __future__ import annotations

import json
import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from otel_llm._generated import attributes as names
from otel_llm.cli.main import main
from otel_llm.components import Context
from otel_llm.errors import ConfigError, PipelineOrderError
from otel_llm.log_records import LogRecord
from otel_llm.operation import Operation
from otel_llm.pipeline import check_order
from otel_llm.processors import compare, cost, drift
from otel_llm.processors.alarms import iso
from otel_llm.telemetry import Metrics
from otel_llm.testing import FakeClock
from tests.spans import SpanSpec, chat, operation, operations
from tests.test_vocabulary import metric_problems

MINUTE = 60.0


class Watching:
    """A drift processor with a clock of its own: each operation comes a minute after the one before."""

    def __init__(self, **config: object) -> None:
        self.clock = FakeClock()
        self.metrics = Metrics()
        self.context = Context("drift", self.metrics, self.clock)
        self.processor = drift.create(drift.Config(**config), self.context)  # type: ignore[arg-type] # its fields
        self.sent = 0

    def send(self, one: SpanSpec) -> None:
        self.sent += 1
        self.clock.advance(MINUTE)
        one.trace = one.span = self.sent
        self.processor.process(operations(one))

    def alarms(self) -> list[LogRecord]:
        return self.context.records.take()


def failing(rate: float, number: int, seed: int, **attributes: object) -> Iterator[SpanSpec]:
    draw = random.Random(seed).random
    for _ in range(number):
        yield SpanSpec(chat(**attributes), status=2 if draw() < rate else 0)  # type: ignore[arg-type] # values of attributes


def test_a_rate_that_moved_is_an_event_that_says_what_from_what_to_what_and_since_when() -> None:
    watching = Watching(baselines={"error": 0.02}, ignore=("duration", "cost"))
    for one in failing(0.02, 300, seed=1):
        watching.send(one)
    assert watching.alarms() == []
    for one in failing(0.5, 40, seed=2, gen_ai__prompt__version="7"):  # another prompt is another segment
        watching.send(one)
    (alarm,) = watching.alarms()
    assert alarm.event_name == "otel_llm.drift.change"
    assert alarm.severity_number == 13
    attributes = dict(alarm.attributes)
    after = attributes.pop(names.OTEL_LLM_DRIFT_AFTER)
    assert isinstance(after, float)
    assert 0.3 < after < 0.9
    since, number = attributes.pop(names.OTEL_LLM_DRIFT_SINCE), attributes.pop(names.OTEL_LLM_DRIFT_OBSERVATIONS)
    assert attributes == {
        "service.name": "shop",
        "gen_ai.operation.name": "chat",
        "gen_ai.request.model": "gpt-4o",
        "gen_ai.prompt.version": "7",
        "otel_llm.drift.signal": "error",
        "otel_llm.drift.direction": "up",
        "otel_llm.drift.statistic": "rate",
        "otel_llm.drift.before": 0.02,
    }
    assert alarm.body.startswith(f"error went up from 2.00% to {after:.2%} since {since} ({number} operations; ")
    assert list(metric_problems(watching.metrics)) == []
    shown = {family.definition.name: family.series for family in watching.metrics.collect()}
    assert [series.value for series in shown["otel_llm.drift.changes"]] == [1]
    assert [series.value for series in shown["otel_llm.drift.segments"]] == [2]
    assert shown["otel_llm.drift.evidence"]
    levels = {
        dict(series.attributes)["otel_llm.drift.period"]: series.value for series in shown["otel_llm.drift.level"]
    }
    assert levels == {"before": 0.02, "after": after}
    assert [iso(int(series.value) * 10**9) for series in shown["otel_llm.drift.began"]] == [since]  # type: ignore[arg-type] # a gauge has numbers


def test_drift_stands_after_what_it_reads() -> None:
    context = Context("cost", Metrics(), FakeClock())
    with pytest.raises(PipelineOrderError, match="put cost before drift"):
        check_order([Watching().processor, cost.create(cost.Config(), context)])


def test_quality_signals_are_rates_of_what_could_be_told() -> None:
    watching = Watching(baselines={"refusal": 0.01, "truncated": 0.01})
    checked = {"otel_llm.quality.checks": ["refusal"], "otel_llm.quality.flags": ["refusal"]}
    for _ in range(30):
        watching.send(SpanSpec({**chat(), **checked}))
    alarms = watching.alarms()
    assert {alarm.attributes[names.OTEL_LLM_DRIFT_SIGNAL] for alarm in alarms} == {"refusal"}
    watched = {one.signal: one.observations for one in watching.processor.monitor.watched()}
    assert "truncated" not in watched  # unknown is not "did not happen"


def test_a_signal_that_stands_on_the_span_counts_with_its_value() -> None:
    watching = Watching()
    watching.send(
        SpanSpec({**chat(), names.OTEL_LLM_QUALITY_REPETITION: False, "otel_llm.quality.lexical_support": 0.5})
    )
    watched = {one.signal for one in watching.processor.monitor.watched()}
    assert {"repetition", "lexical_support", "duration", "error", "input_tokens", "response_model"} <= watched
    assert "cost" not in watched


def test_what_failed_says_nothing_about_duration() -> None:
    watching = Watching()
    watching.send(SpanSpec(chat(), status=2))
    watched = {one.signal for one in watching.processor.monitor.watched()}
    assert "error" in watched
    assert not watched & {"duration", "response_model", "finish_reason"}


def seen(watching: Watching) -> int:
    return max((one.observations for one in watching.processor.monitor.watched()), default=0)


def test_a_span_that_comes_again_or_repeats_a_call_is_counted_once() -> None:
    watching = Watching()
    again = operation(chat())
    watching.processor.process([again, again])
    watching.processor.process([again])
    copy = {names.OTEL_LLM_COST_STATUS: "not_billable", names.OTEL_LLM_COST_REASON: "duplicate"}
    watching.processor.process(operations(SpanSpec({**chat(), **copy}, span=2)))
    assert seen(watching) == 1


@pytest.mark.parametrize(("only_first", "counted"), [(True, 3), (False, 12)])
def test_of_a_conversation_the_first_operation_counts(*, only_first: bool, counted: int) -> None:
    watching = Watching(one_of_conversation=only_first)
    for number in range(12):
        watching.send(SpanSpec(chat(gen_ai__conversation__id=f"c{number % 3}")))
    assert seen(watching) == counted


def question(text: str) -> dict[str, object]:
    message = [{"role": "user", "parts": [{"type": "text", "content": text}]}]
    return {**chat(), names.GEN_AI_INPUT_MESSAGES: json.dumps(message)}


def test_questions_are_compared_when_asked_for_and_no_text_is_kept() -> None:
    watching = Watching(input_texts=1.0)
    watching.send(SpanSpec(question("where is my parcel?")))  # type: ignore[arg-type] # values of attributes
    assert "input_text" in {one.signal for one in watching.processor.monitor.watched()}
    assert "parcel" not in json.dumps(watching.processor.monitor.state())
    without = Watching()
    without.send(SpanSpec(question("where is my parcel?")))  # type: ignore[arg-type] # values of attributes
    assert "input_text" not in {one.signal for one in without.processor.monitor.watched()}


def test_the_same_hour_is_compared_with_and_a_season_is_a_segment(tmp_path: Path) -> None:
    file = str(tmp_path / "drift.json")
    watching = Watching(season="hour_of_week", baselines={"error": 0.02}, state_file=file)
    watching.processor.start()
    for one in failing(0.5, 60, seed=2):
        one.start = 1_700_000_000 * 10**9  # a Tuesday, 22:13
        watching.send(one)
    watching.send(SpanSpec(chat(), start=2**64 - 10**10))
    (alarm,) = watching.alarms()
    assert alarm.attributes["otel_llm.drift.season"] == "Tue 22"
    assert "otel_llm.drift.season=Tue 22" in alarm.body
    assert {one.segment[-1] for one in watching.processor.monitor.watched()} == {"Tue 22", "Sun 23"}
    watching.processor.shutdown(1)
    other = Watching(season="hour_of_day", state_file=file)
    other.processor.start()  # segments of another kind are no use
    assert other.processor.monitor.watched() == []
    other.processor.shutdown(1)


def test_state_survives_a_restart(tmp_path: Path) -> None:
    file = str(tmp_path / "drift.json")
    first = Watching(state_file=file, baselines={"error": 0.02})
    first.processor.start()
    for one in failing(0.1, 50, seed=3):
        first.send(one)
    first.processor.shutdown(1)
    first.processor.shutdown(1)
    second = Watching(state_file=file, baselines={"error": 0.02})
    second.processor.start()
    assert second.processor.monitor.watched() == first.processor.monitor.watched()
    second.processor.shutdown(1)
    assert {path.name for path in tmp_path.iterdir()} == {"drift.json", "drift.json.lock"}


_OTHER_PROCESS = """
import sys, threading
from otel_llm.components import Context
from otel_llm.processors import drift
from otel_llm.telemetry import Metrics
from otel_llm.testing import FakeClock
from tests.spans import SpanSpec, chat, operations

processor = drift.create(drift.Config(state_file=sys.argv[1]), Context("drift", Metrics(), FakeClock()))
processor.start()
processor.process(operations(SpanSpec(chat())))
print("started", flush=True)
sys.stdin.read()
processor.shutdown(1)
"""


def test_a_second_process_takes_a_file_beside_and_both_are_shown_together(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "drift.json"
    watching = Watching(state_file=str(file))
    watching.processor.start()
    with subprocess.Popen(
        [sys.executable, "-c", _OTHER_PROCESS, str(file)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdin is not None
        assert other.stdout is not None
        assert other.stdout.readline() == "started\n"
        for one in (SpanSpec(chat()), SpanSpec(chat())):
            watching.send(one)
        watching.processor.shutdown(1)
        other.stdin.close()
        assert other.wait(30) == 0
    seen = [
        json.loads((tmp_path / name).read_bytes())["monitor"]["segments"][0][1]["error"]["observations"]
        for name in ("drift.json", "drift.1.json")
    ]
    assert seen == [2, 1]
    assert main(["drift", *map(str, sorted(tmp_path.glob("drift*.json"))), "--signal", "error"]) == 0
    assert "1 detectors in 1 segments" in capsys.readouterr().out
    again = Watching(state_file=str(file))  # the lock has ended with the other process
    again.processor.start()
    assert again.processor.monitor.watched()[0].observations == 2
    again.processor.shutdown(1)


def test_two_components_of_a_process_may_not_have_one_file(tmp_path: Path) -> None:
    first, second = Watching(state_file=str(tmp_path / "a.json")), Watching(state_file=str(tmp_path / "a.json"))
    first.processor.start()
    second.processor.start()  # the same component: a reload has two of it for a while
    comparison = compare.ComparisonConfig(name="c", attribute="a", control="1", canary="2")
    config = compare.Config(comparisons=(comparison,), state_file=str(tmp_path / "a.json"))
    other = compare.create(config, Context("compare", Metrics(), FakeClock()))
    with pytest.raises(ConfigError, match=r"processors\.compare\.state_file: .* is that of processors\.drift, too"):
        other.start()
    first.processor.shutdown(1)
    second.processor.shutdown(1)
    other.start()
    other.shutdown(1)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"segment_by": [], "monitor": {}}', b"\xff" * 100])
def test_a_state_that_is_of_no_use_is_set_aside(
    tmp_path: Path, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "drift.json"
    file.write_bytes(content)
    watching = Watching(state_file=str(file))
    watching.processor.start()
    watching.send(SpanSpec(chat()))
    watching.processor.shutdown(1)
    assert (tmp_path / "drift.json.unreadable").read_bytes() == content
    assert json.loads(file.read_bytes())["monitor"]["segments"]
    assert "is of no use" in caplog.text


def test_a_configuration_that_follows_goes_on_with_what_was_learnt() -> None:
    first, second = Watching(), Watching(ignore=("cost",), false_alarms=2)
    third = Watching(segment_by=("service.name",))
    for one in failing(0.1, 20, seed=4):
        first.send(one)
    second.processor.succeed(first.processor)
    third.processor.succeed(first.processor)
    assert second.processor.monitor.watched() == first.processor.monitor.watched()
    assert third.processor.monitor.watched() == []
    same = Watching()
    same.processor.succeed(first.processor)
    assert same.processor.monitor is first.processor.monitor


def test_settings_that_contradict_each_other_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="reference_operations_limit: expected at least"):
        Watching(reference_operations=5000, reference_operations_limit=200)
    with pytest.raises(ConfigError, match="state_file: there is no folder"):
        Watching(state_file=str(tmp_path / "none" / "drift.json"))


def test_hostile_values_are_left_out() -> None:
    watching = Watching()
    odd: list[Operation] = operations(
        SpanSpec(
            {
                **chat(),
                "otel_llm.quality.checks": "refusal",
                "otel_llm.quality.flags": 7,
                "otel_llm.quality.lexical_support": float("nan"),
                "gen_ai.response.time_to_first_chunk": float("inf"),
                "gen_ai.usage.input_tokens": True,
                "gen_ai.response.model": "m" * 10_000,
                "gen_ai.prompt.name": "p" * 10_000,
            },
            seconds=-5,
        )
    )
    watching.processor.process(odd)
    watched = {one.signal for one in watching.processor.monitor.watched()}
    assert watched == {"error", "output_tokens", "response_model"}
    assert len(json.dumps(watching.processor.monitor.state())) < 3000
