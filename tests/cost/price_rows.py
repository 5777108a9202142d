"""Labelled price rows as calls: what the cost processor does with span attributes, in miniature."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping

from otel_llm.cost import Catalogue, Quote, Usage

_FIELDS = {
    "gen_ai.usage.input_tokens": "input_tokens",
    "gen_ai.usage.prompt_tokens": "input_tokens",
    "llm.usage.prompt_tokens": "input_tokens",
    "llm.token_count.prompt": "input_tokens",
    "gen_ai.usage.output_tokens": "output_tokens",
    "gen_ai.usage.completion_tokens": "output_tokens",
    "llm.usage.completion_tokens": "output_tokens",
    "llm.token_count.completion": "output_tokens",
    "gen_ai.usage.cache_read.input_tokens": "cache_read",
    "gen_ai.usage.cache_read_input_tokens": "cache_read",
    "llm.token_count.prompt_details.cache_read": "cache_read",
    "gen_ai.usage.cache_write.input_tokens": "cache_write",
    "gen_ai.usage.cache_creation.input_tokens": "cache_write",
    "gen_ai.usage.cache_creation_input_tokens": "cache_write",
    "llm.token_count.prompt_details.cache_write": "cache_write",
    "gen_ai.usage.reasoning.output_tokens": "reasoning",
    "gen_ai.usage.audio.input_tokens": "input_audio",
    "gen_ai.usage.audio.output_tokens": "output_audio",
    "gen_ai.usage.cost": "provider_cost",
}
_CONTEXT_FIELDS = {
    "web_searches": "web_searches",
    "cache_write_1h_tokens": "cache_write_1h",
    "audio_seconds": "audio_seconds",
}


def usage_of(row: Mapping[str, object]) -> Usage:
    """The row's usage attributes and context as a Usage."""
    found: dict[str, object] = {}
    for key, value in row["usage"].items():
        found[_FIELDS[key]] = value
    for key, field in _CONTEXT_FIELDS.items():
        if key in row["context"]:
            found[field] = row["context"][key]
    return Usage(**found)


def unix_nano(timestamp: str) -> int:
    """An ISO 8601 time as OTLP has it."""
    moment = dt.datetime.fromisoformat(timestamp)
    return int(moment.timestamp()) * 1_000_000_000


def quote_row(catalogue: Catalogue, row: Mapping[str, object]) -> Quote:
    """The quote for a row of price-cases.jsonl."""
    return catalogue.quote(
        row["provider"],
        row["response_model"],
        usage_of(row),
        unix_nano(row["timestamp"]),
        processing=row["context"].get("processing"),
        service_tier=row["context"].get("service_tier"),
        server_address=row.get("server.address"),
        request_model=row.get("request_model"),
    )
