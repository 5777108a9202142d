"""Compiles the installed genai-prices package into otel_llm/cost/data/catalogue.json.

The run time reads only that file: it imports neither genai-prices nor pydantic and never the network. What this
tool changes on the way, each in one function below, so that a reader can disagree with one of them:

* float noise is rounded to twelve significant digits and twelve decimals (28 prices of 0.2.3), and a price that is
  then still not a whole number of 1e-18 USD a unit stops the build;
* every literal is assigned to the model that genai-prices itself resolves it to, so that a later lookup in a
  dictionary cannot pick another one;
* a model with no price at all is free only where its publisher says so, otherwise it has no price;
* batch and tier prices are copied to the clouds that sell the same model at the same standard price
  (genai-prices ignores them for a model reached through its fallback provider).

Usage: python tools/prices/build.py [--check]
"""

from __future__ import annotations

import argparse
import datetime as dt
import importlib.metadata
import json
import sys
from collections.abc import Iterable, Iterator
from decimal import Decimal
from pathlib import Path

from genai_prices import types as gp
from genai_prices.data import providers as source_providers
from genai_prices.data_units import unit_data

PINNED = "0.2.3"
TARGET = Path(__file__).resolve().parents[2] / "otel_llm" / "cost" / "data" / "catalogue.json"

#: genai-prices' price key -> our unit (otel_llm/cost/units.py). What is absent here has no quantity on a span.
UNIT_OF_PRICE_KEY = {
    "input_mtok": "input",
    "output_mtok": "output",
    "cache_read_mtok": "cache_read",
    "cache_write_mtok": "cache_write",
    "cache_write_1h_mtok": "cache_write_1h",
    "input_audio_mtok": "input_audio",
    "output_audio_mtok": "output_audio",
    "cache_audio_read_mtok": "cache_read_audio",
    "input_image_mtok": "input_image",
    "output_image_mtok": "output_image",
    "cache_image_read_mtok": "cache_read_image",
    "input_video_mtok": "input_video",
    "output_video_mtok": "output_video",
    "output_reasoning_mtok": "reasoning",
    "output_citation_mtok": "citation",
    "input_mchars": "characters",
    "audio_hours": "audio",
    "input_audio_hours": "audio",
    "input_document_kpages": "pages",
    "web_searches_kcount": "web_search",
    "storage_searches_kcount": "file_search",
    "requests_kcount": "request",
}
#: Price keys left out on purpose: no attribute carries their quantity.
IGNORED_PRICE_KEYS = {"input_text_messages_kcount", "input_annotated_document_kpages"}

#: Models without a price that their publisher gives away (ids ending in ":free" are free by definition).
FREE = {
    ("openai", "moderation"),
    ("google", "gemma-3"),
    ("google", "gemma-3n"),
    ("google", "gemma-4-26b-a4b-it"),
    ("google", "gemma-4-31b-it"),
}
#: (cloud, maker): the cloud's own entry for the maker's model takes the maker's batch and tier prices when the
#: standard prices are equal. Azure and Vertex publish the same discounts.
VARIANT_DONORS = (("azure", "openai"), ("azure", "anthropic"), ("google", "anthropic"))
#: Tiers a cloud does not sell although the maker does.
VARIANTS_NOT_SOLD = {("google", "speed", "fast")}
#: Groq bills at least ten seconds of audio a request (https://groq.com/pricing); genai-prices has this in code.
MINIMUM_AUDIO_SECONDS = {("groq", "whisper-large-v3"): 10, ("groq", "whisper-large-v3-turbo"): 10}

Json = dict[str, "Json"] | list["Json"] | str | int | None


def price_text(price: Decimal, per: int) -> str:
    """The price as plain decimal text, float noise removed; raises ValueError when it is not exact in 1e-18 a unit."""
    rounded = round(Decimal(f"{price:.12g}"), 12)
    if per != 3600 and (rounded * 10**18 / per) % 1:  # noqa: PLR2004 - hours do not divide; rounded once at the end
        raise ValueError(f"price {price} per {per} is not a whole number of 1e-18 USD a unit")
    return f"{rounded.normalize():f}"


