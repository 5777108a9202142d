"""Rows of a ledger and what a provider served, with what a test says and nothing else."""

from __future__ import annotations

from otel_llm.ledger.row import COLUMNS, Row
from otel_llm.loopback import Served, Usage


def row(**known: object) -> Row:
    """A row of which only this is known."""
    return Row(**{**dict.fromkeys(COLUMNS), "trace_id": b"t" * 16, "span_id": b"s" * 8, "start_unix_nano": 0, **known})  # type: ignore[arg-type] # by name


def priced(pico: int, **known: object) -> Row:
    """A row with a cost in 1e-12 USD."""
    return row(cost_status="priced", cost_total=pico, cost_currency="USD", **known)


def served(usage: Usage | None, model: str = "m", response_id: str | None = None, **other: object) -> Served:
    """A call the provider answered, or refused with 429 when there is no usage."""
    told: dict[str, object] = {
        "api": "chat_completions",
        "response_model": model,
        "status": 429 if usage is None else 200,
        "stream": False,
        "usage_reported": usage is not None,
        "completed": True,
        **other,
    }
    return Served(request_model=model, response_id=response_id, usage=usage, **told)  # type: ignore[arg-type] # by name
