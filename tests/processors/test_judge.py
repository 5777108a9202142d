from __future__ import annotations

import json
import random
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Self
from urllib.parse import quote

import pytest

from otel_llm._generated import attributes as names
from otel_llm.components import Context
from otel_llm.errors import ConfigError, PermanentError, RetryableError
from otel_llm.log_records import LogRecord
from otel_llm.loopback import LoopbackProvider
from otel_llm.operation import AttributeValue, Operation
from otel_llm.processors import compare, judge
from otel_llm.processors.judging.endpoint import EndpointConfig, EndpointJudge
from otel_llm.processors.judging.question import Question, Reply
from otel_llm.processors.judging.waiting import Waiting
from otel_llm.quality.judges import Rubric, Sampling
from otel_llm.telemetry import Metrics
from otel_llm.testing import FakeClock, unused_port
from tests.spans import SpanSpec, chat, operations
from tests.test_vocabulary import metric_problems

HELPFUL = judge.RubricConfig(id="helpfulness", version="2", question="Does it help?")
PASS = '{"evidence": "a city", "label": "pass"}'


def told(model: str, text: str = PASS, **directives: object) -> str:
    """A model name that makes the loopback provider answer so."""
    pairs = {"text": quote(text), **directives}
    return f"{model}#{';'.join(f'{key}={value}' for key, value in pairs.items())}"


def exchange(number: int = 1, answer: str = "Paris.", **more: AttributeValue) -> Operation:
    def message(role: str, text: str) -> str:
        return json.dumps([{"role": role, "parts": [{"type": "text", "content": text}]}])

    texts = {
        names.GEN_AI_INPUT_MESSAGES: message("user", "What is the capital of France?"),
        names.GEN_AI_OUTPUT_MESSAGES: message("assistant", answer),
        "gen_ai.response.id": f"r{number}",
    }
    (one,) = operations(SpanSpec({**chat(), **texts, **more}, trace=number, span=number))
    return one


class Judging:
    """A judge processor that runs, and what it has said."""

    def __init__(self, processor: judge.JudgeProcessor, context: Context) -> None:
        self.processor = processor
        self.context = context
        self.said: list[LogRecord] = []

    def ask(self, *asked: Operation) -> None:
        self.processor.process(asked)

    def wait_for(self, number: int) -> list[LogRecord]:
        """So many results; fails when they do not come in time."""
        until = time.monotonic() + 20
        while len(self.said) < number:
            assert time.monotonic() < until, f"{len(self.said)} results"
            self.said += self.context.records.take(timeout_seconds=0.2)
        return self.said

    def counted(self, name: str) -> dict[tuple[str, ...], float]:
        return {
            tuple(value for _, value in series.attributes): series.value  # type: ignore[misc] # counters have numbers
            for family in self.context.metrics.collect()
            if family.definition.name == name
            for series in family.series
        }


@contextmanager
def judging(**config: object) -> Iterator[Judging]:
    context = Context("judge", Metrics(), FakeClock())
    config = {"rubrics": (HELPFUL,), "others": 1.0, **config}
    processor = judge.create(judge.Config(**config), context)  # type: ignore[arg-type] # its fields
    processor.start()
    try:
        yield Judging(processor, context)
    finally:
        processor.shutdown(5)


def at(provider: LoopbackProvider, model: str, **config: object) -> EndpointConfig:
    return EndpointConfig(url=provider.openai_base_url, model=model, **config)  # type: ignore[arg-type] # its fields


