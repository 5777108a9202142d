from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_llm.demo.checks import Comparison
from otel_llm.demo.report import State, agreement, calls, is_as_it_should_be, money, notes, state_of, total_call
from otel_llm.ledger.row import Row
from otel_llm.ledger.store import Ledger
from otel_llm.ledger.totals import Totals
from tests.demo.rows import priced, row


def totals_of(*rows: Row) -> Totals:
    ledger = Ledger(":memory:")
    try:
        ledger.record(one._replace(span_id=bytes([number] * 8)) for number, one in enumerate(rows, 1))
        return ledger.totals()[0]
    finally:
        ledger.close()


@given(st.lists(st.integers(min_value=1, max_value=10**15), min_size=1, max_size=8))
def test_no_cost_looks_like_nothing_all_align_and_the_column_adds_up(picos: list[int]):
    rows = [priced(pico) for pico in picos]
    cells = [call.cost for call in calls(rows)]
    assert all(Decimal(cell.lstrip("$")) > 0 for cell in cells)
    assert len({len(cell.partition(".")[2]) for cell in cells}) == 1
    total = total_call(rows, totals_of(*rows)).cost
    assert Decimal(total.lstrip("$")) == sum(Decimal(cell.lstrip("$")) for cell in cells)


def test_money_names_its_currency():
    assert money(Decimal("0.5"), "USD", 4) == "$0.5000"
    assert money(Decimal("0.5"), "CHF", 2) == "0.50 CHF"


@pytest.mark.parametrize(
    ("known", "state", "status", "cost"),
    [
        ({"cost_status": "priced", "cost_total": 10**8}, State.PRICED, "priced", "0.0001 ?"),
        (
            {"cost_status": "priced", "cost_total": 10**8, "cost_currency": "USD", "is_cost_estimated": 1},
            State.ESTIMATED,
            "estimated",
            "~$0.0001",
        ),
        (
            {"cost_status": "partial", "cost_total": 10**8, "cost_currency": "USD", "cost_reason": "x"},
            State.PARTIAL,
            "partial: x",
            ">$0.0001",
        ),
        ({"cost_status": "unpriced", "cost_reason": "unknown_model"}, State.UNPRICED, "unpriced: unknown_model", "-"),
        ({"status": "error", "error_type": "openai.RateLimitError"}, State.FAILED, "failed: RateLimitError", "-"),
        ({}, State.ERROR, "error: the cost processor failed", "-"),
    ],
)
def test_what_is_known_about_the_cost_is_said(known: dict[str, object], state: State, status: str, cost: str):
    (call,) = calls([row(**known)])
    assert (call.state, call.status, call.cost) == (state, status, cost)


def test_unknown_is_a_dash_and_none_is_not_zero():
    (call,) = calls([row()])
    assert (call.time, call.model, call.input, call.output, call.latency) == ("-",) * 5
    (call,) = calls([row(input_tokens=0)])
    assert call.input == "0"


def test_a_total_without_some_of_its_prices_says_so():
    whole = [priced(10**8, operation="chat")]
    assert total_call(whole, totals_of(*whole)).status == ""
    partly = [*whole, row(operation="chat", cost_status="unpriced", cost_reason="unknown_model", request_model="own")]
    assert total_call(partly, totals_of(*partly)).status == "PARTIAL: 1 without a price"
    assert any(note.startswith("own has no price: ") for note in notes(partly, totals_of(*partly)))


def test_older_conventions_are_named():
    rows = [priced(1, dialect="openllmetry"), priced(1, dialect="openllmetry"), priced(1)]
    assert any(note.startswith("2 calls came in the convention 'openllmetry'") for note in notes(rows, None))


def test_agreement_leads_with_its_result_and_shows_what_differs():
    lines = list(agreement(Comparison(1, ("m: output 6 instead of 5",), (), 0)))
    assert lines == [
        "checked against the provider's own count: 1 of 2 calls agree, token for token",
        "DIFFERENT  m: output 6 instead of 5",
    ]


@pytest.mark.parametrize(
    ("rows", "comparison", "right"),
    [
        ([priced(1)], Comparison(1, (), (), 0), True),
        ([priced(1)], Comparison(1, ("m: no row in the ledger",), (), 0), False),
        ([], Comparison(0, (), (), 0), False),
        ([row()], Comparison(1, (), (), 0), False),
    ],
)
def test_success_is_only_what_was_checked(rows: list[Row], comparison: Comparison, *, right: bool):
    assert is_as_it_should_be(rows, comparison) is right
    assert state_of(priced(1)) is State.PRICED
