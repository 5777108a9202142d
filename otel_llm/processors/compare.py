"""The compare processor: a canary beside its control; says when to promote it and when to roll it back.

Changes no operation. A decision is a log event (`otel_llm.comparison.result`), a count, and stands in `results` for
whoever routes in the same process. docs/evaluation.md says what is promised.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Final, Self, TypeAlias

import msgspec

from otel_llm._generated import attributes as names
from otel_llm._generated import metrics as definitions
from otel_llm._generated.events import OTEL_LLM_COMPARISON_RESULT
from otel_llm.components import Context
from otel_llm.errors import ConfigError
from otel_llm.log_records import INFO, WARN, LogRecord
from otel_llm.operation import Operation
from otel_llm.processors.operation_signals import FRICTION, READS, friction, is_repeated, read_signals, value_of
from otel_llm.processors.seen import SeenSpans
from otel_llm.processors.state_file import StateFile
from otel_llm.quality.compare import Comparison, Guardrail, Result, Settings
from otel_llm.quality.compare.stakes import Arm

_logger = logging.getLogger(__name__)

# Signals that are numbers, of which it is counted which is larger; all others are rates.
_NUMBERS: Final = frozenset(
    {
        "duration",
        "time_to_first_chunk",
        "cost",
        "input_tokens",
        "output_tokens",
        "lexical_support",
        "query_coverage",
        "query_relevance",
    }
)
# Of these, more is better.
_BETTER_WHEN_MORE: Final = frozenset({"lexical_support", "query_coverage", "query_relevance"})

# Comparisons by their place in the configuration.
Arms: TypeAlias = tuple[tuple[int, Arm], ...]

Margin = Annotated[float, msgspec.Meta(gt=0, lt=1)]


class ComparisonConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One canary and its control."""

    name: str
    """What it is called in events and metrics."""

    attribute: str
    """The attribute of the span, or else of its resource, that tells canary and control apart."""

    control: str
    """Its value for the control."""

    canary: str
    """Its value for the canary."""

    where: dict[str, str] = {}
    """Only operations with these attributes are looked at."""

    guardrails: dict[str, Margin] = msgspec.field(
        default_factory=lambda: {"error": 0.02, "refusal": 0.02, "invalid_json": 0.02, "duration": 0.1, "cost": 0.1}
    )
    """Signals in which the canary is not to be worse, and the difference that is bearable when it is promoted: of a
    rate, or, for numbers, of the probability that the canary's is the larger over that of the smaller. A guardrail of
    which nothing is known keeps a canary from being promoted. `user_friction` is read from captured questions."""

    alpha: Annotated[float, msgspec.Meta(gt=0, lt=1)] = 0.01
    """How probable a wrong decision may be, at most, however often and long one looks."""


