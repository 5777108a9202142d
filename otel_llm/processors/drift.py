"""The drift processor: tells when a signal of a segment has moved, with a known rate of false alarms.

Changes no operation. Alarms are log events (`otel_llm.drift.change`) and a count; docs/drift.md says what is promised.
"""

from __future__ import annotations

import logging
import random
import threading
from collections.abc import Iterable, Mapping
from typing import Annotated, Final, Literal, Self

import msgspec

from otel_llm._generated import attributes as names
from otel_llm._generated import metrics as definitions
from otel_llm._generated.events import OTEL_LLM_DRIFT_CHANGE
from otel_llm.components import Context
from otel_llm.cost.recent import Recent
from otel_llm.errors import ConfigError
from otel_llm.log_records import WARN, LogRecord
from otel_llm.operation import Message, Operation
from otel_llm.processors.alarms import alarm_attributes, describe
from otel_llm.processors.operation_signals import READS, is_repeated, read_signals, value_of
from otel_llm.processors.seen import SeenSpans
from otel_llm.processors.state_file import StateFile
from otel_llm.quality.drift import Alarm, Monitor, Segment, Settings, Value, features_of
from otel_llm.quality.judges import Sampling

_logger = logging.getLogger(__name__)
_DAY_SECONDS: Final = 86_400.0
_NANO: Final = 1_000_000_000
_MOST_SERIES: Final = 100
_CONVERSATIONS: Final = 100_000
_TEXT: Final = "input_text"
_SEASON_KEY: Final = names.OTEL_LLM_DRIFT_SEASON
_WEEKDAYS: Final = ("Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed")  # 1970 began on a Thursday
_HOUR_NANO: Final = 3600 * 10**9

Share = Annotated[float, msgspec.Meta(ge=0, le=1)]


