"""The connector that keeps whole traces: those worth looking at all, of the others a part that stands for them.

The laws of this module:
- A span that is worth keeping is kept, however late or early it comes and however little room there is.
- What it holds is bounded in bytes; when that is not enough it decides early, and then it refuses. It gives up nothing.
- What was sampled out is known: each kept span says how many it stands for.
- With `disk`, what it holds is in a journal as well, and comes again after a crash; without it, a crash loses that.
Metrics and ledger stand before it, so they never notice it; the configuration is refused otherwise.
"""

from __future__ import annotations

import heapq
import logging
import math
import threading
from collections import OrderedDict, deque
from collections.abc import Mapping
from decimal import Decimal
from itertools import islice
from typing import Annotated, Final, Literal

import msgspec

from otel_llm._generated import attributes as names
from otel_llm._generated import metrics as definitions
from otel_llm._generated.attributes import OtelLlmComponentTypeValues as ComponentType
from otel_llm._generated.attributes import OtelLlmDropReasonValues as DropReason
from otel_llm._generated.attributes import OtelLlmErrorSiteValues as ErrorSite
from otel_llm.codecs.regroup import read_layout, split_items
from otel_llm.codecs.span_facts import SpanFacts, read_facts
from otel_llm.components import Context
from otel_llm.connectors import Emit
from otel_llm.connectors.decision import Decision, Part, annotated, part_of
from otel_llm.connectors.journal import Estate, Journal
from otel_llm.connectors.threshold import randomness, threshold_of
from otel_llm.connectors.trace_rules import Rules, Summary
from otel_llm.delivery.config import DiskConfig
from otel_llm.delivery.storage import exporter_folder
from otel_llm.errors import ConfigError, MalformedError, PermanentError, RefusedError, RetryableError
from otel_llm.exporters.exporter import ExportResult
from otel_llm.signals import Payload, Signal
from otel_llm.telemetry import LogLimiter

_LOGGER: Final = logging.getLogger(__name__)
_MEBIBYTE: Final = 1024 * 1024
# What a held part costs beyond its bytes: objects and places in collections.
_PART_BYTES: Final = 400
_STALE_DEADLINES: Final = 1024
# What is let go of is offered in pieces of about this size.
_OFFER_BYTES: Final = 1024 * 1024
# So many of the oldest traces are decided on together when room is needed.
_DECIDED_EARLY: Final = 32
# The folder of the journals, beside those of the queue.
_JOURNALS: Final = "held"

Verdict = Literal["audit", "warn", "modify", "escalate", "deny", "error"]


