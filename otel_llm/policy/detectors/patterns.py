"""A detector as declared data: patterns, each behind a cue, each with a check and words that must stand near.

The patterns here are matched by the standard library, so each is written such that no text makes it slow: it begins
where a run of its characters begins, every repetition is bounded or ends at a character it cannot contain, and nothing
is nested. Patterns of users' own are matched by RE2 instead (custom.py).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

from otel_llm.policy.detectors.gate import Cue, Engine, Gate
from otel_llm.policy.findings import Finding

# A text with more findings than this is one finding: nobody can use what would be left of it. Nobody looks further.
MOST_FINDINGS: Final = 10_000
# How far before a finding a word may stand that tells what it is, and how far behind it.
CONTEXT_BEFORE: Final = 64
CONTEXT_AFTER: Final = 24


class Match(Protocol):
    """What re and RE2 return alike."""

    def group(self, group: int, /) -> str | None:
        """The text of a group."""
        ...

    def span(self, group: int, /) -> tuple[int, int]:
        """Where a group is."""
        ...


class Pattern(Protocol):
    """What re and RE2 compile alike."""

    def finditer(self, text: str, /) -> Iterator[Match]:
        """All matches, from left to right."""
        ...


def _accept(text: str) -> bool:  # noqa: ARG001 - the pattern is the check
    return True


@dataclass(frozen=True, slots=True)
class Rule:
    """One thing to look for.

    Attributes:
        type: the type of finding.
        pattern: matches it.
        cue: without what it cannot match.
        group: the group of the pattern that is the finding.
        is_valid: whether the text of the finding can be one: checksum, entropy.
        context: matches a word that must stand near; None when the pattern says enough.
        confidence: of a finding.
    """

    type: str
    pattern: Pattern
    cue: Cue = field(default_factory=Cue)
    group: int = 0
    is_valid: Callable[[str], bool] = _accept
    context: re.Pattern[str] | None = None
    confidence: float = field(default=0.9, kw_only=True)


def has_context(text: str, start: int, end: int, words: re.Pattern[str]) -> bool:
    """Whether one of the words stands near this part of the text."""
    return bool(words.search(text, max(0, start - CONTEXT_BEFORE), min(len(text), end + CONTEXT_AFTER)))


def words(*alternatives: str) -> re.Pattern[str]:
    """Matches any of these words or beginnings of words, in whatever case."""
    return re.compile(r"(?<![^\W_])(?:" + "|".join(map(re.escape, alternatives)) + ")", re.IGNORECASE)


def in_order(findings: list[Finding]) -> tuple[Finding, ...]:
    """The findings in order of their start, longer ones first."""
    findings.sort(key=lambda one: (one.start, -one.end))
    return tuple(findings)


def is_finding(rule: Rule, text: str, start: int, end: int) -> bool:
    """Whether what the rule's pattern matched here passes its checks."""
    return rule.is_valid(text[start:end]) and (rule.context is None or has_context(text, start, end, rule.context))


class PatternDetector:
    """Looks for the matches of rules.

    Args:
        name: of the detector.
        rules: what to look for.
        engine: of the gate; the fastest installed by default.
    """

    __slots__ = ("_rules", "gate", "name", "types")

    def __init__(self, name: str, rules: Sequence[Rule], engine: Engine | None = None) -> None:
        self.name = name
        self.types = frozenset(rule.type for rule in rules)
        self._rules = tuple(rules)
        self.gate = Gate([rule.cue for rule in rules], engine)

    def find(self, text: str) -> tuple[Finding, ...]:
        """What the rules match."""
        return self.find_among(text, self.gate(text))

    def find_among(self, text: str, passed: Sequence[int]) -> tuple[Finding, ...]:
        """What those rules match whose cues passed the gate."""
        found: list[Finding] = []
        for position in passed:
            rule = self._rules[position]
            for match in rule.pattern.finditer(text):
                start, end = match.span(rule.group)
                if start < end and is_finding(rule, text, start, end):
                    found.append(Finding(rule.type, start, end, self.name, rule.confidence))
                    if len(found) > MOST_FINDINGS:
                        return in_order(found)
        return in_order(found)