class Config(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Tells when quality, failures, latency, cost or questions have drifted."""

    segment_by: tuple[str, ...] = (
        names.SERVICE_NAME,
        names.GEN_AI_OPERATION_NAME,
        names.GEN_AI_REQUEST_MODEL,
        names.GEN_AI_PROMPT_NAME,
        names.GEN_AI_PROMPT_VERSION,
    )
    """Attributes of the span, or else of its resource, that tell segments apart. Each segment is watched on its own; a
    new version of a prompt is a new segment and no drift."""

    season: Literal["none", "hour_of_day", "hour_of_week"] = "none"
    """Whether operations are compared with those of the same hour only (UTC): for what goes up and down with the day or
    the week. Each hour is a segment of its own, so it takes 24 (168) times as long to learn what is usual, and changes
    are found later."""

    false_alarms: Annotated[float, msgspec.Meta(gt=0)] = 1.0
    """At most so many false alarms are to be expected in `false_alarm_days`, over all segments and signals together.
    More of them find changes sooner."""

    false_alarm_days: Annotated[float, msgspec.Meta(gt=0)] = 30.0
    """See `false_alarms`."""

    baselines: dict[str, Share] = {}
    """Rates that are not to be exceeded, by signal, e.g. `{error: 0.02}`. Signals without one learn theirs."""

    ignore: tuple[str, ...] = ()
    """Signals that are not watched."""

    falls: tuple[str, ...] = ()
    """Rates whose fall is an alarm, too, as their rise is. Numbers and categories are watched on both sides anyway."""

    reference_operations: Annotated[int, msgspec.Meta(ge=100)] = 2000
    """After how many operations of a segment its rates are first compared with the baseline learnt from them."""

    reference_operations_limit: Annotated[int, msgspec.Meta(ge=100)] = 64_000
    """After how many the baseline no longer changes."""

    segments_limit: Annotated[int, msgspec.Meta(ge=1)] = 1000
    """How many segments are watched; the one not seen for longest makes room for a new one. Some 40 kB each, with a
    dozen signals."""

    input_texts: Share = 0.0
    """The share of operations whose last question is compared with those of the beginning. Needs captured content, of
    which only hashed words are kept."""

    one_of_conversation: bool = True
    """Whether only the first operation of each conversation in a segment counts. Those of one conversation resemble
    each other, and a long one would look like a change."""

    state_file: str | None = None
    """Where to keep what was learnt when the process ends; `~` is the home folder. Further processes of the
    same configuration take a file of their own beside it (`drift.1.json`, ...); `otel-llm drift` shows several
    together. Without it, every start begins anew."""

    state_interval_seconds: Annotated[float, msgspec.Meta(gt=0)] = 60.0
    """How often it is written."""

    remembered_spans: Annotated[int, msgspec.Meta(ge=0)] = 100_000
    """How many spans are remembered to count each of them once when senders retry; some 150 bytes each."""


class Drift:
    """Watches operations.

    Args:
        config: the user's settings.
        context: name, metrics, clock, and where alarms go.
        random_source: decides between equal values, and which earlier text a text is compared with.
    """

    reads = READS | {
        names.GEN_AI_OPERATION_NAME,
        names.GEN_AI_REQUEST_MODEL,
        names.GEN_AI_CONVERSATION_ID,
        names.GEN_AI_INPUT_MESSAGES,
    }
    writes: frozenset[str] = frozenset()

    def __init__(self, config: Config, context: Context, random_source: random.Random) -> None:
        self.name = context.name
        self.monitor = Monitor(_settings(config), random_source.random)
        self._config = config
        self._season = config.season
        self._segment_by = config.segment_by if config.season == "none" else (*config.segment_by, _SEASON_KEY)
        self._context = context
        self._ignore = frozenset(config.ignore)
        self._sampling = Sampling(salt=context.name)
        self._seen = SeenSpans(config.remembered_spans)
        self._conversations = _Conversations(_CONVERSATIONS)
        self._evicted = 0
        self._file: StateFile | None = None
        # Only attributes the metrics' definitions list may stand on a series.
        listed = definitions.OTEL_LLM_DRIFT_CHANGES.attributes
        self._series_keys = [(place, key) for place, key in enumerate(self._segment_by) if key in listed]
        # The last alarm about each signal of a segment; the oldest goes first.
        self._last: dict[tuple[str, ...], Alarm] = {}
        self._measure(context)
        if config.state_file is not None:
            path, interval = config.state_file, config.state_interval_seconds
            self._file = StateFile(path, interval, self._state, context.name)
        self._has_succeeded = False

    def _measure(self, context: Context) -> None:
        keys = [key for _, key in self._series_keys]
        self._changes = context.metrics.counter(
            definitions.OTEL_LLM_DRIFT_CHANGES, (names.OTEL_LLM_DRIFT_SIGNAL, names.OTEL_LLM_DRIFT_DIRECTION, *keys)
        )
        component = (names.OTEL_LLM_COMPONENT_NAME,)
        self._evictions = context.metrics.counter(definitions.OTEL_LLM_DRIFT_EVICTIONS, component)
        segments, expected = definitions.OTEL_LLM_DRIFT_SEGMENTS, definitions.OTEL_LLM_DRIFT_EXPECTED_FALSE_ALARMS
        signal_and_segment = (names.OTEL_LLM_DRIFT_SIGNAL, *keys)
        level_keys = (names.OTEL_LLM_DRIFT_SIGNAL, names.OTEL_LLM_DRIFT_PERIOD, *keys)
        self._gauges = (
            context.metrics.gauge(definitions.OTEL_LLM_DRIFT_LEVEL, level_keys, self._levels),
            context.metrics.gauge(definitions.OTEL_LLM_DRIFT_BEGAN, signal_and_segment, self._began),
            context.metrics.gauge(definitions.OTEL_LLM_DRIFT_EVIDENCE, signal_and_segment, self._evidence),
            context.metrics.gauge(segments, component, lambda: {(self.name,): float(self.monitor.segments)}),
            context.metrics.gauge(expected, component, lambda: {(self.name,): self.monitor.spent}),
        )

    def _evidence(self) -> dict[tuple[str, ...], float]:
        found: dict[tuple[str, ...], float] = {}
        for watched in self.monitor.watched()[:_MOST_SERIES]:
            key = (watched.signal, *self._series(watched.segment))
            found[key] = max(found.get(key, 0.0), watched.evidence)
        return found

    def _levels(self) -> dict[tuple[str, ...], float]:
        found: dict[tuple[str, ...], float] = {}
        for (signal, *segment), alarm in self._last.copy().items():
            for period, value in (("before", alarm.shift.before), ("after", alarm.shift.after)):
                if value is not None:
                    found[signal, period, *segment] = value
        return found

    def _began(self) -> dict[tuple[str, ...], float]:
        return {key: alarm.shift.since_unix_nano / _NANO for key, alarm in self._last.copy().items()}

    def _series(self, segment: Segment) -> tuple[str, ...]:
        return tuple(segment[place] for place, _ in self._series_keys)

    def process(self, operations: Iterable[Operation]) -> None:
        """Watch them; changes nothing."""
        now = self._context.clock.unix_nano()
        for operation in operations:
            if is_repeated(operation) or not self._seen.is_new(operation):
                continue
            segment = tuple(value_of(operation, key) for key in self._config.segment_by)
            if self._season != "none":
                segment = (*segment, _hour(operation.start_unix_nano or now, self._season))
            if self._config.one_of_conversation and not self._conversations.is_new(segment, operation.conversation_id):
                continue
            values: dict[str, Value] = {
                name: value for name, value in read_signals(operation).items() if name not in self._ignore
            }
            text = self._text(operation)
            if text is not None:
                values[_TEXT] = features_of(text)
            for alarm in self.monitor.observe(segment, values, now):
                self._tell(alarm)
        evicted = self.monitor.evicted
        if evicted > self._evicted:
            self._evictions.add(evicted - self._evicted, self.name)
            self._evicted = evicted

    def _text(self, operation: Operation) -> str | None:
        share = self._config.input_texts
        if not share or _TEXT in self._ignore or not self._sampling.takes(operation.trace_id, share):
            return None
        return last_question(operation.input_messages)

    def _tell(self, alarm: Alarm) -> None:
        sentence = describe(alarm, self._segment_by)
        _logger.warning("%s: %s", self.name, sentence)
        series = self._series(alarm.segment)
        self._changes.add(1, alarm.signal, alarm.shift.direction, *series)
        self._last.pop((alarm.signal, *series), None)
        self._last[alarm.signal, *series] = alarm
        if len(self._last) > _MOST_SERIES:
            self._last.pop(next(iter(self._last)), None)
        attributes = alarm_attributes(alarm, self._segment_by)
        self._context.records.emit(
            LogRecord(OTEL_LLM_DRIFT_CHANGE, alarm.unix_nano, attributes, sentence, severity_number=WARN)
        )

    def succeed(self, predecessor: Self) -> None:
        """Go on with what the processor of the configuration before has learnt, where segments are told apart alike."""
        if predecessor._segment_by != self._segment_by or predecessor._season != self._season:
            return
        if _settings(predecessor._config) == _settings(self._config):
            self.monitor = predecessor.monitor
        else:
            self.monitor.restore(predecessor.monitor.state())
        self._evicted = self.monitor.evicted
        self._seen, self._conversations = predecessor._seen, predecessor._conversations
        self._last = predecessor._last
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
        for gauge in self._gauges:
            self._context.metrics.remove(gauge)
        if self._file is not None:
            self._file.close()

    def _state(self) -> dict[str, object]:
        return {"segment_by": list(self._segment_by), "season": self._season, "monitor": self.monitor.state()}

    def _restore(self, file: StateFile) -> None:
        state = file.read()
        if state is None:
            return
        monitor = state.get("monitor")
        is_alike = state.get("segment_by") == list(self._segment_by)
        is_alike = is_alike and state.get("season", "none") == self._season
        if not is_alike or not isinstance(monitor, dict):
            file.set_aside("it tells segments apart by other attributes")
            return
        try:
            self.monitor.restore(monitor)
        except ValueError as error:
            file.set_aside(str(error))


def _settings(config: Config) -> Settings:
    return Settings(
        false_alarms=config.false_alarms,
        period_seconds=config.false_alarm_days * _DAY_SECONDS,
        most_segments=config.segments_limit,
        reference=config.reference_operations,
        reference_limit=config.reference_operations_limit,
        declared=config.baselines,
        sides=dict.fromkeys(config.falls, "both"),
    )


def _hour(unix_nano: int, season: str) -> str:
    """The hour a time is in, UTC; with the weekday for `hour_of_week`."""
    days, hour = divmod(unix_nano // _HOUR_NANO, 24)
    return f"{_WEEKDAYS[days % 7]} {hour:02}" if season == "hour_of_week" else f"{hour:02}"


def last_question(messages: Iterable[Message]) -> str | None:
    """The text of the last message of a user, None when there is none."""
    question = None
    for message in messages:
        parts = message.get("parts")
        if message.get("role") == "user" and isinstance(parts, list | tuple):
            texts = [part.get("content") for part in parts if isinstance(part, Mapping) and part.get("type") == "text"]
            question = "\n".join(text for text in texts if isinstance(text, str)) or question
    return question


class _Conversations:
    """The conversations seen of late; thread-safe.

    Args:
        limit: how many are remembered at least.
    """

    __slots__ = ("_lock", "_seen")

    def __init__(self, limit: int) -> None:
        self._lock = threading.Lock()
        self._seen: Recent[int, bool] = Recent(limit)

    def is_new(self, segment: Segment, conversation_id: str | None) -> bool:
        """Whether this is its first operation in the segment; True without an id."""
        if conversation_id is None:
            return True
        key = hash((segment, conversation_id))
        with self._lock:
            if self._seen.recall(key):
                return False
            self._seen.remember(key, answer=True)
        return True


def create(config: Config, context: Context) -> Drift:
    """The processor.

    Raises:
        ConfigError: settings contradict each other.
    """
    if config.reference_operations_limit < config.reference_operations:
        setting = f"processors.{context.name}.reference_operations_limit"
        expected = f"at least reference_operations, {config.reference_operations}"
        raise ConfigError([f"{setting}: expected {expected}, got {config.reference_operations_limit}"])
    return Drift(config, context, random.SystemRandom())
