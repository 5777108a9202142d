"""What unsampled calls cost: counted in the app, for their spans go nowhere and nobody behind the app can count them.

    engine.unsampled = UnsampledCosts().ended

The law of this module: a call is counted once. What is sampled is the first gateway's to count, from its span
(`otel_llm.cost.uncounted`), also where the app has priced it. What is not is counted here, by the processors and with
the dimensions of the gateway, so that both sums together are what they would be if every call were sampled.
"""

from __future__ import annotations

import functools
import threading
import time
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from opentelemetry import trace
from opentelemetry.metrics import CallbackOptions, Observation
from opentelemetry.trace import Span

from otel_llm._generated import attributes as names
from otel_llm._generated import metrics as definitions
from otel_llm._generated.metrics import Metric
from otel_llm.clock import SystemClock
from otel_llm.codecs.genai import has_genai_key, is_genai_scope
from otel_llm.components import Context
from otel_llm.instrumentation import ambient
from otel_llm.instrumentation.call import CANCELLATIONS, Call
from otel_llm.instrumentation.outlet import SCOPE, Outlet
from otel_llm.operation import AttributeValue, Operation
from otel_llm.pipeline import Pipeline
from otel_llm.processors.ended import EndedCall
from otel_llm.telemetry import Metrics

# Two reports of one call are there only where a call is made within another, and these end within moments.
_REMEMBERED_CALLS: Final = 1000
_ERROR_STATUS: Final = 2
_EXPORTED: Final = (definitions.OTEL_LLM_COST_USAGE, definitions.OTEL_LLM_COST_UNPRICED_CALLS)
# The gateway's processor leaves the rest of what it counts to the hooks when it sees this.
_ONLY_COST: Final[Mapping[str, AttributeValue]] = MappingProxyType({names.OTEL_LLM_COST_UNCOUNTED: ("metrics",)})


class UnsampledCosts:
    """Counts the money of calls whose spans are not sampled, where the call's metrics go. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counting: dict[Outlet, _Counting] = {}

    def ended(self, call: Call) -> None:
        """A call has ended whose span is not sampled."""
        if not _is_ours(call):
            return
        counting = self._counting.get(call.outlet)
        if counting is None:
            with self._lock:
                if call.outlet not in self._counting:
                    self._counting[call.outlet] = _Counting(call.outlet)
                counting = self._counting[call.outlet]
        counting.count(call)

    def forked(self) -> None:
        """This is a forked child: what its parent has counted is its parent's."""
        self._lock = threading.Lock()
        for counting in self._counting.values():
            counting.forked()


def _is_ours(call: Call) -> bool:
    """Whether nobody else can have counted a call. Without a valid span, nothing is set up that samples."""
    if call.span is None or not call.span.get_span_context().is_valid:
        return False
    return not _may_report_calls(trace.get_current_span(call.around))


def _may_report_calls(span: Span) -> bool:
    """Whether a span that a call was made in reports the call as well, to whoever counts what is sampled.

    So it is where somebody else's span of a call is around ours, and a sampler has picked the one and not the other.
    """
    context = span.get_span_context()
    if not context.trace_flags.sampled or context.is_remote:
        return False
    from otel_llm.processors.cost import BILLED_OPERATIONS  # noqa: PLC0415 - as the processors below

    attributes: Mapping[str, AttributeValue] = getattr(span, "attributes", None) or {}
    operation = attributes.get(names.GEN_AI_OPERATION_NAME)
    if operation is not None:
        return operation in BILLED_OPERATIONS
    scope = str(getattr(getattr(span, "instrumentation_scope", None), "name", ""))
    return is_genai_scope(scope) or has_genai_key(scope, attributes)


class _Counting:
    """What is counted for one outlet: a later one of the app begins at zero, or both would report the same money.

    Args:
        outlet: where the sums are reported.
    """

    def __init__(self, outlet: Outlet) -> None:
        self._metrics = Metrics()
        self._resource = _resource_of(outlet)
        self._lock = threading.Lock()
        self._pipeline: Pipeline | None = None
        for metric in _EXPORTED:
            observe = functools.partial(self._observe, metric)
            outlet.meter.create_observable_counter(metric.name, [observe], metric.unit, metric.description)

    def count(self, call: Call) -> None:
        """Price a call, and add it up."""
        pipeline = self._pipeline
        if pipeline is None:
            with self._lock:
                pipeline = self._pipeline = self._pipeline or _pipeline(self._metrics)
        pipeline.process([Operation(_Unsampled(call, self._resource))])

    def forked(self) -> None:
        """Begin at zero, with locks that no thread of the parent holds."""
        self._lock = threading.Lock()
        self._pipeline = None
        self._metrics.after_fork_in_child()

    def _observe(self, metric: Metric, _: CallbackOptions) -> list[Observation]:
        return [
            Observation(series.value, dict(series.attributes))
            for family in self._metrics.collect()
            if family.definition is metric
            for series in family.series
            if isinstance(series.value, int | float)
        ]


def _pipeline(metrics: Metrics) -> Pipeline:
    """What a sampled call passes in the app, and the gateway's count of its cost."""
    from otel_llm.processors import cost, normalize  # noqa: PLC0415 - in the app that has such calls, not before
    from otel_llm.processors import metrics as derived  # noqa: PLC0415 - as above

    clock = SystemClock()
    count = derived.Config(dimensions=tuple(sorted(ambient.DIMENSIONS)), remembered_spans=0)
    processors = (
        normalize.create(normalize.Config(), Context("normalize", metrics, clock)),
        cost.create(cost.Config(remembered_calls=_REMEMBERED_CALLS), Context("cost", metrics, clock)),
        derived.create(count, Context("metrics", metrics, clock)),
    )
    return Pipeline(processors, metrics, clock)


def _resource_of(outlet: Outlet) -> Mapping[str, AttributeValue]:
    """The attributes of the app's resource, where its provider says."""
    found: Mapping[str, AttributeValue] = getattr(getattr(outlet.tracers, "resource", None), "attributes", {})
    return found


class _Unsampled(EndedCall):
    """A call without a sampled span, as the source of an Operation."""

    scope_name = SCOPE

    __slots__ = ("end_unix_nano", "identity", "resource", "status_code")

    def __init__(self, call: Call, resource: Mapping[str, AttributeValue]) -> None:
        now = time.time_ns()
        super().__init__({**call.attributes, **_ONLY_COST}, now - int((time.perf_counter() - call.started) * 1e9))
        self.end_unix_nano = now
        self.resource = resource
        around = trace.get_current_span(call.around).get_span_context()
        span = trace.INVALID_SPAN_CONTEXT if call.span is None else call.span.get_span_context()
        self.identity = (
            span.trace_id.to_bytes(16, "big"),
            span.span_id.to_bytes(8, "big"),
            around.span_id.to_bytes(8, "big") if around.is_valid else b"",
        )
        error = call.attributes.get(names.ERROR_TYPE)
        self.status_code = 0 if error is None or error in CANCELLATIONS else _ERROR_STATUS
