"""Cost, end to end: spans of different conventions go into a running gateway, and come out priced."""

from __future__ import annotations

import datetime as dt
import json
from contextlib import closing
from pathlib import Path

import pytest

from otel_llm._generated import attributes as names
from otel_llm.ledger.row import row_of
from otel_llm.ledger.store import Ledger
from otel_llm.ledger.totals import Totals
from otel_llm.operation import AttributeValue
from tests.acceptance.amounts import COST, REASON, STATUS, dollars, priced
from tests.acceptance.through import Attributes, Through, derived, started
from tests.golden.recorded import processed
from tests.spans import SpanSpec, chat, request

_ARN = "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/abc123"
_ALIASES = f"""
aliases:
  - {{name: my-prod-gpt4o, provider: azure.ai.openai, model: gpt-4o}}
  - {{name: "{_ARN}", provider: aws.bedrock, model: us.anthropic.claude-sonnet-4-5-20250929-v1:0}}
"""
# Provider, model, host -> prices of a million tokens in and out, the model whose price it is.
RESOLVED: dict[str, tuple[str, str, str | None, str, str, str]] = {
    "a snapshot newer than the price list": ("openai", "gpt-4o-2027-01-01", None, "2.5", "10", "openai/gpt-4o"),
    "an Azure deployment with an alias": ("azure.ai.openai", "my-prod-gpt4o", None, "2.5", "10", "openai/gpt-4o"),
    "a Bedrock inference profile with an alias": (
        "aws.bedrock",
        _ARN,
        None,
        "3.3",
        "16.5",
        "aws/regional.anthropic.claude-sonnet-4-5-20250929-v1:0",
    ),
    "a Bedrock region prefix": (
        "aws.bedrock",
        "eu.anthropic.claude-sonnet-4-5-20250929-v1:0",
        None,
        "3.3",
        "16.5",
        "aws/regional.anthropic.claude-sonnet-4-5-20250929-v1:0",
    ),
    "a fine-tuned model": (
        "openai",
        "ft:gpt-4o-mini-2024-07-18:acme::abc",
        None,
        "0.3",
        "1.2",
        "openai/ft:gpt-4o-mini",
    ),
    "OpenRouter behind the OpenAI SDK": (
        "openai",
        "anthropic/claude-sonnet-4.5",
        "openrouter.ai",
        "3",
        "15",
        "openrouter/anthropic/claude-sonnet-4.5",
    ),
}


def test_14_aliases_resolve_by_a_named_rule_and_the_rest_is_unknown_not_free(tmp_path: Path) -> None:
    """Given models under other names than the price list's, when their spans pass, then those that can be resolved are
    priced and say by which rule, the others have no cost but a reason, are counted by model, and a total says that it
    is partial and how many tokens it lacks."""
    with started(tmp_path, _ALIASES) as through:
        for case, (provider, model, host, price_in, price_out, matched) in RESOLVED.items():
            named = chat(
                gen_ai__provider__name=provider,
                gen_ai__request__model=model,
                gen_ai__response__model=model,
                server__address=host,
            )
            span = through.call(named)
            assert priced(span) == pytest.approx(dollars((1000, price_in), (100, price_out)), rel=1e-9), case
            assert span[names.OTEL_LLM_COST_MODEL_MATCHED] == matched, case
            assert span[names.OTEL_LLM_COST_MODEL_RULE], case
        unknown = chat(gen_ai__request__model="zorgblatt-9000", gen_ai__response__model="zorgblatt-9000")
        span = through.call(unknown)
        assert (span[STATUS], span[REASON]) == ("unpriced", "unknown_model")
        assert not [key for key, value in span.items() if key.startswith("otel_llm.cost.") and isinstance(value, float)]
        counted = through.own_metric(
            "otel_llm_cost_unpriced_calls_total",
            otel_llm_cost_reason="unknown_model",
            gen_ai_request_model="zorgblatt-9000",
        )
        assert counted == 1


def test_14_a_total_with_unknown_models_in_it_says_that_it_is_partial(tmp_path: Path) -> None:
    """Given a known and an unknown model in the ledger, then the total is marked as partial, with what it lacks."""
    unknown = chat(gen_ai__request__model="zorgblatt-9000", gen_ai__response__model="zorgblatt-9000")
    body = request([SpanSpec(chat(), span=1, trace=1), SpanSpec(unknown, span=2, trace=2)])
    (total,) = _totals(tmp_path, body)
    assert total.is_partial
    assert (total.unpriced_calls, total.unpriced_input_tokens, total.unpriced_output_tokens) == (1, 1000, 100)
    assert {currency: float(cost) for currency, cost in total.costs.items()} == {"USD": 0.0035}


def test_14_the_age_of_the_price_list_is_a_metric(through: Through) -> None:
    """Given any gateway, then the age of its prices can be seen, and an alert be set on it."""
    assert "otel_llm_cost_catalogue_age" in through.own_metrics()


