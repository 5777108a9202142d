"""The user's overlay: aliases, own rates, discounts, currency; and every mistake in it at once."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from otel_llm.cost import Catalogue, OverlayError, Usage
from otel_llm.cost.overlay import merged_user_prices

NOW = int(dt.datetime(2026, 11, 18, 12, tzinfo=dt.UTC).timestamp()) * 10**9
MILLION = Usage(1_000_000, 0)


def price(user, provider, model, usage=MILLION, at=NOW, **rest):
    return Catalogue.load(user=user).quote(provider, model, usage, at, **rest)


def test_a_deployment_alias_resolves_in_both_spellings_of_its_provider():
    user = {"aliases": [{"name": "My-Prod-GPT4o", "provider": "azure.ai.openai", "model": "gpt-4o"}]}
    for spelling in ("azure", "az.ai.openai"):
        quoted = price(user, spelling, "my-prod-gpt4o")
        assert (quoted.total_decimal, quoted.rule, quoted.model_matched) == (Decimal("2.5"), "alias", "gpt-4o")
    assert price(user, "openai", "my-prod-gpt4o").reason == "unknown_model"


def test_an_alias_helps_when_only_the_request_names_the_deployment():
    user = {"aliases": [{"name": "my-prod", "target_provider": "azure", "model": "gpt-4o"}]}
    assert price(user, "azure", None, request_model="my-prod").total_decimal == Decimal("2.5")


def test_an_application_inference_profile_is_priced_through_an_alias():
    arn = "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/abc123"
    user = {
        "aliases": [{"name": arn, "provider": "aws.bedrock", "model": "us.anthropic.claude-sonnet-4-5-20250929-v1:0"}]
    }
    assert price(user, "aws.bedrock", arn).total_decimal == Decimal("3.3")


def test_a_self_hosted_model_has_the_rate_its_owner_gives_it():
    user = {
        "models": [
            {"provider": "vllm", "model": "llama-3.3-70b", "prices": [{"rates": {"input": 0.1, "output": "0.4"}}]},
            {
                "provider": "acme",
                "model": "house",
                "ids": ["house-v2"],
                "prices": [{"rates": {"input": 1, "output": 1}}],
            },
        ]
    }
    quoted = price(user, "vllm", "Llama-3.3-70B", Usage(1_000_000, 1_000_000))
    assert (quoted.total_decimal, quoted.source) == (Decimal("0.5"), "user")
    assert price(user, "acme", "house-v2").total_decimal == 1
    assert price(user, "vllm", "another").reason == "self_hosted"


def test_an_own_price_for_a_listed_model_replaces_the_list_price_for_all_its_ids():
    user = {
        "models": [
            {
                "provider": "openai",
                "model": "gpt-4o",
                "prices": [
                    {"rates": {"input": "2.5", "output": "10"}},
                    {"from": dt.date(2026, 11, 1), "rates": {"input": ["2", [1000, "1"]], "output": "8"}},
                ],
            }
        ]
    }
    quoted = price(user, "openai", "gpt-4o-2024-11-20")
    assert (quoted.total_decimal, quoted.source, quoted.price_valid_from) == (Decimal(1), "user", "2026-11-01")


@pytest.mark.parametrize(
    ("when", "night"),
    [
        ("2026-11-20T21:59:59", False),
        ("2026-11-20T22:00:00", True),
        ("2026-11-21T05:59:59", True),
        ("2026-11-21T06:00:00", False),
        ("2026-11-21T22:00:00", False),
        ("2026-11-22T01:00:00", False),
    ],
)
def test_a_friday_night_ends_on_saturday_morning(when, night):
    prices = [
        {"rates": {"input": 2, "output": 2}},
        {"daily": [["22:00", "06:00"]], "weekdays": [4], "rates": {"input": 1, "output": 1}},
    ]
    user = {"models": [{"provider": "vllm", "model": "m", "prices": prices}]}
    moment = int(dt.datetime.fromisoformat(f"{when}+00:00").timestamp()) * 10**9
    assert price(user, "vllm", "m", at=moment).total_decimal == (1 if night else 2)


def test_a_discount_takes_its_percent_off_between_its_dates_and_only_of_its_units():
    user = {
        "discounts": [
            {"provider": "openai", "percent": 10},
            {"provider": "openai", "model": "gpt-4o*", "percent": "20", "from": "2026-11-01", "units": ["output"]},
        ]
    }
    both = Usage(1_000_000, 1_000_000)
    assert price(user, "openai", "gpt-4o", both).total_decimal == Decimal("2.25") + Decimal(8)
    october = NOW - 40 * 86_400 * 10**9
    assert price(user, "openai", "gpt-4o", both, october).total_decimal == Decimal("2.25") + Decimal(9)
    assert price(user, "openai", "gpt-4.1", both).total_decimal == Decimal("9.0")
    assert price(user, "anthropic", "claude-opus-5", both).source == "catalogue"
    assert price(user, "openai", "gpt-4o", both).source == "user"


def test_quotes_are_in_the_users_currency_at_the_rate_of_the_day():
    user = {
        "currency": "EUR",
        "exchange_rates": [{"from": "2026-11-01", "usd": "0.9"}, {"from": "2026-01-01", "usd": 0.8}],
        "models": [{"provider": "vllm", "model": "own", "prices": [{"rates": {"input": "1", "output": "1"}}]}],
    }
    quoted = price(user, "openai", "gpt-4o")
    assert (quoted.total_decimal, quoted.currency) == (Decimal("2.25"), "EUR")
    assert price(user, "openai", "gpt-4o", at=NOW - 60 * 86_400 * 10**9).total_decimal == Decimal("2.0")
    assert price(user, "openai", "gpt-4o", at=NOW - 900 * 86_400 * 10**9).reason == "no_price_at_date"
    assert price(user, "vllm", "own").total_decimal == 1
    assert price(user, "openrouter", "x", Usage(1, 1, provider_cost=0.5)).currency == "USD"


def test_the_users_prices_are_part_of_the_price_version():
    plain, own = Catalogue.load(), Catalogue.load(user={"discounts": [{"provider": "openai", "percent": 5}]})
    assert plain.version != own.version
    assert Catalogue.load(user={}).version == plain.version


def test_another_overlay_comes_on_top_of_ours():
    overlay = {
        "as_of": "2026-12-01",
        "entries": [
            {
                "provider": "mistral",
                "model": "mistral-large-latest",
                "note": "moved again",
                "source": "a test",
                "prices": [{"rates": {"input": "7", "output": "7"}}],
            }
        ],
    }
    catalogue = Catalogue.load([overlay])
    assert catalogue.as_of == "2026-12-01"
    assert catalogue.quote("mistral_ai", "mistral-large-latest", MILLION, NOW).total_decimal == 7


def test_all_mistakes_are_reported_at_once_with_their_paths():
    user = {
        "currency": "euro",
        "exchange_rates": [{"from": "yesterday", "usd": -1}],
        "aliases": [{"name": "x", "model": "y"}, {"model": "y", "provider": "azure"}],
        "discounts": [{"provider": "openai", "percent": 120, "units": ["tokens"], "procent": 1}, "10 %"],
        "models": [
            {
                "provider": "vllm",
                "model": "m",
                "prices": [
                    {
                        "from": "2026-02-01",
                        "until": "2026-01-01",
                        "daily": [["25:00", "01:00"]],
                        "weekdays": [7],
                        "rates": {"input": "cheap", "output": -1, "cached": 3, "reasoning": [1, [2]]},
                    }
                ],
            },
            {"provider": "vllm", "model": "n"},
        ],
        "colour": "blue",
    }
    with pytest.raises(OverlayError) as caught:
        Catalogue.load(user=user)
    assert sorted(problem.split(":")[0] for problem in caught.value.problems) == [
        "prices.aliases[0].target_provider",
        "prices.aliases[1].name",
        "prices.colour",
        "prices.currency",
        "prices.discounts[0].percent",
        "prices.discounts[0].procent",
        "prices.discounts[0].units",
        "prices.discounts[1]",
        "prices.discounts[1].percent",
        "prices.discounts[1].provider",
        "prices.exchange_rates[0].from",
        "prices.exchange_rates[0].usd",
        "prices.models[0].prices[0].daily",
        "prices.models[0].prices[0].rates.cached",
        "prices.models[0].prices[0].rates.input",
        "prices.models[0].prices[0].rates.output",
        "prices.models[0].prices[0].rates.reasoning",
        "prices.models[0].prices[0].until",
        "prices.models[0].prices[0].weekdays",
        "prices.models[1].prices",
    ]


KEYS = (
    "currency exchange_rates aliases discounts models provider model name prices rates input from until daily weekdays"
    " percent units usd variants when ids"
)
junk = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(KEYS.split()),
            inner,
            max_size=5,
        )
    ),
    max_leaves=20,
)


@settings(deadline=None)  # machines that run this are busy
@given(st.dictionaries(st.sampled_from(["currency", "exchange_rates", "aliases", "discounts", "models"]), junk))
def test_any_configuration_is_either_accepted_or_refused_with_problems(user):
    problems: tuple[str, ...] = ("accepted",)
    try:
        merged_user_prices(user)
    except OverlayError as error:
        problems = error.problems
    assert problems


def test_aliases_and_discounts_that_fit_no_model_are_named_and_others_are_not():
    user = {
        "aliases": [
            {"name": "good", "provider": "azure.ai.openai", "model": "gpt-4o"},
            {"name": "bad", "provider": "azure.ai.openai", "model": "gpt-99"},
        ],
        "discounts": [
            {"provider": "openai", "percent": 5},
            {"provider": "openai", "model": "gpt-5*", "percent": 5},
            {"provider": "openai", "model": "gpt-77*", "percent": 5},
        ],
    }
    alias, discount = Catalogue.load(user=user).unmatched()
    assert alias.startswith("aliases: 'bad'")
    assert discount.startswith("discounts: no model of 'openai' is called 'gpt-77*'")
    assert Catalogue.load().unmatched() == ()
