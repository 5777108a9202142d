"""What has to be remembered of a trace, because it spans operations: documents, tool calls, failures, depth of agents.

Bounded: a number of traces, of each only its end, and a number of words of documents in all; names are kept as hashes,
and what has ids of other lengths than OpenTelemetry's is not remembered. A span that comes twice is taken once.
Thread-safe.
"""

from __future__ import annotations

import threading
from collections import OrderedDict, deque
from dataclasses import dataclass, field
from typing import Final

from otel_llm.quality.signals.loops import REMEMBERED, Step, is_loop

# One more than what the SDKs' own retries make.
_STORM: Final = 4
DEEPEST: Final = 10
_SPANS: Final = 256
_TARGETS: Final = 64
# Of one trace, and of all of them: some 100 bytes each.
_WORDS: Final = 20_000
_ALL_WORDS: Final = 1_000_000
_TRACE_BYTES: Final = 16
_SPAN_BYTES: Final = 8
_NONE: Final[frozenset[str]] = frozenset()


@dataclass(slots=True)
class _Trace:
    words: frozenset[str] | None = None
    steps: deque[Step] = field(default_factory=lambda: deque(maxlen=REMEMBERED))
    failures: dict[int, int] = field(default_factory=dict)
    # Agents below a span that has not come yet, by that span's id.
    heights: OrderedDict[bytes, int] = field(default_factory=OrderedDict)
    seen: OrderedDict[bytes, None] = field(default_factory=OrderedDict)


class Traces:
    """The traces of late.

    Args:
        limit: how many; the one that was quiet longest is forgotten first.
    """

    __slots__ = ("_limit", "_lock", "_traces", "_words")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._lock = threading.Lock()
        self._traces: OrderedDict[bytes, _Trace] = OrderedDict()
        self._words = 0

    def __len__(self) -> int:
        return len(self._traces)

    def _trace(self, trace_id: bytes) -> _Trace:
        found = self._traces.get(trace_id)
        if found is None:
            found = self._traces[trace_id] = _Trace()
            if len(self._traces) > self._limit:
                self._forget_oldest()
        else:
            self._traces.move_to_end(trace_id)
        return found

    def _forget_oldest(self) -> None:
        _, oldest = self._traces.popitem(last=False)
        self._words -= len(oldest.words or ())

    def retrieved(self, trace_id: bytes, words: frozenset[str]) -> None:
        """Documents with these words were retrieved; they join those before, until these are too many."""
        if len(trace_id) != _TRACE_BYTES:
            return
        with self._lock:
            trace = self._trace(trace_id)
            before = trace.words or _NONE
            trace.words = words | before if len(before) <= _WORDS else words
            self._words += len(trace.words) - len(before)
            while self._words > _ALL_WORDS and len(self._traces) > 1:
                self._forget_oldest()

    def words(self, trace_id: bytes) -> frozenset[str] | None:
        """The words of what was retrieved in a trace so far; None when nothing was seen."""
        with self._lock:
            found = self._traces.get(trace_id)
            return None if found is None else found.words

    def stepped(self, trace_id: bytes, span_id: bytes, step: Step) -> bool | None:
        """A tool was called; whether the trace's calls now end in a loop, None without ids to know it by."""
        if not _are_ids(trace_id, span_id):
            return None
        with self._lock:
            trace = self._trace(trace_id)
            if _is_new(trace, b"step" + span_id):
                trace.steps.append(step)
            return is_loop(tuple(trace.steps))

    def called(self, trace_id: bytes, span_id: bytes, target: str, *, failed: bool) -> bool | None:
        """A model or tool was called; whether it has now failed four times or more in a row within the trace.

        None when it did not fail, or has no ids to know it by.
        """
        if not _are_ids(trace_id, span_id):
            return None
        key = hash(target)
        with self._lock:
            if not failed:  # nearly all: nothing to remember, unless it ends a row of failures
                known = self._traces.get(trace_id)
                if known is not None and key in known.failures and _is_new(known, b"call" + span_id):
                    known.failures[key] = 0
                return None
            trace = self._trace(trace_id)
            if _is_new(trace, b"call" + span_id) and (key in trace.failures or len(trace.failures) < _TARGETS):
                trace.failures[key] = trace.failures.get(key, 0) + 1
            return trace.failures.get(key, 0) >= _STORM

    def height(self, trace_id: bytes, span_id: bytes, parent_id: bytes, *, is_agent: bool) -> int:
        """How many agents stand upon each other from this span downwards, it included.

        Spans come when they end, children first: a span's height is known when it comes.
        """
        if not _are_ids(trace_id, span_id):
            return int(is_agent)
        with self._lock:
            known = self._traces.get(trace_id)
            if not is_agent and (known is None or span_id not in known.heights):
                return 0
            heights = self._trace(trace_id).heights
            own = heights.pop(span_id, 0) + is_agent
            if own and len(parent_id) == _SPAN_BYTES:
                heights[parent_id] = max(heights.get(parent_id, 0), own)
                if len(heights) > _SPANS:
                    heights.popitem(last=False)
            return own


def _are_ids(trace_id: bytes, span_id: bytes) -> bool:
    return len(trace_id) == _TRACE_BYTES and len(span_id) == _SPAN_BYTES


def _is_new(trace: _Trace, key: bytes) -> bool:
    if key in trace.seen:
        return False
    trace.seen[key] = None
    if len(trace.seen) > _SPANS:
        trace.seen.popitem(last=False)
    return True
