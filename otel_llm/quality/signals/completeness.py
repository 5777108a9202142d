"""Whether the answer is there and whole."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

# `content_filter` cuts an answer off as well, but is the provider's doing and has its own finish reason on the span.
_CUT: Final = frozenset({"length", "max_tokens", "max_output_tokens", "model_length"})
# What an answer may end with. Code and lists end with anything, hence only where no finish reason tells.
_ENDS: Final = frozenset(".!?\")]}`*:;>|…。！？”’'»」』）।؟")
_FENCE: Final = "```"
# Shorter answers are labels, numbers and names, which end without a full stop.
_SHORTEST: Final = 200


def is_empty(answer: str) -> bool:
    """Whether an answer without tool calls and without other parts says nothing."""
    return not answer or answer.isspace()


def is_truncated(answer: str, finish_reasons: Sequence[str]) -> bool:
    """Whether the answer was cut off: the finish reason says so, or, when there is none, it stops in mid-sentence.

    Without a finish reason this is a guess, which is wrong for answers that end in a list or in code.
    """
    if finish_reasons:
        return not _CUT.isdisjoint(finish_reasons)
    if len(answer) < _SHORTEST:
        return False
    end = answer[-64:].rstrip()
    return bool(end) and (end[-1] not in _ENDS or answer.count(_FENCE) % 2 == 1)
