"""A book of budgets with its keeper, as the processor and the admission have it: metrics, events, start and end."""

from __future__ import annotations

import logging
import os
import uuid
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Final

from otel_llm._generated import attributes as names
from otel_llm._generated import metrics as definitions
from otel_llm._generated.events import OTEL_LLM_BUDGET_CROSSING
from otel_llm.budget.book import Book, Entry, Limits
from otel_llm.budget.model import Budget, BudgetStatus, Crossing
from otel_llm.budget.money import to_units
from otel_llm.components import Context
from otel_llm.counters.keeper import Keeper, Source
from otel_llm.counters.redis import RedisAddress, RedisCounters
from otel_llm.counters.sqlite import SqliteCounters
from otel_llm.log_records import WARN, LogRecord
from otel_llm.operation import AttributeValue
from otel_llm.processors.budget_config import Config, password_of, read_budgets
from otel_llm.telemetry import Gauge

_logger = logging.getLogger(__name__)
_NANO: Final = 10**9
_PICO: Final = 10**12
_KEYS: Final = (
    names.OTEL_LLM_BUDGET_NAME,
    names.OTEL_LLM_BUDGET_OWNER,
    names.OTEL_LLM_COST_CURRENCY,
    names.OTEL_LLM_BUDGET_PERIOD_TYPE,
)
_COMPONENT: Final = (names.OTEL_LLM_COMPONENT_NAME,)


class Counting:
    """Counts calls into budgets. Thread-safe.

    Args:
        config: the user's settings.
        context: name, metrics, clock and records.
        setting: the path of the settings, for messages.
        leases: whether calls of this process reserve before they are made.

    Attributes:
        book: the sums.
        keeper: takes them to the store.

    Raises:
        ConfigError: budgets or the store's settings have problems. Nothing is opened.
    """

    def __init__(self, config: Config, context: Context, setting: str, *, leases: bool) -> None:
        self.budgets = read_budgets(config, setting)
        self._config = config
        self._context = context
        self._leases = leases
        self._source = source_of(config, context, setting)
        self._gauges: list[Gauge] = []
        self._before_fork: list[Keeper] = []
        metrics = context.metrics
        self._usage = metrics.counter(definitions.OTEL_LLM_BUDGET_USAGE, _KEYS)
        self._unpriced = metrics.counter(definitions.OTEL_LLM_BUDGET_UNPRICED_CALLS, _KEYS)
        self._failures = metrics.counter(definitions.OTEL_LLM_BUDGET_STORE_FAILURES, _COMPONENT)
        self._dropped = metrics.counter(definitions.OTEL_LLM_BUDGET_DROPPED, _COMPONENT)
        self._begin()

    def _begin(self) -> None:
        context, config = self._context, self._config
        writer = f"{os.getpid():x}-{uuid.uuid4().hex[:16]}"
        limits = Limits(fresh_seconds=config.fresh_seconds)
        self.book = Book(self.budgets, writer, context.clock.monotonic, leases=self._leases, limits=limits)
        self.keeper = Keeper(
            self.book,
            self._source,
            context.clock,
            interval_seconds=config.interval_seconds,
            on_crossings=self._tell,
            on_failure=lambda: self._failures.add(1, context.name),
        )

    def start(self) -> None:
        """Begin to write into the store, and to show what it knows."""
        if not self._gauges:
            self._measure()
        self.keeper.start()

    def shutdown(self, deadline_seconds: float) -> None:
        """Write what is left, and show nothing more."""
        self.keeper.shutdown(deadline_seconds)
        self.hide()

    def hide(self) -> None:
        """Show nothing more."""
        for gauge in self._gauges:
            self._context.metrics.remove(gauge)

    def after_fork_in_child(self) -> None:
        """Begin anew in a child process: what its parent has counted, its parent writes."""
        # Kept: to close its connection would be to meddle with the parent's.
        self._before_fork.append(self.keeper)
        self._context.metrics.after_fork_in_child()
        self._begin()
        self.keeper.start()

    def add(self, entries: Sequence[Entry]) -> None:
        """Count calls."""
        self._measured(entries, self.book.add(entries, self._context.clock.unix_nano()))

    def settle(self, reservation_id: str, cost_nano: int, entries: Sequence[Entry]) -> None:
        """A call that has reserved has ended: count it, and let go of what was held for it."""
        now = self._context.clock.unix_nano()
        self._measured(entries, self.book.settle(reservation_id, cost_nano, entries, now))

    def _measured(self, entries: Sequence[Entry], dropped: int) -> None:
        if dropped:
            self._dropped.add(dropped, self._context.name)
        priced: dict[str, tuple[Budget, int]] = {}
        unpriced: dict[str, tuple[Budget, int]] = {}
        for budget, _, cost in entries:
            sums, more = (unpriced, 1) if cost is None else (priced, cost)
            sums[budget.name] = budget, sums.get(budget.name, (budget, 0))[1] + more
        for budget, pico in priced.values():
            self._usage.add(pico / _PICO, *_series(budget))
        for budget, calls in unpriced.values():
            self._unpriced.add(calls, *_series(budget))

    def statuses(self) -> list[BudgetStatus]:
        """What is known of each budget now."""
        return self.book.statuses(self._context.clock.unix_nano())

    def reached(self) -> frozenset[str]:
        """The names of budgets whose limit is known to be reached."""
        return self.book.reached(self._context.clock.unix_nano())

    def _measure(self) -> None:
        gauge = self._context.metrics.gauge
        name = self._context.name

        def age() -> dict[tuple[str, ...], float]:
            known = self.book.age_seconds
            return {} if known is None else {(name,): known}

        self._gauges = [
            gauge(definitions.OTEL_LLM_BUDGET_SPENT, _KEYS, self._by_budget(_spent)),
            gauge(definitions.OTEL_LLM_BUDGET_LIMIT, _KEYS, self._by_budget(_limit)),
            gauge(definitions.OTEL_LLM_BUDGET_UTILIZATION, _KEYS, self._by_budget(lambda one: one.utilization)),
            gauge(definitions.OTEL_LLM_BUDGET_ELAPSED, _KEYS, self._by_budget(self._elapsed)),
            gauge(definitions.OTEL_LLM_BUDGET_AGE, _COMPONENT, age),
            gauge(definitions.OTEL_LLM_BUDGET_WAITING, _COMPONENT, lambda: {(name,): float(self.book.waiting)}),
        ]

    def _by_budget(self, read: Callable[[BudgetStatus], float | None]) -> Callable[[], dict[tuple[str, ...], float]]:
        def levels() -> dict[tuple[str, ...], float]:
            found = ((one.budget, read(one)) for one in self.statuses())
            return {_series(budget): value for budget, value in found if value is not None}

        return levels

    def _elapsed(self, one: BudgetStatus) -> float:
        return one.budget.period.elapsed(self._context.clock.unix_nano())

    def _tell(self, crossings: Sequence[Crossing]) -> None:
        now = self._context.clock.unix_nano()
        for one in crossings:
            sentence = describe(one)
            _logger.warning("%s: %s", self._context.name, sentence)
            self._context.records.emit(
                LogRecord(OTEL_LLM_BUDGET_CROSSING, now, _attributes(one), sentence, severity_number=WARN)
            )


