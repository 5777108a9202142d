"""Budgets before a call is made: it reserves what it may cost, and is denied when there is no room.

A reservation is taken out of a lease that this process has from the store, so no two calls anywhere can take the same
money. The call waits for the store only when the lease does not suffice, and then not long. When it has ended, what it
cost takes the place of the reservation, and the app counts it: the span says so, and no gateway counts it again.
"""

from __future__ import annotations

import itertools
import os
import threading
import weakref
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from otel_llm._generated import attributes as names
from otel_llm._generated import metrics as definitions
from otel_llm.admission import ALLOW, Decision
from otel_llm.budget.allowance import Reservation
from otel_llm.budget.book import Entry
from otel_llm.budget.model import Budget, BudgetStatus
from otel_llm.components import Context
from otel_llm.cost import Catalogue, Usage, estimate_tokens, texts_of
from otel_llm.operation import AttributeValue, Operation
from otel_llm.processors.budget import mark
from otel_llm.processors.budget_config import Config
from otel_llm.processors.budget_counting import Counting
from otel_llm.processors.budget_subject import Subjects
from otel_llm.processors.cost import BILLED_OPERATIONS, load_catalogue, quote_of, read_usage, with_estimates
from otel_llm.processors.ended import EndedCall

_ATTO_IN_NANO: Final = 10**9
_ATTO_IN_PICO: Final = 10**6
_PICO_IN_NANO: Final = 1000
# What is held for a call that nobody can price: a budget that is used up has not even this.
_LEAST_NANO: Final = 1
_MOST_CALLS: Final = 100_000
_MOST_TOKENS: Final = 10**9


@dataclass(frozen=True, slots=True)
class Asking:
    """How calls ask.

    Attributes:
        wait_seconds: how long a call may wait for a lease, at most.
        output_tokens: how many are assumed for a call that sets no limit.
        prices: files of the app's own prices, as of the cost processor.
    """

    wait_seconds: float = 0.05
    output_tokens: int = 1024
    prices: tuple[str, ...] = ()