def test_an_endpoint_judges_over_a_real_socket_and_the_result_is_in_the_context_of_the_span() -> None:
    """Acceptance 60, an asynchronous judge score: an event with the ids of its target; the span stays as it is."""
    with LoopbackProvider() as provider, judging(endpoint=at(provider, told("gpt-4o-mini", input=900))) as one:
        asked = exchange()
        one.ask(asked)
        (result,) = one.wait_for(1)
        assert one.counted("otel_llm.judge.judgements") == {("helpfulness", "pass"): 1}
        assert sum(one.counted("otel_llm.judge.usage").values()) == 0  # the price list does not know the odd name
        assert list(metric_problems(one.context.metrics)) == []
    assert not asked.is_changed
    assert result.event_name == "gen_ai.evaluation.result"
    assert (result.trace_id, result.span_id) == (asked.trace_id, asked.span_id)
    assert dict(result.attributes) == {
        "gen_ai.evaluation.name": "helpfulness",
        "gen_ai.evaluation.score.label": "pass",
        "gen_ai.evaluation.score.value": 1.0,
        "gen_ai.response.id": "r1",
        "otel_llm.evaluation.evaluator.id": f"judge.{told('gpt-4o-mini', input=900)}",
        "otel_llm.evaluation.evaluator.version": "2",
        "otel_llm.evaluation.evaluator.source": "model",
        "otel_llm.judge.sampling_probability": 1.0,
        "otel_llm.judge.calibration": "uncalibrated",
    }
    assert "Paris" not in repr(result)  # no content unless asked for


def test_a_judgement_is_remembered_and_the_same_answer_asked_about_once() -> None:
    with LoopbackProvider() as provider, judging(endpoint=at(provider, told("gpt-4o-mini"))) as one:
        one.ask(exchange(1))
        one.wait_for(1)
        one.ask(exchange(2), exchange(2), exchange(1))
        assert {result.attributes["gen_ai.response.id"] for result in one.wait_for(2)} == {"r1", "r2"}
        one.ask(exchange(3, "Lyon."))
        assert len(one.wait_for(3)) == 3
        assert len(provider.served()) == 2


@pytest.mark.parametrize(
    ("directives", "error"),
    [
        ({"text": "I like it."}, "AnswerError"),
        ({"text": '{"label": "superb"}'}, "AnswerError"),
        ({"error": 400}, "PermanentError"),
        ({"error": 500}, "RetryableError"),
    ],
)
def test_a_judge_that_fails_or_lies_about_the_form_is_an_error_and_never_a_score(
    directives: dict[str, object], error: str
) -> None:
    model = told("gpt-4o-mini", **directives)  # type: ignore[arg-type] # directives
    with LoopbackProvider() as provider, judging(endpoint=at(provider, model)) as one:
        one.ask(exchange())
        (result,) = one.wait_for(1)
    assert result.attributes[names.ERROR_TYPE] == error
    assert names.GEN_AI_EVALUATION_SCORE_VALUE not in result.attributes
    assert result.severity_number == 13


def test_a_judge_that_cannot_tell_gives_a_label_and_no_score() -> None:
    model = told("gpt-4o-mini", '{"label": "cannot_tell"}')
    with LoopbackProvider() as provider, judging(endpoint=at(provider, model)) as one:
        one.ask(exchange())
        (result,) = one.wait_for(1)
    assert result.attributes[names.GEN_AI_EVALUATION_SCORE_LABEL] == "cannot_tell"
    assert names.GEN_AI_EVALUATION_SCORE_VALUE not in result.attributes


def test_a_judge_that_does_not_answer_in_time_is_given_up_and_not_asked_again() -> None:
    config = {"timeout_seconds": 0.2}
    with LoopbackProvider() as provider:
        endpoint = at(provider, told("gpt-4o-mini", delay_ms=3000), **config)
        with judging(endpoint=endpoint) as one:
            one.ask(exchange())
            (result,) = one.wait_for(1)
            assert result.attributes[names.ERROR_TYPE] == "TimeoutError"


def test_nobody_at_the_endpoint_is_an_error_too() -> None:
    endpoint = EndpointConfig(url=f"http://127.0.0.1:{unused_port()}/v1", model="gpt-4o-mini")
    with judging(endpoint=endpoint) as one:
        one.ask(exchange())
        (result,) = one.wait_for(1)
    assert result.attributes[names.ERROR_TYPE] == "ConnectionRefusedError"


PRICE = "models: [{provider: openai, model: my-judge, prices: [{rates: {input: '100', output: '100'}}]}]\n"