def test_15_reasoning_tokens_are_billed_once(through: Through) -> None:
    """Given OpenAI's 100 tokens of answer of which 80 are reasoning, and Gemini's 20 of answer beside 100 of thoughts,
    then 100 and 120 tokens are billed."""
    openai = through.call(
        chat(
            gen_ai__request__model="o4-mini",
            gen_ai__response__model="o4-mini",
            gen_ai__usage__input_tokens=10,
            gen_ai__usage__reasoning__output_tokens=80,
        ),
    )
    assert openai["otel_llm.cost.output"] == pytest.approx(dollars((100, "4.4")), rel=1e-12)
    raw = {"promptTokenCount": 10, "candidatesTokenCount": 20, "thoughtsTokenCount": 100, "totalTokenCount": 130}
    gemini = through.call(
        {
            "langfuse.observation.type": "generation",
            "langfuse.observation.model.name": "gemini-2.5-pro",
            "gen_ai.provider.name": "gcp.gemini",
            "langfuse.observation.usage_details": json.dumps(raw),
        },
        "langfuse-sdk",
    )
    assert gemini[names.GEN_AI_USAGE_OUTPUT_TOKENS] == 120
    assert gemini["otel_llm.cost.output"] == pytest.approx(dollars((120, "10")), rel=1e-12)
    counts = [gemini[names.GEN_AI_USAGE_INPUT_TOKENS], gemini[names.GEN_AI_USAGE_OUTPUT_TOKENS]]
    assert counts == [10, raw["totalTokenCount"] - 10]


def test_15_thoughts_that_do_not_fit_into_the_output_are_flagged(through: Through) -> None:
    """Given a span that left the thoughts out of its output count, so that a part is more than the whole, then it is
    flagged and neither count is changed."""
    span = through.call(
        chat(
            gen_ai__provider__name="gcp.gemini",
            gen_ai__request__model="gemini-2.5-pro",
            gen_ai__response__model="gemini-2.5-pro",
            gen_ai__usage__input_tokens=10,
            gen_ai__usage__output_tokens=20,
            gen_ai__usage__reasoning__output_tokens=100,
        ),
        "opentelemetry.instrumentation.genai.openai",
    )
    assert (span[STATUS], span[REASON]) == ("unpriced", "invalid_usage")
    assert span[names.GEN_AI_USAGE_OUTPUT_TOKENS] == 20
    assert span[names.GEN_AI_USAGE_REASONING_OUTPUT_TOKENS] == 100


@pytest.mark.parametrize(
    ("requested", "served", "price"),
    [
        ("auto", "default", dollars((1000, "2.5"), (100, "15"))),
        ("flex", "default", dollars((1000, "2.5"), (100, "15"))),
        ("auto", "flex", dollars((1000, "1.25"), (100, "7.5"))),
        ("flex", "priority", dollars((1000, "5"), (100, "30"))),
        ("priority", "default", dollars((1000, "2.5"), (100, "15"))),
    ],
)
def test_16_the_tier_of_the_response_wins(through: Through, requested: str, served: str, price: float) -> None:
    """Given a call that asked for one service tier and was served in another, then the one that served it is billed."""
    span = through.call(
        chat(
            gen_ai__request__model="gpt-5.4",
            gen_ai__response__model="gpt-5.4",
            openai__request__service_tier=requested,
            openai__response__service_tier=served,
        ),
    )
    assert priced(span) == pytest.approx(price, rel=1e-9)


@pytest.mark.parametrize(
    ("tokens", "price"), [(271_999, ("2.5", "15")), (272_000, ("2.5", "15")), (272_001, ("5", "22.5"))]
)
def test_16_the_long_context_price_begins_right_after_its_threshold(
    through: Through, tokens: int, price: tuple[str, str]
) -> None:
    """Given prompts around the threshold of 272,000 tokens, then the price changes at the first token beyond it."""
    named = chat(
        gen_ai__request__model="gpt-5.4", gen_ai__response__model="gpt-5.4", gen_ai__usage__input_tokens=tokens
    )
    assert priced(through.call(named)) == pytest.approx(dollars((tokens, price[0]), (100, price[1])), rel=1e-9)


def test_16_a_batch_costs_what_batches_cost(through: Through) -> None:
    """Given a result of the batch interface, then it is half the price."""
    named = chat(
        gen_ai__request__model="gpt-5.4", gen_ai__response__model="gpt-5.4", otel_llm__usage__processing="batch"
    )
    assert priced(through.call(named)) == pytest.approx(dollars((1000, "1.25"), (100, "7.5")), rel=1e-9)


def _on(moment: str) -> int:
    return int(dt.datetime.fromisoformat(f"{moment}+00:00").timestamp()) * 10**9


