"""The compiled catalogue against the package it is compiled from: equal, but for what docs/prices.md says."""

from __future__ import annotations

import datetime as dt
import importlib.metadata
import subprocess
import sys
from pathlib import Path

import pytest

from otel_llm.cost import Catalogue, Usage

gp = pytest.importorskip("genai_prices.types")
sources = pytest.importorskip("genai_prices.data").providers

if importlib.metadata.version("genai-prices") != "0.2.3":
    pytest.skip("the catalogue is compiled from genai-prices 0.2.3", allow_module_level=True)

#: (provider, model): why ours differ. An entry that no longer differs fails the test too.
CORRECTED = {
    ("deepseek", "deepseek-chat"): "an alias whose model moved",
    ("deepseek", "deepseek-reasoner"): "an alias whose model moved",
    ("mistral", "mistral-large-latest"): "an alias whose model moved",
    ("perplexity", "sonar"): "fee of the default search context",
    ("perplexity", "sonar-pro"): "fee of the default search context",
    ("perplexity", "sonar-reasoning-pro"): "fee of the default search context",
}
#: Batch prices the clouds share with the maker, which genai-prices does not have.
CLOUD_BATCH = {"azure", "google"}
WEDNESDAY_NOON = dt.datetime(2026, 11, 18, 12, tzinfo=dt.UTC)
SHAPES = (
    ((1000, 100, None, None), {"input_tokens": 1000, "output_tokens": 100}),
    (
        (300_000, 5000, 100_000, 50_000),
        {
            "input_tokens": 300_000,
            "output_tokens": 5000,
            "cache_read_tokens": 100_000,
            "cache_write_tokens": 50_000,
        },
    ),
)


def _literals(match):
    if isinstance(match, gp.ClauseOr):
        for part in match.or_:
            yield from _literals(part)
    elif isinstance(match, gp.ClauseEquals):
        yield match.equals


def _listed():
    for provider in sources:
        for model in provider.models:
            for name in sorted({model.id, *_literals(model.match)}):
                found = provider.find_model(name)
                if found is not None:
                    yield provider, found, name


def _compare(catalogue, at, context):
    """(priced ids, ids priced differently) over all listed ids and shapes."""
    priced, different = set(), set()
    for provider, model, name in _listed():
        # One shape will do for the long lists of resellers.
        for ours, theirs in SHAPES if len(provider.models) < 80 else SHAPES[1:]:
            try:
                expected = model.calc_price(
                    gp.Usage(**theirs), provider, genai_request_timestamp=at, price_context=context
                ).total_price
            except ValueError:
                continue
            quote = catalogue.quote(
                provider.id,
                name,
                Usage(*ours),
                int(at.timestamp()) * 10**9,
                processing=context.get("processing"),
                service_tier=context.get("service_tier"),
            )
            if quote.total is None:
                continue
            priced.add((provider.id, name))
            if abs(quote.total_decimal - expected) > expected / 10**9:
                different.add((provider.id, name))
    return priced, different


@pytest.fixture(scope="module")
def compared():
    """(priced, different) by name: standard prices on two days, batch prices on one."""
    catalogue = Catalogue.load()
    june = dt.datetime(2026, 6, 1, 12, tzinfo=dt.UTC)
    return {
        "november": _compare(catalogue, WEDNESDAY_NOON, {}),
        "june": _compare(catalogue, june, {}),
        "batch": _compare(catalogue, WEDNESDAY_NOON, {"processing": "batch"}),
    }


@pytest.mark.parametrize("day", ["november", "june"])
def test_standard_prices_are_those_of_the_source_but_for_the_corrections(compared, day):
    priced, different = compared[day]
    assert different <= set(CORRECTED)
    assert len(priced) > 3000


def test_batch_prices_are_those_of_the_source_and_reach_the_clouds(compared):
    _, different = compared["batch"]
    rest = {item for item in different if item not in CORRECTED}
    assert {provider for provider, _ in rest} == CLOUD_BATCH


def test_every_correction_still_corrects_something(compared):
    assert set(CORRECTED) == set(CORRECTED) & (compared["november"][1] | compared["june"][1])


def test_the_committed_catalogue_is_what_the_build_tool_writes():
    tool = Path(__file__).resolve().parents[2] / "tools" / "prices" / "build.py"
    done = subprocess.run([sys.executable, str(tool), "--check"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