class Config(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Keeps whole traces: those worth looking at all, of the others a part."""

    sampling_percentage: Annotated[float, msgspec.Meta(ge=0, le=100)]
    """How many of the traces that no rule keeps are kept, in percent. Decided by the trace's id, so that samplers
    before and after this one agree; what a kept span stands for is in `otel_llm.sampling.adjusted_count`."""
    keep_errors: bool = True
    """Keep every trace with a span that ended with an error."""
    keep_verdicts: tuple[Verdict, ...] = ("warn", "modify", "escalate", "deny", "error")
    """Keep every trace with such a verdict of policy."""
    keep_from_cost: Annotated[float, msgspec.Meta(ge=0)] | None = None
    """Keep every trace whose calls cost at least this much together."""
    cost_currency: str = "USD"
    """The currency of that amount. Calls priced in another do not count."""
    keep_from_seconds: Annotated[float, msgspec.Meta(ge=0)] | None = None
    """Keep every trace that takes at least this long, from its first start to its last end."""
    decision_wait_seconds: Annotated[float, msgspec.Meta(ge=0)] = 30.0
    """How long to wait for the rest of a trace, from its first span on. A rule that keeps it ends the wait."""
    wait_after_root_seconds: Annotated[float, msgspec.Meta(ge=0)] = 5.0
    """How long to wait when the root has come, which ends last."""
    max_size_bytes: Annotated[int, msgspec.Meta(ge=1024)] = 128 * _MEBIBYTE
    """Bytes of spans that are held. When there are more, the oldest traces are decided on early; when those that were
    kept find no room behind this connector either, it refuses."""
    max_trace_spans: Annotated[int, msgspec.Meta(ge=1)] = 5_000
    """Spans that are held of one trace. A larger one is decided on at once; what comes later follows."""
    max_trace_size_bytes: Annotated[int, msgspec.Meta(ge=1024)] = 16 * _MEBIBYTE
    """The same in bytes."""
    remembered_traces: Annotated[int, msgspec.Meta(ge=0)] = 100_000
    """Decisions that are remembered for spans that come late, some 300 bytes each."""
    disk: DiskConfig | None = None
    """Keep what is held on disk too, and the queue before it, so that a crash loses none of it; without it, both are in
    memory. `size_bytes` is for each of the two. A folder named after the connector is made in `directory`."""


class _Trace:
    """A trace that is not decided on."""

    __slots__ = ("deadline", "parts", "size_bytes", "spans", "summary", "trace_state")

    def __init__(self, deadline: float, trace_state: bytes) -> None:
        self.deadline = deadline
        self.trace_state = trace_state
        self.parts: list[Part] = []
        self.spans = 0
        self.size_bytes = 0
        self.summary = Summary()


class TailSampling:
    """The connector; see `create`. One lock guards everything."""

    signals: frozenset[Signal] = frozenset({"traces"})

    def __init__(self, config: Config, context: Context) -> None:
        self._config = config
        self._name = context.name
        self._clock = context.clock
        self._monotonic = context.clock.monotonic
        self._rules = _rules(config)
        self._threshold = threshold_of(config.sampling_percentage / 100)
        self._lock = threading.Lock()
        self._traces: OrderedDict[bytes, _Trace] = OrderedDict()
        self._deadlines: list[tuple[float, bytes]] = []
        self._decided: OrderedDict[bytes, Decision] = OrderedDict()
        self._leaving: deque[tuple[Payload, int]] = deque()
        self._journal: Journal | None = None
        self._estate: Estate | None = None
        self._inherited: Payload | None = None
        self._held_bytes = 0
        self._held_spans = 0
        self._emit: Emit | None = None
        self._stopped = threading.Event()
        self._ticker: threading.Thread | None = None
        self._log = LogLimiter(_LOGGER, self._monotonic)
        metrics = context.metrics
        name = names.OTEL_LLM_COMPONENT_NAME
        keys = (name, names.OTEL_LLM_SAMPLING_DECISION, names.OTEL_LLM_SAMPLING_RULE)
        self._counted_spans = metrics.counter(definitions.OTEL_LLM_SAMPLING_SPANS, keys)
        self._counted_traces = metrics.counter(definitions.OTEL_LLM_SAMPLING_TRACES, keys)
        self._dropped = metrics.counter(
            definitions.OTEL_LLM_PIPELINE_ITEMS_DROPPED, (name, names.OTEL_LLM_SIGNAL, names.OTEL_LLM_DROP_REASON)
        )
        self._errors = metrics.counter(
            definitions.OTEL_LLM_INTERNAL_ERRORS,
            (names.OTEL_LLM_ERROR_SITE, names.ERROR_TYPE, names.OTEL_LLM_COMPONENT_TYPE, name),
        )
        self._metrics = metrics
        self._gauges = (
            metrics.gauge(definitions.OTEL_LLM_SAMPLING_HELD_SPANS, (name,), lambda: {(self._name,): self._held_spans}),
            metrics.gauge(definitions.OTEL_LLM_SAMPLING_HELD_SIZE, (name,), lambda: {(self._name,): self._held_bytes}),
        )

    def check(self, inputs: frozenset[Signal], outputs: Mapping[str, Signal]) -> None:
        """Anything fits: only traces can come, and they go to every pipeline behind."""

    @property
    def held_bytes(self) -> int:
        """Bytes of spans that are held."""
        return self._held_bytes

    @property
    def disk(self) -> DiskConfig | None:
        """Where the queue before it is kept."""
        return self._config.disk

    def start(self, emit: Emit) -> None:
        """Begin to decide.

        Raises:
            ConfigError: the journal cannot be kept where it is configured to be.
        """
        self._emit = emit
        if self._config.disk is not None:
            self._open_journal(self._config.disk)
        self._ticker = threading.Thread(target=self._tick, name=f"otel-llm-{self._name}", daemon=True)
        self._ticker.start()

    def _open_journal(self, disk: DiskConfig) -> None:
        folder = exporter_folder(disk.directory, self._name) / _JOURNALS
        try:
            self._journal = Journal(folder, disk, self._clock)
        except OSError as error:
            setting = f"connectors.{self._name}.disk.directory"
            problem = f"{setting}: cannot use {folder}: {error.strerror or error}; give a folder that can be written"
            raise ConfigError([problem]) from error
        self._estate = Estate(folder)

    def _tick(self) -> None:
        seconds = min(1.0, max(0.05, self._config.decision_wait_seconds / 8))
        while not self._stopped.wait(seconds):
            try:
                self.decide_due()
            except Exception as error:  # noqa: BLE001 - a worker loop's top: a defect must not end deciding
                kind = type(error).__name__
                self._errors.add(1, ErrorSite.WORKER, kind, ComponentType.CONNECTOR, self._name)
                self._log.warning(kind, "connector %s: unexpected %s while deciding", self._name, kind)

    def decide_due(self) -> None:
        """Decide on the traces whose time has come, and let go of what was kept."""
        with self._lock:
            self._inherit()
            now = self._monotonic()
            while self._deadlines and self._deadlines[0][0] <= now:
                deadline, trace_id = heapq.heappop(self._deadlines)
                trace = self._traces.get(trace_id)
                if trace is not None and trace.deadline == deadline:
                    self._decide(trace_id, trace)
            self._let_go()

    def _inherit(self) -> None:
        """Take over what a process before this one held, as far as there is room."""
        while self._estate is not None:
            payload = self._inherited or self._estate.next()
            if payload is None:
                lost, self._estate = self._estate.lost_items, None
                if lost:
                    self._dropped.add(lost, self._name, "traces", DropReason.CORRUPT)
                return
            self._inherited = payload
            try:
                self._take_all(payload.join())
            except RetryableError:
                return
            except MalformedError:
                self._dropped.add(payload.items, self._name, "traces", DropReason.UNREADABLE)
            self._inherited = None

    def export(self, payload: Payload, timeout_seconds: float) -> ExportResult:  # noqa: ARG002 - the Exporter's call
        """Take spans over.

        Raises:
            RetryableError: there is no room, and behind this connector neither.
            PermanentError: it is not a trace request, which no pipeline lets through.
        """
        try:
            with self._lock:
                self._take_all(payload.join())
        except MalformedError as error:
            raise PermanentError(str(error)) from error
        return ExportResult()

    def _take_all(self, body: bytes) -> None:
        """The spans of a request.

        Raises:
            MalformedError: it is none.
            RetryableError: there is no room.
        """
        layout = read_layout(body)
        items = list(layout.items())
        request = Payload.of("traces", (body,), len(items))
        self._make_room(request)
        record = self._written(request)
        facts = [read_facts(body, start, end) for _, start, end in items]
        # A span that nobody can assign is not held: it goes on by itself.
        keys = [b"" if one is None else one.trace_id for one in facts]
        by_trace: dict[bytes, list[SpanFacts]] = {}
        for one in facts:
            if one is not None:
                by_trace.setdefault(one.trace_id, []).append(one)
        for trace_id, part in split_items(layout, keys, "traces").items():
            self._take(trace_id, part, by_trace.get(trace_id, []), record)
        if self._journal is not None:
            self._journal.let_go(record)
        self._let_go()

    def _written(self, request: Payload) -> int:
        """The number of a request in the journal, which holds it once; 0 without a journal."""
        if self._journal is None:
            return 0
        try:
            return self._journal.append(request)
        except OSError as error:
            what = error.strerror or type(error).__name__
            raise RetryableError(f"the journal of connector {self._name} cannot be written: {what}") from error

    def _make_room(self, request: Payload) -> None:
        """Decide on the oldest traces until there is room, or refuse."""
        while self._traces and not self._has_room(request):
            for trace_id, trace in list(islice(self._traces.items(), _DECIDED_EARLY)):
                self._decide(trace_id, trace)
            self._let_go()
            if self._leaving:
                break
        if self._leaving and not self._has_room(request):
            self._let_go()
        if self._leaving and not self._has_room(request):
            raise RetryableError(f"connector {self._name} holds all it may, and behind it there is no room", 1.0)

    def _has_room(self, request: Payload) -> bool:
        if self._held_bytes + request.size_bytes > self._config.max_size_bytes:
            return False
        return self._journal is None or self._journal.has_room(request)

    def _take(self, trace_id: bytes, part: Payload, facts: list[SpanFacts], record: int) -> None:
        """Spans of one trace."""
        if not trace_id:
            self._leave(part, record)
            return
        held = part_of(part, facts, record)
        decision = self._decided.get(trace_id)
        if decision is not None:
            self._follow(trace_id, decision, held, facts)
            return
        trace = self._traces.get(trace_id)
        if trace is None:
            trace = self._traces[trace_id] = _Trace(math.inf, facts[0].trace_state)
            self._wait(trace_id, trace, self._config.decision_wait_seconds)
        for one in facts:
            trace.summary.add(one, self._rules)
        trace.parts.append(held)
        if self._journal is not None:
            self._journal.hold(record)
        trace.spans += part.items
        trace.size_bytes += part.size_bytes + _PART_BYTES
        self._held_bytes += part.size_bytes + _PART_BYTES
        self._held_spans += part.items
        if trace.summary.rule(self._rules) is not None or self._is_full(trace):
            self._decide(trace_id, trace)
        elif any(one.is_root for one in facts):
            self._wait(trace_id, trace, self._config.wait_after_root_seconds)

    def _is_full(self, trace: _Trace) -> bool:
        config = self._config
        return trace.spans >= config.max_trace_spans or trace.size_bytes >= config.max_trace_size_bytes

    def _wait(self, trace_id: bytes, trace: _Trace, seconds: float) -> None:
        deadline = self._monotonic() + seconds
        if deadline < trace.deadline:
            trace.deadline = deadline
            heapq.heappush(self._deadlines, (deadline, trace_id))
            if len(self._deadlines) > _STALE_DEADLINES + 4 * len(self._traces):
                # Most are of traces that were decided on before.
                self._deadlines = [(one.deadline, key) for key, one in self._traces.items()]
                heapq.heapify(self._deadlines)

    def _decide(self, trace_id: bytes, trace: _Trace) -> None:
        """Decide on a trace with what is known."""
        del self._traces[trace_id]
        self._held_bytes -= trace.size_bytes
        self._held_spans -= trace.spans
        rule = trace.summary.rule(self._rules)
        kept = rule is not None or randomness(trace_id, trace.trace_state) >= self._threshold
        threshold = None if not kept else 0 if rule is not None else self._threshold
        decision = Decision(rule or "probability", threshold, self._is_full(trace))
        self._remember(trace_id, decision)
        self._counted_traces.add(1, self._name, decision.word, decision.rule)
        self._counted_spans.add(trace.spans, self._name, decision.word, decision.rule)
        for part in trace.parts:
            if kept:
                self._leave(annotated(part, decision), part.record)
            if self._journal is not None:
                self._journal.let_go(part.record)

    def _remember(self, trace_id: bytes, decision: Decision) -> None:
        self._decided[trace_id] = decision
        if len(self._decided) > self._config.remembered_traces:
            self._decided.popitem(last=False)

    def _follow(self, trace_id: bytes, decision: Decision, part: Part, facts: list[SpanFacts]) -> None:
        """Late spans share the fate of their trace, unless they are worth keeping themselves."""
        if decision.threshold is None:
            late = Summary()
            for one in facts:
                late.add(one, self._rules)
            rule = late.rule(self._rules)
            if rule is not None:
                decision = Decision(rule, 0, decision.is_overflow)
                self._remember(trace_id, decision)
        self._counted_spans.add(part.items, self._name, decision.word, decision.rule)
        if decision.threshold is not None:
            self._leave(annotated(part, decision), part.record)

    def _leave(self, part: Payload, record: int) -> None:
        self._leaving.append((part, record))
        if self._journal is not None:
            self._journal.hold(record)
        self._held_bytes += part.size_bytes
        self._held_spans += part.items

    def _let_go(self) -> None:
        """Offer what was kept, in pieces, as far as it is taken."""
        while self._leaving and self._emit is not None:
            parts = self._first_leaving()
            buffers = tuple(buffer for part in parts for buffer in part.buffers)
            try:
                self._emit(Payload.of("traces", buffers, sum(part.items for part in parts)))
            except RefusedError as error:
                self._log.warning("refused", "connector %s: what was kept finds no room: %s", self._name, error)
                break
            except MalformedError:
                # Pipelines behind read what pipelines before have read already.
                self._dropped.add(sum(part.items for part in parts), self._name, "traces", DropReason.UNREADABLE)
            for part in parts:
                _, record = self._leaving.popleft()
                if self._journal is not None:
                    self._journal.let_go(record)
                self._held_bytes -= part.size_bytes
                self._held_spans -= part.items
        if self._journal is not None:
            self._journal.settle()

    def _first_leaving(self) -> list[Payload]:
        """What goes into the next offer."""
        parts: list[Payload] = []
        size = 0
        for part, _ in self._leaving:
            parts.append(part)
            size += part.size_bytes
            if size >= _OFFER_BYTES:
                break
        return parts

    def shutdown(self) -> None:
        """Decide on everything and let go of it. What nobody takes then is counted as dropped, or stays on disk."""
        self._stopped.set()
        with self._lock:
            for trace_id, trace in list(self._traces.items()):
                self._decide(trace_id, trace)
            self._deadlines.clear()
            self._let_go()
            left = sum(part.items for part, _ in self._leaving)
            self._held_spans -= left
            self._held_bytes -= sum(part.size_bytes for part, _ in self._leaving)
            self._leaving.clear()
            is_on_disk = self._journal is not None
            self._close_journal()
        if left and is_on_disk:
            self._log.warning("shutdown", "connector %s: %d kept spans found no room; on disk", self._name, left)
        elif left:
            self._dropped.add(left, self._name, "traces", DropReason.SHUTDOWN)
            self._log.warning("shutdown", "connector %s: %d kept spans found no room; dropped", self._name, left)
        for gauge in self._gauges:
            self._metrics.remove(gauge)

    def _close_journal(self) -> None:
        if self._estate is not None:
            self._estate.close()
        if self._journal is not None:
            self._journal.close()
        self._estate = self._journal = None


def _rules(config: Config) -> Rules:
    return Rules(
        errors=config.keep_errors,
        verdicts=frozenset(config.keep_verdicts),
        cost=None if config.keep_from_cost is None else Decimal(repr(config.keep_from_cost)),
        currency=config.cost_currency,
        duration_nanoseconds=None if config.keep_from_seconds is None else round(config.keep_from_seconds * 1e9),
    )


def create(config: Config, context: Context) -> TailSampling:
    """The connector."""
    return TailSampling(config, context)
