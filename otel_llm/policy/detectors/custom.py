"""Detectors of users' own: patterns, and any callable.

A pattern of a user's is matched by RE2, which takes time in proportion to the text whatever pattern and text are;
the standard library's matcher could be stopped by nobody. Literals need no RE2.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final, cast

from otel_llm.policy.detectors.gate import Cue, Engine
from otel_llm.policy.detectors.patterns import Pattern, PatternDetector, Rule, words
from otel_llm.policy.findings import Finding

_RE2_BYTES: Final = 64 << 20


class PatternError(ValueError):
    """Patterns cannot be used.

    Attributes:
        problems: one line for each, beginning with what the pattern is called.
    """

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(problems))


@dataclass(frozen=True, slots=True)
class CustomPattern:
    """What a user looks for.

    Attributes:
        type: the type of finding.
        pattern: a regular expression of RE2, or a text when `literal`.
        literal: whether the pattern is a text, found in whatever case.
        keywords: words without one of which the pattern cannot match; they make it quick.
        context: words one of which must stand near.
        group: the group of the pattern that is the finding.
    """

    type: str
    pattern: str
    literal: bool = False
    keywords: tuple[str, ...] = ()
    context: tuple[str, ...] = ()
    group: int = 0


def compile_re2(pattern: str, *, ignore_case: bool = False) -> Pattern:
    """A pattern as RE2 matches it.

    Raises:
        PatternError: RE2 is not installed, or does not take it.
    """
    try:
        import re2  # noqa: PLC0415 - optional
    except ImportError:
        raise PatternError(["needs google-re2, which is not installed; pip install 'otel-llm[policy]'"]) from None
    options = re2.Options()
    options.log_errors = False
    options.max_mem = _RE2_BYTES
    options.case_sensitive = not ignore_case
    try:
        return cast("Pattern", re2.compile(pattern, options))
    except re2.error as error:
        reason = error.args[0] if error.args else ""
        text = reason.decode("utf-8", "replace") if isinstance(reason, bytes) else str(reason)
        raise PatternError([f"RE2 does not take the pattern: {text}"]) from None


def custom(patterns: Iterable[CustomPattern], name: str = "custom", engine: Engine | None = None) -> PatternDetector:
    """A detector of these patterns.

    Raises:
        PatternError: with a problem for each pattern that cannot be used.
    """
    rules, problems = [], []
    for position, one in enumerate(patterns):
        try:
            rules.append(_rule(one))
        except PatternError as error:
            problems += [f"{position} ({one.type}): {problem}" for problem in error.problems]
    if problems:
        raise PatternError(problems)
    return PatternDetector(name, rules, engine)


def _rule(one: CustomPattern) -> Rule:
    if not one.pattern:
        raise PatternError(["the pattern is empty"])
    keywords = one.keywords
    compiled: Pattern
    if one.literal:
        compiled = re.compile(re.escape(one.pattern), re.IGNORECASE)
        keywords = keywords or ((one.pattern.lower(),) if one.pattern.isascii() else ())
    else:
        compiled = compile_re2(one.pattern)
        groups = getattr(compiled, "groups", 0)
        if not 0 <= one.group <= groups:
            raise PatternError([f"there is no group {one.group}: the pattern has {groups}"])
        if next(iter(compiled.finditer("")), None) is not None:
            raise PatternError(["the pattern matches the empty text, and so everywhere"])
    cue = Cue(tuple(keyword.lower() for keyword in keywords if keyword.isascii()))
    return Rule(one.type, compiled, cue, one.group, context=words(*one.context) if one.context else None)


class CallableDetector:
    """Any function from a text to places in it, as a detector.

    Args:
        name: of the detector.
        types: the types it may find.
        function: returns (type, start, end) or (type, start, end, confidence) for each place; thread-safe.
    """

    __slots__ = ("_function", "name", "types")

    def __init__(self, name: str, types: Iterable[str], function: Callable[[str], Iterable[Sequence[object]]]) -> None:
        self.name = name
        self.types = frozenset(types)
        self._function = function

    def find(self, text: str) -> tuple[Finding, ...]:
        """What the function finds."""
        return tuple(self._finding(*place) for place in self._function(text))

    def _finding(self, type_: object, start: object, end: object, confidence: object = 0.5) -> Finding:
        if not (
            isinstance(type_, str) and type(start) is int and type(end) is int and isinstance(confidence, float | int)
        ):
            raise TypeError("a detector's function must return (type, start, end) or (type, start, end, confidence)")
        return Finding(type_, start, end, self.name, float(confidence))
