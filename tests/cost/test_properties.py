"""What must hold for every model and every usage."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from otel_llm.cost import Catalogue, Usage
from otel_llm.cost.plans import quick_amounts, quick_total
from otel_llm.cost.usage import FIELDS, MAXIMUM_QUANTITY

CATALOGUE = Catalogue.load()
NOW = int(dt.datetime(2026, 11, 18, 12, tzinfo=dt.UTC).timestamp()) * 10**9
#: Every kind of price list: flat, tiered, cached, audio, fees, windows, resold, free.
MODELS = [
    ("openai", "gpt-4o"),
    ("openai", "gpt-5.4"),
    ("openai", "gpt-realtime"),
    ("openai", "gpt-4o-audio-preview"),
    ("openai", "text-embedding-3-large"),
    ("anthropic", "claude-sonnet-4-5"),
    ("anthropic", "claude-opus-5"),
    ("google", "gemini-2.5-pro"),
    ("google", "gemini-2.5-flash"),
    ("azure", "gpt-5.2"),
    ("deepseek", "deepseek-v4-flash"),
    ("perplexity", "sonar"),
    ("perplexity", "sonar-deep-research"),
    ("groq", "whisper-large-v3"),
    ("openrouter", "openai/gpt-oss-20b:free"),
    ("openai", "gpt-image-1"),
]
MODES = [None, "batch"]
TIERS = [None, "priority", "flex", "strange"]

models = st.sampled_from(MODELS)
counts = st.integers(0, 400_000)


@st.composite
def text_usages(draw):
    """A call with text and prompt caches that adds up."""
    tokens = draw(st.integers(1, 400_000))
    output = draw(counts)
    read = draw(st.none() | st.integers(0, tokens))
    write = draw(st.none() | st.integers(0, tokens - (read or 0)))
    hour = draw(st.none() | st.integers(0, write)) if write is not None else None
    reasoning = draw(st.none() | st.integers(0, output))
    return Usage(tokens, output, read, write, hour, reasoning)


@st.composite
def rich_usages(draw):
    """A call with anything a model may use, adding up and with its overlap reported."""
    text = draw(text_usages())
    tokens, output, read = text.input_tokens, text.output_tokens, text.cache_read or 0
    free = tokens - read - (text.cache_write or 0)
    audio = draw(st.integers(0, free))
    cached_audio = draw(st.integers(0, read))
    return Usage(
        *text.text,
        input_audio=audio + cached_audio,
        cache_read_audio=cached_audio,
        output_audio=draw(st.integers(0, output - (text.reasoning or 0))),
        web_searches=draw(st.none() | st.integers(0, 50)),
        requests=draw(st.integers(1, 3)),
        characters=draw(st.none() | counts),
        audio_seconds=draw(st.none() | st.floats(0, 10_000)),
    )


anything = st.none() | st.integers() | st.floats() | st.booleans() | st.text(max_size=3) | st.binary(max_size=3)
junk_usages = st.builds(
    lambda values: Usage(**values), st.fixed_dictionaries({}, optional=dict.fromkeys(FIELDS, anything))
)


def quote(model, usage, at=NOW, **rest):
    return CATALOGUE.quote(*model, usage, at, **rest)


@settings(deadline=None)  # machines that run this are busy
@given(models, rich_usages(), st.sampled_from(MODES), st.sampled_from(TIERS))
def test_the_meters_sum_to_the_total_which_is_not_negative(model, usage, processing, tier):
    quoted = quote(model, usage, processing=processing, service_tier=tier)
    if quoted.total is None:
        assert quoted.reason
        assert quoted.meters == ()
        assert quoted.amounts == {}
    else:
        assert quoted.total >= 0
        assert sum(line.amount for line in quoted.meters) == quoted.total
        assert sum(quoted.amounts.values()) == quoted.total
        assert quoted.total_decimal == Decimal(quoted.total) / 10**18
        assert quoted.total_float == float(quoted.total_decimal)


@settings(deadline=None)  # machines that run this are busy
@given(models, text_usages(), st.sampled_from(MODES))
def test_the_short_path_gives_what_the_bill_gives(model, usage, processing):
    quoted = quote(model, usage, processing=processing)
    if quoted.plan is None or (total := quick_total(quoted.plan, usage)) is None:
        return
    lines = quoted.bill().lines
    amounts: dict[str, int] = {}
    for line in lines:
        amounts[line.unit.meter] = amounts.get(line.unit.meter, 0) + line.amount
    assert total == sum(line.amount for line in lines)
    assert quick_amounts(quoted.plan, usage) == amounts
    assert quoted.bill().problem is None


@settings(deadline=None)  # machines that run this are busy
@given(models, text_usages(), st.integers(1, 1000))
def test_more_output_never_costs_less(model, usage, more):
    larger = Usage(usage.input_tokens, usage.output_tokens + more, *usage.text[2:])
    before, after = quote(model, usage), quote(model, larger)
    assert before.total is None or after.total >= before.total


@settings(deadline=None)  # machines that run this are busy
@given(models, text_usages(), st.integers(1, 400_000))
def test_more_input_never_costs_less(model, usage, more):
    larger = Usage(usage.input_tokens + more, *usage.text[1:])
    before, after = quote(model, usage), quote(model, larger)
    assert before.total is None or after.total >= before.total


@settings(deadline=None)  # machines that run this are busy
@given(
    st.sampled_from([("openai", "gpt-4o"), ("anthropic", "claude-opus-5"), ("google", "gemini-2.5-flash")]),
    text_usages(),
    text_usages(),
)
def test_without_tiers_two_calls_cost_what_their_sum_costs(model, one, other):
    both = Usage(*((left or 0) + (right or 0) for left, right in zip(one.text, other.text, strict=True)))
    assert quote(model, both).total == quote(model, one).total + quote(model, other).total


@settings(deadline=None)  # machines that run this are busy
@given(models, junk_usages, st.integers())
def test_no_usage_raises_and_none_is_silently_free(model, usage, at):
    quoted = quote(model, usage, at)
    if quoted.reason == "invalid_usage":
        assert quoted.total is None
    if quoted.total is None:
        assert quoted.status == "unpriced"
        assert quoted.reason is not None
    assert quoted.amounts is not None


@settings(deadline=None)  # machines that run this are busy
@given(
    st.none() | st.text(max_size=300),
    st.none() | st.text(max_size=300),
    st.none() | st.text(max_size=40),
    st.none() | st.text(max_size=40),
    st.none() | st.text(max_size=80),
)
def test_no_id_raises(provider, model, processing, tier, address):
    quoted = CATALOGUE.quote(provider, model, Usage(10, 10), NOW, processing, tier, address, model)
    assert quoted.total is None or quoted.model_matched


@settings(deadline=None)  # machines that run this are busy
@given(
    st.sampled_from(["arn:aws:bedrock:", "ft:", "models/", "publishers/", "projects/", "openrouter/", "us.", "@", ":"]),
    st.text(max_size=200),
)
def test_no_malformed_notation_raises(prefix, rest):
    for provider in ("openai", "aws", "google", None):
        assert CATALOGUE.quote(provider, prefix + rest, Usage(10, 10), NOW).status in ("priced", "unpriced")


@settings(deadline=None)  # machines that run this are busy
@given(models, rich_usages(), st.integers(1, 2**62))
def test_replaying_gives_the_same_quote(model, usage, at):
    first, second = quote(model, usage, at), quote(model, usage, at)
    assert first == second
    assert first.meters == second.meters


def test_the_largest_quantity_is_priced_and_the_next_is_not():
    assert quote(("openai", "gpt-4o"), Usage(MAXIMUM_QUANTITY, 1)).status == "priced"
    assert quote(("openai", "gpt-4o"), Usage(MAXIMUM_QUANTITY + 1, 1)).reason == "invalid_usage"


def test_a_usage_is_immutable_comparable_and_readable():
    usage = Usage(10, 5, web_searches=2)
    assert (usage.input_tokens, usage.web_searches, usage.cache_read, usage.requests) == (10, 2, None, 1)
    assert usage == Usage(10, 5, web_searches=2)
    assert len({usage, Usage(10, 5, web_searches=2), Usage(10, 5)}) == 2
    assert repr(usage) == "Usage(input_tokens=10, output_tokens=5, requests=1, web_searches=2)"
    with pytest.raises(AttributeError, match="immutable"):
        usage.input_tokens = 3
