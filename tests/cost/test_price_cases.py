"""The labelled price cases: exact, or unpriced with a reason."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest

from otel_llm.cost import Catalogue
from tests.cost.price_rows import quote_row
from tests.shared_data import shared_data_path


def _rows():
    with shared_data_path("price-cases.jsonl").open(encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


@pytest.fixture(scope="module")
def catalogue():
    return Catalogue.load()


def test_every_labelled_row_is_priced_exactly(catalogue):
    wrong = {}
    for row in _rows():
        if row["expected_usd"] is None:
            continue
        quote = quote_row(catalogue, row)
        if quote.status != "priced" or quote.total_decimal != Decimal(row["expected_usd"]):
            wrong[row["id"]] = (row["expected_usd"], quote.total_decimal, quote.status, quote.reason, quote.rule)
    assert wrong == {}


def test_rows_that_nobody_can_price_are_unpriced_with_a_reason(catalogue):
    unpriced = {row["id"]: quote_row(catalogue, row) for row in _rows() if row["expected_usd"] is None}
    assert {name: (quote.total, quote.status, quote.reason) for name, quote in unpriced.items()} == {
        "behaviour/app-inference-profile": (None, "unpriced", "opaque_model"),
        "behaviour/local-ollama": (None, "unpriced", "self_hosted"),
        "behaviour/no-usage": (None, "unpriced", "no_usage"),
    }


def test_no_labelled_row_costs_a_silent_zero(catalogue):
    free = [row["id"] for row in _rows() if row["expected_usd"] != "0" and quote_row(catalogue, row).total == 0]
    assert free == []


def test_the_meters_of_every_labelled_row_sum_to_its_total(catalogue):
    for row in _rows():
        quote = quote_row(catalogue, row)
        if quote.total is not None:
            assert sum(line.amount for line in quote.meters) == quote.total, row["id"]
            assert sum(quote.amounts.values()) == quote.total, row["id"]
