"""Numbers that belong to persons: cards, phones, the numbers of states.

All of them are runs of digits with single separators, so a text is searched once for such runs; what a run (or a part
of it: two numbers may stand side by side) is, its shape decides. `555-12-3456` has the shape `999-99-9999`. A shape is
looked up in a table, its check digits are verified, and where those are weak or missing a word must stand near.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Final, TypeAlias

from otel_llm.policy.detectors import national_ids
from otel_llm.policy.detectors.checksums import luhn
from otel_llm.policy.detectors.gate import Cue, Engine, passing
from otel_llm.policy.detectors.national_ids import NumberRule
from otel_llm.policy.detectors.patterns import has_context, in_order, words
from otel_llm.policy.detectors.phones import (
    CALLING_CUES,
    PHONE_NUMBER,
    calling_places,
    goes_on,
    is_inside,
    may_be_phone,
    phone_at,
)
from otel_llm.policy.findings import Finding

CREDIT_CARD: Final = "CREDIT_CARD"

# Seven digits or more, with at most three separators between two of them, and no part of a word, a UUID or a fraction.
# The look-behind stands after the first digit: a pattern that begins with a set of characters is searched for faster.
_RUN: Final = re.compile(
    r"\d(?<!\w.)(?<!\d[.\-].)(?<![0-9A-Fa-f]{2}-.)(?:[ ()./\-]{0,3}\d){6,40}(?: ?(?:x|ext\.?) ?\d{1,6})?(?!\w|[\-.]\w)",
    re.ASCII,
)
_CUE: Final = Cue(pattern=r"\d[ ()./\-]{0,3}" * 6 + r"\d")
_GROUP: Final = re.compile(r"\d+", re.ASCII)
_SHAPE: Final = str.maketrans("012345678", "999999999")
_NOT_DIGITS: Final = re.compile(r"\D", re.ASCII)
_LEADS: Final = ("+", "(")

# Issuers by their first digits, and the lengths of their numbers. Source: ISO/IEC 7812 and the networks' public ranges.
_CARD: Final = re.compile(
    r"4(?:\d{12}|\d{15}|\d{18})|(?:5[1-5]|2(?:22[1-9]|2[3-9]|[3-6]|7[01]|720))\d{12,14}|3[47]\d{13}"
    r"|3(?:0[0-5]|[689])\d{11,13}|(?:35(?:2[89]|[3-8])\d{12,13}|(?:1800|2131)\d{11})|6(?:011|4[4-9]|5)\d{12,15}"
    r"|(?:50|5[6-9]|6[0-9])\d{10,17}"
)
_CARD_SHAPES: Final = (
    *("9" * size for size in range(12, 20)),
    *(
        separator.join(groups)
        for separator in " -."
        for groups in (
            ("9999",) * 4,
            ("9999", "999999", "99999"),
            ("9999", "999999", "9999"),
            (*("9999",) * 4, "999"),
            ("9999",) * 3,
        )
    ),
)


def is_card(digits: str) -> bool:
    """Whether digits have an issuer, its length, and a right check digit."""
    return _CARD.fullmatch(digits) is not None and len(set(digits)) > 1 and luhn(digits)


# A rule, and the words of which one must stand near.
_Candidate: TypeAlias = "tuple[NumberRule, re.Pattern[str] | None]"


def _table(types: frozenset[str]) -> dict[str, list[_Candidate]]:
    rules = (NumberRule(CREDIT_CARD, _CARD_SHAPES, is_card), *national_ids.NUMBERS)
    table: dict[str, list[_Candidate]] = {}
    for rule in rules:
        if rule.type in types:
            context = words(*rule.context) if rule.context else None
            for shape in rule.shapes:
                table.setdefault(shape, []).append((rule, context))
    return table


TYPES: Final = frozenset({CREDIT_CARD, PHONE_NUMBER, *(rule.type for rule in national_ids.NUMBERS)})


class Numbers:
    """Looks for cards, phones and the numbers of states.

    Args:
        types: those to look for; all by default.
        engine: of the gate.
    """

    name = "numbers"

    __slots__ = ("_beginnings", "_passing", "_table", "types")

    def __init__(self, types: frozenset[str] = TYPES, engine: Engine | None = None) -> None:
        self.types = types & TYPES
        self._table = _table(types)
        self._beginnings = _beginnings(self._table)
        self._passing = passing([_CUE, *CALLING_CUES], engine)

    def find(self, text: str) -> tuple[Finding, ...]:
        """The numbers in the text."""
        found: list[Finding] = []
        cues = self._passing(text)
        if cues and cues[0] == 0:
            calling = calling_places(text, (cue - 1 for cue in cues[1:])) if PHONE_NUMBER in self.types else []
            for run in _RUN.finditer(text):
                found += self._in_run(text, run.start(), run.end(), calling)
        return in_order(found)

    def _in_run(self, text: str, start: int, end: int, calling: Sequence[int]) -> Iterator[Finding]:
        if not calling and text[start - 1 : start] not in _LEADS and text[start:end].isdigit():
            # Bare digits, which most runs are: nothing but their number of digits can make them something.
            rule = self._rule(text, start, end, self._table.get("9" * (end - start), ()))
            if rule is not None:
                yield Finding(rule.type, start, end, self.name, 0.95)
            return
        groups = [match.span() for match in _GROUP.finditer(text, start, end)]
        may_call = PHONE_NUMBER in self.types and (bool(calling) or may_be_phone(text, start, end))
        position = 0
        unknown = 0  # the first group that is part of nothing yet
        while position < len(groups):
            found = self._beginning_at(text, groups, position)
            if found is None:
                position += 1
                continue
            if may_call:
                yield from self._phones(text, groups[unknown:position], calling)
            finding, position = found
            yield finding
            unknown = position
        if may_call:
            yield from self._phones(text, groups[unknown:], calling)

    def _beginning_at(self, text: str, groups: Sequence[tuple[int, int]], position: int) -> tuple[Finding, int] | None:
        """A number whose first group is this one, and the position after its last group; the longest that is right."""
        start = groups[position][0]
        if is_inside(text, start):
            return None
        longest: tuple[Finding, int] | None = None
        for after in range(position + 1, len(groups) + 1):
            end = groups[after - 1][1]
            shape = text[start:end].translate(_SHAPE)
            if shape not in self._beginnings:
                break
            if shape in self._table and not goes_on(text, end):
                rule = self._rule(text, start, end, self._table[shape])
                if rule is not None:
                    longest = Finding(rule.type, start, end, self.name, 0.95), after
        return longest

    def _rule(self, text: str, start: int, end: int, candidates: Sequence[_Candidate]) -> NumberRule | None:
        """What the number in this part of the text is; the first that it can be."""
        digits = _NOT_DIGITS.sub("", text[start:end]) if candidates else ""
        for rule, context in candidates:
            if rule.is_valid(digits) and (context is None or has_context(text, start, end, context)):
                return rule
        return None

    def _phones(self, text: str, groups: Sequence[tuple[int, int]], calling: Sequence[int]) -> Iterator[Finding]:
        position = 0
        while position < len(groups):
            place = phone_at(text, groups, position, calling)
            position += 1
            if place is not None:
                yield Finding(PHONE_NUMBER, *place, self.name, 0.8)
                while position < len(groups) and groups[position][0] < place[1]:
                    position += 1


def _beginnings(table: Mapping[str, object]) -> frozenset[str]:
    """The shapes of the table, and what they begin with up to the end of each group."""
    return frozenset(shape[: match.end()] for shape in table for match in _GROUP.finditer(shape))
