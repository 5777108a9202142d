"""Reservations for calls that are under way, out of leases from the store.

A process spends only what the store has leased to it: the sum of what is spent and of all leases stays within the
limit, so no two processes can take the same money. A call reserves what it will cost at most, before it is made; when
it has ended, what it cost takes the place of the reservation. The law of this module: reserved <= leased, but for calls
whose lease has ended while they were under way, and for those that cost more than was reserved.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from otel_llm.budget.batch import Answer, Wish
from otel_llm.budget.model import Budget

# A reservation whose call was never seen to end.
_LONGEST_CALL_SECONDS = 3600.0
# A lease is not used in its last fifth: clocks differ, and an answer takes its time.
_USABLE_SHARE = 0.8
# Leased ahead, while more than this share of the limit is left: so many calls, or twice as many as came since the last
# trip, but of these no more than a part of the limit.
_PLENTY_SHARE = 0.2
_CALLS_AHEAD = 4
_PART_AHEAD = 20

# exhausted, refused: nothing was held; unknown: held, though nobody could tell whether there was room.
Outcome: TypeAlias = Literal["reserved", "exhausted", "refused", "unknown"]


@dataclass(slots=True)
class _Pool:
    """What this process has of one limit.

    Attributes:
        leased: what it may spend.
        until: when the lease ends, by the monotonic clock.
        held: by calls under way.
        wanted: by calls that wait for a lease.
        spent: by calls that have ended and whose cost is not on its way to the store yet.
        largest: the largest reservation of late.
        begun: how many calls have reserved since the last trip.
        needed: what calls had and wanted when a lease was last asked for.
        ahead: what was then wanted beyond that.
        is_limited: whether the store could not give what was needed.
        answered: the number of the last answer of the store.
        left: of the limit, what was neither spent at that time nor leased to this process; others may have leased it.
    """

    budget: Budget
    leased: int = 0
    until: float = 0.0
    held: int = 0
    wanted: int = 0
    spent: int = 0
    largest: int = 0
    begun: int = 0
    needed: int = 0
    ahead: int = 0
    is_limited: bool = False
    answered: int = 0
    left: int = 0


@dataclass(frozen=True, slots=True)
class Reservation:
    """Money held for a call.

    Attributes:
        id: names it.
        pools: the pools it is held in.
        amount: how much in each, in nanos.
        since: when, by the monotonic clock.
    """

    id: str
    pools: tuple[str, ...]
    amount: int
    since: float


class Allowance:
    """What calls of this process may spend. Thread-safe.

    Args:
        monotonic: the clock.
        lease_seconds: how long a lease holds.
    """

    def __init__(self, monotonic: Callable[[], float], lease_seconds: int) -> None:
        self._monotonic = monotonic
        self._lease_seconds = lease_seconds
        self._changed = threading.Condition()
        self._pools: dict[str, _Pool] = {}
        self._reservations: dict[str, Reservation] = {}
        self._asked = 0  # how many times wishes were sent
        self._is_reachable = True
        self._is_closing = False

    def reserve(
        self,
        request: Reservation,
        budgets: Sequence[Budget],
        wake: Callable[[], None],
        timeout_seconds: float,
    ) -> tuple[Outcome, Budget | None]:
        """Hold money for a call in every budget of it, or in none when it is not to be made.

        Args:
            request: what to hold; one pool for each budget.
            budgets: the budgets, in the order of the pools.
            wake: has the store asked for a lease.
            timeout_seconds: how long the caller may wait for the store.

        Returns:
            What came of it, and the budget that was short or unknown.
        """
        with self._changed:
            pools = [self._pool(key, budget) for key, budget in zip(request.pools, budgets, strict=True)]
            question = self._asked + 1
            # What others wait for is theirs.
            short = self._short(pools, request.amount, beside_others=True)
            if short and self._is_reachable and not any(self._is_spent(pool, request.amount) for pool in short):
                short = self._wait(pools, request.amount, wake, timeout_seconds)
            # A limit that is known to be reached outranks one that nobody knows of.
            for pool in short:
                if self._is_spent(pool, request.amount) or (pool.answered >= question and pool.is_limited):
                    return "exhausted", pool.budget
            for pool in short:
                if pool.budget.when_unknown == "deny":
                    return "refused", pool.budget
            is_low = False
            for pool in pools:
                pool.held += request.amount
                pool.begun += 1
                pool.largest = max(pool.largest, request.amount)
                is_low = is_low or (pool.ahead > 0 and pool.leased - pool.held - pool.spent < pool.ahead // 2)
            self._reservations[request.id] = request
            if is_low:  # the next calls need not wait
                wake()
            return ("unknown", short[0].budget) if short else ("reserved", None)

    def _wait(self, pools: list[_Pool], amount: int, wake: Callable[[], None], timeout_seconds: float) -> list[_Pool]:
        """Wait until the store has given enough, or has less than is needed; what is short then."""
        until = self._monotonic() + timeout_seconds
        for pool in pools:
            pool.wanted += amount
        while self._has_to_ask_again(pools, amount, wake, until - self._monotonic()) and self._monotonic() < until:
            pass
        for pool in pools:
            pool.wanted -= amount
        return self._short(pools, amount)

    def _has_to_ask_again(
        self, pools: list[_Pool], amount: int, wake: Callable[[], None], timeout_seconds: float
    ) -> bool:
        """Ask once; whether the answer gave enough for all who asked, and others have taken it before this call."""
        question = self._asked + 1
        wake()
        self._changed.wait_for(
            lambda: (
                not self._is_reachable
                or not self._short(pools, amount)
                or all(pool.answered >= question for pool in pools)
            ),
            timeout_seconds,
        )
        short = self._short(pools, amount)
        return bool(short) and all(pool.answered >= question and not pool.is_limited for pool in short)

    def _short(self, pools: list[_Pool], amount: int, *, beside_others: bool = False) -> list[_Pool]:
        now = self._monotonic()
        return [
            pool
            for pool in pools
            if pool.until < now or pool.leased - pool.held - pool.spent - (pool.wanted if beside_others else 0) < amount
        ]

    def _is_spent(self, pool: _Pool, amount: int) -> bool:
        """Whether the limit is known to be reached without anybody else's lease: then no question changes it."""
        return pool.until >= self._monotonic() and pool.left + pool.leased - pool.held - pool.spent < amount

    def settle(self, reservation_id: str, cost_nano: int) -> None:
        """A call has ended: what it cost takes the place of what was held for it. Idempotent."""
        with self._changed:
            reservation = self._reservations.pop(reservation_id, None)
            for key in () if reservation is None else reservation.pools:
                pool = self._pools[key]
                pool.held -= reservation.amount if reservation is not None else 0
                pool.spent += cost_nano
            if reservation is not None:
                self._changed.notify_all()

    def wishes(self, budgets: Sequence[tuple[str, Budget, tuple[str, ...]]]) -> tuple[Wish, ...]:
        """The leases to ask for now, with a batch that takes along what was spent up to now.

        Args:
            budgets: for each budget whose limit stops calls, its current pool and its counters.
        """
        with self._changed:
            self._asked += 1
            now = self._monotonic()
            self._forget(now, {key for key, _, _ in budgets})
            return tuple(self._wish(self._pool(key, budget), key, spent) for key, budget, spent in budgets)

    def _wish(self, pool: _Pool, key: str, spent: tuple[str, ...]) -> Wish:
        limit = pool.budget.limit_nano
        has_plenty = pool.left > limit * _PLENTY_SHARE and not self._is_closing
        much = min(2 * pool.begun * pool.largest, limit // _PART_AHEAD)
        pool.ahead = max(_CALLS_AHEAD * pool.largest, much) if has_plenty else 0
        pool.begun = 0
        if pool.until < self._monotonic():  # others may have what it had
            pool.leased = 0
        pool.needed = pool.held + pool.wanted
        target = pool.needed + pool.ahead
        # Whatever it has too much of is given up here before the store is told, so nobody spends it meanwhile. A call
        # that wants it while the answer is on its way has to wait for that: it is not gone.
        unspent = pool.leased - pool.spent
        pool.leased = max(pool.held, min(unspent, target))
        pool.left += unspent - pool.leased
        pool.spent = 0
        return Wish(key, max(target, pool.leased), pool.held, limit, spent)

    def answered(self, wishes: Sequence[Wish], answer: Answer, question: int, asked_at: float) -> None:
        """The store has answered.

        Args:
            wishes: what was asked for.
            answer: what was granted.
            question: see `asked`.
            asked_at: when it was first asked, by the monotonic clock: leases count from there.
        """
        with self._changed:
            self._is_reachable = True
            for wish in wishes:
                pool = self._pools.get(wish.pool)
                if pool is None:
                    continue
                pool.leased = answer.granted[wish.pool]
                pool.is_limited = pool.leased < pool.needed
                pool.until = asked_at + self._lease_seconds * _USABLE_SHARE
                pool.left = wish.limit - sum(answer.values[key] for key in wish.spent) - pool.leased
                pool.answered = question
            self._changed.notify_all()

    @property
    def asked(self) -> int:
        """The number of the question that was asked last."""
        with self._changed:
            return self._asked

    def unreachable(self) -> None:
        """The store does not answer: nobody need wait for it."""
        with self._changed:
            self._is_reachable = False
            self._changed.notify_all()

    def close(self) -> None:
        """From now on lease nothing ahead: what nobody uses goes back."""
        with self._changed:
            self._is_closing = True

    @property
    def held_nano(self) -> int:
        """What is held by calls under way, over all budgets."""
        with self._changed:
            return sum(pool.held for pool in self._pools.values())

    def _pool(self, key: str, budget: Budget) -> _Pool:
        return self._pools.setdefault(key, _Pool(budget))

    def _forget(self, now: float, current: set[str]) -> None:
        """Let go of calls that were never seen to end, and of periods that are over."""
        for reservation in list(self._reservations.values()):
            if now - reservation.since < _LONGEST_CALL_SECONDS:
                break  # they stand in the order in which they were made
            del self._reservations[reservation.id]
            for key in reservation.pools:
                self._pools[key].held -= reservation.amount
        for key, pool in list(self._pools.items()):
            if key not in current and not pool.held and not pool.wanted:
                del self._pools[key]
