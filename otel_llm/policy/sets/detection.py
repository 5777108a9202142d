"""Detectors in rules: `finds("secrets", input.text)`, `found("personal", output.text)`.

The first argument names a detector, or one of its types (`personal.EMAIL_ADDRESS`), or a type alone (`EMAIL_ADDRESS`).
It is checked when a rule is loaded. Detectors look at a text when a rule that asks is reached, and once for all rules.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from otel_llm.policy.cel import Overload
from otel_llm.policy.cel.types import BOOL, STRING, list_of
from otel_llm.policy.findings import Detector, Finding

_FINDS: Final = "finds"
_FOUND: Final = "found"


@dataclass(frozen=True, slots=True)
class LazyDetector:
    """A detector that is made when the first rule names it: making one may take a tenth of a second.

    Attributes:
        name: of the detector.
        types: those it can find.
        make: makes it.
    """

    name: str
    types: frozenset[str]
    make: Callable[[], Detector]


class _Remembering:
    """A detector with its last text: the rules of a bundle ask about the same one, one after the other.

    Text and findings are one tuple, replaced at once, so that threads may share it.
    """

    __slots__ = ("_detector", "_last", "_make", "types")

    def __init__(self, detector: Detector | LazyDetector) -> None:
        self.types = detector.types
        self._make = detector.make if isinstance(detector, LazyDetector) else None
        self._detector: Detector | None = None if isinstance(detector, LazyDetector) else detector
        self._last: tuple[str, tuple[Finding, ...]] | None = None

    def prepare(self) -> Detector:
        """The detector, made if it was not yet."""
        if self._detector is None:
            assert self._make is not None  # noqa: S101 - one of the two is there
            self._detector = self._make()
        return self._detector

    def find(self, text: str) -> tuple[Finding, ...]:
        last = self._last
        if last is not None and last[0] is text:
            return last[1]
        findings = self.prepare().find(text)
        self._last = (text, findings)
        return findings


class _Chosen:
    """Several detectors, or some types of theirs, as one detector."""

    name = "chosen"
    types: frozenset[str] = frozenset()

    def __init__(self, finders: Sequence[Callable[[str], list[Finding]]]) -> None:
        self._finders = finders

    def find(self, text: str) -> tuple[Finding, ...]:
        found = [finding for find in self._finders for finding in find(text)]
        return tuple(sorted(found, key=lambda one: (one.start, -one.end)))


class Detection:
    """The detectors that rules may name.

    Args:
        detectors: with names of their own.

    Attributes:
        names: of the detectors.
        types: that they find.
    """

    def __init__(self, detectors: Sequence[Detector | LazyDetector] = ()) -> None:
        self._detectors = {detector.name: _Remembering(detector) for detector in detectors}
        self.names = frozenset(self._detectors)
        self.types = frozenset(type_ for detector in detectors for type_ in detector.types)

    def select(self, name: str) -> Callable[[str], list[Finding]]:
        """A function that gives the findings a name is for.

        Raises:
            ValueError: nothing has that name.
        """
        detector, _, type_ = name.partition(".")
        if detector in self._detectors and (not type_ or type_ in self._detectors[detector].types):
            return _finder([self._detectors[detector]], frozenset({type_}) if type_ else None)
        owners = [one for one in self._detectors.values() if name in one.types]
        if owners:
            return _finder(owners, frozenset({name}))
        known = sorted(self._detectors)
        near = difflib.get_close_matches(name[:80], [*known, *self.types], n=1)
        hint = f"did you mean {near[0]}?" if near else f"known: {', '.join(known) or 'none'}, and their types"
        raise ValueError(f"there is no detector or type {name[:80]!r}; {hint}")

    def choose(self, names: Iterable[str]) -> Detector:
        """What several names are for, as one detector.

        Raises:
            ValueError: nothing has one of these names.
        """
        return _Chosen([self.select(name) for name in names])

    def overloads(self) -> list[Overload]:
        """The functions of rules."""

        def finds(arguments: Sequence[object]) -> Callable[..., object]:
            find = self.select(_name(arguments))
            return lambda _, text: bool(find(text))

        def found(arguments: Sequence[object]) -> Callable[..., object]:
            find = self.select(_name(arguments))
            return lambda _, text: sorted({finding.type for finding in find(text)})

        return [
            Overload(
                _FINDS, (STRING, STRING), BOOL, _unbound, is_linear=True, is_slow=True, is_discreet=True, bind=finds
            ),
            Overload(
                _FOUND,
                (STRING, STRING),
                list_of(STRING),
                _unbound,
                is_linear=True,
                is_slow=True,
                is_discreet=True,
                bind=found,
            ),
        ]


def _name(arguments: Sequence[object]) -> str:
    name = arguments[0]
    if not isinstance(name, str):
        raise ValueError("the name of a detector is a literal, or from params, and not from data")  # noqa: TRY004 - an argument of the user's
    return name


def _finder(owners: Sequence[_Remembering], types: frozenset[str] | None) -> Callable[[str], list[Finding]]:
    for owner in owners:
        owner.prepare()

    def find(text: str) -> list[Finding]:
        found = [finding for owner in owners for finding in owner.find(text)]
        return found if types is None else [finding for finding in found if finding.type in types]

    return find


def _unbound(*_: object) -> object:
    raise AssertionError("bound when it was loaded")