class Config(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Compares a canary with its control, and says when to promote it or to roll it back."""

    comparisons: tuple[ComparisonConfig, ...]
    """What is compared."""

    state_file: str | None = None
    """Where to keep what was seen when the process ends; `~` is the home folder. Further processes of the
    same configuration take a file of their own beside it. Without it, every start begins anew."""

    state_interval_seconds: Annotated[float, msgspec.Meta(gt=0)] = 60.0
    """How often it is written."""

    remembered_spans: Annotated[int, msgspec.Meta(ge=0)] = 100_000
    """How many spans are remembered to count each of them once when senders retry; some 150 bytes each."""


class Compare:
    """Compares operations.

    Args:
        config: the user's settings.
        context: name, metrics, clock, and where decisions go.
    """

    reads = READS | {names.GEN_AI_OPERATION_NAME, names.GEN_AI_INPUT_MESSAGES}
    writes: frozenset[str] = frozenset()

    def __init__(self, config: Config, context: Context) -> None:
        self._wants_friction = any(FRICTION in one.guardrails for one in config.comparisons)
        self.name = context.name
        self._config = config
        self._context = context
        self._comparisons = {one.name: Comparison(_settings(one)) for one in config.comparisons}
        self._seen = SeenSpans(config.remembered_spans)
        self._has_succeeded = False
        self._verdicts = context.metrics.counter(
            definitions.OTEL_LLM_COMPARISON_VERDICTS,
            (names.OTEL_LLM_COMPARISON_NAME, names.OTEL_LLM_COMPARISON_VERDICT),
        )
        self._gauge = context.metrics.gauge(
            definitions.OTEL_LLM_COMPARISON_EVIDENCE,
            (names.OTEL_LLM_COMPARISON_NAME, names.OTEL_LLM_COMPARISON_SIGNAL, names.OTEL_LLM_COMPARISON_CLAIM),
            self._evidence,
        )
        self._file: StateFile | None = None
        if config.state_file is not None:
            self._file = StateFile(config.state_file, config.state_interval_seconds, self._state, context.name)

    @property
    def results(self) -> Mapping[str, Result]:
        """How every comparison stands, by name."""
        return {name: comparison.result for name, comparison in self._comparisons.items()}

    def _evidence(self) -> dict[tuple[str, ...], float]:
        found: dict[tuple[str, ...], float] = {}
        for name, result in self.results.items():
            for one in result.standings:
                found[name, one.signal, "worse"] = min(1.0, one.worse / one.worse_decides)
                found[name, one.signal, "safe"] = min(1.0, one.safe / one.safe_decides)
        return found

    def process(self, operations: Iterable[Operation]) -> None:
        """Compare them; changes nothing."""
        for operation in operations:
            arms = self.arms_of(operation)
            if not arms or is_repeated(operation) or not self._seen.is_new(operation):
                continue
            values = {name: _badness(name, value) for name, value in read_signals(operation).items()}
            if self._wants_friction:
                sounds_bad = friction(operation)
                values[FRICTION] = None if sounds_bad is None else float(sounds_bad)
            self.observe(arms, {name: value for name, value in values.items() if value is not None})

    def arms_of(self, operation: Operation) -> Arms:
        """The comparisons an operation belongs to, and on which side."""
        return tuple(
            (place, "canary" if value_of(operation, one.attribute) == one.canary else "control")
            for place, one in enumerate(self._config.comparisons)
            if _concerns(one, operation)
        )

    def observe(self, arms: Arms, values: Mapping[str, float]) -> None:
        """Take what is known of an operation, more being worse, in each comparison it belongs to; thread-safe."""
        for place, arm in arms:
            one = self._config.comparisons[place]
            result = self._comparisons[one.name].observe(arm, values)
            if result is not None:
                self._tell(one, result)

    def _tell(self, one: ComparisonConfig, result: Result) -> None:
        sentence = describe(one, result)
        is_bad = result.verdict == "roll_back"
        _logger.log(logging.WARNING if is_bad else logging.INFO, "%s: %s", self.name, sentence)
        self._verdicts.add(1, one.name, result.verdict)
        attributes = {
            names.OTEL_LLM_COMPARISON_NAME: one.name,
            names.OTEL_LLM_COMPARISON_VERDICT: result.verdict,
            names.OTEL_LLM_COMPARISON_ATTRIBUTE: one.attribute,
            names.OTEL_LLM_COMPARISON_CANARY: one.canary,
            names.OTEL_LLM_COMPARISON_CONTROL: one.control,
        }
        if result.because is not None:
            attributes[names.OTEL_LLM_COMPARISON_SIGNAL] = result.because
        now = self._context.clock.unix_nano()
        severity = WARN if is_bad else INFO
        self._context.records.emit(LogRecord(OTEL_LLM_COMPARISON_RESULT, now, attributes, sentence, severity))

    def succeed(self, predecessor: Self) -> None:
        """Go on with the comparisons that did not change."""
        before = {one.name: one for one in predecessor._config.comparisons}
        for one in self._config.comparisons:
            if before.get(one.name) == one:
                self._comparisons[one.name] = predecessor._comparisons[one.name]
        self._seen = predecessor._seen
        self._has_succeeded = True

    def start(self) -> None:
        """Go on from the state that was kept last, and begin to keep it.

        Raises:
            ConfigError: the state file is that of another component.
        """
        if self._file is None:
            return
        self._file.claim()
        if not self._has_succeeded:
            self._restore(self._file)
        self._file.start()

    def shutdown(self, deadline_seconds: float) -> None:
        """Keep the state a last time, and show it no more."""
        del deadline_seconds  # a local file
        self._context.metrics.remove(self._gauge)
        if self._file is not None:
            self._file.close()

    def _state(self) -> dict[str, object]:
        return {
            one.name: {"config": msgspec.to_builtins(one), "comparison": self._comparisons[one.name].state()}
            for one in self._config.comparisons
        }

    def _restore(self, file: StateFile) -> None:
        state = file.read() or {}
        for one in self._config.comparisons:
            kept = state.get(one.name)
            if not isinstance(kept, dict) or kept.get("config") != msgspec.to_builtins(one):
                continue  # another canary than the one that was compared: it begins anew
            try:
                self._comparisons[one.name].restore(kept["comparison"])
            except (KeyError, ValueError) as error:
                file.set_aside(f"{one.name}: {error}")


def _settings(one: ComparisonConfig) -> Settings:
    rails = [Guardrail(name, margin, is_rate=name not in _NUMBERS) for name, margin in one.guardrails.items()]
    return Settings(rails, one.alpha)


def _concerns(one: ComparisonConfig, operation: Operation) -> bool:
    if value_of(operation, one.attribute) not in (one.control, one.canary):
        return False
    return all(value_of(operation, key) == value for key, value in one.where.items())


def _badness(name: str, value: bool | float | str) -> float | None:  # noqa: FBT001 - a value, not a switch
    """A signal so that more is worse; None for one that is neither a rate nor a number that is known to be."""
    if isinstance(value, str):
        return None
    if name in _NUMBERS:
        return -float(value) if name in _BETTER_WHEN_MORE else float(value)
    return float(value) if isinstance(value, bool) else None


def describe(one: ComparisonConfig, result: Result) -> str:
    """A decision as a sentence."""
    canary, control = f"{one.attribute}={one.canary}", f"{one.attribute}={one.control}"
    if result.verdict == "roll_back":
        (standing,) = [standing for standing in result.standings if standing.signal == result.because]
        means = ""
        if standing.canary is not None and standing.control is not None:
            means = f" (mean {abs(standing.canary):.4g} against {abs(standing.control):.4g})"
        return f"{one.name}: roll back {canary}: {standing.signal} is worse than with {control}{means}"
    return f"{one.name}: promote {canary}: in no guardrail worse than {control} by more than is bearable"


def create(config: Config, context: Context) -> Compare:
    """The processor.

    Raises:
        ConfigError: a comparison cannot be made as it is configured.
    """
    problems = comparison_problems(config.comparisons, f"processors.{context.name}.comparisons")
    if problems:
        raise ConfigError(problems)
    return Compare(config, context)


def comparison_problems(comparisons: Sequence[ComparisonConfig], setting: str) -> list[str]:
    """What is wrong with comparisons, one line each."""
    problems = []
    known: set[str] = set()
    for place, one in enumerate(comparisons):
        path = f"{setting}[{place}]"
        if one.name in known:
            problems.append(f"{path}.name: {one.name!r} is the name of another comparison; choose one of its own")
        if one.control == one.canary:
            problems.append(f"{path}.canary: expected another value than that of control, {one.control!r}")
        if not one.guardrails:
            problems.append(f"{path}.guardrails: expected at least one")
        known.add(one.name)
    return problems
