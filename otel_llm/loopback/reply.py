"""The "model": makes up an answer from prompt and directives, the same for the same requests in the same order."""

from __future__ import annotations

import json
import re
import threading
from dataclasses import dataclass
from typing import Final

from otel_llm.loopback.directives import Directives
from otel_llm.loopback.json_types import Json, JsonObject, object_at, string_at
from otel_llm.loopback.prompt import Api, Prompt
from otel_llm.loopback.usage import CACHE_MINIMUM_TOKENS, CACHE_STEP_TOKENS, Usage, count_tokens

CREATED: Final = 1_767_225_600
"""The `created` time of every answer: 2026-01-01T00:00:00Z, so that answers do not depend on the clock."""

SNAPSHOTS: Final = {
    "claude-haiku-4-5": "claude-haiku-4-5-20251001",
    "claude-sonnet-4-5": "claude-sonnet-4-5-20250929",
    "gpt-4.1-mini": "gpt-4.1-mini-2025-04-14",
    "gpt-4o": "gpt-4o-2024-08-06",
    "gpt-4o-mini": "gpt-4o-mini-2024-07-18",
    "o4-mini": "o4-mini-2025-04-16",
}
"""What a provider answers for a floating model name; any other name is answered as it was asked."""

ANSWERS: Final = (
    ("order a-", "The parcel is at the depot nearest to you and is due tomorrow."),
    ("capital of france", "Paris is the capital of France."),
    (
        "refund",
        "A refund is possible within 30 days of delivery. I can start one as soon as you tell me the order number.",
    ),
    (
        "deliver",
        "Standard delivery takes two to four working days; express arrives on the next working day before noon.",
    ),
    ("summar", "The customer asked about a late parcel, was told where it is, and is satisfied with the answer."),
)
"""Part of a question in lower case, and what is answered to it; the first that fits wins."""

_ID_PREFIX: Final[dict[Api, str]] = {
    "chat_completions": "chatcmpl-",
    "responses": "resp_",
    "embeddings": "embd_",
    "messages": "msg_",
}
_NAMED_THING = re.compile(r"\b[A-Z][\w-]*")
_MAX_TOOL_CALLS = 8
_REASONING_MODEL = re.compile(r"o\d|gpt-5")
_DEFAULT_REASONING_TOKENS = 64
_MAX_CACHED_PREFIXES = 10_000


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A call the answer asks for; `arguments` is JSON text, as on the wire."""

    id: str
    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer, in no wire format yet.

    Attributes:
        id: response id.
        model: response model.
        text: text of the answer; empty when only tools are called.
        thinking: reasoning text, None when there is none to show.
        tool_calls: calls the answer asks for.
        finish: finish reason as directed, None for the one that follows from the answer.
        usage: tokens billed.
        service_tier: as directed, None for the wire format's usual one.
        piece: how many characters of a text are streamed at once, None for a word.
    """

    id: str
    model: str
    text: str
    thinking: str | None
    tool_calls: tuple[ToolCall, ...]
    finish: str | None
    usage: Usage
    service_tier: str | None
    piece: int | None = None


