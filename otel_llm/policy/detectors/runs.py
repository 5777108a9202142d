"""Runs of digits with single separators, in which there may be a number of a person.

Most runs in a text are timestamps, versions and fractions. Their shape (every digit a 9) says so, and they go no further.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Final, Protocol, TypeAlias

from otel_llm.policy.detectors.gate import Cue, Engine, uses_compiled
from otel_llm.policy.detectors.phones import (
    begins_with_zero,
    goes_on,
    is_inside,
    is_near,
    may_be_north_american,
    may_be_phone,
    may_have_phone_shape,
)

# Seven digits or more, with at most three separators between two of them, and no part of a word, a UUID or a fraction; in
# a text where every digit is a 9. The look-behind stands after the first digit, because a pattern that begins with one
# character is searched for faster. The group at its end tells that there are digits beyond it: a telephone number may
# end with those.
_RUN: Final = re.compile(
    r"9(?<!\w.)(?<!9[.\-].)(?<![9A-Fa-f]{2}-.)(?:[ ()./\-]{0,3}9){6,40}(?: ?(?:x|ext\.?) ?9{1,6})?(?!\w|[\-.]\w)"
    r"(?=([ ()./\-]{1,4}9)?)",
    re.ASCII,
)
GROUP: Final = re.compile(r"\d+", re.ASCII)
SHAPE: Final = str.maketrans("012345678", "999999999")
_LEADS: Final = ("+", "(")
# Shapes whose outcome is kept; texts have hundreds of them, whoever wants to fill memory has millions.
_MOST_SHAPES: Final = 4096

# Where the groups of digits of a run are; where words stand that speak of calling, if one is near; and, a bit for each
# group, whether a number of a shape, and whether a telephone number may begin there.
Run: TypeAlias = tuple[Sequence[tuple[int, int]], Sequence[int], int, int]
# 1-(555) 555-5555: of the forms of telephone numbers that do not begin with a zero or a plus, the longest.
_LONGEST_FORM: Final = 16
_ANYWHERE: Final = -1
# Of a shape: whether the whole can be a number, whether parts of it can, and whether those only with a zero first.
_Promises: TypeAlias = tuple[bool, bool, bool]


class Runs(Protocol):
    """Looks for runs."""

    def find(self, text: str, calling: list[int], possible: Sequence[int]) -> Iterable[Run]:
        """The runs in which there may be something; never wrong about those it leaves out.

        Args:
            text: the text.
            calling: where words stand that speak of calling, ascending.
            possible: positions of the rules that may apply.
        """
        ...


def runs(
    shapes: Sequence[tuple[str, int]], beginnings: Collection[str], engine: Engine | None, *, with_phones: bool
) -> Runs:
    """The fastest search for runs that this installation has and the engine allows.

    Args:
        shapes: those to look for, each with the position of its rule.
        beginnings: what shapes begin with, up to the end of each group of digits.
        engine: of the gates.
        with_phones: whether telephone numbers are looked for, which have forms of their own.
    """
    if not uses_compiled(engine):
        return PatternRuns(frozenset(shape for shape, _ in shapes), beginnings, with_phones=with_phones)
    from otel_llm.policy.detectors import _compiled  # noqa: PLC0415 - not built where there is no compiler

    return _compiled.Runs(shapes, with_phones)


def cue_of_runs(engine: Engine | None) -> Cue:
    """Without what there is no run. What is compiled looks for runs as fast as any gate."""
    return Cue() if uses_compiled(engine) else Cue(pattern=r"\d[ ()./\-]{0,3}" * 6 + r"\d")


def shaped_runs(text: str) -> Iterator[re.Match[str]]:
    """Every run, in a text of shapes; its group when there are digits right beyond it."""
    return _RUN.finditer(text.translate(SHAPE))


class PatternRuns:
    """The search for runs without anything compiled."""

    __slots__ = ("_beginnings", "_seen", "_shapes", "_with_phones")

    def __init__(self, shapes: Collection[str], beginnings: Collection[str], *, with_phones: bool) -> None:
        self._shapes = shapes
        self._beginnings = beginnings
        self._with_phones = with_phones
        self._seen: dict[str, _Promises] = {}

    def find(self, text: str, calling: list[int], possible: Sequence[int]) -> Iterator[Run]:  # noqa: ARG002 - words of rules are looked for where a shape agrees
        """The runs in which there may be something, by their shape."""
        for run in shaped_runs(text):
            start, end = run.span()
            near = calling if calling and is_near(calling, start - len(_LEADS), end) else ()
            goes_beyond = run.lastindex is not None and may_be_phone(text, start, end + _LONGEST_FORM)
            if (
                near
                or goes_beyond
                or self._promises(text, start, end, run.group())
                or text[start - 1 : start] in _LEADS
            ):
                may_call = self._with_phones and (near or goes_beyond or may_be_phone(text, start, end))
                groups = [match.span() for match in GROUP.finditer(text, start, end)]
                yield groups, near, _ANYWHERE, _ANYWHERE if may_call else 0

    def _promises(self, text: str, start: int, end: int, shape: str) -> bool:
        promises = self._seen.get(shape)
        if promises is None:
            promises = self._remember(shape)
        whole, parts, needs_zero = promises
        return whole or (parts and (not needs_zero or begins_with_zero(text, start, end)))

    def _remember(self, shape: str) -> _Promises:
        """What runs of this shape can hold; kept, for as many shapes as texts usually have."""
        groups = [match.span() for match in GROUP.finditer(shape)]
        is_grouped = len(groups) > 1
        has_part = is_grouped and self._has_part(shape, groups)
        needs_zero = not has_part and not may_be_north_american(shape)
        promises = (
            not is_grouped and shape in self._shapes,
            has_part or may_have_phone_shape(shape),
            needs_zero,
        )
        if len(self._seen) < _MOST_SHAPES:
            self._seen[shape] = promises
        return promises

    def _has_part(self, shape: str, groups: Sequence[tuple[int, int]]) -> bool:
        """Whether groups of the run are a shape looked for, and no rest or beginning of a longer number."""
        for position, (start, _) in enumerate(groups):
            if is_inside(shape, start):
                continue
            for _, end in groups[position:]:
                if shape[start:end] not in self._beginnings:
                    break
                if shape[start:end] in self._shapes and not goes_on(shape, end):
                    return True
        return False
