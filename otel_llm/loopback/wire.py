"""What every wire format does: read a request, write an answer whole, as a stream, or as an error."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Protocol

from otel_llm.loopback.json_types import Json, JsonObject
from otel_llm.loopback.prompt import Prompt
from otel_llm.loopback.reply import Reply

FRAGMENT_CHARACTERS = 5
"""Length of the pieces in which streamed JSON arguments arrive; short, so that keys and escapes are cut in two."""


class WireFormat(Protocol):
    """One API of one provider. Implementations keep nothing: the same arguments give the same bytes."""

    def read(self, model: str, body: JsonObject) -> Prompt:
        """The request's meaning; `model` is its model without directives."""
        ...

    def whole(self, prompt: Prompt, reply: Reply) -> JsonObject:
        """The body of a plain answer."""
        ...

    def stream(self, prompt: Prompt, reply: Reply) -> Iterator[bytes]:
        """The server-sent events of a streamed answer, one at a time."""
        ...

    def error(self, status: int, model: str, message: str | None) -> JsonObject:
        """The body of an error; None as a message for the provider's usual one."""
        ...


def server_sent_event(data: Mapping[str, Json] | str, event: str | None = None) -> bytes:
    """One server-sent event."""
    text = data if isinstance(data, str) else json.dumps(data, separators=(",", ":"))
    return (f"event: {event}\n" if event else "").encode() + f"data: {text}\n\n".encode()


def words(text: str, size: int | None = None) -> list[str]:
    """A text in the pieces in which it is streamed: words with the space before them, or so many characters each."""
    if size:
        return [text[start : start + size] for start in range(0, len(text), size)]
    pieces = [piece if index == 0 else f" {piece}" for index, piece in enumerate(text.split(" "))]
    return [piece for piece in pieces if piece]


def fragments(text: str) -> list[str]:
    """JSON text in short pieces."""
    return [text[start : start + FRAGMENT_CHARACTERS] for start in range(0, len(text), FRAGMENT_CHARACTERS)]