def rates(price: gp.ModelPrice) -> dict[str, Json]:
    """One set of prices as {unit: "price"} or {unit: ["base", [start, "price"], ...]}."""
    per_of_key = {raw["price_key"]: raw["per"] for raw in unit_data.values()}
    found: dict[str, Json] = {}
    for key, value in price.__dict__.items():
        if value is None or key in IGNORED_PRICE_KEYS:
            continue
        per = per_of_key[key]
        if isinstance(value, gp.TieredPrices):
            tiers: list[Json] = [[tier.start, price_text(tier.price, per)] for tier in value.tiers]
            found[UNIT_OF_PRICE_KEY[key]] = [price_text(value.base, per), *tiers]
        else:
            found[UNIT_OF_PRICE_KEY[key]] = price_text(value, per)
    return found


def constraint(value: object) -> dict[str, Json]:
    """A genai-prices constraint as our "from" / "daily" keys."""
    match value:
        case None:
            return {}
        case gp.StartDateConstraint():
            return {"from": value.start_date.isoformat()}
        case gp.TimeOfDateConstraint():
            return {"daily": [[f"{value.start_time:%H:%M}", f"{value.end_time:%H:%M}"]]}
    raise TypeError(f"unknown constraint {value!r}: teach tools/prices/build.py what it means")


def periods(model: gp.ModelInfo, provider: str) -> list[Json]:
    """The model's prices, oldest first, as the catalogue has them."""
    entries = model.prices if isinstance(model.prices, list) else [gp.ConditionalPrice(prices=model.prices)]
    free = (provider, model.id) in FREE or model.id.endswith(":free")
    result: list[Json] = []
    for entry in entries:
        found = rates(entry.prices) or ({"input": "0", "output": "0"} if free else {})
        if found:
            result.append({**constraint(entry.constraint), "rates": found})
    return result


def variants(model: gp.ModelInfo) -> list[Json]:
    """Batch, tier and speed prices; one without prices (service_tier=default) says: standard prices, and is kept."""
    return [
        {"when": dict(item.when), **constraint(item.constraint), "rates": rates(item.prices)}
        for item in model.price_variants or ()
    ]


def literals_and_clauses(match: object) -> Iterator[tuple[str, str]]:
    """The alternatives of a match rule as (kind, text); a conjunction becomes one regex with look-aheads."""
    match match:
        case gp.ClauseOr():
            for part in match.or_:
                yield from literals_and_clauses(part)
        case gp.ClauseEquals():
            yield "equals", match.equals.lower()
        case gp.ClauseStartsWith():
            yield "starts_with", match.starts_with.lower()
        case gp.ClauseEndsWith():
            yield "ends_with", match.ends_with.lower()
        case gp.ClauseContains():
            yield "contains", match.contains.lower()
        case gp.ClauseRegex():
            yield "regex", match.regex
        case gp.ClauseAnd():
            # The data has only "starts with X, and not a text-to-speech model": the version-suffix rule of
            # otel_llm/cost/model_ids.py already refuses the latter.
            yield from (item for part in match.and_ for item in literals_and_clauses(part) if item[0] != "regex")
        case _:
            raise TypeError(f"unknown match rule {match!r}: teach tools/prices/build.py what it means")


def model_entry(provider: gp.Provider, model: gp.ModelInfo) -> dict[str, Json]:
    """One model: the ids that mean it, the looser rules, its prices."""
    rules = list(literals_and_clauses(model.match))
    ids = [text for kind, text in rules if kind == "equals" and owner(provider, text) in (model, None)]
    if model.id.lower() not in ids and owner(provider, model.id) in (model, None):
        ids.insert(0, model.id.lower())
    entry: dict[str, Json] = {"ids": list(dict.fromkeys(ids))}
    if clauses := [[kind, text] for kind, text in rules if kind != "equals"]:
        entry["clauses"] = clauses
    entry["prices"] = periods(model, provider.id)
    if found := variants(model):
        entry["variants"] = found
    if minimum := MINIMUM_AUDIO_SECONDS.get((provider.id, model.id)):
        entry["minimum_audio_seconds"] = minimum
    return entry


def owner(provider: gp.Provider, literal: str) -> gp.ModelInfo | None:
    """The model genai-prices itself finds for this id at this provider."""
    return provider.find_model(literal)


def merged(first: dict[str, Json], second: dict[str, Json]) -> dict[str, Json]:
    """Two source entries of one id: the ids of both lead to the first one's prices (build stops if those differ)."""
    if first["prices"] != second["prices"]:
        raise ValueError(f"two entries with one id and different prices: {first['ids']}, {second['ids']}")
    return {**first, "ids": [*first["ids"], *(i for i in second["ids"] if i not in first["ids"])]}


