"""Derived metrics under traffic that tries to make a series of everything."""

from __future__ import annotations

from pathlib import Path

import pytest

from otel_llm._generated import attributes as names
from tests.acceptance.through import derived, started
from tests.spans import SpanSpec, attributes_of, chat, request

_SPANS, _BATCH, _LIMIT = 4_000, 500, 50


def test_53_any_number_of_users_and_models_makes_a_bounded_number_of_series_with_exact_totals(tmp_path: Path) -> None:
    """Given thousands of users and of model names out of nowhere beside one known model, then no metric has more series
    than its limit, the rest is in the overflow series, the totals are exact to the last token, and the cost of a single
    user can still be told from the spans."""
    known = 0
    with started(tmp_path, series_limit=_LIMIT) as through:
        for start in range(0, _SPANS, _BATCH):
            specs = []
            for number in range(start + 1, start + _BATCH + 1):
                model = "gpt-4o" if number % 4 == 0 else f"model-{number}-{number * 7919 % 10007}"
                known += model == "gpt-4o"
                named = chat(
                    gen_ai__request__model=model, gen_ai__response__model=model, user__id=f"user-{number % 1000}"
                )
                specs.append(SpanSpec(named, span=number, trace=number, scope="app"))
            spans = [attributes_of(span) for span in through.send(request(specs))]
        last_users = [span["user.id"] for span in spans if names.OTEL_LLM_COST_TOTAL in span]
        destination = through.destination
    assert len(last_users) == _BATCH // 4
    for name in (
        "gen_ai.client.inference.usage.input_tokens",
        "gen_ai.client.inference.usage.output_tokens",
        "otel_llm.cost.usage",
    ):
        series = derived(destination, name)
        assert 0 < len(series) <= _LIMIT + 1, name
        assert not [one for one, _ in series if "user.id" in one]
    tokens = derived(destination, "gen_ai.client.inference.usage.input_tokens")
    assert sum(value for _, value in tokens) == 1000 * _SPANS
    overflow = [value for attributes, value in tokens if attributes.get("otel.metric.overflow") is True]
    assert len(overflow) == 1
    assert overflow[0] > 1000 * _SPANS / 2
    cost = sum(value for _, value in derived(destination, "otel_llm.cost.usage"))
    assert cost == pytest.approx(0.0035 * known, rel=1e-9)


def test_an_owner_is_a_dimension_by_whichever_name_the_app_calls_it(tmp_path: Path) -> None:
    """Given apps that say who owns a call in their own words, on the span or on the resource, then the cost of an owner
    is one series, as it is one owner in the ledger."""
    with started(tmp_path, dimensions="otel_llm.owner.name, otel_llm.feature.name") as through:
        through.call({**chat(), "team": "search", "feature": "summary"})
        through.call({**chat(), "otel_llm.owner.name": "search", "otel_llm.feature.name": "summary", "team": "other"})
        through.call(chat())
        destination = through.destination
    cost = derived(destination, "otel_llm.cost.usage")
    owners = {
        (attributes.get("otel_llm.owner.name"), attributes.get("otel_llm.feature.name")) for attributes, _ in cost
    }
    assert owners == {("search", "summary"), (None, None)}
