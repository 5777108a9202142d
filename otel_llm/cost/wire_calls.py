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
from collections.abc import Hashable, Mapping, Sequence
from typing import Final, Literal, NamedTuple

from otel_llm.cost.recent import Recent

# A response id this long is unique by itself. Shorter ones come from servers that count, or draw from a few hundred
# (local OpenAI-compatible ones do), so there the reports must overlap in time as well.
UNIQUE_ID_LENGTH: Final = 20
_CLOCK_SKEW_NANO = 1_000_000_000

# What is known of a span. above: it repeats calls below it, and more calls may come below it. below: it repeats a call
# above it, and so does whatever comes below it.
_State = Literal["billed", "above", "below"]
_SpanKey = tuple[bytes, bytes]


class Report(NamedTuple):
    """A span that reports the usage of a call.

    Attributes:
        trace_id, span_id, parent_span_id: as in the span; the parent is empty for a root.
        response_id: the provider's id of its answer, None when it is not known.
        start_unix_nano, end_unix_nano: the span's times.
        detail: how much it says about the usage; more is better, and below 0 is nothing: a span that repeats a call
            when another reports it, and otherwise stands for itself.
        clock: whose clock the times are of (what tells one process from another); None when that is not known.
    """

    trace_id: bytes
    span_id: bytes
    parent_span_id: bytes
    response_id: str | None
    start_unix_nano: int
    end_unix_nano: int
    detail: int
    clock: Hashable = None

    @property
    def key(self) -> _SpanKey:
        """What identifies the span."""
        return self.trace_id, self.span_id

    @property
    def parent_key(self) -> _SpanKey:
        """What identifies its parent."""
        return self.trace_id, self.parent_span_id

    def overlaps(self, other: Report) -> bool:
        """Whether both could be of the same moment: by one clock they are or are not, between two it may be either."""
        skew = 0 if self.clock is not None and self.clock == other.clock else _CLOCK_SKEW_NANO
        return (
            self.start_unix_nano < other.end_unix_nano + skew and other.start_unix_nano < self.end_unix_nano + skew
        ) or self.start_unix_nano == other.start_unix_nano

    def same_answer(self, other: Report) -> bool:
        """Whether two reports with the same response id are of one call."""
        return len(self.response_id or "") >= UNIQUE_ID_LENGTH or self.overlaps(other)


class WireCalls:
    """Decides which of the reports is billed. Thread-safe.

    Args:
        limit: how many spans and how many response ids to remember at least; at most it is twice as many, and those of
            one request. Some 400 bytes each.
    """

    __slots__ = ("_answers", "_lock", "_spans")

    def __init__(self, limit: int = 50_000) -> None:
        self._lock = threading.Lock()
        self._spans: Recent[_SpanKey, _State] = Recent(limit)
        self._answers: Recent[str, Report] = Recent(limit)

    def settle(self, reports: Sequence[Report]) -> list[bool]:
        """Whether each of these reports is the billed one of its call. The same spans get the same answer again.

        Of one that says nothing about the usage: whether no other report is of its call.
        """
        keys: list[_SpanKey] = [report[:2] for report in reports]
        with self._lock:
            young, old = self._spans.young, self._spans.old
            new = {
                key: report
                for key, report in zip(keys, reports, strict=True)
                if report.detail >= 0 and key not in young and key not in old and any(key[1])
            }
            if _are_alone(new):
                for key, report in new.items():
                    self._settle_alone(key, report)
            else:
                for family in _merged_by_answer(self._families(new)):
                    self._settle_family(family)
            # Without an id of its own, nothing can be said about a span but that it reports a call.
            settled = [
                (young.get(key) or old.get(key)) == "billed" or not any(key[1])
                if report.detail >= 0
                else self._stands_for_itself(report)
                for key, report in zip(keys, reports, strict=True)
            ]
            # Only between requests: within one, all of it counts, however large it is.
            self._spans.age()
            self._answers.age()
        return settled

    def _settle_alone(self, key: _SpanKey, report: Report) -> None:
        """`_settle_family` of one report, as nearly all families are."""
        spans = self._spans.young
        trace_id, _, parent_span_id, response_id, *_ = report
        if parent_span_id:
            parent_key = (trace_id, parent_span_id)
            above = self._state(parent_key)
            if above is None:
                spans[parent_key] = "above"
            elif above != "above":
                spans[key] = "below"
                return
        if response_id is not None:
            answer = self._answer(response_id)
            if answer is not None and answer.same_answer(report):
                spans[key] = "below"
                return
            self._answers.young[response_id] = report
        spans[key] = "billed"

    def _families(self, by_key: Mapping[_SpanKey, Report]) -> list[list[Report]]:
        """Reports of one call each, the outermost first; parents of several calls are marked and left out."""
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
            if report.parent_span_id and self._state(report.parent_key) is None:
                self._spans.young[report.parent_key] = "above"
            if report.response_id is not None:
                self._answers.young[report.response_id] = report

    def _is_known(self, family: list[Report]) -> bool:
        """Whether the call was billed before, on a span above these or under the same response id."""
        for report in family:
            if report.parent_span_id and self._state(report.parent_key) not in (None, "above"):
                return True
            answer = None if report.response_id is None else self._answer(report.response_id)
            if answer is not None and answer.same_answer(report):
                return True
        return False

    def _stands_for_itself(self, silent: Report) -> bool:
        """Whether nothing is known of the call of a report that says nothing about the usage."""
        return self._state(silent.key) is None and not self._is_known([silent])

    def _state(self, key: _SpanKey) -> _State | None:
        return self._spans.young.get(key) or self._spans.old.get(key)

    def _answer(self, response_id: str) -> Report | None:
        return self._answers.young.get(response_id) or self._answers.old.get(response_id)

    def _mark(self, reports: Sequence[Report], state: _State) -> None:
        for report in reports:
            self._spans.young[report.key] = state


def _are_alone(new: Mapping[_SpanKey, Report]) -> bool:
    """Whether none of these is the parent of another, and no two have one response id."""
    parents = {(report.trace_id, report.parent_span_id) for report in new.values()}
    if not parents.isdisjoint(new):
        return False
    answers = [report.response_id for report in new.values() if report.response_id is not None]
    return len(set(answers)) == len(answers)


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
