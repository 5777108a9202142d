"""Whether the answer repeats parts of the system instructions, word for word."""

from __future__ import annotations

from typing import Final

_PIECE: Final = 32
# Pieces of the instructions begin at every second character and those of the answer at every 33rd: of two in a row in a
# copied passage, one begins at a piece of the instructions.
_EVERY: Final = 2
_STRIDE: Final = _PIECE + 1
# Two of them: a passage of 165 characters or more is always found.
_FEWEST: Final = 2
# Shorter instructions ("You are a helpful assistant.") are nobody's secret and come up in plain answers.
_SHORTEST: Final = 100
MAX_INSTRUCTIONS: Final = 16 * 1024
MAX_CHARACTERS: Final = 64 * 1024


def pieces_of(instructions: str) -> frozenset[str]:
    """Pieces of the instructions' first 16 Ki characters to look for; none when they are short."""
    text = instructions[:MAX_INSTRUCTIONS]
    if len(text) < _SHORTEST:
        return frozenset()
    return frozenset(text[start : start + _PIECE] for start in range(0, len(text) - _PIECE + 1, _EVERY))


def is_leak(answer: str, pieces: frozenset[str]) -> bool:
    """Whether the answer has a passage of the instructions; a paraphrase is not found."""
    text = answer[:MAX_CHARACTERS]
    found = [start for start in range(0, len(text) - _PIECE + 1, _STRIDE) if text[start : start + _PIECE] in pieces]
    return len(found) >= _FEWEST and not all(text[start : start + _PIECE].isspace() for start in found)
