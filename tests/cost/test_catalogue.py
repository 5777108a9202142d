"""What a quote says: prices by date, tier and mode, ids by explicit rules, and honest refusals."""

from __future__ import annotations

import datetime as dt
import json
import subprocess
import sys
from decimal import Decimal
from importlib import resources

import pytest

from otel_llm.cost import Catalogue, Usage, explain
from otel_llm.cost.catalogue import REMEMBERED_CALLS

NOVEMBER = "2026-11-18T12:00:00+00:00"


@pytest.fixture(scope="module")
def catalogue():
    return Catalogue.load()


def at(text):
    return int(dt.datetime.fromisoformat(text).timestamp()) * 10**9


def quote(catalogue, provider, model, usage=Usage(1000, 100), when=NOVEMBER, **rest):  # noqa: B008 - immutable
    return catalogue.quote(provider, model, usage, at(when), **rest)


def usd(quoted):
    return None if quoted.total_decimal is None else quoted.total_decimal.normalize()


# Scenario 13: cached tokens


def test_scenario_13_cache_reads_and_writes_are_parts_of_the_input(catalogue):
    usage = Usage(130_213, 1000, cache_read=128_955, cache_write=1253)
    quoted = quote(catalogue, "anthropic", "claude-sonnet-4-5-20250929", usage)
    million = Decimal(1_000_000)
    expected = (5 * 3 + 128_955 * Decimal("0.3") + 1253 * Decimal("3.75") + 1000 * 15) / million
    assert quoted.total_decimal == expected


def test_scenario_13_more_cached_tokens_than_input_are_flagged_not_clamped(catalogue):
    quoted = quote(catalogue, "anthropic", "claude-sonnet-4-5", Usage(5, 1000, cache_read=128_955))
    assert (quoted.total, quoted.status, quoted.reason) == (None, "unpriced", "invalid_usage")


def test_an_hour_of_cache_costs_more_than_five_minutes(catalogue):
    usage = Usage(9000, 700, cache_write=4096)
    short = quote(catalogue, "anthropic", "claude-opus-5", usage)
    long = quote(catalogue, "anthropic", "claude-opus-5", Usage(9000, 700, cache_write=4096, cache_write_1h=4096))
    assert long.total_decimal - short.total_decimal == Decimal(4096) * (10 - Decimal("6.25")) / 1_000_000


# Scenario 14: ids


@pytest.mark.parametrize(
    ("provider", "model", "matched", "rule"),
    [
        ("openai", "gpt-4o", "gpt-4o", "exact"),
        ("OpenAI", "GPT-4o", "gpt-4o", "exact"),
        ("openai", "gpt-5.2-20251211", "gpt-5.2", "compact_date"),
        ("openai", "gpt-4o-2027-01-31", "gpt-4o", "snapshot"),
        (
            "openai",
            "ft:gpt-4o-mini-2024-07-18:acme::Ab12",
            "ft:gpt-4o-mini",
            "fine_tune",
        ),
        (
            "gcp.vertex_ai",
            "projects/p/locations/eu/publishers/google/models/gemini-2.5-pro",
            "gemini-2.5-pro",
            "vertex_path",
        ),
        ("gcp.gemini", "models/gemini-2.5-flash", "gemini-2.5-flash", "models_prefix"),
        ("gcp.vertex_ai", "claude-opus-4-5@20251101", "claude-opus-4-5", "snapshot"),
        (
            "aws.bedrock",
            "arn:aws:bedrock:us-east-1:123456789012:inference-profile/us.amazon.nova-pro-v1:0",
            "amazon.nova-pro-v1:0",
            "bedrock_arn+contains:amazon.nova-pro",
        ),
        (
            "aws.bedrock",
            "anthropic.claude-3-5-sonnet-20241022-v2:0",
            "regional.anthropic.claude-3-5-sonnet-20241022-v2:0",
            "contains:claude-3-5-sonnet-20241022",
        ),
        ("azure.ai.openai", "gpt-5.2", "gpt-5.2", "resold:openai"),
        ("litellm", "anthropic/claude-sonnet-4-5", "claude-sonnet-4-5", "prefix:anthropic"),
        ("openai", "openrouter/anthropic/claude-sonnet-4.5", "anthropic/claude-sonnet-4.5", "prefix:openrouter"),
        (None, "openai:gpt-4o", "gpt-4o", "prefix:openai"),
        (None, "claude-sonnet-4-5", "claude-sonnet-4-5", "maker:anthropic"),
        ("openai", "claude-sonnet-4-5", "claude-sonnet-4-5", "maker:anthropic"),
        ("groq", "openai/gpt-oss-20b", "openai/gpt-oss-20b", "exact"),
    ],
)
def test_scenario_14_ids_resolve_by_a_rule_that_is_recorded(catalogue, provider, model, matched, rule):
    quoted = quote(catalogue, provider, model)
    assert (quoted.model_matched, quoted.rule, quoted.status) == (matched, rule, "priced")


