"""Operations as lines of a table for a person at a terminal. Pure text: no I/O, no content of messages."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Literal

from otel_llm._generated import attributes as keys
from otel_llm.operation import AttributeValue, Operation

UNKNOWN: Final = "-"
_SYMBOLS: Final = {"USD": "$", "EUR": "€", "GBP": "£", "JPY": "¥"}
_SECOND: Final = 1_000_000_000

Style = Literal["plain", "dim", "red", "yellow"]
_CODES: Final[dict[Style, str]] = {"dim": "\x1b[2m", "red": "\x1b[31m", "yellow": "\x1b[33m"}
_RESET: Final = "\x1b[0m"

_NAME_KEYS: Final = (keys.GEN_AI_TOOL_NAME, keys.GEN_AI_AGENT_NAME, keys.GEN_AI_WORKFLOW_NAME)
# Why there is no cost when the rest of the line says it already.
_PLAIN_REASONS: Final = ("aggregate", "failed")

# Attributes whose values are what users and models said.
CONTENT_KEYS: Final = frozenset(
    {
        keys.GEN_AI_INPUT_MESSAGES,
        keys.GEN_AI_OUTPUT_MESSAGES,
        keys.GEN_AI_SYSTEM_INSTRUCTIONS,
        keys.GEN_AI_TOOL_DEFINITIONS,
        keys.GEN_AI_TOOL_CALL_ARGUMENTS,
        keys.GEN_AI_TOOL_CALL_RESULT,
        keys.GEN_AI_RETRIEVAL_DOCUMENTS,
        keys.GEN_AI_RETRIEVAL_QUERY_TEXT,
        keys.GEN_AI_MEMORY_RECORDS,
        keys.GEN_AI_MEMORY_QUERY_TEXT,
    }
)


@dataclass(frozen=True, slots=True)
class _Column:
    """A column.

    Attributes:
        title: its heading.
        width: characters; longer text is cut, but for the last column's.
        is_number: aligned to the right.
    """

    title: str
    width: int
    is_number: bool = False


_COLUMNS: Final = (
    _Column("TIME", 8),
    _Column("OPERATION", 12),
    _Column("PROVIDER/MODEL", 36),
    _Column("IN", 7, is_number=True),
    _Column("OUT", 6, is_number=True),
    _Column("CACHED", 7, is_number=True),
    _Column("COST", 11, is_number=True),
    _Column("STATUS", 6),
    _Column("LATENCY", 8, is_number=True),
    _Column("NOTE", 0),
)


def header(*, color: bool) -> str:
    """The line of headings."""
    return paint(_line(column.title for column in _COLUMNS), "dim", color=color)


def row(operation: Operation, *, color: bool) -> str:
    """The line of one operation."""
    failed = operation.status_code == 2  # noqa: PLR2004 - OTLP StatusCode ERROR
    cells = (
        _time(operation.start_unix_nano),
        printable(operation.operation_name or operation.name),
        _model(operation),
        _count(operation.input_tokens),
        _count(operation.output_tokens),
        _count(operation.cache_read_input_tokens),
        cost(operation),
        "error" if failed else "ok",
        _latency(operation),
        note(operation),
    )
    style: Style = "red" if failed else "yellow" if _is_cost_missing(operation) else "plain"
    return paint(_line(cells), style, color=color)


def details(operation: Operation, *, content: bool) -> Iterable[str]:
    """One aligned line for each attribute; content only when asked for, else its length."""
    names = sorted(operation.keys())
    width = min(max(map(len, names), default=0), 44)
    for name in names:
        value = operation.get(name)
        text = _hidden(value) if name in CONTENT_KEYS and not content else printable(str(value))
        yield f"          {printable(name):<{width}}  {text}"


def cost(operation: Operation) -> str:
    """The cost as a person reads it: an amount, or the word for why there is none."""
    status = operation.get(keys.OTEL_LLM_COST_STATUS)
    total = operation.get(keys.OTEL_LLM_COST_TOTAL)
    if isinstance(total, bool) or not isinstance(total, int | float):
        return "" if status in (None, "not_billable") else printable(str(status))
    currency = operation.get(keys.OTEL_LLM_COST_CURRENCY)
    amount = f"{_SYMBOLS.get(str(currency), '')}{_amount(total)}"
    # What is known in part is a lower bound; what rests on a guess is about right.
    mark = ">" if status == "partial" else "~" if operation.get(keys.OTEL_LLM_COST_ESTIMATED) is True else ""
    suffix = "" if str(currency) in _SYMBOLS or currency is None else f" {printable(str(currency))}"
    return f"{mark}{amount}{suffix}"


def _amount(total: float) -> str:
    """Six digits behind the point; more for what would look like nothing, which only what is free costs."""
    digits = 6 if not total or not math.isfinite(total) else max(6, 1 - math.floor(math.log10(abs(total))))
    return f"{total:.{digits}f}"


def note(operation: Operation) -> str:
    """What else is worth knowing: why there is no price, what failed, what a policy or a check said."""
    reason = operation.get(keys.OTEL_LLM_COST_REASON)
    verdict = operation.get(keys.OTEL_LLM_POLICY_VERDICT_TYPE)
    parts: list[AttributeValue] = [
        operation.get(keys.ERROR_TYPE),
        reason if reason not in _PLAIN_REASONS else None,
        verdict if verdict != "allow" else None,
        operation.get(keys.OTEL_LLM_QUALITY_FLAGS),
        operation.get(keys.OTEL_LLM_PROCESSING_ERRORS),
    ]
    texts = [", ".join(map(str, part)) if isinstance(part, tuple | list) else str(part) for part in parts if part]
    return printable("; ".join(texts))


def paint(text: str, style: Style, *, color: bool) -> str:
    """The text in a style, when colour is wanted."""
    return f"{_CODES[style]}{text}{_RESET}" if color and style in _CODES else text


def printable(text: str) -> str:
    """The text without what could move a terminal's cursor or change its state."""
    return text if text.isprintable() else "".join(c if c.isprintable() else "·" for c in text)


