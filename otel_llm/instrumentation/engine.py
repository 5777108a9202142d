"""The engine: everything that is the same for every provider. Spans, metrics, events, content, admission, errors.

A hook calls `begin` before the SDK's own method and tells the Call how it ended. Providers are tables (provider.py).
"""

from __future__ import annotations

import inspect
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Final, Protocol

import msgspec
from opentelemetry import baggage, context, trace
from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.context import Context
from opentelemetry.metrics import CallbackOptions, Observation
from opentelemetry.trace import SpanKind

from otel_llm._generated import attributes as names
from otel_llm._generated import events
from otel_llm._generated import metrics as definitions
from otel_llm.admission import Admission
from otel_llm.errors import DeniedError
from otel_llm.instrumentation import ambient, invocations
from otel_llm.instrumentation.admit import admit
from otel_llm.instrumentation.boundary import Boundary
from otel_llm.instrumentation.calibration import Calibration
from otel_llm.instrumentation.call import Call
from otel_llm.instrumentation.content import Capture, Redact, placeholder
from otel_llm.instrumentation.instruments import INFERENCE
from otel_llm.instrumentation.outlet import SILENT, Outlet
from otel_llm.instrumentation.pending import Pending
from otel_llm.instrumentation.provider import EMPTY, Attributes, Body, Content, Endpoint, Server
from otel_llm.instrumentation.settings import Settings
from otel_llm.operation import AttributeValue

# The keys by which OpenTelemetry's instrumentations of HTTP clients, and all of them, are asked to keep quiet.
SUPPRESS_HTTP: Final = "suppress_http_instrumentation"
SUPPRESS_ALL: Final = "suppress_instrumentation"
# Set where what is called below is a part of the call that is under way: admitted and reported already.
HIDDEN: Final = context.create_key("otel_llm.hidden")
# Where the call that is under way stands in its context.
CALL: Final = context.create_key("otel_llm.call")


class Finder(Protocol):
    """What finds the outlet of a call: Outlets or FixedOutlet."""

    def current(self) -> Outlet:
        """The outlet to use now."""
        ...