@pytest.mark.parametrize(
    ("provider", "model", "reason"),
    [
        ("openai", "gpt-4o-but-another-one", "unknown_model"),
        ("openai", "gpt-4o-9999", "unknown_model"),
        ("openai", "my-prod-deployment", "unknown_model"),
        ("azure.ai.openai", "my-prod-deployment", "unknown_model"),
        ("gcp.gemini", "gemini-2.5-pro-imaginary", "unknown_model"),
        ("anthropic", "claude-sonnet-4-5-turbo", "unknown_model"),
        ("openrouter", "some/new-model", "unknown_model"),
        ("aws.bedrock", "amazon.nova-lite-v2:0", "unknown_model"),
        ("aws.bedrock", "us.anthropic.claude-opus-4-7-1-v1:0", "unknown_model"),
        ("anthropic", "claude-opus-5-9", "unknown_model"),
        ("openai", "gpt-5.9", "unknown_model"),
        ("deepseek", "gpt-4o", "unknown_model"),
        ("aws.bedrock", "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/abc123", "opaque_model"),
        ("gcp.vertex_ai", "projects/p/locations/eu/endpoints/123", "opaque_model"),
        ("ollama", "llama3.2", "self_hosted"),
        ("vllm", "gpt-4o", "self_hosted"),
        ("acme-cloud", "gpt-4o", "unknown_provider"),
        ("openai", None, "unknown_model"),
        ("openai", "", "unknown_model"),
        (None, None, "unknown_model"),
        ("openai", "x" * 100_000, "unknown_model"),
        ("github_copilot", "gpt-4o", "no_price"),
    ],
)
def test_scenario_14_what_cannot_be_resolved_is_unpriced_with_a_reason(catalogue, provider, model, reason):
    quoted = quote(catalogue, provider, model)
    assert (quoted.total, quoted.status, quoted.reason, quoted.source) == (None, "unpriced", reason, None)


def test_a_text_to_speech_model_is_not_priced_as_the_model_its_name_starts_with(catalogue):
    spoken, written = (
        quote(catalogue, "gcp.gemini", "gemini-2.5-pro-tts"),
        quote(catalogue, "gcp.gemini", "gemini-2.5-pro"),
    )
    assert spoken.model_matched != written.model_matched


def test_the_host_outranks_the_name_of_the_sdk(catalogue):
    quoted = quote(catalogue, "openai", "deepseek-v4-flash", server_address="api.deepseek.com")
    assert (quoted.provider_matched, quoted.rule) == ("deepseek", "server_address")
    assert quote(catalogue, "openai", "gpt-4o", server_address="myname.openai.azure.com").provider_matched == "openai"
    assert quote(catalogue, "openai", "gpt-4o", server_address="https://api.openai.com:443/v1").rule == "exact"


def test_the_request_model_counts_only_when_the_response_has_none(catalogue):
    asked = quote(catalogue, "openai", None, request_model="gpt-4o")
    assert (asked.model_matched, asked.rule) == ("gpt-4o", "request_model")
    assert quote(catalogue, "openai", "something-else", request_model="gpt-4o").reason == "unknown_model"


