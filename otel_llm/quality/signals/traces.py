"""What has to be remembered of a trace, because it spans operations: documents, tool calls, failures, depth of agents.

Bounded: a number of traces, and of each only its end. A span that comes twice is taken once. Thread-safe.
"""

from __future__ import annotations

import threading
from collections import OrderedDict, deque
from dataclasses import dataclass, field
from typing import Final

from otel_llm.quality.signals.loops import REMEMBERED, Step, is_loop
from otel_llm.quality.signals.support import Documents

# One more than what the SDKs' own retries make.
_STORM: Final = 4
DEEPEST: Final = 10
_SPANS: Final = 256
_TARGETS: Final = 64
_WORDS: Final = 20_000


@dataclass(slots=True)
class _Trace:
    documents: Documents | None = None
    steps: deque[Step] = field(default_factory=lambda: deque(maxlen=REMEMBERED))
    failures: dict[str, int] = field(default_factory=dict)
    # Agents below a span that has not come yet, by that span's id.
    heights: OrderedDict[bytes, int] = field(default_factory=OrderedDict)
    seen: OrderedDict[bytes, None] = field(default_factory=OrderedDict)


class Traces:
    """The traces of late.

    Args:
        limit: how many; the one that was quiet longest is forgotten first.
    """

    __slots__ = ("_limit", "_lock", "_traces")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._lock = threading.Lock()
        self._traces: OrderedDict[bytes, _Trace] = OrderedDict()

    def __len__(self) -> int:
        return len(self._traces)

    def _trace(self, trace_id: bytes) -> _Trace:
        found = self._traces.get(trace_id)
        if found is None:
            found = self._traces[trace_id] = _Trace()
            if len(self._traces) > self._limit:
                self._traces.popitem(last=False)
        else:
            self._traces.move_to_end(trace_id)
        return found

    def retrieved(self, trace_id: bytes, documents: Documents) -> None:
        """Documents were retrieved; they join those before, until these are too many."""
        with self._lock:
            trace = self._trace(trace_id)
            before = trace.documents
            if before is not None and len(before.all_words) <= _WORDS:
                documents = Documents(documents.words, documents.all_words | before.all_words)
            trace.documents = documents

    def documents(self, trace_id: bytes) -> Documents | None:
        """What was retrieved in a trace so far; None when nothing was seen."""
        with self._lock:
            found = self._traces.get(trace_id)
            return None if found is None else found.documents

    def stepped(self, trace_id: bytes, span_id: bytes, step: Step) -> bool:
        """A tool was called; whether the trace's calls now end in a loop."""
        with self._lock:
            trace = self._trace(trace_id)
            if _is_new(trace, b"step" + span_id):
                trace.steps.append(step)
            return is_loop(tuple(trace.steps))

    def called(self, trace_id: bytes, span_id: bytes, target: str, *, failed: bool) -> bool:
        """A model or tool was called; whether it has now failed four times or more in a row within the trace."""
        with self._lock:
            trace = self._trace(trace_id)
            if _is_new(trace, b"call" + span_id) and (target in trace.failures or len(trace.failures) < _TARGETS):
                trace.failures[target] = trace.failures.get(target, 0) + 1 if failed else 0
            return failed and trace.failures.get(target, 0) >= _STORM

    def height(self, trace_id: bytes, span_id: bytes, parent_id: bytes, *, is_agent: bool) -> int:
        """How many agents stand upon each other from this span downwards, it included.

        Spans come when they end, children first: a span's height is known when it comes.
        """
        with self._lock:
            heights = self._trace(trace_id).heights
            own = heights.pop(span_id, 0) + is_agent
            if own and parent_id:
                heights[parent_id] = max(heights.get(parent_id, 0), own)
                if len(heights) > _SPANS:
                    heights.popitem(last=False)
            return own


def _is_new(trace: _Trace, key: bytes) -> bool:
    if key in trace.seen:
        return False
    trace.seen[key] = None
    if len(trace.seen) > _SPANS:
        trace.seen.popitem(last=False)
    return True
