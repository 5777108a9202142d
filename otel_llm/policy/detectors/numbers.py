"""Numbers that belong to persons: cards, phones, the numbers of states.

All of them are runs of digits with single separators, so a text is searched once for such runs; what a run (or a part
of it: two numbers may stand side by side) is, its shape decides. `555-12-3456` has the shape `999-99-9999`. A shape is
looked up in a table, its check digits are verified, and where those are weak or missing a word must stand near.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from otel_llm.policy.detectors import national_ids
from otel_llm.policy.detectors.checksums import luhn
from otel_llm.policy.detectors.gate import Cue, Engine, passing, uses_compiled
from otel_llm.policy.detectors.national_ids import NumberRule
from otel_llm.policy.detectors.patterns import MOST_FINDINGS, has_context, in_order, words
from otel_llm.policy.detectors.phones import (
    CALLING_CUES,
    PHONE_NUMBER,
    begins_with_zero,
    calling_places,
    goes_on,
    is_inside,
    is_near,
    may_be_north_american,
    may_be_phone,
    may_have_phone_shape,
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
# Shapes whose outcome is kept; texts have hundreds of them, whoever wants to fill memory has millions.
_MOST_SHAPES: Final = 4096

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


_RULES: Final = (NumberRule(CREDIT_CARD, _CARD_SHAPES, is_card), *national_ids.NUMBERS)
# Which words that must stand near there are at all, the gate tells: a cue for each rule, behind those of calling.
_CONTEXT_CUES: Final = tuple(Cue(rule.context if all(map(str.isascii, rule.context)) else ()) for rule in _RULES)
_FIRST_CONTEXT: Final = 1 + len(CALLING_CUES)

# A rule, the words of which one must stand near, and the position of their cue.
_Candidate: TypeAlias = "tuple[NumberRule, re.Pattern[str] | None, int]"


@dataclass(frozen=True, slots=True)
class _Words:
    """Which words a text has.

    Attributes:
        calling: where those stand that speak of calling.
        cues: the cues that passed.
    """

    calling: Sequence[int]
    cues: Collection[int]


def _table(types: frozenset[str]) -> dict[str, list[_Candidate]]:
    table: dict[str, list[_Candidate]] = {}
    for cue, rule in enumerate(_RULES, start=_FIRST_CONTEXT):
        if rule.type in types:
            context = words(*rule.context) if rule.context else None
            for shape in rule.shapes:
                table.setdefault(shape, []).append((rule, context, cue))
    return table


# Start, end and shape of a run.
_Run: TypeAlias = tuple[int, int, str]
# Of a shape: whether the whole can be a number, whether parts of it can, and whether those only with a zero first.
_Promises: TypeAlias = tuple[bool, bool, bool]


def _runs(text: str) -> list[_Run]:
    return [(*match.span(), match.group().translate(_SHAPE)) for match in _RUN.finditer(text)]


def _compiled_runs(text: str) -> list[_Run]:
    from otel_llm.policy.detectors import _compiled  # noqa: PLC0415 - not built where there is no compiler

    return _compiled.digit_runs(text)


TYPES: Final = frozenset({CREDIT_CARD, PHONE_NUMBER, *(rule.type for rule in national_ids.NUMBERS)})


class Numbers:
    """Looks for cards, phones and the numbers of states.

    Args:
        types: those to look for; all by default.
        engine: of the gate.
    """

    name = "numbers"

    __slots__ = ("_beginnings", "_is_compiled", "_longest", "_passing", "_seen", "_table", "types")

    def __init__(self, types: frozenset[str] = TYPES, engine: Engine | None = None) -> None:
        self.types = types & TYPES
        self._table = _table(types)
        self._beginnings = _beginnings(self._table)
        self._longest = max(map(len, self._table), default=0)
        self._seen: dict[str, _Promises] = {}
        self._is_compiled = uses_compiled(engine)
        # What is compiled looks for runs as fast as any gate.
        self._passing = passing([Cue() if self._is_compiled else _CUE, *CALLING_CUES, *_CONTEXT_CUES], engine)

    def find(self, text: str) -> tuple[Finding, ...]:
        """The numbers in the text."""
        found: list[Finding] = []
        cues = self._passing(text)
        if cues and cues[0] == 0:
            runs = _compiled_runs(text) if self._is_compiled else _runs(text)
            if runs:
                known = self._words(text, cues)
                for start, end, shape in runs:
                    found += self._in_run(text, (start, end, shape), known)
                    if len(found) > MOST_FINDINGS:
                        break
        return in_order(found)

    def _words(self, text: str, cues: Sequence[int]) -> _Words:
        calling = (cue - 1 for cue in cues if 0 < cue < _FIRST_CONTEXT)
        return _Words(calling_places(text, calling) if PHONE_NUMBER in self.types else (), frozenset(cues))

    def _in_run(self, text: str, run: _Run, known: _Words) -> Iterable[Finding]:
        """What is in a run of digits. Most are timestamps, versions and fractions, whose shape alone says no."""
        start, end, shape = run
        if known.calling and not is_near(known.calling, start - len(_LEADS), end):
            known = _Words((), known.cues)
        if known.calling or text[start - 1 : start] in _LEADS:
            return self._parts(text, start, end, known)
        promises = self._seen.get(shape)
        if promises is None:
            promises = self._remember(shape)
        whole, parts, needs_zero = promises
        if parts and (not needs_zero or begins_with_zero(text, start, end)):
            return self._parts(text, start, end, known)
        if whole:  # one group, or no part of it can be anything
            rule = self._rule(text, start, end, known)
            return () if rule is None else (Finding(rule.type, start, end, self.name, 0.95),)
        return ()

    def _remember(self, shape: str) -> _Promises:
        """What runs of this shape can hold; kept, for as many shapes as texts usually have."""
        groups = [match.span() for match in _GROUP.finditer(shape)]
        is_grouped = len(groups) > 1
        has_part = is_grouped and self._has_part(shape, groups)
        needs_zero = not has_part and not may_be_north_american(shape)
        promises = (
            not is_grouped and shape in self._table,
            has_part or may_have_phone_shape(shape),
            needs_zero,
        )
        if len(self._seen) < _MOST_SHAPES:
            self._seen[shape] = promises
        return promises

    def _has_part(self, shape: str, groups: Sequence[tuple[int, int]]) -> bool:
        """Whether groups of the run are a shape of the table, and no rest or beginning of a longer number."""
        for position, (start, _) in enumerate(groups):
            if is_inside(shape, start):
                continue
            for _, end in groups[position:]:
                if shape[start:end] not in self._beginnings:
                    break
                if shape[start:end] in self._table and not goes_on(shape, end):
                    return True
        return False

    def _parts(self, text: str, start: int, end: int, known: _Words) -> Iterator[Finding]:
        groups = [match.span() for match in _GROUP.finditer(text, start, end)]
        calling = known.calling
        may_call = PHONE_NUMBER in self.types and (bool(calling) or may_be_phone(text, start, end))
        position = 0
        unknown = 0  # the first group that is part of nothing yet
        while position < len(groups):
            found = self._beginning_at(text, groups, position, known)
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

    def _beginning_at(
        self, text: str, groups: Sequence[tuple[int, int]], position: int, known: _Words
    ) -> tuple[Finding, int] | None:
        """A number whose first group is this one, and the position after its last group; the longest that is right."""
        start = groups[position][0]
        if is_inside(text, start):
            return None
        longest: tuple[Finding, int] | None = None
        whole = text[start : min(groups[-1][1], start + self._longest)].translate(_SHAPE)
        for after in range(position + 1, len(groups) + 1):
            end = groups[after - 1][1]
            shape = whole[: end - start]
            if len(shape) < end - start or shape not in self._beginnings:
                break
            if shape in self._table and not goes_on(text, end):
                rule = self._rule(text, start, end, known)
                if rule is not None:
                    longest = Finding(rule.type, start, end, self.name, 0.95), after
        return longest

    def _rule(self, text: str, start: int, end: int, known: _Words) -> NumberRule | None:
        """What the number in this part of the text is; the first that it can be."""
        candidates = self._table[text[start:end].translate(_SHAPE)]
        digits = _NOT_DIGITS.sub("", text[start:end])
        for rule, context, cue in candidates:
            if context is not None and cue not in known.cues:
                continue
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
