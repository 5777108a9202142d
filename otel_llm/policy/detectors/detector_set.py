"""Several detectors as one: what each finds, in the text as a reader sees it, remembered for texts that come again.

The history of a conversation is sent again with every turn, so most texts were looked at before. Findings (places and
types, never text) are kept for a bounded number of texts, by the text when it is short and by its digest otherwise.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol, TypeVar, runtime_checkable

from otel_llm.policy.detectors.folding import Folded
from otel_llm.policy.detectors.gate import Gate, SharedGate
from otel_llm.policy.detectors.patterns import MOST_FINDINGS, in_order
from otel_llm.policy.findings import Detector, Finding

_SHORT: Final = 128
_DEFAULT_REMEMBERED: Final = 16_384
_MOST_REMEMBERED_FINDINGS: Final = 64


@runtime_checkable
class Gated(Protocol):
    """A detector whose gate can be shared.

    Attributes:
        gate: without whose cues it finds nothing.
    """

    gate: Gate

    def find_among(self, text: str, passed: Sequence[int]) -> tuple[Finding, ...]:
        """What `find` returns, when these positions of cues passed the gate."""
        ...


class DetectorError(Exception):
    """A detector raised.

    Attributes:
        detector: its name.
        kind: the type of what it raised; its text may hold content.
    """

    def __init__(self, detector: str, kind: str) -> None:
        self.detector = detector
        self.kind = kind
        super().__init__(f"detector {detector} failed with {kind}")


class _Memory:
    """Findings by text, at most `limit` and as many again: the older half goes when the newer is full."""

    __slots__ = ("_limit", "_lock", "_new", "_old")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._lock = threading.Lock()
        self._new: dict[str | bytes, tuple[Finding, ...]] = {}
        self._old: dict[str | bytes, tuple[Finding, ...]] = {}

    def get(self, key: str | bytes) -> tuple[Finding, ...] | None:
        found = self._new.get(key)
        if found is None:
            found = self._old.get(key)
            if found is not None:
                self.put(key, found)
        return found

    def put(self, key: str | bytes, findings: tuple[Finding, ...]) -> None:
        with self._lock:
            if len(self._new) >= self._limit:
                self._old, self._new = self._new, {}
            self._new[key] = findings


class DetectorSet:
    """Several detectors as one; thread-safe.

    Args:
        detectors: in no particular order.
        types: findings of other types do not count; None for all.
        allowed: texts that are no finding, whatever their case: an address of one's own.
        remembered: for how many texts findings are kept, and as many again.
        name: of the set, as a detector.

    Attributes:
        types: those that it may find.
    """

    __slots__ = ("_allowed", "_gate", "_memory", "_seats", "name", "types")

    def __init__(
        self,
        detectors: Sequence[Detector],
        types: frozenset[str] | None = None,
        *,
        allowed: Iterable[str] = (),
        remembered: int = _DEFAULT_REMEMBERED,
        name: str = "detectors",
    ) -> None:
        self.name = name
        every = frozenset(type_ for detector in detectors for type_ in detector.types)
        self.types = every if types is None else every & types
        self._allowed = frozenset(text.lower() for text in allowed)
        used = [detector for detector in detectors if detector.types & self.types]
        sharing = _sharing(used)
        self._gate = SharedGate([one.gate for one in sharing])
        self._seats = [_seat(one, sharing) for one in used]
        self._memory = _Memory(remembered)

    def find(self, text: str) -> tuple[Finding, ...]:
        """What is in the text, in order of its start; findings of several types may overlap.

        Raises:
            DetectorError: a detector raised. What the others may have found is not known.
        """
        if not text:
            return ()
        key = text if len(text) <= _SHORT else _digest(text)
        found = self._memory.get(key)
        if found is None:
            found = self._look(text)
            if len(found) <= _MOST_REMEMBERED_FINDINGS:
                self._memory.put(key, found)
        return found

    def _look(self, text: str) -> tuple[Finding, ...]:
        folded = Folded(text)
        is_folded = folded.text is not text
        passed = _guarded("gate", self._gate, folded.text)
        passed_original = _guarded("gate", self._gate, text) if is_folded else passed
        found: list[Finding] = []
        for seat in self._seats:
            if seat.reads_original:
                here = seat.ask(text, passed_original)
            else:
                here = seat.ask(folded.text, passed)
                if is_folded:
                    here = tuple(_moved(one, folded) for one in here)
            found += [one for one in here if one.type in self.types] if here else ()
        if self._allowed:
            found = [one for one in found if text[one.start : one.end].lower() not in self._allowed]
        if len(found) > MOST_FINDINGS:
            return (Finding(found[0].type, 0, len(text), found[0].detector, found[0].confidence),)
        return in_order(found)


def _moved(finding: Finding, folded: Folded) -> Finding:
    """The same where it stands in the source."""
    start, end = folded.to_source(finding.start, finding.end)
    return Finding(finding.type, start, end, finding.detector, finding.confidence)


def _sharing(detectors: Sequence[Detector]) -> list[Gated]:
    """Those that share a gate: all that have one, of the same engine as the first of them."""
    gated = [one for one in detectors if isinstance(one, Gated)]
    return [one for one in gated if one.gate.engine == gated[0].gate.engine]


@dataclass(frozen=True, slots=True)
class _Seat:
    """A detector in a set.

    Attributes:
        detector: itself.
        gated: the same, when it shares the gate of the set.
        slot: of the shared gate, what is for this detector.
        reads_original: whether it reads the text as it is, not folded.
    """

    detector: Detector
    gated: Gated | None
    slot: int
    reads_original: bool

    def ask(self, text: str, passed: Sequence[Sequence[int]]) -> tuple[Finding, ...]:
        """What it finds.

        Raises:
            DetectorError: it raised, or found something outside of the text.
        """
        name = self.detector.name
        if self.gated is None:
            found = _guarded(name, self.detector.find, text)
        else:
            found = _guarded(name, self.gated.find_among, text, passed[self.slot])
        if found and any(not 0 <= one.start < one.end <= len(text) for one in found):
            raise DetectorError(name, "PlaceOutsideOfText")
        return found


def _seat(detector: Detector, sharing: Sequence[Gated]) -> _Seat:
    reads_original = getattr(detector, "reads_original", False)
    if isinstance(detector, Gated) and detector in sharing:
        return _Seat(detector, detector, sharing.index(detector), reads_original)
    return _Seat(detector, None, -1, reads_original)


_Returned = TypeVar("_Returned")


def _guarded(name: str, call: Callable[..., _Returned], *arguments: object) -> _Returned:
    """What the call returns; what it raises is told as an error of this name."""
    try:
        return call(*arguments)
    except Exception as error:  # noqa: BLE001 - detectors are anybody's; a failure is told apart from a clean text, and whoever asked fails closed
        raise DetectorError(name, type(error).__name__) from None


def _digest(text: str) -> bytes:
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()