class Model:
    """Answers prompts. Thread-safe; what it remembers (answers given, prefixes cached) is guarded by `_lock`."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._answered = 0
        self._cached: dict[str, None] = {}

    def answer(self, prompt: Prompt, directives: Directives) -> Reply:
        """The answer to a prompt; its usage follows from the lengths of prompt and answer unless directed."""
        number = self._next_number()
        calls = _tool_calls(prompt, directives, number)
        text = _text(prompt, directives, calls)
        thinking = directives.thinking or (_thought(calls) if prompt.thinking else None)
        said = "".join([text, *(call.name + call.arguments for call in calls)])
        return Reply(
            id=directives.id or f"{_ID_PREFIX[prompt.api]}loopback{number:06d}",
            model=directives.model or SNAPSHOTS.get(prompt.model, prompt.model),
            text=text,
            thinking=thinking,
            tool_calls=calls,
            finish=directives.finish,
            usage=self._usage(prompt, directives, said, count_tokens(thinking or "")),
            service_tier=directives.service_tier,
            piece=directives.piece,
        )

    def _next_number(self) -> int:
        with self._lock:
            self._answered += 1
            return self._answered

    def _usage(self, prompt: Prompt, directives: Directives, said: str, thinking_tokens: int) -> Usage:
        input_tokens = _chosen(directives.input, count_tokens(prompt.text))
        if prompt.api == "embeddings":
            return Usage(input_tokens, 0)
        read, write, write_1h = self._cache_tokens(prompt)
        reasoning = _chosen(directives.reasoning, _hidden_reasoning(prompt) or thinking_tokens)
        return Usage(
            input_tokens=input_tokens,
            output_tokens=_chosen(directives.output, count_tokens(said) * prompt.choices + reasoning),
            cache_read_tokens=_chosen(directives.cache_read, read),
            cache_write_tokens=_chosen(directives.cache_write, write),
            cache_write_1h_tokens=_chosen(directives.cache_write_1h, write_1h),
            reasoning_tokens=reasoning,
        )

    def _cache_tokens(self, prompt: Prompt) -> tuple[int, int, int]:
        """Tokens read from the cache, written to it, and written for an hour: by marks or by prefix."""
        if prompt.api == "messages":
            return self._marked_cache_tokens(prompt)
        tokens = count_tokens(prompt.stable_prefix) // CACHE_STEP_TOKENS * CACHE_STEP_TOKENS
        known = self._remember(prompt.model, prompt.stable_prefix, tokens)
        return (tokens if known else 0), 0, 0

    def _marked_cache_tokens(self, prompt: Prompt) -> tuple[int, int, int]:
        if prompt.cache is None:
            return 0, 0, 0
        tokens = count_tokens(prompt.cache.prefix)
        if tokens < CACHE_MINIMUM_TOKENS:
            return 0, 0, 0
        if self._remember(prompt.model, prompt.cache.prefix, tokens):
            return tokens, 0, 0
        return 0, tokens, min(tokens, count_tokens(prompt.cache.prefix_1h))

    def _remember(self, model: str, prefix: str, tokens: int) -> bool:
        """Whether the prefix was cached before; from now on it is, the oldest making room."""
        if tokens < CACHE_MINIMUM_TOKENS:
            return False
        key = f"{model}\n{prefix}"
        with self._lock:
            known = key in self._cached
            self._cached[key] = None
            if len(self._cached) > _MAX_CACHED_PREFIXES:
                del self._cached[next(iter(self._cached))]
        return known


def _chosen(directed: int | None, default: int) -> int:
    return default if directed is None else directed


def _hidden_reasoning(prompt: Prompt) -> int:
    """Reasoning that OpenAI's reasoning models bill and do not show."""
    hides = prompt.api != "messages" and _REASONING_MODEL.match(prompt.model)
    return _DEFAULT_REASONING_TOKENS if hides else 0


def _thought(calls: tuple[ToolCall, ...]) -> str:
    return "I should call the tool." if calls else "I know the answer."


def _text(prompt: Prompt, directives: Directives, calls: tuple[ToolCall, ...]) -> str:
    if directives.text is not None:
        return directives.text
    if prompt.schema is not None:
        return json.dumps(_arguments(prompt.schema, None))
    if calls:
        return "Let me check." if prompt.api == "messages" else ""
    question = prompt.question.lower()
    known = next((answer for part, answer in ANSWERS if part in question), None)
    return known or (
        "Here is what I found for you." if prompt.after_tool else f"You asked: {prompt.question.strip()[:200]}"
    )


def _tool_calls(prompt: Prompt, directives: Directives, number: int) -> tuple[ToolCall, ...]:
    mode = directives.tools
    if not prompt.tools or mode == "none" or (mode == "auto" and prompt.after_tool):
        return ()
    things: list[str | None] = [*dict.fromkeys(_NAMED_THING.findall(prompt.question)[1:])] or [None]
    wanted = things[:_MAX_TOOL_CALLS] if mode == "parallel" or (mode == "auto" and prompt.parallel) else things[:1]
    ids = directives.tool_ids.split(",") if directives.tool_ids else []
    prefix = "toolu_" if prompt.api == "messages" else "call_"
    return tuple(
        ToolCall(
            id=ids[index] if index < len(ids) else f"{prefix}loopback{number:06d}_{index + 1}",
            name=prompt.tools[0].name,
            arguments=json.dumps(_arguments(prompt.tools[0].parameters, thing), separators=(",", ":")),
        )
        for index, thing in enumerate(wanted)
    )


def _arguments(schema: JsonObject, thing: str | None) -> dict[str, Json]:
    """An object that fits a flat JSON schema: every required property, all of them when none is said to be required."""
    properties = object_at(schema, "properties")
    required = schema.get("required")
    names = [name for name in required if isinstance(name, str)] if isinstance(required, list) else list(properties)
    return {name: _argument(object_at(properties, name), thing or name) for name in names}


def _argument(schema: JsonObject, thing: str) -> Json:
    choices = schema.get("enum")
    if isinstance(choices, list) and choices:
        return choices[0]  # type: ignore[no-any-return] # an element of Json's Sequence
    by_type: dict[str, Json] = {"integer": 1, "number": 1.0, "boolean": True, "array": [], "object": {}}
    return by_type.get(string_at(schema, "type"), thing)