@pytest.mark.parametrize(
    "spelling",
    ["x_ai", "xai", "gcp.gen_ai", "azure.ai.inference", "aws_bedrock", "vertex_ai", "mistral_ai", "google.vertex.chat"],
)
def test_older_and_other_spellings_of_a_provider_are_known(catalogue, spelling):
    assert quote(catalogue, spelling, "nothing").provider_matched is not None


# Scenario 15: reasoning


def test_scenario_15_reasoning_is_part_of_the_output_and_billed_as_such(catalogue):
    plain = quote(catalogue, "openai", "o3", Usage(10, 100))
    assert quote(catalogue, "openai", "o3", Usage(10, 100, reasoning=80)).total == plain.total
    assert quote(catalogue, "openai", "o3", Usage(10, 20, reasoning=100)).reason == "invalid_usage"


# Scenario 16: tiers and modes


@pytest.mark.parametrize(
    ("provider", "model", "tokens", "price"),
    [
        ("openai", "gpt-5.4", 272_000, "2.5"),
        ("openai", "gpt-5.4", 272_001, "5"),
        ("gcp.gemini", "gemini-2.5-pro", 200_000, "1.25"),
        ("gcp.gemini", "gemini-2.5-pro", 200_001, "2.5"),
        ("x_ai", "grok-4.3", 199_999, "1.25"),
        ("x_ai", "grok-4.3", 200_000, "2.5"),
    ],
)
def test_scenario_16_a_context_tier_prices_the_whole_call_from_its_exact_boundary(
    catalogue, provider, model, tokens, price
):
    quoted = quote(catalogue, provider, model, Usage(tokens, 0))
    assert quoted.total_decimal == Decimal(price) * tokens / 1_000_000


@pytest.mark.parametrize(
    ("mode", "share"),
    [
        ({"processing": "batch"}, Decimal("0.5")),
        ({"service_tier": "flex"}, Decimal("0.5")),
        ({"service_tier": "priority"}, Decimal(2)),
        ({"service_tier": "default"}, Decimal(1)),
        ({"service_tier": "ON_DEMAND"}, Decimal(1)),
    ],
)
def test_scenario_16_batch_and_service_tiers_have_their_own_prices(catalogue, mode, share):
    standard = quote(catalogue, "openai", "gpt-5")
    quoted = quote(catalogue, "openai", "gpt-5", **mode)
    assert (quoted.status, quoted.total) == ("priced", standard.total * share)


def test_scenario_16_batch_prices_reach_resold_models(catalogue):
    for provider, model in (
        ("azure.ai.openai", "gpt-5.2"),
        ("azure", "claude-opus-4-5"),
        ("gcp.vertex_ai", "claude-haiku-4-5@20251001"),
    ):
        standard = quote(catalogue, provider, model)
        batch = quote(catalogue, provider, model, processing="batch")
        assert (batch.status, batch.total * 2) == ("priced", standard.total), model


def test_scenario_16_a_tier_without_a_price_is_partial_never_silently_standard(catalogue):
    quoted = quote(catalogue, "openai", "gpt-4-turbo", service_tier="priority")
    assert (quoted.status, quoted.reason) == ("partial", "no_price_for_tier")
    assert quote(catalogue, "openai", "gpt-5", service_tier="gold").reason == "no_price_for_tier"
    before = quote(catalogue, "openai", "gpt-4o", when="2026-02-01T00:00:00+00:00", processing="batch")
    assert (before.status, before.reason) == ("partial", "no_price_for_batch")


def test_capacity_bought_by_the_hour_has_no_price_a_call(catalogue):
    assert quote(catalogue, "openai", "gpt-5", service_tier="scale").reason == "committed_capacity"


# Scenario 17: dates


