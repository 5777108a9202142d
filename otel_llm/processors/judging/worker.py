"""Threads that ask a judge about one waiting answer after the other, within the limits."""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import blake2b
from typing import Final

from opentelemetry.context import attach, set_value

from otel_llm._generated.attributes import OtelLlmJudgeSkipReasonValues as SkipReason
from otel_llm.clock import Clock
from otel_llm.errors import PermanentError, RetryableError
from otel_llm.processors.judging.prices import Spending
from otel_llm.processors.judging.question import Judge, Question, Reply
from otel_llm.processors.judging.waiting import Waiting
from otel_llm.quality.judges import AnswerError, Judgement
from otel_llm.quality.judges.limits import Rate

_logger = logging.getLogger(__name__)
_ATTEMPTS: Final = 2
_FIRST_PAUSE_SECONDS: Final = 1.0
_LONGEST_PAUSE_SECONDS: Final = 60.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a question.

    Attributes:
        judgement: what the judge says, None when it failed.
        error_type: why it failed, empty when it did not.
        seconds: how long it took; 0 when the answer was known from before.
        spent: what it cost, in the currency of the prices.
    """

    judgement: Judgement | None
    error_type: str = ""
    seconds: float = 0.0
    spent: float = 0.0


class Reports:
    """What workers tell; called on their threads.

    Args:
        judged: an outcome has come.
        skipped: a question was given up.
        failed: something unexpected was raised, of this type.
    """

    __slots__ = ("failed", "judged", "skipped")

    def __init__(
        self,
        judged: Callable[[Question, Outcome], None],
        skipped: Callable[[Question, str], None],
        failed: Callable[[str], None],
    ) -> None:
        self.judged = judged
        self.skipped = skipped
        self.failed = failed


@dataclass(frozen=True, slots=True)
class Rates:
    """How often the judge is asked.

    Attributes:
        requests: how many a minute.
        tokens: of questions and answers a minute, None for no limit.
    """

    requests: Rate
    tokens: Rate | None = None


class Workers:
    """The threads.

    Args:
        judge: whom to ask.
        spending: what that may cost.
        rates: how often.
        reports: whom to tell.
        clock: for durations.
    """

    def __init__(self, judge: Judge, spending: Spending, rates: Rates, reports: Reports, clock: Clock) -> None:
        self._judge = judge
        self._spending = spending
        self._rates = rates
        self._reports = reports
        self._clock = clock
        self._stopped = threading.Event()
        self._threads: list[threading.Thread] = []

    def start(self, waiting: Waiting, number: int, cache_entries: int, most_characters: int) -> None:
        """Begin.

        Args:
            waiting: where the questions come from.
            number: how many threads.
            cache_entries: how many judgements are remembered.
            most_characters: of the conversation and the answer, together.
        """
        cache = _Cache(cache_entries)
        self._threads = [
            threading.Thread(
                target=self._run, args=(waiting, cache, most_characters), name=f"otel-llm-judge-{n}", daemon=True
            )
            for n in range(number)
        ]
        for thread in self._threads:
            thread.start()

    def shutdown(self, waiting: Waiting, deadline_seconds: float) -> None:
        """Give up what waits, finish what is being asked if that comes to an end in time. Idempotent."""
        self._stopped.set()
        for question in waiting.close():
            self._reports.skipped(question, SkipReason.SHUTDOWN)
        end = self._clock.monotonic() + deadline_seconds
        for thread in self._threads:
            thread.join(max(0.0, end - self._clock.monotonic()))
        self._judge.close()

    def _run(self, waiting: Waiting, cache: _Cache, most_characters: int) -> None:
        # A function may use an SDK that is instrumented: what it asks is no call of the application.
        attach(set_value("suppress_instrumentation", value=True))
        pause = _FIRST_PAUSE_SECONDS
        while (question := waiting.take()) is not None:
            try:
                is_well = self._work(question, cache, most_characters)
            except Exception as error:  # noqa: BLE001 - the top of a worker loop: a judge may be anybody's function
                self._reports.failed(type(error).__name__)
                self._reports.judged(question, Outcome(None, type(error).__name__))
                is_well = False
            if is_well:
                pause = _FIRST_PAUSE_SECONDS
            else:  # what fails is not asked as often as what answers
                self._stopped.wait(pause)
                pause = min(_LONGEST_PAUSE_SECONDS, pause * 2)

    def _work(self, question: Question, cache: _Cache, most_characters: int) -> bool:
        """Bring one question to an end; whether the judge is well."""
        rubric = question.rubric
        instructions = rubric.instructions()
        material = rubric.material(question.conversation, question.answer, most_characters)
        key = blake2b(repr((self._judge.model, instructions, material)).encode("utf-8", "replace")).digest()
        known = cache.get(key)
        if known is not None:
            self._reports.judged(question, Outcome(known))
            return True
        if self._judge.is_stuck:
            self._reports.skipped(question, SkipReason.JUDGE_HANGS)
            return False
        reserved = self._spending.reserve(instructions + material)
        if reserved is None:
            self._reports.skipped(question, SkipReason.DAILY_LIMIT)
            return True
        started, reply, error = self._clock.monotonic(), None, ""
        try:
            reply = self._ask(question, instructions, material)
        except (RetryableError, PermanentError) as problem:
            error = type(problem.__cause__ or problem).__name__
            # A request that nobody answered may have been worked on, and be billed.
            reply = Reply("") if isinstance(problem.__cause__, TimeoutError) else None
        spent = self._spending.settle(reserved, reply)
        if self._stopped.is_set() and reply is None and not error:
            self._reports.skipped(question, SkipReason.SHUTDOWN)
            return True
        judgement, error = (None, error) if error or reply is None else _read(question, reply)
        if judgement is not None:
            cache.put(key, judgement)
        seconds = self._clock.monotonic() - started
        self._reports.judged(question, Outcome(judgement, error, seconds, float(spent)))
        return reply is not None and error in ("", "AnswerError")

    def _ask(self, question: Question, instructions: str, material: str) -> Reply | None:
        """The judge's reply; None when the process stops first.

        Raises:
            RetryableError: it did not answer in several attempts.
            PermanentError: it does not want to.
        """
        tokens = self._spending.most_tokens(instructions + material)
        for attempt in range(1, _ATTEMPTS + 1):
            if not self._wait_for_turn(tokens):
                return None
            try:
                reply = self._judge.ask(instructions, material, question.rubric.schema())
            except RetryableError as error:
                # Not again what timed out: it may be billed each time.
                if attempt == _ATTEMPTS or isinstance(error.__cause__, TimeoutError):
                    raise
                pause = error.retry_after_seconds or _FIRST_PAUSE_SECONDS
                if self._stopped.wait(min(pause, _LONGEST_PAUSE_SECONDS)):
                    return None
            else:
                self._give_back(tokens, reply)
                return reply
        return None

    def _wait_for_turn(self, tokens: int) -> bool:
        rates = self._rates
        while (seconds := rates.requests.wait_seconds(self._clock.monotonic())) > 0.0:
            if self._stopped.wait(seconds):
                return False
        while rates.tokens and (seconds := rates.tokens.wait_seconds(self._clock.monotonic(), tokens)) > 0.0:
            if self._stopped.wait(seconds):
                return False
        return not self._stopped.is_set()

    def _give_back(self, tokens: int, reply: Reply) -> None:
        """What was counted as the most that it could use, but was not used."""
        if self._rates.tokens is not None and reply.input_tokens is not None and reply.output_tokens is not None:
            # A provider that says something absurd must not make the wait endless, nor the rate unlimited.
            used = min(max(0, reply.input_tokens) + max(0, reply.output_tokens), 2 * tokens)
            self._rates.tokens.give_back(tokens - used)


def _read(question: Question, reply: Reply) -> tuple[Judgement | None, str]:
    try:
        return question.rubric.read(reply.text), ""
    except AnswerError:
        return None, AnswerError.__name__


class _Cache:
    """Judgements by what was asked; thread-safe, the one not asked for longest goes first."""

    __slots__ = ("_entries", "_limit", "_lock")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._lock = threading.Lock()
        self._entries: OrderedDict[bytes, Judgement] = OrderedDict()

    def get(self, key: bytes) -> Judgement | None:
        with self._lock:
            if key in self._entries:
                self._entries.move_to_end(key)
            return self._entries.get(key)

    def put(self, key: bytes, judgement: Judgement) -> None:
        with self._lock:
            self._entries[key] = judgement
            if len(self._entries) > self._limit:
                self._entries.popitem(last=False)
