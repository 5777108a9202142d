"""Reservations and leases, with a store in memory and a clock that is turned."""

from __future__ import annotations

from collections.abc import Callable

from hypothesis import given, settings
from hypothesis import strategies as st

from otel_llm.budget.allowance import Reservation
from otel_llm.budget.batch import Answer, Batch
from otel_llm.budget.book import Book, Entry
from otel_llm.budget.model import Budget
from otel_llm.budget.periods import Period
from otel_llm.testing import FakeClock
from tests.spans import NOON

LIMIT = 1000
STRICT = Budget("strict", {}, LIMIT, "USD", Period("month"), at_limit="deny")
SPENT = STRICT.spent_key(STRICT.period.slice_of(NOON))
POOL = STRICT.pool_key(NOON)


class Memory:
    """What a store does, for one pool; leases of those that do not renew them never end here."""

    def __init__(self) -> None:
        self.spent = 0
        self.leases: dict[str, int] = {}

    def apply(self, batch: Batch) -> Answer:
        self.spent += batch.deltas.get(SPENT, 0)
        [wish] = batch.wishes
        left = wish.limit - self.spent - sum(amount for who, amount in self.leases.items() if who != batch.writer)
        granted = max(min(wish.want, left), wish.floor, 0)
        self.leases[batch.writer] = granted
        values = dict.fromkeys(batch.keys, 0) | {SPENT: self.spent}
        return Answer(values, {wish.pool: granted})


class Process:
    """An app: a book, whose trips are made when a call wants one."""

    def __init__(self, store: Memory, clock: FakeClock, name: str = "w") -> None:
        self.book = Book((STRICT,), name, clock.monotonic, leases=True)
        self._store = store
        self._clock = clock
        self._calls = 0
        self.is_cut_off = False

    def trip(self) -> None:
        batch = self.book.take(NOON)
        if self.is_cut_off:
            self.book.failed()
        else:
            self.book.answered(self._store.apply(batch), self._clock.monotonic(), NOON)

    def begin(self, amount: int, wake: Callable[[], None] | None = None) -> tuple[str, str]:
        self._calls += 1
        request = Reservation(str(self._calls), (POOL,), amount, self._clock.monotonic())
        outcome, _ = self.book.allowance.reserve(request, [STRICT], wake or self.trip, 0.0)
        return outcome, request.id

    def end(self, call: str, cost: int) -> None:
        self.book.settle(call, cost, [Entry(STRICT, NOON, cost * 1000)], NOON)


def test_a_lease_serves_calls_while_the_store_is_away_and_ends_before_the_store_gives_it_to_others() -> None:
    clock = FakeClock(NOON)
    process = Process(Memory(), clock)
    process.begin(10)
    process.trip()  # there is plenty, so some is leased ahead
    process.is_cut_off = True
    assert [process.begin(10)[0] for _ in range(4)] == ["reserved"] * 4
    assert process.begin(10)[0] == "unknown"
    clock.advance(25)  # of 30 seconds
    assert process.begin(1)[0] == "unknown"


def test_a_lease_of_an_answer_that_came_late_counts_from_when_it_was_asked_for() -> None:
    """The store has given it then, and gives it to others 30 seconds later."""
    store, clock = Memory(), FakeClock(NOON)
    process = Process(store, clock)
    process.begin(10)
    process.trip()
    answer = store.apply(process.book.take(NOON))  # it is lost on its way
    clock.advance(20)
    process.book.answered(answer, clock.monotonic(), NOON)
    process.is_cut_off = True
    assert process.begin(10)[0] == "reserved"
    clock.advance(5)
    assert process.begin(10)[0] == "unknown"


def test_a_limit_that_is_known_to_be_reached_is_so_without_another_question() -> None:
    process = Process(Memory(), FakeClock(NOON))
    _, call = process.begin(900)
    process.end(call, 950)
    process.trip()
    asked: list[bool] = []
    assert process.begin(100, lambda: asked.append(True))[0] == "exhausted"
    assert asked == []
    assert process.begin(50)[0] == "reserved"


