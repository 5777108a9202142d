"""docs/prices.md decides every labelled conflict, and the catalogue does what it says."""

from __future__ import annotations

import fnmatch
import json
from decimal import Decimal
from pathlib import Path

import pytest

from otel_llm.cost import Catalogue, Usage
from tests.cost.price_rows import unix_nano
from tests.shared_data import shared_data_path

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "prices.md"
UNIT_NAMES = {"in": "input", "cr": "cache_read", "web": "web_search"}


def _decisions():
    text = DOCUMENT.read_text(encoding="utf-8").partition("## Where sources disagree")[2]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line.startswith("|")]
    return rows[2:]


def _decision(conflict):
    case = conflict.get("shape", conflict["kind"])
    for row in _decisions():
        provider, model, shape, *_ = row
        if (
            provider == conflict["provider"]
            and fnmatch.fnmatch(conflict["model"], model)
            and fnmatch.fnmatch(case, shape)
        ):
            return row
    return None


def _conflicts():
    with shared_data_path("price-conflicts.jsonl").open(encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def _quote(catalogue, conflict):
    shape = conflict.get("shape", "")
    unit = conflict.get("unit", "in").split()[0]
    return catalogue.quote(
        conflict["provider"],
        conflict["model"],
        Usage(
            300_000 if shape.startswith("long") else 10_000,
            1000,
            cache_read=4096 if unit == "cr" else None,
            web_searches=1 if unit == "web" else None,
        ),
        unix_nano(f"{conflict.get('date', '2026-11-18')}T12:00:00+00:00"),
        processing="batch" if shape.startswith("batch") else None,
        service_tier=shape if shape in ("priority", "flex") else None,
    )


def _price(quote, unit):
    """USD a token or a search."""
    line = next(line for line in quote.meters if line.unit.name == UNIT_NAMES[unit])
    return Decimal(line.unit_price) / 10**18


def test_every_decision_has_a_note():
    assert [row for row in _decisions() if len(row) != 5 or not all(row)] == []


def test_every_conflict_is_decided_as_documented():
    catalogue = Catalogue.load()
    wrong = []
    for conflict in _conflicts():
        row = _decision(conflict)
        assert row, conflict
        follow, quote = row[3], _quote(catalogue, conflict)
        if conflict["kind"] == "coverage":
            right = quote.status == follow
        elif conflict["kind"] == "per_request_fee":
            fee = next(line.unit_price for line in quote.meters if line.unit.name == "request")
            right = Decimal(fee) * 1000 == Decimal(follow) * 10**18
        else:
            unit = conflict["unit"].split()[0]
            listed = Decimal(conflict["usd_per_mtok"][follow])
            each = listed if unit == "web" and listed < 1 else listed / 1_000_000
            right = quote.status == "priced" and _price(quote, unit) == each
        if not right:
            wrong.append((conflict, follow, quote.status, quote.amounts))
    assert wrong == []


@pytest.mark.parametrize("word", ["currency", "exchange_rates", "aliases", "discounts", "models"])
def test_the_example_of_own_prices_names_every_setting(word):
    assert f"\n{word}:" in DOCUMENT.read_text(encoding="utf-8")


def test_the_example_of_own_prices_is_accepted():
    yaml = pytest.importorskip("yaml")
    example = DOCUMENT.read_text(encoding="utf-8").partition("```yaml\n")[2].partition("```")[0]
    catalogue = Catalogue.load(user=yaml.safe_load(example))
    quote = catalogue.quote(
        "vllm", "meta-llama/Llama-3.3-70B-Instruct", Usage(1_000_000, 0), unix_nano("2026-11-18T12:00:00+00:00")
    )
    assert (quote.total_decimal, quote.currency) == (Decimal("0.1"), "EUR")
