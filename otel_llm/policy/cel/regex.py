"""Regular expressions for `matches`: RE2's language, and never a runaway.

With google-re2 every pattern takes time in proportion to the text. Without it, Python's engine has to do, which goes
back and forth: then a pattern may have no construct that RE2 lacks, no choice within a repetition, one unbounded
repetition at most, and few choices altogether; and a text that an unbounded one looks at may not be long. What is
beyond is refused when the rule is loaded, or is an error when it runs, and never slow.
"""

from __future__ import annotations

import importlib
import importlib.util
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from otel_llm.policy.cel.errors import CelError
from otel_llm.policy.cel.overloads import UNKNOWN, Overload
from otel_llm.policy.cel.types import BOOL, STRING

_MOST_PATTERN: Final = 2_000
# One unbounded repetition, tried at each character, is quadratic; on so many characters that is some 10 ms.
_MOST_TEXT: Final = 4_096
_MOST_REPETITIONS: Final = 200
_RE2_MEMORY_BYTES: Final = 8_388_608

Search = Callable[[str], bool]


class PatternError(ValueError):
    """A pattern that cannot be used; the message says why."""


class Regexes(Protocol):
    """An engine."""

    def compile(self, pattern: str) -> Search:
        """A function that tells whether the pattern is anywhere in a text.

        Raises:
            PatternError: it cannot be used.
        """
        ...


class Re2Regexes:
    """google-re2."""

    def __init__(self) -> None:
        self._re2 = importlib.import_module("re2")

    def compile(self, pattern: str) -> Search:
        """See Regexes."""
        _check_length(pattern)
        options = self._re2.Options()
        options.log_errors = False
        options.max_mem = _RE2_MEMORY_BYTES
        try:
            search = self._re2.compile(pattern, options).search
        except (self._re2.error, TypeError) as error:
            raise PatternError(f"the pattern is no RE2 expression: {_reason(error)}") from None

        def found(text: str) -> bool:
            try:
                return search(text) is not None
            except UnicodeEncodeError:  # RE2 reads UTF-8, which has no half of a surrogate pair: it looks at the rest
                return search(text.encode("utf-8", "replace").decode()) is not None

        return found


class StandardRegexes:
    """Python's own engine, kept on a short leash."""

    def compile(self, pattern: str) -> Search:
        """See Regexes."""
        _check_length(pattern)
        is_bounded = _check_safe(pattern)
        try:
            search = re.compile(_as_python(pattern), re.ASCII).search
        except (re.error, OverflowError, RecursionError) as error:
            raise PatternError(f"the pattern is no regular expression: {error}") from None
        if is_bounded:
            return lambda text: search(text) is not None

        def short(text: str) -> bool:
            if len(text) > _MOST_TEXT:
                raise CelError("the text is too long for matches() without google-re2; pip install google-re2")
            return search(text) is not None

        return short


def best_regexes() -> Regexes:
    """google-re2 when it is installed, else Python's engine."""
    return Re2Regexes() if importlib.util.find_spec("re2") is not None else StandardRegexes()


def matches_overloads(regexes: Regexes, *, may_be_computed: bool = False) -> list[Overload]:
    """`text.matches(pattern)` and `matches(text, pattern)`.

    Args:
        regexes: the engine.
        may_be_computed: whether a pattern may come from data. Then it is compiled each time it is used.
    """

    def computed(text: str, pattern: str) -> bool:
        try:
            return regexes.compile(pattern)(text)
        except PatternError as error:
            raise CelError("matches() with a pattern that is no RE2 expression") from error

    def bind(arguments: Sequence[object]) -> Callable[..., object]:
        pattern = arguments[1]
        if isinstance(pattern, str):
            search = regexes.compile(pattern)
            return lambda text, _: search(text)
        if pattern is UNKNOWN and may_be_computed:
            return computed
        raise PatternError("matches() takes its pattern as a literal, or from params, and not from data")

    return [
        Overload("matches", (STRING, STRING), BOOL, computed, is_method=is_method, is_linear=True, bind=bind)
        for is_method in (False, True)
    ]


def _check_length(pattern: str) -> None:
    if len(pattern) > _MOST_PATTERN:
        raise PatternError(f"a pattern may have {_MOST_PATTERN} characters")


