"""Whether the answer is there and whole."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

# `content_filter` cuts an answer off as well, but is the provider's doing and has its own finish reason on the span.
_CUT: Final = frozenset({"length", "max_tokens", "max_output_tokens", "model_length"})


def is_empty(answer: str) -> bool:
    """Whether an answer without tool calls and without other parts says nothing."""
    return not answer or answer.isspace()


def is_truncated(finish_reasons: Sequence[str]) -> bool | None:
    """Whether a finish reason says that the answer was cut off; None when there is none.

    Without one it could only be guessed, from an end in mid-sentence, and every seventh whole answer ends so.
    """
    return not _CUT.isdisjoint(finish_reasons) if finish_reasons else None