def inherit_variants(catalogue: dict[str, dict[str, dict[str, Json]]]) -> None:
    """Copies batch and tier prices to the clouds (VARIANT_DONORS), in place."""
    sources = {provider.id: provider for provider in source_providers}
    for cloud, maker in VARIANT_DONORS:
        for entry in catalogue[cloud].values():
            donor = next(filter(None, (sources[maker].find_model(name) for name in entry["ids"])), None)
            donor_entry = donor and catalogue[maker].get(donor.id)
            if not donor_entry or "variants" not in donor_entry or "variants" in entry:
                continue
            if donor_entry["prices"][-1]["rates"] == entry["prices"][-1]["rates"] or _same_tokens(donor_entry, entry):
                entry["variants"] = donor_entry["variants"]


def _same_tokens(donor: dict[str, Json], entry: dict[str, Json]) -> bool:
    """Whether the newest token prices are equal (clouds differ in fees and in the 1-hour cache entry)."""
    ours, theirs = entry["prices"][-1]["rates"], donor["prices"][-1]["rates"]
    return all(ours.get(unit) == theirs.get(unit) for unit in ("input", "output", "cache_read"))


def drop_unsold(catalogue: dict[str, dict[str, dict[str, Json]]]) -> None:
    """Removes the tiers a cloud does not sell (VARIANTS_NOT_SOLD), in place."""
    for cloud, key, value in VARIANTS_NOT_SOLD:
        for entry in catalogue[cloud].values():
            if "variants" in entry:
                entry["variants"] = [item for item in entry["variants"] if item["when"].get(key) != value]


def start_dates(node: Json) -> Iterator[str]:
    """Every "from" date in the catalogue."""
    if isinstance(node, dict):
        if isinstance(node.get("from"), str):
            yield node["from"]
        for value in node.values():
            yield from start_dates(value)
    elif isinstance(node, list):
        for value in node:
            yield from start_dates(value)


def newest_fact(dates: Iterable[str], today: str) -> str:
    """The newest price change that lies in the past: what the catalogue surely knew about."""
    return max(date for date in dates if date <= today)


def build(today: str) -> str:
    """The whole catalogue as JSON text, one model a line."""
    installed = importlib.metadata.version("genai-prices")
    if installed != PINNED:
        raise SystemExit(f"genai-prices is {installed}, this tool is written for {PINNED}: pip install it, then review")
    catalogue: dict[str, dict[str, dict[str, Json]]] = {}
    for provider in source_providers:
        models = catalogue.setdefault(provider.id, {})
        for model in provider.models:
            entry = model_entry(provider, model)
            models[model.id] = merged(models[model.id], entry) if model.id in models else entry
    inherit_variants(catalogue)
    drop_unsold(catalogue)
    head = {
        "source": f"genai-prices {PINNED} (MIT, see NOTICE)",
        "as_of": newest_fact(start_dates(catalogue), today),
        "fallbacks": {p.id: p.fallback_model_providers for p in source_providers if p.fallback_model_providers},
    }
    return _text(head, catalogue)


def _text(head: dict[str, Json], catalogue: dict[str, dict[str, dict[str, Json]]]) -> str:
    """JSON with one model a line, so that a price change is a one-line diff."""
    compact = {"separators": (",", ":"), "ensure_ascii": False}
    lines = [json.dumps(head, **compact)[:-1] + ',"providers":{']
    blocks = []
    for provider, models in catalogue.items():
        rows = [f"{json.dumps(name)}:{json.dumps(entry, **compact)}" for name, entry in models.items()]
        blocks.append(f"{json.dumps(provider)}:{{\n" + ",\n".join(rows) + "\n}")
    return "".join([*lines, "\n", ",\n".join(blocks), "}}\n"])


def main() -> int:
    """Writes the catalogue, or with --check says whether the committed one is what this tool would write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 when the committed file differs")
    arguments = parser.parse_args()
    if arguments.check:
        committed = TARGET.read_text(encoding="utf-8")
        same = build(json.loads(committed)["as_of"]) == committed
        print("up to date" if same else f"{TARGET.name} is not what tools/prices/build.py writes: run it and commit")
        return 0 if same else 1
    text = build(dt.datetime.now(tz=dt.UTC).date().isoformat())
    TARGET.parent.mkdir(parents=True, exist_ok=True)
    TARGET.write_text(text, encoding="utf-8")
    print(f"{TARGET.name}: {len(text):,} characters")
    return 0


if __name__ == "__main__":
    sys.exit(main())