def _line(cells: Iterable[str]) -> str:
    return "  ".join(_fit(cell, column) for cell, column in zip(cells, _COLUMNS, strict=True)).rstrip()


def _fit(text: str, column: _Column) -> str:
    if column.is_number:  # never cut: a number without its end is another number
        return text.rjust(column.width)
    if column.width and len(text) > column.width:
        text = text[: column.width - 1] + "…"
    return text.ljust(column.width)


def _time(unix_nano: int) -> str:
    """The time of day, UTC; any uint64 of nanoseconds is before the year 2555."""
    return dt.datetime.fromtimestamp(unix_nano // _SECOND, dt.UTC).strftime("%H:%M:%S") if unix_nano else UNKNOWN


def _model(operation: Operation) -> str:
    model = operation.response_model or operation.request_model
    known = [part for part in (operation.provider_name, model) if part]
    # Agents, tools and workflows have no model, but a name.
    names = [str(name) for key in _NAME_KEYS if (name := operation.get(key))]
    return printable("/".join(known) or " ".join(names[:1])) or UNKNOWN


def _count(value: int | None) -> str:
    return UNKNOWN if value is None else f"{value:,}"


def _latency(operation: Operation) -> str:
    nano = operation.end_unix_nano - operation.start_unix_nano
    if nano < 0 or not operation.start_unix_nano:
        return UNKNOWN
    return f"{nano / _SECOND:.2f} s" if nano >= _SECOND else f"{nano / 1e6:.0f} ms"


def _is_cost_missing(operation: Operation) -> bool:
    return operation.get(keys.OTEL_LLM_COST_STATUS) in ("unpriced", "partial", "error")


def _hidden(value: AttributeValue) -> str:
    return f"({len(value):,} characters)" if isinstance(value, str) else "(content)"
