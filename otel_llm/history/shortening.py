"""References in the place of messages that a span before has.

The history is a prefix, so it is known by a chain of digests: that of n messages is made from the digest of n - 1 and
the n-th message. They stay in memory and are never written anywhere.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha256
from typing import Protocol

import msgspec

from otel_llm.history.references import Reference, as_input, join, split


class Memory(Protocol):
    """The span that was the first to hold something, by its digest. It may forget: then things are told again."""

    def recall(self, key: bytes, /) -> bytes | None:
        """The ids of the span, None when it is not known or forgotten."""
        ...

    def remember(self, key: bytes, answer: bytes, /) -> None:
        """Keep the ids of a span."""
        ...


@dataclass(frozen=True, slots=True)
class Conversation:
    """Spans that may refer to each other.

    Attributes:
        seed: where its chains of digests begin; another conversation has another.
    """

    seed: bytes

    @classmethod
    def of(cls, *names: str) -> Conversation:
        """The conversation of these names, in this order."""
        return cls(sha256(msgspec.json.encode(names)).digest())


def shorten_messages(
    conversation: Conversation, span: bytes, text: str, output: str | None, memory: Memory
) -> tuple[str, int] | None:
    """The input with a reference for the leading messages that another span holds; None when it is to stay whole.

    The span is remembered as the one that holds the others, its answer included. A span never refers to itself: one
    that is sent again comes out as it did before.

    Args:
        conversation: which one the span is part of.
        span: its trace id and span id.
        text: its input, a JSON array of messages.
        output: its answer, likewise; None when there is none.
        memory: of the spans before.

    Returns:
        the shorter input, and how many messages are replaced.
    """
    pieces = split(text)
    if not pieces:
        return None
    answer = as_input(split(output) or []) if output is not None else []
    held, holder = _longest(conversation, span, [*pieces, *answer], len(pieces), memory)
    if not held:
        return None
    reference = Reference(holder, held).as_message()
    if len(reference) >= sum(map(len, pieces[:held])) + held - 1:
        return None
    return join([reference, *pieces[held:]]), held


def _longest(
    conversation: Conversation, span: bytes, pieces: Iterable[bytes], limit: int, memory: Memory
) -> tuple[int, bytes]:
    """How many leading messages another span holds, and which; what nobody holds is this span's from now on."""
    held, holder = 0, b""
    state = conversation.seed
    for number, piece in enumerate(pieces, 1):
        state = sha256(state + piece).digest()
        known = memory.recall(state)
        if known is None:
            memory.remember(state, span)
        elif known != span and number <= limit:
            held, holder = number, known
    return held, holder


def shorten_value(conversation: Conversation, span: bytes, key: str, text: str, memory: Memory) -> str | None:
    """A reference for a value that another span holds whole; None when it is to stay.

    Args:
        conversation: which one the span is part of.
        span: its trace id and span id.
        key: of the attribute, as equal texts of different attributes are different things.
        text: the value.
        memory: of the spans before.
    """
    digest = sha256(conversation.seed + key.encode() + b"\0" + text.encode("utf-8", "surrogatepass")).digest()
    holder = memory.recall(digest)
    if holder is None:
        memory.remember(digest, span)
        return None
    reference = Reference(holder).as_value()
    return reference if holder != span and len(reference) < len(text) else None
