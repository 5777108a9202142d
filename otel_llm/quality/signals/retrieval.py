"""What a retrieval brought back: nothing, or nothing recent; and whether an answer says where it is from."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Final

_DATES: Final = (
    "updated_at", "last_updated", "last_modified", "modified_at", "modified", "updated", "published_at", "published",
    "date", "created_at", "timestamp",
)  # fmt: skip
# 1973 and 2286.
_EARLIEST_SECONDS: Final = 1e8
_LATEST_NANOSECONDS: Final = 1e19
_MILLISECONDS_FROM: Final = 1e11
_NANOSECONDS_FROM: Final = 1e17
_NANO: Final = 10**9

# [1], [2, 3], 【4†source】, (source: ...), a link, a footnote. A numbered list is none.
_CITATION: Final = re.compile(
    r"\[\^?\d{1,3}(?:\s?[,–-]\s?\d{1,3})*\]|【\d{1,4}[^】]{0,40}】|https?://|\]\(|\[(?:source|doc|ref)[^\]]{0,60}\]"
    r"|\b(?:source|sources|reference|references|according to)\b\s*[:\"“]?",
    re.IGNORECASE,
)
_WANTED: Final = re.compile(
    r"\b(?:cite|cites|citing|citation|citations|reference the|list (?:the|your) sources|with sources|source for each"
    r"|include (?:the |your )?(?:sources|references))\b",
    re.IGNORECASE,
)
_MAX_CHARACTERS: Final = 64 * 1024


def newest_unix_nano(metadata: Iterable[Mapping[str, object]]) -> int | None:
    """The newest date in documents' metadata (`updated_at`, `date`, ...); None when none has one."""
    dates = [date for one in metadata for name in _DATES if (date := _unix_nano(one.get(name))) is not None]
    return max(dates, default=None)


def _unix_nano(value: object) -> int | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        return _from_number(value)
    if not isinstance(value, str):
        return None
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        return None
    moment = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
    try:
        return int(moment.timestamp()) * _NANO
    except (OverflowError, OSError, ValueError):
        return None


def _from_number(number: float) -> int | None:
    """Seconds, milliseconds or nanoseconds since 1970; a year or a page number is none of these."""
    if not _EARLIEST_SECONDS <= number < _LATEST_NANOSECONDS:
        return None
    if number >= _NANOSECONDS_FROM:
        return int(number)
    return int(number / 1000 * _NANO) if number >= _MILLISECONDS_FROM else int(number * _NANO)


def wants_citations(instructions: str) -> bool:
    """Whether the system instructions ask for sources."""
    return _WANTED.search(instructions[:_MAX_CHARACTERS]) is not None


def has_citation(answer: str) -> bool:
    """Whether the answer has the form of naming a source; whether the source is right is not looked at."""
    return _CITATION.search(answer[:_MAX_CHARACTERS]) is not None
