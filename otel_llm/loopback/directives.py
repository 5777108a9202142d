"""What a caller may tell the loopback provider to do, beside what the request itself asks for.

Two places, the same grammar, `key=value` joined by `;` (values are percent-decoded):
  - the header `x-loopback: input=2006; cache_read=1920`
  - the model name after a `#`: `gpt-4o-mini#error=429;retry_after=2` (for SDK users who cannot set a header)
The header wins. A model called `err429` is short for `#error=429`. An unknown key is an error, so that a typo in a test
is seen.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, fields
from typing import Literal, get_args
from urllib.parse import unquote

HEADER = "x-loopback"
ToolMode = Literal["auto", "none", "one", "parallel"]
_ERROR_MODEL = re.compile(r"err([45]\d\d)")


class DirectiveError(ValueError):
    """A directive is unknown or has a value of the wrong kind; answered with 400."""


@dataclass(frozen=True, slots=True)
class Directives:
    """How one request is to be answered. None means: decide from the request.

    Attributes:
        error: answer with this HTTP status.
        retry_after: seconds in the `Retry-After` header of an error.
        fail_times: answer with `error` only this many times for the same request, then normally (for retry tests).
        drop_after: close the connection without an end after this many stream events (0: before any byte).
        delay_ms: wait before the first byte, in milliseconds.
        chunk_delay_ms: wait between stream events, in milliseconds.
        id: response id, as it stands.
        text: text of the answer.
        piece: stream texts in pieces of this many characters, not word by word.
        thinking: reasoning text of the answer, shown even when the request does not ask to see it.
        finish: finish reason in the words of the wire format, e.g. `length`, `content_filter`, `max_tokens`, `refusal`.
        tools: whether to call the tools offered; `auto` calls them unless the last message is a tool's result.
        tool_ids: ids of the tool calls in order, joined by `,`.
        model: response model, as it stands.
        service_tier: service tier in the answer.
        input: input tokens, cached ones included.
        output: output tokens, reasoning included.
        cache_read: input tokens read from a cache; part of `input`.
        cache_write: input tokens written to a cache; part of `input` (Anthropic only).
        cache_write_1h: part of `cache_write` that is kept for an hour (Anthropic only).
        reasoning: reasoning tokens; part of `output`.
    """

    error: int | None = None
    retry_after: int | None = None
    fail_times: int | None = None
    drop_after: int | None = None
    delay_ms: int | None = None
    chunk_delay_ms: int | None = None
    id: str | None = None
    text: str | None = None
    piece: int | None = None
    thinking: str | None = None
    finish: str | None = None
    tools: ToolMode = "auto"
    tool_ids: str | None = None
    model: str | None = None
    service_tier: str | None = None
    input: int | None = None
    output: int | None = None
    cache_read: int | None = None
    cache_write: int | None = None
    cache_write_1h: int | None = None
    reasoning: int | None = None


_TYPES = {field.name: str(field.type) for field in fields(Directives)}


def parse(model: str, header: str | None) -> tuple[str, Directives]:
    """The model name without its directives, and the directives of name and header.

    Raises:
        DirectiveError: a key is unknown, or a value is not of the key's kind.
    """
    name, _, suffix = model.partition("#")
    pairs = {**_pairs(suffix), **_pairs(header or "")}
    error_model = _ERROR_MODEL.fullmatch(name)
    if error_model and "error" not in pairs:
        pairs["error"] = error_model[1]
    return name, Directives(**{key: _value(key, text) for key, text in pairs.items()})  # type: ignore[arg-type] # _value checks each against the field's type


def _pairs(text: str) -> dict[str, str]:
    pairs = (item.partition("=") for item in text.split(";") if item.strip())
    return {key.strip(): unquote(value.strip()) for key, _, value in pairs}


def _value(key: str, text: str) -> int | str:
    kind = _TYPES.get(key)
    if kind is None:
        raise DirectiveError(f"{HEADER}: unknown directive {key!r}; known: {', '.join(_TYPES)}")
    if kind.startswith("int"):
        if not text.isascii() or not text.isdigit():
            raise DirectiveError(f"{HEADER}: {key} must be a whole number of at least 0, got {text!r}")
        return int(text)
    if kind == "ToolMode" and text not in get_args(ToolMode):
        raise DirectiveError(f"{HEADER}: {key} must be one of {', '.join(get_args(ToolMode))}, got {text!r}")
    return text