def test_scenario_17_each_call_costs_what_it_did_on_its_day(catalogue):
    before = quote(catalogue, "openai", "gpt-5.6-sol", Usage(10_000, 1000), "2026-08-20T23:59:59+00:00")
    after = quote(catalogue, "openai", "gpt-5.6-sol", Usage(10_000, 1000), "2026-08-21T00:00:00+00:00")
    assert (usd(before), usd(after)) == (Decimal("0.08"), Decimal("0.06"))
    assert (before.price_valid_from, after.price_valid_from) == (None, "2026-08-21")


def test_scenario_17_replaying_gives_the_same_quote(catalogue):
    again = Catalogue.load()
    assert again.version == catalogue.version
    first, second = quote(catalogue, "deepseek", "deepseek-v4-pro"), quote(again, "deepseek", "deepseek-v4-pro")
    assert (first.total, first.meters, first.price_version) == (second.total, second.meters, second.price_version)


@pytest.mark.parametrize(
    ("when", "peak"),
    [
        ("2026-11-18T00:59:59+00:00", False),
        ("2026-11-18T01:00:00+00:00", True),
        ("2026-11-18T03:59:59+00:00", True),
        ("2026-11-18T04:00:00+00:00", False),
        ("2026-11-18T09:59:59+00:00", True),
        ("2026-11-18T10:00:00+00:00", False),
        ("2026-11-18T10:30:00+08:00", True),
        ("2026-11-20T02:30:00+00:00", True),
        ("2026-11-21T02:30:00+00:00", False),
        ("2026-11-22T09:00:00+00:00", False),
        ("2026-11-23T01:30:00+00:00", True),
    ],
)
def test_peak_hours_are_weekdays_only_and_end_exclusively(catalogue, when, peak):
    quoted = quote(catalogue, "deepseek", "deepseek-v4-flash", Usage(1_000_000, 0), when)
    assert usd(quoted) == (Decimal("0.3") if peak else Decimal("0.15"))


def test_a_window_past_midnight_belongs_to_the_day_it_opens(catalogue):
    for when, price in (
        ("2025-03-01T16:29:59+00:00", "0.27"),
        ("2025-03-01T16:30:00+00:00", "0.135"),
        ("2025-03-02T00:29:59+00:00", "0.135"),
        ("2025-03-02T00:30:00+00:00", "0.27"),
    ):
        assert usd(quote(catalogue, "deepseek", "deepseek-chat", Usage(1_000_000, 0), when)) == Decimal(price)


def test_there_is_no_price_before_the_epoch_or_after_a_model_was_switched_off(catalogue):
    assert catalogue.quote("openai", "gpt-4o", Usage(1, 1), 0).reason == "no_price_at_date"
    assert catalogue.quote("openai", "gpt-4o", Usage(1, 1), -5).reason == "no_price_at_date"
    assert quote(catalogue, "deepseek", "deepseek-chat").reason == "no_price_at_date"


# Scenario 20: what is not tokens


def test_scenario_20_searches_audio_requests_and_characters_are_billed_with_quantity_and_price(catalogue):
    searched = quote(catalogue, "anthropic", "claude-opus-5", Usage(3000, 400, web_searches=3))
    line = next(line for line in searched.meters if line.unit.name == "web_search")
    assert (line.quantity, line.amount) == (3, 3 * 10**16)
    assert searched.amounts["web_search"] == 3 * 10**16
    heard = quote(catalogue, "groq", "whisper-large-v3", Usage(audio_seconds=3600.0))
    assert usd(heard) == Decimal("0.111")
    assert heard.amounts == {"other": heard.total}
    assert quote(catalogue, "groq", "whisper-large-v3", Usage(audio_seconds=1.5)).total == round(heard.total / 360)
    assert usd(quote(catalogue, "openai", "tts-1", Usage(characters=2_000_000))) == Decimal(30)
    assert quote(catalogue, "perplexity", "sonar").amounts["request"] == 5 * 10**15