def _reason(error: Exception) -> str:
    text = error.args[0] if error.args else ""
    return text.decode(errors="replace") if isinstance(text, bytes) else str(text)


# The pieces that matter of a pattern: escapes, classes, groups, alternatives, repetitions.
_PIECE: Final = re.compile(
    r"\\(?P<escape>.)|\[\^?\]?(?:\\.|\[:\w+:\]|[^\]\\])*(?P<class>\])"
    r"|\((?P<group>\?(?:P?<[A-Za-z_]\w*>|[imsU-]*:|[imsU]+\)|.?.?)|)"
    r"|(?P<close>\))|(?P<repeat>[*+?]|\{[0-9]+(?:,[0-9]*)?\})(?P<lazy>[?+]?)|(?P<end>\$)|(?P<or>\|)",
    re.DOTALL,
)
_FOREIGN_ESCAPES: Final = frozenset("123456789gkGKNRXZpPCQELlUu")
# In how many ways a pattern may go on at one place of a text, all choices taken together.
_MOST_CHOICES: Final = 512


@dataclass(slots=True)
class _Group:
    """An open group of a pattern.

    Attributes:
        alternatives: of which one has to match.
        has_choice: whether there is more than one way to match it: then it may not be repeated.
    """

    alternatives: int = 1
    has_choice: bool = False


def _check_safe(pattern: str) -> bool:
    """Whether the pattern has no unbounded repetition.

    Raises:
        PatternError: it could run away, or uses what RE2 and Python do not have in common.
    """
    groups = [_Group()]
    closed: _Group | None = None  # the group that ended just now
    unbounded, choices = 0, 1
    for match in _PIECE.finditer(pattern):
        follows, closed = closed, None
        if match["escape"] is not None and match["escape"] in _FOREIGN_ESCAPES:
            raise PatternError(f"\\{match['escape']} needs google-re2; pip install google-re2")
        if match["class"] and "[:" in match.group():
            raise PatternError("a class by name needs google-re2; pip install google-re2")
        if match["group"] is not None:
            _check_group(match["group"])
            if not match["group"].endswith(")"):
                groups.append(_Group())
        elif match["or"]:
            groups[-1].alternatives += 1
            groups[-1].has_choice = True
        elif match["close"] and len(groups) > 1:
            closed = groups.pop()
            choices *= closed.alternatives
            groups[-1].has_choice |= closed.has_choice
        elif match["repeat"]:
            least, most = _times(match["repeat"])
            if match["lazy"] == "+":
                raise PatternError("a possessive repetition is not RE2")
            if follows is not None and follows.has_choice and most != 1:
                raise PatternError("a choice within a repetition needs google-re2; pip install google-re2")
            groups[-1].has_choice = True
            unbounded += most is None
            choices *= 1 if most is None else most - least + 1
    if unbounded > 1:
        raise PatternError("more than one of *, + and {n,} needs google-re2; pip install google-re2")
    if choices * groups[0].alternatives > _MOST_CHOICES:
        raise PatternError("so many choices need google-re2; pip install google-re2")
    return unbounded == 0


def _check_group(start: str) -> None:
    if start.startswith(("?=", "?!", "?>", "?#", "?<=", "?<!", "?P=", "?(")):
        raise PatternError("look-around, back references and conditions are not RE2")


def _times(repeat: str) -> tuple[int, int | None]:
    """How often at least and at most; None when there is no limit."""
    if repeat in "?*+":
        return (1 if repeat == "+" else 0), (1 if repeat == "?" else None)
    least, _, most = repeat.strip("{}").partition(",")
    if "," in repeat and not most:
        return int(least[:6]), None
    if max(int(least[:6]), int((most or least)[:6])) > _MOST_REPETITIONS:
        raise PatternError(f"more than {_MOST_REPETITIONS} repetitions need google-re2; pip install google-re2")
    return int(least), int(most or least)


def _as_python(pattern: str) -> str:
    """The pattern with RE2's meaning of `$`: the very end, and not before a last line feed."""

    def piece(match: re.Match[str]) -> str:
        if match["end"]:
            return r"\Z"
        return r"\Z" if match["escape"] == "z" else match.group()

    return _PIECE.sub(piece, pattern)
