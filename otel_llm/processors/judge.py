"""The judge processor: samples answers and has them assessed, beside the pipeline.

Changes no operation and holds none up. What a judge says is a log record `gen_ai.evaluation.result` in the context of
the span that was judged; docs/evaluation.md says how to read it.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from random import SystemRandom
from typing import Final

import msgspec

from otel_llm._generated import attributes as names
from otel_llm._generated import metrics as definitions
from otel_llm._generated.attributes import OtelLlmErrorSiteValues as ErrorSite
from otel_llm._generated.attributes import OtelLlmJudgeSkipReasonValues as SkipReason
from otel_llm._generated.events import GEN_AI_EVALUATION_RESULT, OTEL_LLM_DRIFT_CHANGE
from otel_llm.components import Context
from otel_llm.cost import Catalogue, OverlayError
from otel_llm.errors import ConfigError
from otel_llm.log_records import INFO, WARN, LogRecord
from otel_llm.operation import AttributeValue, Operation
from otel_llm.processors.alarms import alarm_attributes, describe
from otel_llm.processors.compare import Compare, comparison_problems
from otel_llm.processors.compare import Config as CompareConfig
from otel_llm.processors.judge_config import (
    Config,
    RubricConfig,
    decimal,
    guardrail_problems,
    judge_problems,
    rubric_problems,
)
from otel_llm.processors.judging.endpoint import EndpointJudge
from otel_llm.processors.judging.function import FunctionJudge
from otel_llm.processors.judging.labels import agreements
from otel_llm.processors.judging.prices import Spending
from otel_llm.processors.judging.question import Judge, Question, as_text
from otel_llm.processors.judging.waiting import Waiting
from otel_llm.processors.judging.worker import Outcome, Rates, Reports, Workers
from otel_llm.processors.operation_signals import is_repeated, value_of
from otel_llm.processors.seen import SeenSpans
from otel_llm.quality.drift import Monitor
from otel_llm.quality.drift import Settings as DriftSettings
from otel_llm.quality.judges import Agreement, Rubric, Sampling
from otel_llm.quality.judges.limits import Rate
from otel_llm.quality.judges.rubric import is_about_judging

__all__ = ["Config", "JudgeProcessor", "RubricConfig", "create"]

_JUDGED: Final = frozenset({"chat", "generate_content", "text_completion", "invoke_agent"})
_ERROR_STATUS: Final = 2
_SEGMENT: Final = (
    names.SERVICE_NAME,
    names.GEN_AI_REQUEST_MODEL,
    names.GEN_AI_PROMPT_NAME,
    names.GEN_AI_PROMPT_VERSION,
)


class JudgeProcessor:
    """Samples operations and hands them to the workers.

    Args:
        config: the user's settings.
        context: name, metrics, clock, and where results go.
        judge: whom to ask.
        spending: what that may cost.
        agreement: of each rubric, how well the judge agrees with people.
    """

    reads = frozenset(
        {
            *_SEGMENT[1:],
            names.GEN_AI_OPERATION_NAME,
            names.GEN_AI_INPUT_MESSAGES,
            names.GEN_AI_OUTPUT_MESSAGES,
            names.GEN_AI_SYSTEM_INSTRUCTIONS,
            names.GEN_AI_RESPONSE_ID,
            names.OTEL_LLM_COST_STATUS,
            names.OTEL_LLM_COST_REASON,
            names.OTEL_LLM_QUALITY_FLAGS,
        }
    )
    writes: frozenset[str] = frozenset()

    def __init__(
        self, config: Config, context: Context, judge: Judge, spending: Spending, agreement: dict[str, Agreement]
    ) -> None:
        self.name = context.name
        self._config = config
        self._context = context
        self._spending = spending
        self._agreement = agreement
        self._rubrics = _rubrics(config)
        self._sampling = Sampling(config.flagged, config.others)
        self._seen = SeenSpans(100_000)
        self._waiting = Waiting(config.queue_size_bytes)
        self._judge = judge
        self._compare = Compare(CompareConfig(comparisons=config.comparisons), context)
        days = config.false_alarm_days * 86_400.0
        self._monitor = Monitor(DriftSettings(config.false_alarms, days, reference=500), SystemRandom().random)
        reports = Reports(self._tell, self._skip, self._fail)
        tokens = None if config.tokens_per_minute is None else Rate(config.tokens_per_minute)
        rates = Rates(Rate(config.requests_per_minute), tokens)
        self._workers = Workers(judge, spending, rates, reports, context.clock)
        self._measure(context)

    def _measure(self, context: Context) -> None:
        metrics, name = context.metrics, names.GEN_AI_EVALUATION_NAME
        self._judgements = metrics.counter(
            definitions.OTEL_LLM_JUDGE_JUDGEMENTS, (name, names.GEN_AI_EVALUATION_SCORE_LABEL, names.ERROR_TYPE)
        )
        self._skipped = metrics.counter(definitions.OTEL_LLM_JUDGE_SKIPPED, (name, names.OTEL_LLM_JUDGE_SKIP_REASON))
        self._usage = metrics.counter(definitions.OTEL_LLM_JUDGE_USAGE, (names.OTEL_LLM_COST_CURRENCY, name))
        self._duration = metrics.histogram(definitions.OTEL_LLM_JUDGE_DURATION, (name,))
        self._errors = metrics.counter(
            definitions.OTEL_LLM_INTERNAL_ERRORS,
            (names.OTEL_LLM_ERROR_SITE, names.ERROR_TYPE, names.OTEL_LLM_COMPONENT_NAME),
        )
        changes = definitions.OTEL_LLM_DRIFT_CHANGES
        self._changes = metrics.counter(
            changes, (names.OTEL_LLM_DRIFT_SIGNAL, names.OTEL_LLM_DRIFT_DIRECTION, *_SEGMENT)
        )
        kappas: dict[tuple[str, ...], float] = {
            (id_,): one.kappa for id_, one in self._agreement.items() if one.kappa is not None
        }
        self._gauges = (
            metrics.gauge(
                definitions.OTEL_LLM_JUDGE_QUEUE_LENGTH,
                (names.OTEL_LLM_COMPONENT_NAME,),
                lambda: {(self.name,): float(len(self._waiting))},
            ),
            metrics.gauge(definitions.OTEL_LLM_JUDGE_AGREEMENT, (name,), lambda: dict(kappas)),
        )

    def process(self, operations: Iterable[Operation]) -> None:
        """Sample them; changes nothing."""
        for operation in operations:
            if operation.operation_name not in _JUDGED or operation.status_code == _ERROR_STATUS:
                continue
            is_flagged = bool(operation.get(names.OTEL_LLM_QUALITY_FLAGS))
            probability = self._sampling.probability(is_flagged=is_flagged)
            if not self._sampling.takes(operation.trace_id, probability):
                continue
            if not is_repeated(operation) and self._seen.is_new(operation):
                self._ask(operation, probability, is_flagged=is_flagged)

    def _ask(self, operation: Operation, probability: float, *, is_flagged: bool) -> None:
        most = self._config.content_characters
        conversation, answer = as_text(operation.input_messages, most), as_text(operation.output_messages, most)
        system = operation.get(names.GEN_AI_SYSTEM_INSTRUCTIONS)
        is_judging = is_about_judging([conversation, system if isinstance(system, str) else ""])
        arms = self._compare.arms_of(operation)
        for rubric in self._rubrics:
            question = Question(
                rubric,
                conversation,
                answer,
                operation.trace_id,
                operation.span_id,
                operation.response_id or "",
                probability,
                is_flagged,
                self._sampling.takes(operation.trace_id, self._config.others),
                tuple(value_of(operation, key) for key in _SEGMENT),
                arms,
            )
            if is_judging:
                self._skip(question, SkipReason.JUDGING)
            elif not answer:
                self._skip(question, SkipReason.NO_CONTENT)
            else:
                for gone in self._waiting.add(question):
                    self._skip(gone, SkipReason.QUEUE_FULL)

    def _skip(self, question: Question, reason: str) -> None:
        self._skipped.add(1, question.rubric.id, reason)

    def _fail(self, error_type: str) -> None:
        self._errors.add(1, ErrorSite.WORKER, error_type, self.name)

    def _is_calibrated(self, rubric: Rubric) -> bool:
        return self._agreement[rubric.id].is_calibrated(self._config.least_agreement, self._config.least_labels)

    def _tell(self, question: Question, outcome: Outcome) -> None:
        rubric, judgement = question.rubric, outcome.judgement
        label = "" if judgement is None else judgement.label
        self._judgements.add(1, rubric.id, label, outcome.error_type)
        if outcome.seconds:
            self._duration.record(outcome.seconds, rubric.id)
        if outcome.spent:
            self._usage.add(outcome.spent, self._spending.currency, rubric.id)
        is_calibrated = self._is_calibrated(rubric)
        attributes: dict[str, AttributeValue] = {
            names.GEN_AI_EVALUATION_NAME: rubric.id,
            names.OTEL_LLM_EVALUATION_EVALUATOR_ID: f"judge.{self._judge.model}",
            names.OTEL_LLM_EVALUATION_EVALUATOR_VERSION: rubric.version,
            names.OTEL_LLM_EVALUATION_EVALUATOR_SOURCE: "model",
            names.OTEL_LLM_JUDGE_SAMPLING_PROBABILITY: question.probability,
            names.OTEL_LLM_JUDGE_CALIBRATION: "calibrated" if is_calibrated else "uncalibrated",
        }
        optional: dict[str, AttributeValue] = {
            names.GEN_AI_EVALUATION_SCORE_LABEL: label,
            names.GEN_AI_RESPONSE_ID: question.response_id,
            names.ERROR_TYPE: outcome.error_type,
        }
        attributes |= {key: value for key, value in optional.items() if value}
        if judgement is not None and judgement.score is not None:
            attributes[names.GEN_AI_EVALUATION_SCORE_VALUE] = judgement.score
        if judgement is not None and self._config.explanations and judgement.explanation:
            attributes[names.GEN_AI_EVALUATION_EXPLANATION] = judgement.explanation
        severity = WARN if outcome.error_type else INFO
        now = self._context.clock.unix_nano()
        self._context.records.emit(
            LogRecord(GEN_AI_EVALUATION_RESULT, now, attributes, "", severity, question.trace_id, question.span_id)
        )
        if is_calibrated and question.is_of_all and judgement is not None and judgement.score is not None:
            self._watch(question, now, is_bad=judgement.score == 0.0)

    def _watch(self, question: Question, now: int, *, is_bad: bool) -> None:
        self._compare.observe(question.arms, {question.rubric.id: float(is_bad)})
        for alarm in self._monitor.observe(question.segment, {question.rubric.id: is_bad}, now):
            self._changes.add(1, alarm.signal, alarm.shift.direction, *alarm.segment)
            attributes = alarm_attributes(alarm, _SEGMENT)
            sentence = describe(alarm, _SEGMENT)
            self._context.records.emit(LogRecord(OTEL_LLM_DRIFT_CHANGE, now, attributes, sentence, WARN))

    def start(self) -> None:
        """Begin to ask."""
        config = self._config
        self._workers.start(self._waiting, config.concurrency, config.remembered_judgements, config.content_characters)

    def shutdown(self, deadline_seconds: float) -> None:
        """Give up what waits; what is being asked may come to its end within the deadline. Idempotent."""
        self._workers.shutdown(self._waiting, deadline_seconds)
        self._compare.shutdown(deadline_seconds)
        for gauge in self._gauges:
            self._context.metrics.remove(gauge)


def _rubrics(config: Config) -> tuple[Rubric, ...]:
    return tuple(
        Rubric(one.id, one.version, one.question, tuple(one.good.items()), tuple(one.bad.items()))
        for one in config.rubrics
    )


def create(config: Config, context: Context) -> JudgeProcessor:
    """The processor.

    Raises:
        ConfigError: with every problem of the settings, or of the files they name.
    """
    setting = f"processors.{context.name}"
    problems = [*rubric_problems(config, setting), *judge_problems(config, setting)]
    problems += guardrail_problems(config, setting)
    problems += comparison_problems(config.comparisons, f"{setting}.comparisons")
    limit = None
    if config.daily_limit is not None:
        limit = decimal(config.daily_limit)
        if limit is None:
            problems.append(f"{setting}.daily_limit: expected an amount such as 5.00, got {config.daily_limit[:40]!r}")
    if problems:
        raise ConfigError(problems)
    judge: Judge
    provider, most = None, 0
    if config.endpoint is not None:
        judge = EndpointJudge(config.endpoint, f"{setting}.endpoint")
        provider, most = config.endpoint.provider, config.endpoint.max_output_tokens
    else:
        judge = FunctionJudge(config.function or "", f"{setting}.function", config.function_timeout_seconds)
    catalogue = _catalogue(config.prices, setting)
    spending = Spending(catalogue, (provider, judge.model), most, limit, context.clock)
    if limit is not None and not spending.currency:
        judge.close()
        problem = f"no price is known for the judge's model {judge.model!r}; give one in prices, or leave the limit out"
        raise ConfigError([f"{setting}.daily_limit: {problem}"])
    agreement = agreements(config.labels, _rubrics(config), f"{setting}.labels")
    return JudgeProcessor(config, context, judge, spending, agreement)


def _catalogue(paths: Iterable[str], setting: str) -> Catalogue:
    user: dict[str, object] = {}
    for number, path in enumerate(paths):
        try:
            user |= msgspec.yaml.decode(Path(path).read_bytes(), type=dict[str, object])
        except (OSError, msgspec.MsgspecError) as error:
            raise ConfigError([f"{setting}.prices[{number}]: cannot read {path}: {error}"]) from error
    try:
        return Catalogue.load(user=user or None)
    except OverlayError as error:
        raise ConfigError([f"{setting}.prices: {problem}" for problem in error.problems]) from None
