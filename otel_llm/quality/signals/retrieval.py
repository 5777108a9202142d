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

# [1], [2, 3], 【4†source】, [file.pdf], (source: ...), a link, a footnote. A numbered list, an index (`list[0]`) and "a
# source of error" are none. What has to be there, and what is then looked for.
_FORMS: Final = tuple(
    (stem, re.compile(pattern))
    for stem, pattern in (
        (
            "[",
            (
                r"(?<![\w)])\[\^?\d{1,3}(?:\s?[,\u2013-]\s?\d{1,3})*\]|[\w.]\[\^\d{1,3}\]|\]\(\S"
                r"|\[[\w .-]{1,60}(?:\.\w{2,5}|[- ]\d{1,6})\]|\[(?:sources?|doc|refs?|see)\b"
            ),
        ),
        ("\u3010", r"\u3010\d{1,4}[^\u3011]{0,40}\u3011"),
        ("http", r"https?://"),
        ("\u00a7", r"\u00a7 ?\d"),
        ("\u00b9", "\u00b9"),
        ("source", r"\bsources?\s?:|\(sources?\b"),
        ("reference", r"\breferences?\s?:"),
        ("(", r"\((?:refs?|see|cf)\b|\((?:[a-z][\w.-]* ){0,4}(?:et al\.?,? )?\(?(?:19|20)\d\d\)"),
        ("et al", r"\bet al\b"),
        *(
            (word, rf"\b{word} ?\d")
            for word in ("section", "article", "chapter", "page", "paragraph", "clause", "document", "p.")
        ),
    )
)
# Or in words: "as the travel policy says", "the manual lists". What documents are called, and what stands round that.
_PAPERS: Final = (
    "handbook", "manual", "policy", "policies", "report", "guide", "contract", "lease", "terms", "faq", "minutes",
    "statute", "leaflet", "notes", "documentation", "document", "rules", "price list", "article", "paper", "study",
    "website", "agreement", "regulation", "standard",
)  # fmt: skip
_BEFORE_PAPER: Final = re.compile(
    r"(?:\b(?:according to|per|stated in|described in|see|from|in|as) (?:(?:the|our|your|a|this|my) )?(?:[\w'-]+ ){0,3}"
    r"|\((?:[\w'-]+ ){0,4})$"
)
_AFTER_PAPER: Final = re.compile(
    r"[^.!?\n]{0,40}(?<!not )(?<!n't )\b(?:says?|states?|shows?|names?|lists?|forbids?|allows?|requires?"
    r"|describes?|calls?)\b"
)
_ROUND: Final = 60
_MOST_PAPERS: Final = 8
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
    text = answer[:_MAX_CHARACTERS].lower()
    if any(stem in text and form.search(text) is not None for stem, form in _FORMS):
        return True
    return any(_is_named(text, paper) for paper in _PAPERS if paper in text)


def _is_named(text: str, paper: str) -> bool:
    """Whether it is said of a kind of document that this is where something stands."""
    start = -1
    for _ in range(_MOST_PAPERS):
        start = text.find(paper, start + 1)
        if start < 0:
            return False
        end = start + len(paper)
        before, after = text[max(0, start - _ROUND) : start], text[end : end + _ROUND]
        if _BEFORE_PAPER.search(before) is not None or _AFTER_PAPER.match(after) is not None:
            return True
    return False
