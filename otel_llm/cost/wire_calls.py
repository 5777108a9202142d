"""One call over the wire has one billed span, whichever mix of instrumentations reported it.

A framework, a provider SDK that traces itself and an instrumentation of that SDK may all report the usage of one
call: nested in one trace, or in different traces. Two reports are of one call when they share the provider's response
id, or when one is the parent of the other and has no other children that report usage. Of these the most detailed one
is billed (one that knows of cached tokens, say), of equals the innermost, for nothing repeats it. A parent of several
calls repeats them all and is never billed. Reports of one call that come in different requests are recognised by what
is remembered of the last calls; then the first one stands.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Literal, NamedTuple, TypeVar

# A response id this long is unique by itself. Shorter ones come from servers that count, or draw from a few hundred
# (local OpenAI-compatible ones do), so there the reports must overlap in time as well.
_UNIQUE_ID_LENGTH = 20
_CLOCK_SKEW_NANO = 1_000_000_000

# What is known of a span. above: it repeats calls below it, and more calls may come below it. below: it repeats a call
# above it, and so does whatever comes below it.
_State = Literal["billed", "above", "below"]
_SpanKey = tuple[bytes, bytes]

Key = TypeVar("Key")
Value = TypeVar("Value")


class Report(NamedTuple):
    """A span that reports the usage of a call.

    Attributes:
        trace_id, span_id, parent_span_id: as in the span; the parent is empty for a root.
        response_id: the provider's id of its answer, None when it is not known.
        start_unix_nano, end_unix_nano: the span's times.
        detail: how much it says about the usage; more is better.
    """

    trace_id: bytes
    span_id: bytes
    parent_span_id: bytes
    response_id: str | None
    start_unix_nano: int
    end_unix_nano: int
    detail: int

    @property
    def key(self) -> _SpanKey:
        """What identifies the span."""
        return self.trace_id, self.span_id

    @property
    def parent_key(self) -> _SpanKey:
        """What identifies its parent."""
        return self.trace_id, self.parent_span_id

    def overlaps(self, other: Report) -> bool:
        """Whether both could be of the same moment."""
        return (
            self.start_unix_nano <= other.end_unix_nano + _CLOCK_SKEW_NANO
            and other.start_unix_nano <= self.end_unix_nano + _CLOCK_SKEW_NANO
        )

    def same_answer(self, other: Report) -> bool:
        """Whether two reports with the same response id are of one call."""
        return len(self.response_id or "") >= _UNIQUE_ID_LENGTH or self.overlaps(other)


class WireCalls:
    """Decides which of the reports is billed. Thread-safe; remembers at most `limit` spans and as many response ids.

    Args:
        limit: how many to remember; some 400 bytes each.
    """

    __slots__ = ("_answers", "_limit", "_lock", "_spans")

    def __init__(self, limit: int = 50_000) -> None:
        self._limit = limit
        self._lock = threading.Lock()
        # Both in the order of insertion: the oldest is forgotten first.
        self._spans: dict[_SpanKey, _State] = {}
        self._answers: dict[str, Report] = {}

    def settle(self, reports: Sequence[Report]) -> list[bool]:
        """Whether each of these reports is the billed one of its call. The same spans get the same answer again."""
        with self._lock:
            new = [report for report in reports if any(report.span_id) and report.key not in self._spans]
            for family in _merged_by_answer(self._families(new)):
                self._settle_family(family)
            # Without an id of its own, nothing can be said about a span but that it reports a call.
            settled = [not any(report.span_id) or self._spans.get(report.key) == "billed" for report in reports]
            _forget(self._spans, self._limit)
            _forget(self._answers, self._limit)
        return settled

    def _families(self, reports: Sequence[Report]) -> list[list[Report]]:
        """Reports of one call each, the outermost first; parents of several calls are marked and left out."""
        by_key = {report.key: report for report in reports}
        children: dict[_SpanKey, list[Report]] = {}
        for report in by_key.values():
            if report.parent_span_id and report.parent_key in by_key and report.parent_key != report.key:
                children.setdefault(report.parent_key, []).append(report)
        inner = {below[0].key for below in children.values() if len(below) == 1}
        families = []
        for report in by_key.values():
            if report.key in inner:
                continue
            family = [report]
            while len(below := children.get(family[-1].key, [])) == 1:
                family.append(below[0])
            if below:
                self._mark(family, "above")
            else:
                families.append(family)
        return families

    def _settle_family(self, family: list[Report]) -> None:
        if self._is_known(family):
            self._mark(family, "below")
            return
        # Detail first; then the one that began last and stands last, which is the innermost.
        place, best = max(enumerate(family), key=lambda pair: (pair[1].detail, pair[1].start_unix_nano, pair[0]))
        self._mark(family[:place], "above")
        self._mark(family[place + 1 :], "below")
        self._mark([best], "billed")
        for report in family:
            if report.parent_span_id and report.parent_key not in self._spans:
                self._spans[report.parent_key] = "above"
            if report.response_id is not None:
                self._answers[report.response_id] = report

    def _is_known(self, family: list[Report]) -> bool:
        """Whether the call was billed before, on a span above these or under the same response id."""
        for report in family:
            if report.parent_span_id and self._spans.get(report.parent_key, "above") != "above":
                return True
            answer = None if report.response_id is None else self._answers.get(report.response_id)
            if answer is not None and answer.same_answer(report):
                return True
        return False

    def _mark(self, reports: Sequence[Report], state: _State) -> None:
        for report in reports:
            self._spans[report.key] = state


def _forget(memory: dict[Key, Value], limit: int) -> None:
    """Forget the oldest. Only between requests: within one, all of it counts, however large it is."""
    while len(memory) > limit:
        del memory[next(iter(memory))]


def _merged_by_answer(families: list[list[Report]]) -> list[list[Report]]:
    """Families that share a response id, as one."""
    merged: list[list[Report]] = []
    by_answer: dict[str, list[Report]] = {}
    for family in families:
        home = next((found for report in family if (found := _home(report, by_answer)) is not None), None)
        if home is None:
            home = []
            merged.append(home)
        home += family
        for report in family:
            if report.response_id is not None:
                by_answer[report.response_id] = home
    return merged


def _home(report: Report, by_answer: dict[str, list[Report]]) -> list[Report] | None:
    home = by_answer.get(report.response_id) if report.response_id is not None else None
    if home is not None and any(
        other.response_id == report.response_id and other.same_answer(report) for other in home
    ):
        return home
    return None