def test_no_more_is_spent_a_day_than_was_allowed(tmp_path: Path) -> None:
    """A question costs 0.05 here, and less than 0.1 is set aside: of a dollar there are ten at least."""
    prices = tmp_path / "prices.yaml"
    prices.write_text(PRICE)
    endpoint_of = {"provider": "openai", "max_output_tokens": 700}
    with Answering({"my-judge": [200]}) as server:
        endpoint = EndpointConfig(url=server.url, model="my-judge", **endpoint_of)  # type: ignore[arg-type] # its fields
        config = {
            "endpoint": endpoint,
            "prices": (str(prices),),
            "daily_limit": "1.00",
            "requests_per_minute": 10_000.0,
        }
        with judging(**config) as one:
            one.ask(*(exchange(n, f"Answer {n}.") for n in range(1, 41)))
            one.wait_for(10)
            until = time.monotonic() + 20
            while len(one.said) + sum(one.counted("otel_llm.judge.skipped").values()) < 40:
                assert time.monotonic() < until
                one.said += one.context.records.take(timeout_seconds=0.1)
            ((currency, spent),) = one.counted("otel_llm.judge.usage").items()
            assert currency == ("USD", "helpfulness")
            assert 0.5 < spent <= 1.0
            assert one.counted("otel_llm.judge.skipped") == {("helpfulness", "daily_limit"): 40 - len(one.said)}
            assert server.asked == len(one.said)


def test_a_limit_needs_a_price() -> None:
    endpoint = EndpointConfig(url="http://127.0.0.1:1/v1", model="nobody-knows-it")
    with pytest.raises(ConfigError, match="daily_limit: no price is known for the judge's model"):
        judge.create(
            judge.Config(rubrics=(HELPFUL,), endpoint=endpoint, daily_limit="1"),
            Context("judge", Metrics(), FakeClock()),
        )


def approve(instructions: str, material: str) -> str:
    assert "Does it help?" in instructions
    return "fail" if "wrong" in material else "pass"


def break_down(instructions: str, material: str) -> str:
    raise ZeroDivisionError(instructions, material)


LET_GO = threading.Event()


def hang(instructions: str, material: str) -> str:
    """Returns for `quick` answers, else not before it is let go."""
    assert LET_GO.wait(0 if "quick" in material else 60) or "quick" in material, instructions
    return "pass"


HERE = "tests.processors.test_judge"


def test_any_function_can_judge() -> None:
    with judging(function=f"{HERE}:approve") as one:
        one.ask(exchange(1), exchange(2, "wrong"))
        labels = {result.attributes["gen_ai.response.id"]: result.attributes for result in one.wait_for(2)}
    assert labels["r1"][names.GEN_AI_EVALUATION_SCORE_VALUE] == 1.0
    assert labels["r2"][names.GEN_AI_EVALUATION_SCORE_VALUE] == 0.0


def test_a_function_that_raises_stops_no_worker_and_is_counted() -> None:
    with judging(function=f"{HERE}:break_down", concurrency=1) as one:
        one.ask(exchange(1))
        (result,) = one.wait_for(1)
        assert result.attributes[names.ERROR_TYPE] == "ZeroDivisionError"
        assert one.counted("otel_llm.internal_errors") == {("worker", "ZeroDivisionError", "judge"): 1}


def test_a_function_that_hangs_holds_no_worker_and_is_not_called_without_end() -> None:
    LET_GO.clear()
    with judging(
        function=f"{HERE}:hang", concurrency=8, function_timeout_seconds=0.05, requests_per_minute=10_000.0
    ) as one:
        one.ask(*(exchange(number, f"Slow answer {number}.") for number in range(1, 17)))
        until = time.monotonic() + 30
        while len(one.said) + sum(one.counted("otel_llm.judge.skipped").values()) < 16:
            assert time.monotonic() < until
            one.said += one.context.records.take(timeout_seconds=0.1)
        assert {result.attributes[names.ERROR_TYPE] for result in one.said} == {"TimeoutError"}
        assert 8 <= len(one.said) <= 15  # eight workers may be past the look at how many hang
        assert set(one.counted("otel_llm.judge.skipped")) == {("helpfulness", "judge_hangs")}
        LET_GO.set()
        one.said.clear()
        one.ask(exchange(17, "A quick answer."))
        until = time.monotonic() + 30
        while not one.said:
            assert time.monotonic() < until
            one.said += one.context.records.take(timeout_seconds=0.1)
        assert one.said[0].attributes[names.GEN_AI_EVALUATION_SCORE_LABEL] == "pass"