def test_audio_and_cached_audio_tokens_have_their_own_prices(catalogue):
    usage = Usage(2000, 900, cache_read=500, input_audio=1500, output_audio=800, cache_read_audio=300)
    quoted = quote(catalogue, "openai", "gpt-realtime", usage)
    amounts = {line.unit.name: line.quantity for line in quoted.meters}
    assert amounts == {
        "input": 300,
        "cache_read": 200,
        "input_audio": 1200,
        "cache_read_audio": 300,
        "output": 100,
        "output_audio": 800,
    }
    assert quoted.status == "priced"


def test_an_overlap_that_was_not_reported_is_the_least_possible_and_says_so(catalogue):
    quoted = quote(catalogue, "openai", "gpt-realtime", Usage(2000, 0, cache_read=1500, input_audio=1000))
    assert (quoted.status, quoted.reason) == ("partial", "overlap_unknown")


def test_something_used_without_a_price_makes_the_quote_partial(catalogue):
    quoted = quote(catalogue, "mistral_ai", "mistral-large-2512", Usage(10, 10, web_searches=2))
    assert (quoted.status, quoted.reason) == ("partial", "no_price_for_usage")
    assert quote(catalogue, "openai", "gpt-4o", Usage(images=2)).total is None


@pytest.mark.parametrize(
    ("usage", "reason", "status"),
    [
        (Usage(), "no_usage", "unpriced"),
        (Usage(0, 0), "no_usage", "unpriced"),
        (Usage(10), "incomplete_usage", "partial"),
        (Usage(None, 10), "incomplete_usage", "partial"),
        (Usage(None, 10, cache_read=5), "incomplete_usage", "unpriced"),
        (Usage(-1, 10), "invalid_usage", "unpriced"),
        (Usage(10, 2**63), "invalid_usage", "unpriced"),
        (Usage(float("nan"), 10), "invalid_usage", "unpriced"),
        (Usage("10", 10), "invalid_usage", "unpriced"),
        (Usage(10.5, 10), "invalid_usage", "unpriced"),
        (Usage(input_tokens=True, output_tokens=10), "invalid_usage", "unpriced"),
        (Usage(10, output_tokens=False), "invalid_usage", "unpriced"),
        (Usage(10, 10, cache_read=True), "invalid_usage", "unpriced"),
        (Usage(10, 10, cache_write=True), "invalid_usage", "unpriced"),
        (Usage(10, 10, cache_write=1, cache_write_1h=True), "invalid_usage", "unpriced"),
        (Usage(10, 10, reasoning=True), "invalid_usage", "unpriced"),
        (Usage(10, 10, input_image=True), "invalid_usage", "unpriced"),
        (Usage(10, 10, cache_read=2.0), "invalid_usage", "unpriced"),
        (Usage(10, 10, cache_write=2.0), "invalid_usage", "unpriced"),
        (Usage(10, 10, reasoning=2.0), "invalid_usage", "unpriced"),
        (Usage(10, 10, reasoning=-2), "invalid_usage", "unpriced"),
        (Usage(10, 10, cache_write=-2), "invalid_usage", "unpriced"),
        (Usage(10, 10, cache_write=1, cache_write_1h=2), "invalid_usage", "unpriced"),
        (Usage(10, 10, cache_write_1h=2), "incomplete_usage", "unpriced"),
        (Usage(10, 10, requests=-1), "invalid_usage", "unpriced"),
        (Usage(10, 10, audio_seconds=float("inf")), "invalid_usage", "unpriced"),
        (Usage(10, 10, provider_cost=float("nan")), "invalid_usage", "unpriced"),
        (Usage(10, 10, provider_cost=-1.0), "invalid_usage", "unpriced"),
    ],
)
def test_a_usage_that_does_not_add_up_says_why(catalogue, usage, reason, status):
    quoted = quote(catalogue, "anthropic", "claude-opus-5", usage)
    assert (quoted.reason, quoted.status) == (reason, status)
    assert quoted.total is None or quoted.total > 0


def test_an_embedding_needs_no_output(catalogue):
    quoted = quote(catalogue, "openai", "text-embedding-3-large", Usage(1000))
    assert (quoted.status, usd(quoted)) == ("priced", Decimal("0.00013"))