class Engine:
    """Makes telemetry of calls. Thread-safe once made.

    Args:
        outlets: where telemetry goes.
        settings: what the environment says.
        admissions: asked before each call, in order.
        boundary: what catches our failures.
        redact: what redacted content is made with; without one, texts become their length.

    Attributes:
        ambient: attributes that hold for everything below the caller (`otel_llm.context`), asked for at each call.
        dimensions: the keys among these that go onto metrics as well.
        calibration: what estimates are worth.
        pending: calls whose answer is made in the background.
        ended: told the attributes of every call that ended, sampled or not; for the in-app host.
        unsampled: told every call that ended whose span is not sampled; likewise.
    """

    def __init__(
        self,
        outlets: Finder,
        settings: Settings | None = None,
        *,
        admissions: Sequence[Admission] = (),
        boundary: Boundary | None = None,
        redact: Redact | None = None,
    ) -> None:
        self.settings = settings or Settings()
        self.boundary = boundary or Boundary()
        self.admissions = tuple(admissions)
        self.capture = _capture(self.settings, redact)
        self.ambient: Callable[[Context], Mapping[str, AttributeValue]] = ambient.attributes
        self.dimensions: frozenset[str] = ambient.DIMENSIONS
        self.ended: Callable[[Mapping[str, AttributeValue]], None] | None = None
        self.unsampled: Callable[[Call], None] | None = None
        self.pending = Pending()
        self.calibration = Calibration()
        self._reports_to: Outlet | None = None
        self._outlets = outlets

    def outlet(self) -> Outlet:
        """Where telemetry goes now."""
        return self._outlets.current()

    def redact_with(self, redact: Redact) -> None:
        """Redact captured content with this, where the settings ask for redaction."""
        self.capture = _capture(self.settings, redact)

    def forked(self) -> None:
        """This is a forked child: what its parent waits for is its parent's."""
        self.pending = Pending()

    def begin(
        self,
        endpoint: Endpoint,
        server: Server,
        body: Body,
        *,
        stream: bool = False,
        span: bool = True,
        is_reported: bool = False,
    ) -> Call | None:
        """A call that is about to be made; None when it is to be left alone.

        Args:
            endpoint: what is called.
            server: who is called.
            body: with what.
            stream: whether the answer comes in chunks.
            span: False where the library has a span of its own: the call is admitted and measured, and no more.
            is_reported: whether somebody else reports the call, spans and metrics: it is admitted, and no more.

        Raises:
            DeniedError: an admission stopped it; its span has ended.
        """
        at = context.get_current()
        if HIDDEN in at:
            return None
        is_silent = is_reported or bool(at.get(SUPPRESS_ALL))
        if is_silent and not self.admissions:
            return None
        outlet = SILENT if is_silent else None
        site = f"{server.provider}.{endpoint.name}"
        call = self.boundary.run(f"{site}.begin", self._call, at, endpoint, server, body, stream, outlet)
        if call is None:
            self.not_asked()
            return None
        denied = None
        if self.admissions:
            denied = admit(self, call)
        if span and not is_silent:
            self.boundary.run(f"{site}.start", self._start, call, at)
        if denied is not None:
            call.failed(denied)
            raise denied
        # Once for each: what somebody else reports may come by again below, and what is within a call is part of it.
        if endpoint.operation in INFERENCE and not is_silent and CALL not in at:
            agent = invocations.current(at)
            if agent is not None:
                agent.calls_model()
        return call

    def not_asked(self) -> None:
        """A step of ours failed before admissions could be asked about a call.

        Raises:
            DeniedError: one of them fails closed.
        """
        for admission in self.admissions:
            if admission.on_error == "deny":
                raise DeniedError(f"{admission.name} could not be asked, and fails closed", "admission_failed")

    def _call(
        self,
        at: Context,
        endpoint: Endpoint,
        server: Server,
        body: Body,
        stream: bool,  # noqa: FBT001 - private
        outlet: Outlet | None,
    ) -> Call:
        run = self.boundary.run
        attributes: Attributes = {
            names.GEN_AI_OPERATION_NAME: endpoint.operation,
            **server.attributes,
            **endpoint.constant,
        }
        attributes.update(run(f"{server.provider}.{endpoint.name}.request", endpoint.request, body) or EMPTY)
        if stream:
            attributes[names.GEN_AI_REQUEST_STREAM] = True
        attributes.update(run("ambient", self.ambient, at) or EMPTY)
        if outlet is None:
            outlet = self._outlets.current()
            if outlet is not self._reports_to:
                self._reports_to = outlet
                run("report", self._report_to, outlet)
        return Call(self, outlet, endpoint, server, body=body, attributes=attributes)

    def _report_to(self, outlet: Outlet) -> None:
        """Show our failures among the app's metrics."""
        errors = definitions.OTEL_LLM_INSTRUMENTATION_ERRORS
        outlet.meter.create_observable_counter(errors.name, [self._observe_errors], errors.unit, errors.description)

    def _observe_errors(self, _: CallbackOptions) -> list[Observation]:
        found = ((one.value, dict(one.attributes)) for one in self.boundary.errors())
        return [Observation(int(value), attributes) for value, attributes in found if isinstance(value, int | float)]

    def _start(self, call: Call, at: Context) -> None:
        attributes = call.attributes
        model = attributes.get(names.GEN_AI_REQUEST_MODEL) if call.endpoint.model_in_span_name else None
        name = f"{call.endpoint.operation} {model}" if model else call.endpoint.operation
        span = call.outlet.tracer.start_span(name, at, SpanKind.CLIENT, attributes)
        call.start(span, trace.set_span_in_context(span, self._inner(call, at)), at)

    def _inner(self, call: Call, at: Context) -> Context:
        """The context for the SDK's method, in one copy: contexts are copied whole for each value."""
        if self.settings.propagate_to_providers:
            return Context({**at, CALL: call})
        # Nothing leaks to a third party: no baggage, and no header of an HTTP instrumentation.
        inner = Context({**at, CALL: call, SUPPRESS_HTTP: True})
        return baggage.clear(inner) if baggage.get_all(at) else inner

    def finish(self, call: Call, output: Content | None, seconds: float) -> None:
        """Record what goes beside the span of a call that has ended, and put its content onto the span."""
        run = self.boundary.run
        attributes = call.attributes
        run("metrics", call.outlet.instruments.record, attributes, seconds, self._dimensions_of(attributes))
        if self.ended is not None:
            run("ended", self.ended, attributes)
        if call.span is None:
            return
        if self.unsampled is not None and not call.span.get_span_context().trace_flags.sampled:
            run("unsampled", self.unsampled, call)
        if self.capture is not None and call.endpoint.is_captured:
            content = self._content(call, self.capture, output)
            if self.settings.content_on_spans and call.span.is_recording():
                run("content", call.span.set_attributes, content)
        else:
            content = {}
        if self.settings.emit_events and call.endpoint.is_captured:
            run("event", self._emit_details, call, content if self.settings.content_on_events else {})
        if names.ERROR_TYPE in attributes:
            run("event", self._emit_exception, call)

    def record_stream(self, call: Call, first_chunk: float, per_chunk: float | None) -> None:
        """Record the pace of a stream that has ended; as `Instruments.record_stream`."""
        ambient = self._dimensions_of(call.attributes)
        call.outlet.instruments.record_stream(call.attributes, first_chunk, per_chunk, ambient)

    def _dimensions_of(self, attributes: Attributes) -> Mapping[str, AttributeValue]:
        return {key: attributes[key] for key in self.dimensions if key in attributes} if self.dimensions else EMPTY

    def _content(self, call: Call, capture: Capture, output: Content | None) -> dict[str, str]:
        """What was said, as JSON. Input and output apart, so that a failure of one keeps the other."""
        run = self.boundary.run
        asked = run(f"{call.endpoint.name}.input", call.endpoint.input, call.body)
        found = run("content", capture.input, asked) if asked is not None else None
        said = run("content", capture.output, output) if output is not None else None
        return {**(found or {}), **(said or {})}

    def _emit_details(self, call: Call, content: Mapping[str, str]) -> None:
        # On events, content is structured (semconv: MUST).
        parsed = {key: msgspec.json.decode(value) for key, value in content.items()}
        self._emit(call, events.GEN_AI_CLIENT_INFERENCE_OPERATION_DETAILS, {**call.attributes, **parsed})

    def _emit_exception(self, call: Call) -> None:
        # The exception's message may hold content, so its type is all that is said.
        said: Attributes = {key: call.attributes[key] for key in _EXCEPTION_KEYS if key in call.attributes}
        said["exception.type"] = call.attributes[names.ERROR_TYPE]
        self._emit(call, events.GEN_AI_CLIENT_OPERATION_EXCEPTION, said)

    def _emit(self, call: Call, name: str, attributes: Mapping[str, AttributeValue]) -> None:
        if not _HAS_EVENTS:
            return
        call.outlet.logger.emit(
            LogRecord(
                timestamp=time.time_ns(),
                context=call.context,  # by hand: a finalizer runs on any thread
                severity_number=SeverityNumber(events.SEVERITY_NUMBERS[name]),
                attributes=attributes,
                event_name=name,
            )
        )


def _capture(settings: Settings, redact: Redact | None) -> Capture | None:
    if settings.capture == "none":
        return None
    return Capture((redact or placeholder) if settings.capture == "redacted" else None, settings.content_limit_bytes)


# Log records had no event name before opentelemetry-api 1.35 or so; without one they are no events.
_HAS_EVENTS: Final = "event_name" in inspect.signature(LogRecord).parameters
_EXCEPTION_KEYS: Final = (
    names.GEN_AI_OPERATION_NAME,
    names.GEN_AI_PROVIDER_NAME,
    names.GEN_AI_REQUEST_MODEL,
    names.SERVER_ADDRESS,
    names.SERVER_PORT,
)
