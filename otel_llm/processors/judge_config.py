"""The settings of the judge processor, and what can be wrong with them."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from typing import Annotated

import msgspec

from otel_llm.processors.compare import ComparisonConfig
from otel_llm.processors.judging.endpoint import EndpointConfig
from otel_llm.quality.judges.agreement import BAR, LEAST_LABELS

Share = Annotated[float, msgspec.Meta(ge=0, le=1)]


class RubricConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is to be decided about an answer."""

    id: str
    """Its name: that of the evaluation in results, metrics and labels."""

    version: str
    """Of its text. Another text needs another version: their results are not the same thing."""

    question: str
    """What is to be decided, e.g. "Does the answer solve the user's problem?"."""

    good: dict[str, str] = msgspec.field(default_factory=lambda: {"pass": "The answer does what is asked for."})
    """The labels for good answers, and what each means."""

    bad: dict[str, str] = msgspec.field(default_factory=lambda: {"fail": "It does not."})
    """The labels for bad answers, and what each means. That it cannot tell is always allowed to a judge."""


class Config(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Has a sample of the answers judged by a model, or by a function."""

    rubrics: tuple[RubricConfig, ...]
    """What answers are judged by. Each one asks the judge anew."""

    endpoint: EndpointConfig | None = None
    """The judge: an endpoint that speaks OpenAI's chat completions."""

    function: str | None = None
    """The judge: `package.module:function`, called with what a model would be told, returning a label. In place of
    `endpoint`."""

    function_timeout_seconds: Annotated[float, msgspec.Meta(gt=0)] = 30.0
    """How long one call of `function` may take. It is then given up and counted as `TimeoutError`; while eight of them
    hang, answers are not judged and counted as skipped, `judge_hangs`."""

    flagged: Share = 1.0
    """The share of answers with a quality flag that is judged."""

    others: Annotated[float, msgspec.Meta(gt=0, le=1)] = 0.01
    """That of all other answers. Never 0: what no signal sees is found there only."""

    daily_limit: str | None = None
    """What judging may cost a day (UTC) at most, as a decimal number, e.g. `"5.00"`, in the currency of the prices. By
    our own prices, for which the judge's model has to be known. Each process has a limit of its own."""

    prices: tuple[str, ...] = ()
    """Files with the user's own prices, as for the cost processor."""

    requests_per_minute: Annotated[float, msgspec.Meta(gt=0)] = 60.0
    """How often the judge is asked at most."""

    tokens_per_minute: Annotated[float, msgspec.Meta(gt=0)] | None = None
    """How many tokens its questions and answers may have a minute, as providers limit them. Before it is asked by our
    estimate and the longest answer, afterwards by what the endpoint says it has used."""

    concurrency: Annotated[int, msgspec.Meta(ge=1, le=64)] = 2
    """How many questions are asked at the same time."""

    queue_size_bytes: Annotated[int, msgspec.Meta(ge=1024)] = 16 * 1024 * 1024
    """How much may wait to be judged. What has no flag gives way first, and is counted."""

    content_characters: Annotated[int, msgspec.Meta(ge=200)] = 20_000
    """How much of conversation and answer a judge is shown; the middle of longer ones is left out."""

    remembered_judgements: Annotated[int, msgspec.Meta(ge=1)] = 10_000
    """How many judgements are remembered: the same answer to the same question is judged once."""

    explanations: bool = False
    """Whether results carry the judge's quotation of what decided. It is content of the conversation."""

    labels: tuple[str, ...] = ()
    """Files with people's labels beside the judge's, JSON lines as human review exports them. Without enough of them,
    or when both disagree, results are marked `uncalibrated`, and alert nobody."""

    least_agreement: Share = BAR
    """Cohen's kappa from which a judge is taken for calibrated."""

    least_labels: Annotated[int, msgspec.Meta(ge=10)] = LEAST_LABELS
    """From how many labels on."""

    false_alarms: Annotated[float, msgspec.Meta(gt=0)] = 1.0
    """As for the drift processor, for the share of bad answers that a calibrated judge finds among those sampled from
    all answers alike."""

    false_alarm_days: Annotated[float, msgspec.Meta(gt=0)] = 30.0
    """See `false_alarms`."""

    comparisons: tuple[ComparisonConfig, ...] = ()
    """Canaries and their controls, as for the compare processor, but with rubrics by their ids as guardrails: the share
    of bad answers that a calibrated judge finds among those sampled from all answers alike. Not kept between runs."""


def rubric_problems(config: Config, setting: str) -> list[str]:
    """What is wrong with the rubrics, one line each."""
    problems = [] if config.rubrics else [f"{setting}.rubrics: expected at least one"]
    known: set[str] = set()
    for place, one in enumerate(config.rubrics):
        if one.id in known:
            problems.append(f"{setting}.rubrics[{place}].id: {one.id!r} is the id of another rubric")
        known.add(one.id)
        if not one.good or not one.bad:
            problems.append(f"{setting}.rubrics[{place}]: expected a label for good answers and one for bad ones")
        both = sorted(one.good.keys() & one.bad.keys())
        if both:
            problems.append(f"{setting}.rubrics[{place}].bad: {both[0]!r} is a label for good answers, too")
    return problems


def guardrail_problems(config: Config, setting: str) -> list[str]:
    """Guardrails that are no rubrics, one line each."""
    known = {one.id for one in config.rubrics}
    return [
        f"{setting}.comparisons[{place}].guardrails: {name!r} is the id of no rubric"
        for place, one in enumerate(config.comparisons)
        for name in one.guardrails
        if name not in known
    ]


def judge_problems(config: Config, setting: str) -> list[str]:
    """Whether it is not clear who judges."""
    if (config.endpoint is None) == (config.function is None):
        return [f"{setting}: expected a judge, either endpoint or function"]
    return []


def decimal(text: str) -> Decimal | None:
    """An amount of money, None when the text is none."""
    try:
        amount = Decimal(text)
    except InvalidOperation:
        return None
    return amount if amount.is_finite() and amount > 0 else None
