"""Vendors whose API has OpenAI's shape: its endpoints without what only OpenAI's own spans carry."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

from otel_llm.instrumentation.provider import Endpoint, View, plain
from otel_llm.instrumentation.providers import openai_other as other
from otel_llm.instrumentation.providers.openai import endpoint as openai_endpoint
from otel_llm.instrumentation.providers.openai_chat import CHAT as OPENAI_CHAT
from otel_llm.instrumentation.providers.openai_chat import COMPLETION as OPENAI_COMPLETION
from otel_llm.instrumentation.providers.openai_chat import ChatChunks


class CompatibleChunks(ChatChunks):
    """Chunks that may lack fields of OpenAI's: usage (Groq's stands in `x_groq`), and what captured content needs."""

    __slots__ = ()

    def add(self, chunk: Any) -> None:  # noqa: ANN401 - the SDK's model
        """Take a chunk."""
        if self._captured and type(chunk) is not View:
            said = plain(chunk)
            if isinstance(said, dict):
                chunk = View(said)
        if self._first is None:
            self._first = chunk
        if getattr(chunk, "usage", None) is None:
            theirs = getattr(getattr(chunk, "x_groq", None), "usage", None)
            if theirs is not None:
                self._usage = theirs
            chunk = _WithoutUsage(chunk)
        super().add(chunk)


class _WithoutUsage:
    """The choices of a chunk that says nothing about usage."""

    __slots__ = ("choices",)

    usage = None

    def __init__(self, chunk: Any) -> None:  # noqa: ANN401 - the SDK's model
        self.choices = getattr(chunk, "choices", None)


CHAT: Final = replace(OPENAI_CHAT, constant={}, accumulator=CompatibleChunks)
COMPLETION: Final = replace(OPENAI_COMPLETION, accumulator=CompatibleChunks)
EMBEDDINGS: Final = other.EMBEDDINGS
_OURS: Final = {"chat": CHAT, "completion": COMPLETION}


def endpoint(method: str, url: str) -> Endpoint | None:
    """The endpoint of a request; None for what is no GenAI operation."""
    found = openai_endpoint(method, url)
    return None if found is None else _OURS.get(found.name, found)