def test_17_a_call_costs_what_it_cost_on_its_day(through: Through) -> None:
    """Given a price cut on 2026-08-21, when calls from before and after pass in any order and again later, then each
    has the price of its own day, says by which prices, and comes out the same to the byte."""
    sol = chat(gen_ai__request__model="gpt-5.6-sol", gen_ai__response__model="gpt-5.6-sol")
    days = ["2026-08-21T00:00:00", "2026-08-20T23:59:59", "2026-11-01T00:00:00", "2026-08-01T12:00:00"]
    spans = through.calls([SpanSpec(sol, start=_on(day), scope="app") for day in days])
    after, before = dollars((1000, "4"), (100, "20")), dollars((1000, "5"), (100, "30"))
    assert [priced(span) for span in spans] == pytest.approx([after, before, after, before], rel=1e-9)
    assert len({span[names.OTEL_LLM_COST_PRICE_VERSION] for span in spans}) == 1
    body = request([SpanSpec(sol, start=_on(day), trace=n, span=n) for n, day in enumerate(days, 1)])
    _, first = processed(body)
    _, replayed = processed(body)
    _, twice = processed(first)
    assert first == replayed == twice


_IMAGES = """
models:
  - {provider: acme, model: painter, prices: [{rates: {image: "0.04"}}]}
"""


def _sent_units(folder: Path) -> tuple[list[Attributes], list[tuple[Attributes, float]]]:
    """Spans of calls that are not only tokens, as they arrive; and the series of the cost metric about them."""
    with started(folder, _IMAGES) as through:
        spans = [
            through.call(_unit("acme", "painter", "image_generation", otel_llm__usage__images=3)),
            through.call(chat(gen_ai__response__model="gpt-4.1", otel_llm__usage__web_searches=3)),
            through.call(_unit("openai", "whisper-1", "transcription", otel_llm__usage__audio_seconds=90.0)),
            through.call(
                _unit("openai", "text-embedding-3-small", "embeddings") | {"gen_ai.usage.input_tokens": 96_000}
            ),
        ]
        destination = through.destination
    return spans, derived(destination, "otel_llm.cost.usage")


def test_20_what_is_not_tokens_has_a_cost(tmp_path: Path) -> None:
    """Given images, a web search, seconds of audio and a batch of embeddings, then each call has a cost, with the
    quantity on the span and the amount under a meter of its own."""
    (images, search, audio, embeddings), _ = _sent_units(tmp_path)
    assert priced(images) == pytest.approx(0.12, rel=1e-9)
    assert images[names.OTEL_LLM_USAGE_IMAGES] == 3
    assert priced(search) == pytest.approx(dollars((1000, "2"), (100, "8")) + 0.03, rel=1e-9)
    assert search["otel_llm.cost.web_search"] == pytest.approx(0.03)
    assert priced(audio) == pytest.approx(0.009, rel=1e-9)
    assert audio[names.OTEL_LLM_USAGE_AUDIO_SECONDS] == 90.0
    assert priced(embeddings) == pytest.approx(dollars((96_000, "0.02")), rel=1e-9)


def test_20_what_is_not_tokens_is_in_the_cost_metric(tmp_path: Path) -> None:
    """Given the same calls, then the cost metric has all their amounts, by meter."""
    spans, series = _sent_units(tmp_path)
    assert sum(value for _, value in series) == pytest.approx(sum(_amount(span[COST]) for span in spans), rel=1e-9)
    meters = {str(attributes[names.OTEL_LLM_COST_METER]) for attributes, _ in series}
    assert meters == {key.removeprefix("otel_llm.cost.") for span in spans for key in span if _is_meter(key, span)}


def test_20_a_web_search_is_in_the_cost_metric_under_its_own_meter(tmp_path: Path) -> None:
    """Given a chat with web searches, then the cost metric tells the fee for them apart from the tokens."""
    _, series = _sent_units(tmp_path)
    fees = [value for attributes, value in series if attributes[names.OTEL_LLM_COST_METER] == "web_search"]
    assert fees == [pytest.approx(0.03)]


def _unit(provider: str, model: str, operation: str, **attributes: AttributeValue) -> dict[str, AttributeValue]:
    return {
        "gen_ai.operation.name": operation,
        "gen_ai.provider.name": provider,
        "gen_ai.request.model": model,
        **{key.replace("__", "."): value for key, value in attributes.items()},
    }


def _amount(value: AttributeValue) -> float:
    assert isinstance(value, float)
    return value


def _is_meter(key: str, span: Attributes) -> bool:
    return key.startswith("otel_llm.cost.") and key != COST and isinstance(span[key], float)


def _totals(folder: Path, body: bytes) -> list[Totals]:
    """What a ledger says of a request after the pipeline."""
    operations, _ = processed(body)
    with closing(Ledger(folder / "ledger.db")) as ledger:
        ledger.record([row for operation in operations if (row := row_of(operation)) is not None])
        return ledger.totals()