class BudgetAdmission:
    """Asks budgets before calls; thread-safe, and goes on in forked children.

    Args:
        counting: the budgets.
        catalogue: what calls cost.
        context: name, metrics and clock.
        resource: attributes of the app, `service.name` and `deployment.environment.name` among them.
        asking: see Asking.

    Attributes:
        on_error: `deny` when one of the budgets stops calls that it knows nothing about.
    """

    def __init__(
        self,
        counting: Counting,
        catalogue: Catalogue,
        context: Context,
        resource: Mapping[str, AttributeValue],
        asking: Asking,
    ) -> None:
        self.name = context.name
        is_closed = any(one.at_limit == "deny" and one.when_unknown == "deny" for one in counting.budgets)
        self.on_error: Literal["allow", "deny"] = "deny" if is_closed else "allow"
        self._counting = counting
        self._catalogue = catalogue
        self._clock = context.clock
        self._resource = resource
        self._subjects = Subjects(counting.budgets, resource)
        self._asking = asking
        keys = (names.OTEL_LLM_BUDGET_DECISION, names.OTEL_LLM_BUDGET_NAME)
        self._decisions = context.metrics.counter(definitions.OTEL_LLM_BUDGET_ADMISSIONS, keys)
        self._begin()

    def _begin(self) -> None:
        self._lock = threading.Lock()
        self._calls: dict[str, tuple[Budget, ...]] = {}
        self._ids = itertools.count(1)
        self._id = os.urandom(6).hex()

    def start(self) -> None:
        """Begin to ask the store."""
        self._counting.start()
        _follow_forks(self)

    def shutdown(self, deadline_seconds: float) -> None:
        """Write what was counted, and let go of the store."""
        _ADMISSIONS.discard(self)
        self._counting.shutdown(deadline_seconds)

    def after_fork_in_child(self) -> None:
        """Begin anew in a child: the calls of its parent are its parent's."""
        self._begin()
        self._counting.after_fork_in_child()

    def statuses(self) -> list[BudgetStatus]:
        """What is known of each budget now."""
        return self._counting.statuses()

    @property
    def held_nano(self) -> int:
        """What is reserved for calls under way, over all budgets, in 1e-9 currency units."""
        return self._counting.book.allowance.held_nano

    def admit(self, operation: Operation) -> Decision:
        """Reserve for a call, or deny it."""
        budgets = self._subjects.budgets_of(operation)
        if not budgets:
            return ALLOW
        reservation_id = f"{self._id}-{next(self._ids):x}"
        denial = self._reserve(operation, reservation_id, budgets)
        if denial is not None:
            return denial
        with self._lock:
            if len(self._calls) >= _MOST_CALLS:  # their ends were never seen; the oldest goes
                del self._calls[next(iter(self._calls))]
            self._calls[reservation_id] = budgets
        operation.set(names.OTEL_LLM_BUDGET_RESERVATION, reservation_id)
        return ALLOW

    def _reserve(self, operation: Operation, reservation_id: str, budgets: Sequence[Budget]) -> Decision | None:
        reached = self._counting.reached()
        if reached:
            mark(operation, budgets, reached)
        strict = [budget for budget in budgets if budget.at_limit == "deny"]
        outcome, budget = self._held(operation, reservation_id, strict, reached) if strict else ("reserved", None)
        if budget is None:
            warned = next((one.name for one in budgets if one.at_limit == "warn" and one.name in reached), None)
            self._decisions.add(1, "allow" if warned is None else "warn", warned or "")
            return None
        if outcome == "unknown":
            self._decisions.add(1, "allow_unknown", budget.name)
            return None
        is_known = outcome == "exhausted"
        self._decisions.add(1, "deny" if is_known else "deny_unknown", budget.name)
        reason = "budget_exhausted" if is_known else "budget_unknown"
        return Decision("deny", reason, budget.name, message=_message(budget, is_known=is_known))

    def _held(
        self, operation: Operation, reservation_id: str, strict: list[Budget], reached: frozenset[str]
    ) -> tuple[str, Budget | None]:
        now = self._clock.unix_nano()
        most, currency = self._most(operation, now)
        # What is priced in another currency takes nothing from a budget; one that is used up stops it all the same.
        strict = [one for one in strict if currency in (None, one.currency) or one.name in reached]
        if not strict:
            return "reserved", None
        pools = tuple(budget.pool_key(now) for budget in strict)
        reservation = Reservation(reservation_id, pools, most, self._clock.monotonic())
        counting = self._counting
        return counting.book.allowance.reserve(reservation, strict, counting.keeper.wake, self._asking.wait_seconds)

    def _most(self, operation: Operation, now_unix_nano: int) -> tuple[int, str | None]:
        """What a call may cost at most, in nanos of a currency, as far as can be told before it is made."""
        if operation.operation_name == "embeddings":
            return self._quoted(operation, self._sent(operation), 0, now_unix_nano)
        produced = operation.get(names.GEN_AI_REQUEST_MAX_TOKENS)
        choices = operation.get(names.GEN_AI_REQUEST_CHOICE_COUNT)
        tokens = produced if type(produced) is int and 0 < produced <= _MOST_TOKENS else self._asking.output_tokens
        tokens *= choices if type(choices) is int and 0 < choices <= 1000 else 1  # noqa: PLR2004 - as many as any API takes
        return self._quoted(operation, self._sent(operation), min(tokens, _MOST_TOKENS), now_unix_nano)

    @staticmethod
    def _sent(operation: Operation) -> int:
        """Tokens of the request, by rule of thumb."""
        keys = (names.GEN_AI_INPUT_MESSAGES, names.GEN_AI_SYSTEM_INSTRUCTIONS, names.GEN_AI_TOOL_DEFINITIONS)
        return sum(estimate_tokens(text) for key in keys for text in texts_of(operation.get(key)))

    def _quoted(self, operation: Operation, sent: int, received: int, now_unix_nano: int) -> tuple[int, str | None]:
        timed = Operation(_Timed(operation, now_unix_nano))
        quote = quote_of(self._catalogue, timed, Usage(sent, received))
        if quote.total is None:
            return _LEAST_NANO, None
        return max(_LEAST_NANO, -(-quote.total // _ATTO_IN_NANO)), quote.currency

    def ended(self, attributes: Mapping[str, AttributeValue]) -> None:
        """A call has ended: count what it cost, and let go of what was held for it."""
        reservation_id = attributes.get(names.OTEL_LLM_BUDGET_RESERVATION)
        if not isinstance(reservation_id, str):
            return
        with self._lock:
            budgets = self._calls.pop(reservation_id, None)
        if budgets is None:
            return
        now = self._clock.unix_nano()
        operation = Operation(EndedCall(attributes, now))
        cost, currency = self._cost(operation)
        entries = [Entry(one, now, cost if one.currency == currency else None) for one in budgets]
        nano = 0 if cost is None else -(-cost // _PICO_IN_NANO)
        is_call = cost != 0 or currency is not None
        self._counting.settle(reservation_id, nano, entries if is_call else ())

    def _cost(self, operation: Operation) -> tuple[int | None, str | None]:
        """The cost in 1e-12 units of a currency; None when nobody can tell; 0 and no currency: there was no call."""
        if operation.operation_name not in BILLED_OPERATIONS:
            return 0, None
        usage = read_usage(operation)
        if operation.get(names.OTEL_LLM_USAGE_ESTIMATED_INPUT_TOKENS) is not None:
            usage = with_estimates(operation, usage)
        if usage is None:
            return (0, None) if operation.get(names.ERROR_TYPE) is not None else (None, "")
        quote = quote_of(self._catalogue, operation, usage)
        return (None, "") if quote.total is None else (round(quote.total / _ATTO_IN_PICO), quote.currency)


def _message(budget: Budget, *, is_known: bool) -> str:
    period = f"{budget.period.hours} hours" if budget.period.type == "rolling" else budget.period.type
    if is_known:
        return f"the budget {budget.name} has no room for this call in this {period}"
    return f"nobody can tell now whether the budget {budget.name} has room for this call"


class _Timed(EndedCall):
    """A request with the time at which it is made: prices have dates."""

    __slots__ = ("_operation",)

    def __init__(self, operation: Operation, start_unix_nano: int) -> None:
        super().__init__({}, start_unix_nano)
        self._operation = operation

    def keys(self) -> frozenset[str]:
        """The keys of its attributes."""
        return self._operation.keys()

    def get(self, key: str) -> AttributeValue:
        """The value of an attribute."""
        return self._operation.get(key)


# Those that are to begin anew in a forked child. A process registers once: handlers cannot be taken back.
_ADMISSIONS: Final[weakref.WeakSet[BudgetAdmission]] = weakref.WeakSet()


def _begin_anew() -> None:
    for admission in list(_ADMISSIONS):
        admission.after_fork_in_child()


def _follow_forks(admission: BudgetAdmission) -> None:
    if not _REGISTERED and hasattr(os, "register_at_fork"):
        _REGISTERED.append(True)
        os.register_at_fork(after_in_child=_begin_anew)
    _ADMISSIONS.add(admission)


_REGISTERED: Final[list[bool]] = []


def create_admission(
    config: Config, context: Context, resource: Mapping[str, AttributeValue], asking: Asking | None = None
) -> BudgetAdmission:
    """The admission with the budgets that a configuration names, started.

    Args:
        config: the settings, as of the processor.
        context: name, metrics and clock.
        resource: attributes of the app.
        asking: how calls ask.

    Raises:
        ConfigError: budgets, prices or the store's settings have problems.
    """
    asking = asking or Asking()
    counting = Counting(config, context, context.name, leases=True)
    catalogue = load_catalogue(asking.prices, f"{context.name}.prices")
    admission = BudgetAdmission(counting, catalogue, context, resource, asking)
    admission.start()
    return admission
