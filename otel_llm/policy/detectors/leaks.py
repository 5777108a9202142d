"""Answers that give away what they should not: the prompt they were given, or data in an address that a reader loads.

A chat client that renders Markdown loads an image without being asked, so an image whose address holds text is a way
out for data; a link needs a click, and is weighed less.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Final
from urllib.parse import urlsplit

from otel_llm.policy.detectors.gate import Cue, Engine
from otel_llm.policy.detectors.patterns import PatternDetector, Rule, in_order
from otel_llm.policy.findings import Finding

PROMPT_LEAKAGE: Final = "PROMPT_LEAKAGE"
DATA_EXFILTRATION: Final = "DATA_EXFILTRATION"

_ADDRESS: Final = r"https?://[^\s)\"'<>]{4,4000}"
_IMAGE: Final = re.compile(rf"!\[[^\]\n]{{0,300}}\]\(\s?<?({_ADDRESS})", re.IGNORECASE)
_IMAGE_TAG: Final = re.compile(
    rf"<(?:img|iframe|script|video|audio|source)\b[^<>]{{0,300}}?\bsrc\s?=\s?[\"']?({_ADDRESS})", re.IGNORECASE
)
_LINK: Final = re.compile(rf"(?<!!)\[[^\]\n]{{0,300}}\]\(\s?<?({_ADDRESS})", re.IGNORECASE)
# A value in a query or a path that holds more than a name or a number: spaces or punctuation, encoded, or a long run.
_CARRIES_TEXT: Final = re.compile(
    r"(?:%[0-9A-Fa-f]{2}|\+)[^&]{0,200}(?:%[0-9A-Fa-f]{2}|\+)[^&]{0,200}(?:%[0-9A-Fa-f]{2}|\+)"
)
_CARRIES_DATA: Final = re.compile(r"[A-Za-z0-9+/_\-]{40,}={0,2}")
_PLACEHOLDER: Final = re.compile(r"\{\{|\$\{|%7B|\[(?:data|secret|info|history|conversation)\]", re.IGNORECASE)


class _Carriers:
    """Addresses of one kind that carry data away."""

    __slots__ = ("_allowed", "_pattern", "_strict")

    def __init__(self, pattern: re.Pattern[str], allowed: Collection[str], *, strict: bool) -> None:
        self._pattern = pattern
        self._allowed = tuple(allowed)
        self._strict = strict

    def finditer(self, text: str, /) -> Iterator[re.Match[str]]:
        for match in self._pattern.finditer(text):
            if self._carries(match.group(1)):
                yield match

    def _carries(self, address: str) -> bool:
        try:
            parts = urlsplit(address)
            host = (parts.hostname or "").lower()
        except ValueError:
            return True
        if any(host == one or host.endswith("." + one) for one in self._allowed):
            return False
        if _PLACEHOLDER.search(address) or _CARRIES_TEXT.search(parts.query):
            return True
        where = parts.query if self._strict else f"{parts.path}?{parts.query}"
        return any(len(set(match.group())) > 12 for match in _CARRIES_DATA.finditer(where))


class _AsWritten(PatternDetector):
    """Looks at addresses as they are written: that something is percent-encoded is what tells that text is carried."""

    __slots__ = ()
    reads_original: Final = True


def exfiltration(allowed_hosts: Iterable[str] = (), engine: Engine | None = None) -> PatternDetector:
    """The detector `exfiltration`; addresses at these hosts, and below them, are fine."""
    allowed = tuple(host.lower() for host in allowed_hosts)
    rules = [
        Rule(DATA_EXFILTRATION, _Carriers(_IMAGE, allowed, strict=False), Cue(("![",)), 1, confidence=0.8),
        Rule(DATA_EXFILTRATION, _Carriers(_IMAGE_TAG, allowed, strict=False), Cue(("src",)), 1, confidence=0.8),
        Rule(DATA_EXFILTRATION, _Carriers(_LINK, allowed, strict=True), Cue(("](",)), 1, confidence=0.5),
    ]
    return _AsWritten("exfiltration", rules, engine)


_GIVES_AWAY: Final = re.compile(
    r"\b(?:my|the) (?:system|initial|hidden|original) (?:prompt|instructions?|message) (?:is|are|says?|reads?|was|were|begins?)\b"
    r"|\b(?:here (?:is|are)|these are|sure[,!] here) (?:my|the) (?:full |complete |exact )?(?:system|initial|hidden|original)"
    r" (?:prompt|instructions?|message)\b|\bI (?:was|have been) (?:instructed|told|programmed|given instructions) (?:to|not to|that)\b",
    re.IGNORECASE,
)
_WHICH: Final = ("system", "initial", "hidden", "original")
_WORD: Final = re.compile(r"\w+")
# So many words in a row of a protected text are no coincidence.
_SHINGLE: Final = 8


class Leakage:
    """Looks for answers that tell their prompt.

    Args:
        protected: texts none of which may be quoted: system prompts. Eight words in a row are a quotation.
        engine: of the gate.
    """

    name = "leakage"
    types = frozenset({PROMPT_LEAKAGE})

    __slots__ = ("_phrases", "_shingles", "gate")

    def __init__(self, protected: Iterable[str] = (), engine: Engine | None = None) -> None:
        cue = Cue(
            (
                *(f"{what} {said}" for what in _WHICH for said in ("prompt", "instruction", "message")),
                *(f"{was} {done}" for was in ("was", "been") for done in ("instructed", "told", "programmed", "given")),
            )
        )
        self._phrases = PatternDetector(self.name, [Rule(PROMPT_LEAKAGE, _GIVES_AWAY, cue, confidence=0.5)], engine)
        self.gate = self._phrases.gate
        self._shingles = frozenset(shingle for text in protected for shingle, _, _ in _shingles_of(text))

    def find(self, text: str) -> tuple[Finding, ...]:
        """Phrases that introduce a prompt, and quotations of protected texts."""
        return self.find_among(text, self.gate(text))

    def find_among(self, text: str, passed: Sequence[int]) -> tuple[Finding, ...]:
        """The same, by those phrases whose cues passed the gate."""
        found = list(self._phrases.find_among(text, passed))
        if self._shingles:
            found += self._quotations(text)
        return in_order(found)

    def _quotations(self, text: str) -> Iterator[Finding]:
        start = end = -1
        for shingle, first, last in _shingles_of(text):
            if shingle in self._shingles:
                if 0 <= end < first:
                    yield Finding(PROMPT_LEAKAGE, start, end, self.name, 0.95)
                    start = -1
                start = first if start < 0 else start
                end = last
        if end >= 0:
            yield Finding(PROMPT_LEAKAGE, start, end, self.name, 0.95)


def _shingles_of(text: str) -> Iterator[tuple[tuple[str, ...], int, int]]:
    """Each eight words in a row, with where they begin and end."""
    matches = [(match.group().lower(), *match.span()) for match in _WORD.finditer(text)]
    for index in range(len(matches) - _SHINGLE + 1):
        window = matches[index : index + _SHINGLE]
        yield tuple(word for word, _, _ in window), window[0][1], window[-1][2]