def test_no_more_tokens_a_minute_are_used_than_the_provider_allows() -> None:
    """A question may use 1,900 of the 2,000 that may be had at once; this one says it used 500."""
    with Answering({"m": [200]}) as server:
        endpoint = EndpointConfig(url=server.url, model="m", max_output_tokens=1500)
        with judging(endpoint=endpoint, tokens_per_minute=20_000.0, requests_per_minute=10_000.0, concurrency=4) as one:
            one.ask(*(exchange(number, f"Answer {number}.") for number in range(1, 41)))
            one.wait_for(1)
            one.processor.shutdown(5)
            assert server.asked == 1  # the clock stands still: no token more than the 2,000 at once
            assert one.counted("otel_llm.judge.skipped") == {("helpfulness", "shutdown"): 39}


def test_what_judges_are_asked_is_not_judged() -> None:
    rubric = Rubric("helpfulness", "2", "Does it help?")
    system = json.dumps([{"type": "text", "content": rubric.instructions()}])
    with judging(function=f"{HERE}:approve") as one:
        one.ask(exchange(1, **{names.GEN_AI_SYSTEM_INSTRUCTIONS: system}))
        assert one.counted("otel_llm.judge.skipped") == {("helpfulness", "judging"): 1}


def test_what_has_no_answer_failed_or_is_no_answer_is_not_judged() -> None:
    with judging(function=f"{HERE}:approve") as one:
        one.ask(*operations(SpanSpec(chat(), trace=5, span=5)))
        assert one.counted("otel_llm.judge.skipped") == {("helpfulness", "no_content"): 1}
        one.ask(*operations(SpanSpec(chat(), status=2, span=6)))
        one.ask(*operations(SpanSpec(chat(gen_ai__operation__name="execute_tool"), span=7)))
        assert sum(one.counted("otel_llm.judge.skipped").values()) == 1


def test_flagged_answers_are_judged_more_often_and_the_probability_is_recorded() -> None:
    draw = random.Random(1)
    expected = 0
    with judging(function=f"{HERE}:approve", others=0.05, requests_per_minute=1e7) as one:
        for number in range(400):
            flags: dict[str, AttributeValue] = {names.OTEL_LLM_QUALITY_FLAGS: ["refusal"]} if number % 10 == 0 else {}
            asked = exchange(draw.getrandbits(60), f"{number}", **flags)
            one.ask(asked)
            expected += bool(flags) or Sampling().takes(asked.trace_id, 0.05)
        results = one.wait_for(expected)
    assert len(results) == expected > 45
    found = [result.attributes[names.OTEL_LLM_JUDGE_SAMPLING_PROBABILITY] for result in results]
    assert found.count(1.0) == 40
    assert set(found) == {1.0, 0.05}


