"""Numbers that belong to persons: cards, phones, the numbers of states.

All of them are runs of digits with single separators, so a text is searched once for such runs; what a run (or a part
of it: two numbers may stand side by side) is, its shape decides. `555-12-3456` has the shape `999-99-9999`. A shape is
looked up in a table, its check digits are verified, and where those are weak or missing a word must stand near.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Final, TypeAlias

from otel_llm.policy.detectors import national_ids
from otel_llm.policy.detectors.checksums import luhn
from otel_llm.policy.detectors.gate import Cue, Engine, Gate
from otel_llm.policy.detectors.national_ids import NumberRule
from otel_llm.policy.detectors.patterns import MOST_FINDINGS, has_context, in_order, words
from otel_llm.policy.detectors.phones import CALLING_CUES, PHONE_NUMBER, calling_places, goes_on, is_inside, phone_at
from otel_llm.policy.detectors.runs import GROUP, SHAPE, Run, cue_of_runs, runs
from otel_llm.policy.findings import Finding

CREDIT_CARD: Final = "CREDIT_CARD"

_NOT_DIGITS: Final = re.compile(r"\D", re.ASCII)
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


def _table(types: frozenset[str]) -> dict[str, list[_Candidate]]:
    table: dict[str, list[_Candidate]] = {}
    for cue, rule in enumerate(_RULES, start=_FIRST_CONTEXT):
        if rule.type in types:
            context = words(*rule.context) if rule.context else None
            for shape in rule.shapes:
                table.setdefault(shape, []).append((rule, context, cue))
    return table


TYPES: Final = frozenset({CREDIT_CARD, PHONE_NUMBER, *(rule.type for rule in national_ids.NUMBERS)})


class Numbers:
    """Looks for cards, phones and the numbers of states.

    Args:
        types: those to look for; all by default.
        engine: of the gate.
    """

    name = "numbers"

    __slots__ = ("_beginnings", "_longest", "_runs", "_table", "gate", "types")

    def __init__(self, types: frozenset[str] = TYPES, engine: Engine | None = None) -> None:
        self.types = types & TYPES
        self._table = _table(types)
        self._beginnings = _beginnings(self._table)
        self._longest = max(map(len, self._table), default=0)
        shapes = [(shape, cue - _FIRST_CONTEXT) for shape, rows in self._table.items() for _, _, cue in rows]
        self._runs = runs(shapes, self._beginnings, engine, with_phones=PHONE_NUMBER in types)
        self.gate = Gate([cue_of_runs(engine), *CALLING_CUES, *_CONTEXT_CUES], engine)

    def find(self, text: str) -> tuple[Finding, ...]:
        """The numbers in the text."""
        return self.find_among(text, self.gate(text))

    def find_among(self, text: str, passed: Sequence[int]) -> tuple[Finding, ...]:
        """The same, by the cues that passed the gate."""
        if not passed or passed[0] != 0:
            return ()
        calling: list[int] = []
        if PHONE_NUMBER in self.types:
            calling = calling_places(text, [cue - 1 for cue in passed if 0 < cue < _FIRST_CONTEXT])
        known = frozenset(passed)
        found: list[Finding] = []
        for run in self._runs.find(text, calling, [cue - _FIRST_CONTEXT for cue in passed if cue >= _FIRST_CONTEXT]):
            found += self._in_run(text, run, known)
            if len(found) > MOST_FINDINGS:
                break
        return in_order(found)

    def _in_run(self, text: str, run: Run, cues: Collection[int]) -> Iterator[Finding]:
        groups, _, numbers, _ = run
        position = 0
        unknown = 0  # the first group that is part of nothing yet
        while position < len(groups):
            found = self._beginning_at(text, groups[position:], cues) if numbers >> position & 1 else None
            if found is None:
                position += 1
                continue
            yield from self._phones(text, run, unknown, position)
            finding, size = found
            position += size
            yield finding
            unknown = position
        yield from self._phones(text, run, unknown, position)

    def _beginning_at(
        self, text: str, groups: Sequence[tuple[int, int]], cues: Collection[int]
    ) -> tuple[Finding, int] | None:
        """A number that begins with the first of these groups, and how many of them it has; the longest that is right."""
        start = groups[0][0]
        if is_inside(text, start):
            return None
        whole = text[start : start + self._longest].translate(SHAPE)
        right_shapes = []
        for size, (_, end) in enumerate(groups, start=1):
            shape = whole[: end - start]
            if len(shape) < end - start or shape not in self._beginnings:
                break
            if shape in self._table and not goes_on(text, end):
                right_shapes.append((size, end, shape))
        for size, end, shape in reversed(right_shapes):
            rule = self._rule(text, (start, end), shape, cues)
            if rule is not None:
                return Finding(rule.type, start, end, self.name, 0.95), size
        return None

    def _rule(self, text: str, place: tuple[int, int], shape: str, cues: Collection[int]) -> NumberRule | None:
        """What the number of this shape in this part of the text is; the first that it can be."""
        start, end = place
        digits = _NOT_DIGITS.sub("", text[start:end])
        for rule, context, cue in self._table[shape]:
            if context is not None and cue not in cues:
                continue
            if rule.is_valid(digits) and (context is None or has_context(text, start, end, context)):
                return rule
        return None

    def _phones(self, text: str, run: Run, position: int, after: int) -> Iterator[Finding]:
        """Telephone numbers that begin with these groups of a run."""
        every, calling, _, phones = run
        if not phones >> position:
            return
        groups = every[:after]
        while position < after:
            place = phone_at(text, groups, position, calling) if phones >> position & 1 else None
            position += 1
            if place is not None:
                yield Finding(PHONE_NUMBER, *place, self.name, 0.8)
                while position < after and groups[position][0] < place[1]:
                    position += 1


def _beginnings(table: Mapping[str, object]) -> frozenset[str]:
    """The shapes of the table, and what they begin with up to the end of each group."""
    return frozenset(shape[: match.end()] for shape in table for match in GROUP.finditer(shape))