def look(config: Config, context: Context, setting: str) -> list[BudgetStatus]:
    """What the store knows of each budget now, without counting anything.

    Raises:
        ConfigError: budgets or the store's settings have problems.
        StoreError: the store cannot be reached.
    """
    book = Book(read_budgets(config, setting), "reader", context.clock.monotonic)
    store = source_of(config, context, setting).open()
    try:
        asked_at, now = context.clock.monotonic(), context.clock.unix_nano()
        book.answered(store.apply(book.take(now)), asked_at, now)
    finally:
        store.close()
    return book.statuses(now)


def source_of(config: Config, context: Context, setting: str) -> Source:
    """Where the store is found that is configured.

    Raises:
        ConfigError: the settings have problems.
    """
    if config.redis is None:
        return Source(lambda: SqliteCounters(config.path, context.clock), f"{setting}.path")
    redis, path = config.redis, f"{setting}.redis"
    address = RedisAddress(
        redis.url, redis.username, password_of(redis, path), redis.ca_file, redis.key_prefix, redis.timeout_seconds
    )
    address.check(path)
    RedisCounters(address).close()  # says now when the package is not there; connects to nothing
    return Source(lambda: RedisCounters(address), f"{path}.url")


def describe(crossing: Crossing) -> str:
    """A crossing as a sentence."""
    budget = crossing.budget
    spent, limit = to_units(crossing.spent_nano), to_units(budget.limit_nano)
    period = (
        f"the last {budget.period.hours} hours" if budget.period.type == "rolling" else f"this {budget.period.type}"
    )
    return (
        f"budget {budget.name} has crossed {crossing.threshold:.0%}: {spent:.2f} of {limit:.2f} {budget.currency} "
        f"spent in {period}"
    )


def iso(unix_nano: int) -> str:
    """A moment as ISO 8601, UTC, to the second."""
    return datetime.fromtimestamp(unix_nano // _NANO, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _attributes(one: Crossing) -> dict[str, AttributeValue]:
    budget = one.budget
    attributes: dict[str, AttributeValue] = {
        names.OTEL_LLM_BUDGET_NAME: budget.name,
        names.OTEL_LLM_BUDGET_THRESHOLD: one.threshold,
        names.OTEL_LLM_BUDGET_AMOUNT: float(to_units(one.spent_nano)),
        names.OTEL_LLM_BUDGET_LIMIT_AMOUNT: float(to_units(budget.limit_nano)),
        names.OTEL_LLM_COST_CURRENCY: budget.currency,
        names.OTEL_LLM_BUDGET_PERIOD_TYPE: budget.period.type,
        names.OTEL_LLM_BUDGET_PERIOD_START: iso(one.window.start_unix_nano),
        names.OTEL_LLM_BUDGET_PERIOD_END: iso(one.window.end_unix_nano),
    }
    if budget.owner is not None:
        attributes[names.OTEL_LLM_BUDGET_OWNER] = budget.owner
    return attributes


def _series(budget: Budget) -> tuple[str, ...]:
    return budget.name, budget.owner or "", budget.currency, budget.period.type


def _spent(one: BudgetStatus) -> float | None:
    return None if one.spent_nano is None else float(to_units(one.spent_nano))


def _limit(one: BudgetStatus) -> float:
    return float(to_units(one.budget.limit_nano))
