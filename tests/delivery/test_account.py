from __future__ import annotations

import random
import threading

from otel_llm.clock import SystemClock
from otel_llm.delivery.account import Account
from otel_llm.telemetry import Metrics


def new_account() -> Account:
    return Account("test", Metrics(), SystemClock())


def test_the_account_balances_whenever_anyone_looks() -> None:
    account = new_account()
    stop = threading.Event()
    wrong: list[object] = []

    def watch() -> None:
        while not stop.is_set():
            balance = account.balance()
            if not balance.is_balanced or balance.queued < 0:
                wrong.append(balance)

    def work(seed: int) -> None:
        rng = random.Random(seed)
        for _ in range(2000):
            items = rng.randrange(1, 9)
            account.accept("traces", items)
            part = rng.randrange(items + 1)
            account.export("traces", part)
            account.drop("traces", items - part, rng.choice(["rejected", "too_large"]))
            account.refuse_room("logs", 1, "queue_full")

    workers = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    watcher = threading.Thread(target=watch)
    watcher.start()
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    stop.set()
    watcher.join()
    assert not wrong
    assert account.balance().queued == 0
    assert account.balance("logs").dropped == {"queue_full": 8000}


def test_closing_gives_up_what_is_queued_and_ignores_answers_that_come_later() -> None:
    account = new_account()
    account.accept("traces", 5)
    account.accept("logs", 2)
    account.export("logs", 1)
    assert account.close("shutdown") == 6
    account.export("traces", 5)
    account.drop("traces", 5, "rejected")
    balance = account.balance()
    assert (balance.exported, dict(balance.dropped), balance.queued) == (1, {"shutdown": 6}, 0)
    assert account.close("shutdown") == 0


def test_what_is_accepted_after_closing_is_dropped_at_once() -> None:
    account = new_account()
    account.close("shutdown")
    account.accept("traces", 3)
    balance = account.balance("traces")
    assert balance.is_balanced
    assert balance.dropped == {"shutdown": 3}


def test_waiting_ends_only_for_items_that_were_queued_before() -> None:
    account = new_account()
    account.accept("traces", 2)
    account.refuse_room("traces", 100, "queue_full")
    assert not account.wait_settled(0)
    account.export("traces", 2)
    assert account.wait_settled(0)


def test_the_same_figures_are_metrics() -> None:
    metrics = Metrics()
    account = Account("backup", metrics, SystemClock())
    account.accept("traces", 10)
    account.export("traces", 6)
    account.drop("traces", 1, "rejected")
    seen = {
        (family.definition.name, *(value for _, value in series.attributes)): series.value
        for family in metrics.collect()
        for series in family.series
        if family.definition.name.startswith("otel_llm.delivery.items.")
    }
    assert seen == {
        ("otel_llm.delivery.items.accepted", "backup", "traces"): 10,
        ("otel_llm.delivery.items.exported", "backup", "traces"): 6,
        ("otel_llm.delivery.items.dropped", "backup", "traces", "rejected"): 1,
        ("otel_llm.delivery.items.queued", "backup", "traces"): 3,
    }


def test_what_was_accepted_before_is_settled_when_as_many_items_are_whatever_came_after() -> None:
    account = new_account()
    account.accept("traces", 5)
    first = account.settling("traces")
    account.accept("traces", 7)
    second = account.settling("traces")
    account.accept("logs", 1)
    assert (first(), second()) == ("waiting", "waiting")
    account.export("traces", 4)
    account.drop("traces", 1, "rejected")
    assert (first(), second()) == ("settled", "waiting")
    account.export("traces", 7)
    assert (first(), second()) == ("settled", "settled")
    assert account.settling("metrics")() == "settled"


def test_what_is_given_up_at_the_end_is_told_from_what_had_arrived() -> None:
    account = new_account()
    account.accept("traces", 5)
    first = account.settling("traces")
    account.accept("traces", 7)
    second = account.settling("traces")
    account.export("traces", 5)
    account.close("shutdown")
    assert (first(), second()) == ("settled", "given up")