def test_a_call_that_was_never_seen_to_end_holds_its_money_for_an_hour() -> None:
    clock = FakeClock(NOON)
    process = Process(Memory(), clock)
    assert process.begin(900)[0] == "reserved"
    clock.advance(3601)
    process.trip()
    assert process.book.allowance.held_nano == 0
    assert process.begin(900)[0] == "reserved"


def test_what_is_leased_ahead_goes_back_when_a_process_ends() -> None:
    store, clock = Memory(), FakeClock(NOON)
    process = Process(store, clock)
    _, call = process.begin(10)
    process.trip()
    assert store.leases["w"] == 50
    process.end(call, 10)
    process.book.allowance.close()
    process.trip()
    assert (store.leases["w"], store.spent) == (0, 10)


STEPS = st.lists(
    st.tuples(st.integers(0, 2), st.sampled_from(["begin", "end", "trip", "cut", "join"]), st.integers(1, 400)),
    max_size=60,
)


@given(steps=STEPS)
@settings(max_examples=200)
def test_whatever_happens_in_whichever_order_what_is_promised_stays_within_the_limit(
    steps: list[tuple[int, str, int]],
) -> None:
    """Three processes; calls cost at most what they reserved; processes are cut off from the store and come back."""
    store, clock = Memory(), FakeClock(NOON)
    processes = [Process(store, clock, f"w{number}") for number in range(3)]
    running: list[dict[str, int]] = [{}, {}, {}]
    spent = 0
    for who, what, amount in steps:
        process, calls = processes[who], running[who]
        if what == "begin":
            outcome, call = process.begin(amount)
            if outcome == "reserved":
                calls[call] = amount
            elif outcome == "unknown":  # this budget lets such a call pass, at its own risk: not made here
                process.book.settle(call, 0, (), NOON)
        elif what == "end" and calls:
            call, reserved = calls.popitem()
            cost = min(amount, reserved)
            process.end(call, cost)
            spent += cost
        elif what == "trip":
            process.trip()
        elif what in ("cut", "join"):
            process.is_cut_off = what == "cut"
        assert spent + sum(sum(one.values()) for one in running) <= LIMIT
    for process in processes:
        process.is_cut_off = False
        process.trip()
        process.trip()
    assert store.spent == spent


def test_a_call_whose_share_another_took_asks_again_and_is_not_told_that_all_is_gone() -> None:
    process = Process(Memory(), FakeClock(NOON))
    process.begin(5)
    taken: list[str] = []

    def wake() -> None:
        process.trip()
        if not taken:  # before the waiting call wakes up
            taken.append(process.begin(30, lambda: None)[0])

    request = Reservation("waits", (POOL,), 10, 0.0)
    outcome, _ = process.book.allowance.reserve(request, [STRICT], wake, 1.0)
    assert (outcome, len(taken)) == ("reserved", 1)


@given(
    steps=st.lists(
        st.tuples(st.sampled_from(["begin", "end", "take", "answer"]), st.integers(1, 400), st.integers(0, 9)),
        max_size=60,
    )
)
@settings(max_examples=300)
def test_a_call_is_refused_only_when_there_is_no_room_whatever_is_on_its_way_to_the_store(
    steps: list[tuple[str, int, int]],
) -> None:
    """One process alone; calls end, and begin, while an answer of the store is on its way."""
    store, clock = Memory(), FakeClock(NOON)
    process = Process(store, clock)
    on_their_way: list[Answer] = []
    running: dict[str, int] = {}
    spent = 0

    def answer() -> None:
        while on_their_way:
            process.book.answered(on_their_way.pop(), clock.monotonic(), NOON)

    def wake() -> None:
        answer()
        process.trip()

    for what, amount, which in steps:
        if what == "begin":
            has_room = spent + sum(running.values()) + amount <= LIMIT
            outcome, call = process.begin(amount, wake)
            assert outcome == ("reserved" if has_room else "exhausted")
            if has_room:
                running[call] = amount
        elif what == "end" and running:
            call = sorted(running)[which % len(running)]
            cost = min(amount, running.pop(call))
            process.end(call, cost)
            spent += cost
        elif what == "take" and not on_their_way:
            on_their_way.append(store.apply(process.book.take(NOON)))
        elif what == "answer":
            answer()