def test_a_calibrated_judge_alerts_about_what_moved_and_another_one_never(tmp_path: Path) -> None:
    labels = tmp_path / "labels.jsonl"
    rows = [("pass", "pass")] * 80 + [("fail", "fail")] * 40 + [("fail", "pass")] * 5
    labels.write_text(
        "".join(
            json.dumps({"name": "helpfulness", "version": "2", "judge": said, "human": meant}) + "\n"
            for said, meant in rows
        )
    )
    with labels.open("a") as file:  # what nobody saw, another rubric, another version: passed over
        file.write('{"name": "helpfulness", "version": "2", "judge": "fail", "probability": 0.1}\n')
        file.write('{"name": "tone", "version": "2", "judge": "fail", "human": "pass"}\n' * 200)
        file.write('{"name": "helpfulness", "version": "1", "judge": "fail", "human": "pass"}\n' * 200)
    for files, alerts in (((str(labels),), True), ((), False)):
        config = {"function": f"{HERE}:approve", "labels": files, "requests_per_minute": 1e7, "false_alarms": 1e6}
        with judging(**config) as one:
            clock = one.context.clock
            assert isinstance(clock, FakeClock)
            seen: list[LogRecord] = []
            for number in range(1, 901):
                clock.advance(60)
                one.ask(exchange(number, f"{'wrong' if number > 600 or number % 20 == 0 else 'right'} {number}"))
                one.wait_for(number)  # the budget of false alarms grows with the clock
            seen = one.said
        changes = [record for record in seen if record.event_name == "otel_llm.drift.change"]
        assert bool(changes) is alerts
        calibration = {record.attributes.get(names.OTEL_LLM_JUDGE_CALIBRATION) for record in seen} - {None}
        assert calibration == {"calibrated" if alerts else "uncalibrated"}


def test_a_canary_is_rolled_back_for_what_a_calibrated_judge_says(tmp_path: Path) -> None:
    labels = tmp_path / "labels.jsonl"
    row = {"name": "helpfulness", "version": "2"}
    pairs = [("pass", "pass"), ("fail", "fail")] * 60
    labels.write_text("".join(json.dumps({**row, "judge": said, "human": meant}) + "\n" for said, meant in pairs))
    comparison = compare.ComparisonConfig(
        name="prompt", attribute="gen_ai.prompt.version", control="1", canary="2", guardrails={"helpfulness": 0.05}
    )
    config = {"function": f"{HERE}:approve", "labels": (str(labels),), "requests_per_minute": 1e7}
    with judging(comparisons=(comparison,), **config) as one:
        for number in range(1, 201):
            version = str(number % 2 + 1)
            text = f"{'wrong' if version == '2' else 'right'} {number}"
            one.ask(exchange(number, text, **{"gen_ai.prompt.version": version}))
        said = one.wait_for(201)
        (decision,) = [record for record in said if record.event_name == "otel_llm.comparison.result"]
        assert list(metric_problems(one.context.metrics)) == []
    assert decision.attributes["otel_llm.comparison.verdict"] == "roll_back"
    assert decision.attributes["otel_llm.comparison.signal"] == "helpfulness"


def question(*, flagged: bool, size: int = 100) -> Question:
    rubric = Rubric("r", "1", "?")
    return Question(rubric, "x" * size, "y", b"t", b"s", "", 1.0, flagged, is_of_all=False, segment=())


def test_when_too_much_waits_what_has_no_flag_gives_way_first() -> None:
    waiting = Waiting(2000)
    plain, flagged, other = question(flagged=False), question(flagged=True), question(flagged=True)
    assert [waiting.add(one) for one in (plain, flagged)] == [[], []]
    assert [len(waiting.add(question(flagged=False))), waiting.add(other)] == [0, [plain]]
    assert waiting.add(question(flagged=True, size=10_000))[0].size_bytes > 2000
    assert waiting.take() is flagged
    assert len(waiting.close()) == 2
    assert waiting.take() is None
    late = question(flagged=True)
    assert waiting.add(late) == [late]


def test_what_waits_when_the_process_stops_is_counted_and_stopping_takes_no_time() -> None:
    started = threading.Event()
    with LoopbackProvider() as provider:
        endpoint = at(provider, told("gpt-4o-mini", delay_ms=20_000))
        with judging(endpoint=endpoint, concurrency=1) as one:
            one.ask(*(exchange(n) for n in range(1, 6)))
            started.set()
            begun = time.monotonic()
            one.processor.shutdown(0.2)
            assert time.monotonic() - begun < 10
            skipped = one.counted("otel_llm.judge.skipped")
    assert skipped[("helpfulness", "shutdown")] >= 4


