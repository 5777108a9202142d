"""A request, whatever its wire format, as far as the loopback provider needs it to make up an answer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from otel_llm.loopback.json_types import JsonObject

Api = Literal["chat_completions", "responses", "embeddings", "messages"]


@dataclass(frozen=True, slots=True)
class Tool:
    """A function the caller offers: its name and the JSON schema of its arguments."""

    name: str
    parameters: JsonObject


@dataclass(frozen=True, slots=True)
class CacheMark:
    """Where the caller allows the prompt to be cached (Anthropic's `cache_control`).

    Attributes:
        prefix: all text up to the last mark.
        prefix_1h: all text up to the last mark with a life of one hour, empty when there is none.
    """

    prefix: str
    prefix_1h: str = ""


@dataclass(frozen=True, slots=True)
class Vectors:
    """What to embed: the texts, the length of each vector, and whether vectors are sent as base64 of 32-bit floats."""

    inputs: tuple[str, ...]
    dimensions: int
    as_base64: bool


@dataclass(frozen=True, slots=True)
class Prompt:
    """One request.

    Attributes:
        api: which wire format it came in.
        model: requested model, without directives.
        text: everything the model reads, in order.
        question: text of the last user message.
        stable_prefix: text before the last message; what a provider that caches by itself can reuse.
        after_tool: whether the last message is a tool's result.
        tools: what may be called; empty when the caller forbids calls.
        parallel: whether several calls may be made in one answer.
        thinking: whether the caller asked to see the reasoning.
        cache: where the caller marked the prompt for caching; None when it did not.
        stream: whether the answer is streamed.
        include_usage: whether a streamed answer reports its usage.
        choices: how many answers to give.
        schema: JSON schema the answer's text must fit; None for prose.
        vectors: what to embed; None for everything but embeddings.
    """

    api: Api
    model: str
    text: str
    question: str
    stable_prefix: str = ""
    after_tool: bool = False
    tools: tuple[Tool, ...] = ()
    parallel: bool = True
    thinking: bool = False
    cache: CacheMark | None = None
    stream: bool = False
    include_usage: bool = True
    choices: int = 1
    schema: JsonObject | None = None
    vectors: Vectors | None = None