def test_a_model_listed_as_free_costs_nothing_and_is_priced(catalogue):
    quoted = quote(catalogue, "openrouter", "openai/gpt-oss-20b:free")
    assert (quoted.status, quoted.total) == ("priced", 0)


def test_what_the_provider_says_a_call_cost_is_the_price(catalogue):
    quoted = quote(catalogue, "openrouter", "some/new-model", Usage(100, 10, provider_cost=0.00123))
    assert (quoted.status, quoted.source, usd(quoted), quoted.currency) == (
        "priced",
        "provider",
        Decimal("0.00123"),
        "USD",
    )
    assert quoted.amounts == {"other": quoted.total}


# Scenario 21 and bounds


def test_scenario_21_loading_and_quoting_opens_no_socket_and_imports_neither_genai_prices_nor_opentelemetry():
    script = (
        "import sys\n"
        "def hook(event, arguments):\n"
        "    assert not event.startswith('socket.'), event\n"
        "sys.addaudithook(hook)\n"
        "from otel_llm.cost import Catalogue, Usage\n"
        "for _ in range(100):\n"
        "    quote = Catalogue.load().quote('openai', 'gpt-4o', Usage(1, 1), 1_795_000_000 * 10**9)\n"
        "    break\n"
        "assert quote.status == 'priced'\n"
        "found = {name.partition('.')[0] for name in sys.modules}\n"
        "assert not found & {'genai_prices', 'pydantic', 'opentelemetry', 'yaml', 'httpx', 'requests'}, found\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_names_without_end_do_not_grow_the_memory():
    catalogue = Catalogue.load()
    for number in range(3 * REMEMBERED_CALLS):
        catalogue.quote(f"provider-{number}", f"model-{number}", Usage(1, 1), 1)
    assert len(catalogue._recent) <= 2 * REMEMBERED_CALLS
    assert len(catalogue._lists) < 60
    long = Catalogue.load()
    for number in range(100):
        long.quote("openai", f"{number}" + "x" * 5000, Usage(1, 1), 1)
    assert len(long._recent) == 0


def test_an_explanation_shows_every_line_of_the_sum(catalogue):
    usage = Usage(9000, 700, cache_read=3000, cache_write=2048)
    text = explain(quote(catalogue, "anthropic", "claude-opus-5", usage))
    assert text.splitlines() == [
        "model: anthropic/claude-opus-5 (by exact)",
        f"prices: catalogue, version {catalogue.version}",
        "input                     3,952 x 5 USD a million              = 0.01976 USD",
        "cache_read                3,000 x 0.5 USD a million            = 0.0015 USD",
        "cache_write               2,048 x 6.25 USD a million           = 0.0128 USD",
        "output                      700 x 25 USD a million             = 0.0175 USD",
        "total                                                          = 0.05156 USD",
    ]


def test_an_explanation_says_what_is_missing(catalogue):
    text = explain(quote(catalogue, "openai", "nothing-of-the-kind"))
    assert "unpriced (unknown_model): the model is in no price list; add an alias" in text


def test_every_overlay_entry_is_priced_by_its_id_and_gives_its_reasons(catalogue):
    data = json.loads((resources.files("otel_llm.cost") / "data" / "overlay.json").read_text(encoding="utf-8"))
    for entry in data["entries"]:
        newest = entry["prices"][-1]
        until = newest.get("until", "2026-11-18")
        day = dt.date.fromisoformat(until) - dt.timedelta(days=1)
        while day.weekday() > 4:
            day -= dt.timedelta(days=1)
        hour = newest.get("daily", [["12:00", ""]])[0][0]
        quoted = quote(catalogue, entry["provider"], entry["ids"][0], Usage(1_000_000, 0), f"{day}T{hour}:00+00:00")
        fee = Decimal(newest["rates"].get("request", 0)) / 1000
        assert quoted.source == "overlay", entry["model"]
        assert quoted.total_decimal == Decimal(newest["rates"]["input"]) + fee, entry["model"]
        assert entry["note"]
        assert entry["source"]
