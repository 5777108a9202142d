"""The gate in front of regular expressions: which of many patterns can occur in a text at all.

Searching for literals is ten to a hundred times faster than matching expressions, and most texts hold nothing, so each
pattern names keywords (or a cheap expression) without which it cannot match. Four engines decide, the fastest that is
installed: hyperscan, an automaton of our own (compiled with the package where there is a C compiler), google-re2, or a
search by letters with the standard library (grams.py). All of them let the same findings through; they differ in speed only
(benchmarks/detectors.py). With re2 and re, nothing that was compiled with the package is used.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from typing import Final, Literal, TypeAlias, cast

from otel_llm.policy.detectors.grams import Grams

Engine: TypeAlias = Literal["hyperscan", "compiled", "re2", "re"]


@dataclass(frozen=True, slots=True)
class Cue:
    """Without what a pattern cannot match.

    Attributes:
        keywords: at least one of these occurs, in whatever case; in lower case, ASCII.
        pattern: or this expression occurs; in the syntax that re, RE2 and hyperscan share. Engines that would gain
            nothing from it let everything through.
        shapes: with a pattern: what every match of it has one of, where 9 is any digit, and A and a are any letter of
            that case; for the standard library, which searches for these faster.
    """

    keywords: tuple[str, ...] = ()
    pattern: str | None = None
    shapes: tuple[str, ...] = ()


Passing: TypeAlias = Callable[[str], Sequence[int]]


def passing(cues: Sequence[Cue], engine: Engine | None = None) -> Passing:
    """A function from a text to the positions of the cues that occur in it, ascending; thread-safe.

    Args:
        cues: those of all patterns; one without keywords and pattern always passes.
        engine: the fastest installed by default.
    """
    names: tuple[Engine, ...] = (engine,) if engine else ("hyperscan", "compiled", "re2", "re")
    for name in names:
        try:
            return _made(tuple(cues), name)
        except (ImportError, OverflowError):  # not installed, or too many keywords for it
            if engine:
                raise
    raise AssertionError("the engine of the standard library is always there")


@lru_cache(maxsize=64)
def _made(cues: tuple[Cue, ...], engine: Engine) -> Passing:
    """Making a gate takes up to a second with hyperscan, and a reload wants the same ones again."""
    return _ENGINES[engine](cues)


class Gate:
    """The gate of one detector. It is made when it is first asked, and never when the detector shares one with others.

    Attributes:
        cues: without which the detector's patterns cannot match.
        engine: that decides; None for the fastest installed.
    """

    __slots__ = ("_passing", "cues", "engine")

    def __init__(self, cues: Sequence[Cue], engine: Engine | None = None) -> None:
        self.cues = tuple(cues)
        self.engine = engine
        self._passing: Passing | None = None

    def __call__(self, text: str) -> Sequence[int]:
        """The positions of the cues that occur in the text, ascending."""
        if self._passing is None:
            self._passing = passing(self.cues, self.engine)
        return self._passing(text)


class SharedGate:
    """One search for the cues of several gates of one engine: a text is read once instead of once for each."""

    __slots__ = ("_count", "_owners", "_passing")

    def __init__(self, gates: Sequence[Gate]) -> None:
        self._count = len(gates)
        self._owners = [(slot, position) for slot, gate in enumerate(gates) for position in range(len(gate.cues))]
        cues = [cue for gate in gates for cue in gate.cues]
        self._passing = passing(cues, gates[0].engine if gates else "re")

    def __call__(self, text: str) -> Sequence[Sequence[int]]:
        """For each of the gates what it would say."""
        found: list[list[int]] = [[] for _ in range(self._count)]
        for position in self._passing(text):
            slot, own = self._owners[position]
            found[slot].append(own)
        return found


def _expressions(cues: Sequence[Cue]) -> list[tuple[int, str]]:
    """All expressions, each with the position of its cue."""
    found = []
    for position, cue in enumerate(cues):
        found += [(position, re.escape(keyword)) for keyword in cue.keywords]
        if cue.pattern is not None:
            found.append((position, cue.pattern))
    return found


def _always(cues: Sequence[Cue]) -> list[int]:
    return [position for position, cue in enumerate(cues) if not cue.keywords and cue.pattern is None]


def _with_hyperscan(cues: Sequence[Cue]) -> Passing:
    import hyperscan  # noqa: PLC0415 - optional, and loads a large library

    expressions = _expressions(cues)
    always = _always(cues)
    if not expressions:
        return lambda text: always  # noqa: ARG005 - nothing to look for
    database = hyperscan.Database()
    single, caseless = hyperscan.HS_FLAG_SINGLEMATCH, hyperscan.HS_FLAG_CASELESS
    database.compile(
        expressions=[expression.encode() for _, expression in expressions],
        ids=[position for position, _ in expressions],
        flags=[single | (caseless if cues[position].keywords else 0) for position, _ in expressions],
    )
    local = threading.local()

    def note(position: int, _from: int, _to: int, _flags: int, found: object) -> None:
        cast("set[int]", found).add(position)

    def look(text: str) -> Sequence[int]:
        scratch = getattr(local, "scratch", None)
        if scratch is None:
            scratch = local.scratch = hyperscan.Scratch(database)
        found = set(always)
        data = text.encode("utf-8", "replace")
        database.scan(data, match_event_handler=note, context=found, scratch=scratch)
        return sorted(found)

    return look


def _with_compiled(cues: Sequence[Cue]) -> Passing:
    from otel_llm.policy.detectors import _compiled  # noqa: PLC0415 - not built where there is no compiler

    always = [position for position, cue in enumerate(cues) if not cue.keywords]
    keywords = _compiled.Keywords(
        [(keyword, position) for position, cue in enumerate(cues) for keyword in cue.keywords]
    )

    def look(text: str) -> Sequence[int]:
        found = keywords.find(text)
        found.update(always)
        return sorted(found)

    return look


def uses_compiled(engine: Engine | None) -> bool:
    """Whether compiled searches take the place of patterns: they were built, and no engine is wanted that does without."""
    return engine not in ("re2", "re") and find_spec("otel_llm.policy.detectors._compiled") is not None


def _with_re2(cues: Sequence[Cue]) -> Passing:
    import re2  # noqa: PLC0415 - optional

    expressions = _expressions(cues)
    always = _always(cues)
    options = re2.Options()
    options.log_errors = False
    options.max_mem = _RE2_BYTES
    gate = re2.Set.SearchSet(options)
    for position, expression in expressions:
        gate.Add(f"(?i:{expression})" if cues[position].keywords else expression)
    gate.Compile()
    owners = [position for position, _ in expressions]

    def look(text: str) -> Sequence[int]:
        matched = gate.Match(text.encode("utf-8", "replace")) or ()
        return sorted({*always, *(owners[index] for index in matched)})

    return look


# What one RE2 set may use for its automata; beyond it, RE2 forgets states and goes on.
_RE2_BYTES: Final = 32 << 20


def _with_re(cues: Sequence[Cue]) -> Passing:
    owners: dict[str, list[int]] = {}
    for position, cue in enumerate(cues):
        for keyword in cue.keywords:
            owners.setdefault(keyword, []).append(position)
    grams = Grams(owners)
    shaped = [(position, shape.encode()) for position, cue in enumerate(cues) for shape in cue.shapes]
    always = [position for position, cue in enumerate(cues) if not cue.keywords and not cue.shapes]

    def look(text: str) -> Sequence[int]:
        found = set(always)
        for keyword in grams.find(text.lower()):
            found.update(owners[keyword])
        if shaped:
            here = outline(text)
            found.update(position for position, shape in shaped if shape in here)
        return sorted(found)

    return look


_OUTLINE: Final = bytes.maketrans(
    b"012345678ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz", b"9" * 9 + b"A" * 26 + b"a" * 26
)


def outline(text: str) -> bytes:
    """The text with 9 for every digit, A and a for every letter, and one byte a character."""
    return text.encode("ascii", "replace").translate(_OUTLINE)


_ENGINES: Final[dict[str, Callable[[Sequence[Cue]], Passing]]] = {
    "hyperscan": _with_hyperscan,
    "compiled": _with_compiled,
    "re2": _with_re2,
    "re": _with_re,
}
