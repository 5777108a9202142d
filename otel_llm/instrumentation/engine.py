"""The engine: everything that is the same for every provider. Spans, metrics, events, content, admission, errors.

A hook calls `begin` before the SDK's own method and tells the Call how it ended. Providers are tables (provider.py).
"""

from __future__ import annotations

import inspect
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Final, Protocol, cast

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
from otel_llm.instrumentation.boundary import Boundary, sites_of
from otel_llm.instrumentation.calibration import Calibration
from otel_llm.instrumentation.call import Call
from otel_llm.instrumentation.completion_hook import CompletionHook
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
        hook: handed the content of each call, to keep it elsewhere.

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
        hook: CompletionHook | None = None,
    ) -> None:
        self.settings = settings or Settings()
        self.boundary = boundary or Boundary()
        self.hook = hook
        self.admissions = tuple(admissions)
        self.capture = self._capture(redact)
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
        self.capture = self._capture(redact)

    def _capture(self, redact: Redact | None) -> Capture | None:
        settings = self.settings
        if settings.capture == "none" or not (settings.content_on_spans or settings.content_on_events or self.hook):
            return None
        return Capture(
            (redact or placeholder) if settings.capture == "redacted" else None, settings.content_limit_bytes
        )

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
        sites = sites_of(server.provider, endpoint.name)
        call = self.boundary.run(sites.begin, self._call, at, endpoint, server, body, stream, outlet)
        if call is None:
            self.not_asked()
            return None
        denied = None
        if self.admissions:
            denied = admit(self, call)
        if span and not is_silent:
            self.boundary.run(sites.start, self._start, call, at)
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
        attributes.update(run(sites_of(server.provider, endpoint.name).request, endpoint.request, body) or EMPTY)
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

    def finish(
        self, call: Call, output: Content | None, seconds: float, pace: tuple[float, float | None] | None
    ) -> None:
        """Record what goes beside the span of a call that has ended, and put its content onto the span.

        Args:
            call: the call, with all of its attributes.
            output: what was answered, None when that is not wanted.
            seconds: how long it took.
            pace: of a stream, as `Instruments.record` has it.
        """
        run = self.boundary.run
        attributes = call.attributes
        run("metrics", call.outlet.instruments.record, attributes, seconds, self._dimensions_of(attributes), pace)
        if self.ended is not None:
            run("ended", self.ended, attributes)
        if call.span is None:
            return
        if self.unsampled is not None and not call.span.get_span_context().trace_flags.sampled:
            run("unsampled", self.unsampled, call)
        if call.endpoint.is_captured:
            self._finish_content(call, output)
        if names.ERROR_TYPE in attributes and _HAS_EVENTS:
            run("event", self._emit_exception, call)

    def _finish_content(self, call: Call, output: Content | None) -> None:
        """Content goes onto the span and the event, and to the hook, which may put references there."""
        run, settings, span, capture = self.boundary.run, self.settings, call.span, self.capture
        asked: Content | None = None
        content: dict[str, str] = {}
        if capture is not None:
            asked = run(f"{call.endpoint.name}.input", call.endpoint.input, call.body)
            if settings.content_on_spans or settings.content_on_events:
                content = self._content(capture, asked, output)
            if settings.content_on_spans and span is not None and span.is_recording():
                run("content", span.set_attributes, content)
        record: LogRecord | None = None
        if settings.emit_events and _HAS_EVENTS:
            record = run("event", self._details, call, content if settings.content_on_events else {})
        if self.hook is not None and capture is not None:
            said = [None if one is None else run("content", capture.whole, one) for one in (asked, output)]
            reasons = cast("Sequence[str]", call.attributes.get(names.GEN_AI_RESPONSE_FINISH_REASONS, ()))
            run("completion_hook", self.hook.tell, *said, reasons=reasons, span=span, record=record)
        if record is not None:
            run("event", call.outlet.logger.emit, record)

    def _dimensions_of(self, attributes: Attributes) -> Mapping[str, AttributeValue]:
        return {key: attributes[key] for key in self.dimensions if key in attributes} if self.dimensions else EMPTY

    def _content(self, capture: Capture, asked: Content | None, output: Content | None) -> dict[str, str]:
        """What was said, as JSON. Input and output apart, so that a failure of one keeps the other."""
        run = self.boundary.run
        found = run("content", capture.input, asked) if asked is not None else None
        said = run("content", capture.output, output) if output is not None else None
        return {**(found or {}), **(said or {})}

    def _details(self, call: Call, content: Mapping[str, str]) -> LogRecord:
        # On events, content is structured (semconv: MUST).
        parsed = {key: msgspec.json.decode(value) for key, value in content.items()}
        return _record(call, events.GEN_AI_CLIENT_INFERENCE_OPERATION_DETAILS, {**call.attributes, **parsed})

    def _emit_exception(self, call: Call) -> None:
        # The exception's message may hold content, so its type is all that is said.
        said: Attributes = {key: call.attributes[key] for key in _EXCEPTION_KEYS if key in call.attributes}
        said["exception.type"] = call.attributes[names.ERROR_TYPE]
        call.outlet.logger.emit(_record(call, events.GEN_AI_CLIENT_OPERATION_EXCEPTION, said))


def _record(call: Call, name: str, attributes: Mapping[str, AttributeValue]) -> LogRecord:
    return LogRecord(
        timestamp=time.time_ns(),
        context=call.context,  # by hand: a finalizer runs on any thread
        severity_number=SeverityNumber(events.SEVERITY_NUMBERS[name]),
        attributes=attributes,
        event_name=name,
    )


# Log records had no event name before opentelemetry-api 1.35 or so; without one they are no events.
_HAS_EVENTS: Final = "event_name" in inspect.signature(LogRecord).parameters
_EXCEPTION_KEYS: Final = (
    names.GEN_AI_OPERATION_NAME,
    names.GEN_AI_PROVIDER_NAME,
    names.GEN_AI_REQUEST_MODEL,
    names.SERVER_ADDRESS,
    names.SERVER_PORT,
)