class Answering:
    """An endpoint that answers with these statuses in turn, and with a judgement when that is 200."""

    def __init__(self, statuses: Mapping[str, list[int]]) -> None:
        from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer  # noqa: PLC0415 - here only

        outer = self
        self.asked = 0
        self.bodies: list[dict[str, object]] = []
        self.headers: list[dict[str, str]] = []

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                outer.bodies.append(body)
                outer.headers.append({key.lower(): value for key, value in self.headers.items()})
                script = statuses[body["model"]]
                status = script[min(outer.asked, len(script) - 1)]
                outer.asked += 1
                usage = {"prompt_tokens": 300, "completion_tokens": 200}
                answer = json.dumps({"choices": [{"message": {"content": PASS}}], "usage": usage}).encode()
                self.send_response(status)
                self.send_header("content-length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name in the base class
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/v1/"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()


def test_a_busy_judge_is_asked_again() -> None:
    with Answering({"m": [503, 200]}) as server, judging(endpoint=EndpointConfig(url=server.url, model="m")) as one:
        one.ask(exchange())
        (result,) = one.wait_for(1)
    assert result.attributes[names.GEN_AI_EVALUATION_SCORE_LABEL] == "pass"
    assert server.asked == 2


def test_the_endpoint_is_asked_as_its_api_wants_it_and_the_key_stands_in_no_repr() -> None:
    with Answering({"m": [200]}) as server:
        config = EndpointConfig(url=server.url, model="m", api_key="s3cret")
        asking = EndpointJudge(config, "x")
        assert asking.ask("do", "this", {"type": "object"}) == Reply(PASS, 300, 200)
        asking.close()
        asking.close()
        with pytest.raises(RetryableError):
            asking.ask("do", "this", {})
    body = server.bodies[0]
    assert body["temperature"] == 0
    assert body["response_format"] == {
        "type": "json_schema",
        "json_schema": {"name": "judgement", "strict": True, "schema": {"type": "object"}},
    }
    assert server.headers[0]["authorization"] == "Bearer s3cret"
    assert "s3cret" not in repr(asking)


@pytest.mark.parametrize(("status", "error"), [(401, PermanentError), (404, PermanentError), (429, RetryableError)])
def test_refusals_are_told_apart(status: int, error: type[Exception]) -> None:
    with Answering({"m": [status]}) as server:
        asking = EndpointJudge(EndpointConfig(url=server.url, model="m"), "x")
        with pytest.raises(error, match=str(status)):
            asking.ask("a", "b", {})
        asking.close()


@pytest.mark.parametrize(
    ("config", "problem"),
    [
        ({"rubrics": ()}, "rubrics: expected at least one"),
        ({"rubrics": (HELPFUL, HELPFUL)}, "is the id of another rubric"),
        ({}, "expected a judge, either endpoint or function"),
        ({"function": "no.such.module:f"}, "function: cannot be imported"),
        ({"function": "json:__name__"}, "expected a function"),
        ({"function": "json:dumps", "daily_limit": "much"}, "daily_limit: expected an amount"),
        ({"endpoint": EndpointConfig(url="ftp://x", model="m")}, "endpoint.url: expected http"),
        ({"endpoint": EndpointConfig(url="http://x:port", model="m")}, "endpoint.url: expected an address"),
        ({"endpoint": EndpointConfig(url="http://x", model="m", api_key="a\nb")}, "api_key: expected printable"),
        (
            {
                "function": "json:dumps",
                "comparisons": (compare.ComparisonConfig(name="x", attribute="a", control="1", canary="2"),),
            },
            "guardrails: 'error' is the id of no rubric",
        ),
        ({"function": "json:dumps", "labels": ("/none",)}, "labels\\[0\\]: cannot read"),
        ({"function": "json:dumps", "prices": ("/none",)}, "prices\\[0\\]: cannot read"),
    ],
)
def test_what_is_wrong_with_the_configuration_is_said_at_the_start(config: dict[str, object], problem: str) -> None:
    with pytest.raises(ConfigError, match=problem):
        judge.create(
            judge.Config(**{"rubrics": (HELPFUL,), **config}),  # type: ignore[arg-type] # its fields
            Context("judge", Metrics(), FakeClock()),
        )
