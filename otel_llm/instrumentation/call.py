"""One call from its request to its end: the span, the clock, and what is known so far.

The law of this module: a call ends once, whoever sees its end first (the caller, a close, a finalizer on any thread),
and its end never raises. The span is current only while the SDK's own method runs, never while the app holds a stream.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, Literal

from opentelemetry.context import Context
from opentelemetry.trace import Span, Status, StatusCode

from otel_llm._generated import attributes as names
from otel_llm.cost.tokens import estimate_tokens, texts_of
from otel_llm.errors import DeniedError
from otel_llm.instrumentation.boundary import sites_of
from otel_llm.instrumentation.provider import Accumulator, Attributes, Body, Content, Endpoint, Server

if TYPE_CHECKING:
    from otel_llm.instrumentation.engine import Engine
    from otel_llm.instrumentation.guarding import Guarding
    from otel_llm.instrumentation.outlet import Outlet

# How a stream came to its end.
StreamEnd = Literal["exhausted", "closed", "dropped"]

_ERROR: Final = Status(StatusCode.ERROR)
_CANCELLED: Final = "asyncio.CancelledError"
CANCELLATIONS: Final = frozenset({_CANCELLED, "GeneratorExit"})
"""What `error.type` says of calls in which the caller lost interest."""
_STATUS_CODE: Final = "http.response.status_code"
ATTEMPT_FAILED: Final = "otel_llm.attempt.failed"


class Call:
    """A call that is under way. Made by `Engine.begin`.

    Attributes:
        endpoint: what is called.
        server: who is called.
        outlet: where its telemetry goes.
        attributes: those of its span; more at its end.
        body: the request's body, as it is to be sent.
        hides_usage_chunk: whether a chunk that brings usage and nothing else came for us, not for the app.
        span: its span; None until it has started, and when it could not be.
        context: the context to run the SDK's method in; None without a span.
        around: the context it was made in; None without a span.
        started: when it began, by `time.perf_counter`.
        guarding: what looks after its answer, None when nobody does.
    """

    __slots__ = (
        "_attempts",
        "_backoff",
        "_engine",
        "_is_held",
        "_open",
        "_sites",
        "around",
        "attributes",
        "body",
        "context",
        "endpoint",
        "guarding",
        "hides_usage_chunk",
        "outlet",
        "server",
        "span",
        "started",
    )

    def __init__(
        self, engine: Engine, outlet: Outlet, endpoint: Endpoint, server: Server, *, body: Body, attributes: Attributes
    ) -> None:
        self._engine = engine
        self.outlet = outlet
        self.server = server
        self.attributes = attributes
        self._sites = sites_of(server.provider, endpoint.name)
        self.span: Span | None = None
        self._attempts = 1
        self._backoff = 0.0
        self._is_held = False
        self._open = [True]  # `pop` is atomic: a finalizer may run within an end, on the same thread
        self.endpoint = endpoint
        self.body = body
        self.hides_usage_chunk = False
        self.context: Context | None = None
        self.around: Context | None = None
        self.guarding: Guarding | None = None
        self.started = time.perf_counter()

    def start(self, span: Span, context: Context, around: Context) -> None:
        """The call has a span."""
        self.span = span
        self.context = context
        self.around = around

    @property
    def is_content_captured(self) -> bool:
        """Whether the answer's messages are wanted."""
        return self._engine.capture is not None and self.endpoint.is_captured

    @property
    def is_stream(self) -> bool:
        """Whether the answer comes in chunks."""
        return bool(self.attributes.get(names.GEN_AI_REQUEST_STREAM))

    # What happens on the way.

    def attempt_failed(self, status_code: int | None, retry_after: str | None, backoff_seconds: float) -> None:
        """The SDK makes another attempt after a failed one and a wait."""
        self._engine.boundary.run(self._sites.attempt, self._attempt_failed, status_code, retry_after, backoff_seconds)

    def _attempt_failed(self, status_code: int | None, retry_after: str | None, backoff_seconds: float) -> None:
        self._attempts += 1
        self._backoff += backoff_seconds
        details: dict[str, str | int | float] = {names.OTEL_LLM_ATTEMPT_BACKOFF: backoff_seconds}
        if status_code is not None:
            details[_STATUS_CODE] = status_code
        if retry_after is not None:
            details[names.OTEL_LLM_ATTEMPT_RETRY_AFTER] = retry_after
        if self.span is not None:
            self.span.add_event(ATTEMPT_FAILED, details)
        self.outlet.instruments.record_retries(self.server.provider, 1)

    # Its end.

    def guard(self, answer: Any) -> None:  # noqa: ANN401 - an answer of any SDK
        """Have a whole answer looked after, before the app gets it.

        Raises:
            DeniedError: the app must not get it; the call has ended.
        """
        if self.guarding is not None:
            self.guarding.answer(answer)

    def succeeded(self, answer: Any) -> None:  # noqa: ANN401 - an answer of any SDK
        """The whole answer is there, or the promise of one."""
        if self.endpoint.is_pending is not None:
            self._engine.boundary.run(self._sites.pending, self._hold, answer)
            if self._is_held:
                return
        self.complete(answer)
        if self.endpoint.completes is not None:
            self._engine.boundary.run(self._sites.pending, self._complete_other, answer)

    def _hold(self, answer: Any) -> None:  # noqa: ANN401 - an answer of any SDK
        is_pending = self.endpoint.is_pending
        if is_pending is not None and is_pending(answer) and isinstance(answer.id, str):
            self._engine.pending.hold(answer.id, self, answer)
            self._is_held = True

    def _complete_other(self, answer: Any) -> None:  # noqa: ANN401 - an answer of any SDK
        completes = self.endpoint.completes
        other = completes(answer) if completes is not None else None
        if other is not None:
            self._engine.pending.complete(other, answer)

    def complete(self, answer: Any) -> None:  # noqa: ANN401 - an answer of any SDK
        """The whole answer is there; nothing more is to come."""
        if self._ends():
            run = self._engine.boundary.run
            found = run(self._sites.response, self.endpoint.response, answer) or {}
            output = run(self._sites.output, self.endpoint.output, answer) if self.is_content_captured else None
            if self._engine.calibration.is_wanted and self.endpoint.accumulator is not None:
                run(self._sites.estimate, self._learn, found, None)
            run(self._sites.end, self._end, found, output, None, None, None)

    @contextmanager
    def failing(self) -> Iterator[None]:
        """What raises in here is the end of the call."""
        try:
            yield
        except BaseException as error:
            self.failed(error)
            raise

    def failed(self, error: BaseException) -> None:
        """There is no answer but this."""
        if self._ends():
            self._engine.boundary.run(self._sites.end, self._end, {}, None, error, None, None)

    def stream_ended(
        self, accumulator: Accumulator, pace: Pace, how: StreamEnd, error: BaseException | None = None
    ) -> None:
        """A streamed answer is over, by itself or not."""
        if self._ends():
            self._engine.boundary.run(self._sites.end, self._end_stream, accumulator, pace, how, error)

    def _ends(self) -> bool:
        try:
            return self._open.pop()
        except IndexError:
            return False

    def _end_stream(self, accumulator: Accumulator, pace: Pace, how: StreamEnd, error: BaseException | None) -> None:
        run = self._engine.boundary.run
        found = run(self._sites.chunks, accumulator.attributes) or {}
        complete = error is None and (how == "exhausted" or bool(run(self._sites.chunks, _complete, accumulator)))
        found[names.OTEL_LLM_STREAM_COMPLETE] = complete
        found[names.OTEL_LLM_STREAM_CHUNKS] = pace.chunks
        if pace.chunks:
            found[names.GEN_AI_RESPONSE_TIME_TO_FIRST_CHUNK] = pace.first - self.started
        if not complete:
            found.pop(names.GEN_AI_RESPONSE_FINISH_REASONS, None)
        if not complete:
            found[names.OTEL_LLM_USAGE_COMPLETE] = False
        if names.GEN_AI_USAGE_INPUT_TOKENS not in found:
            found.update(run(self._sites.estimate, self._estimate, accumulator) or {})
        elif complete:
            run(self._sites.estimate, self._learn, found, accumulator)
        output = run(self._sites.output, accumulator.output) if self.is_content_captured else None
        # What nobody reads any more took no longer than its last chunk.
        last = pace.last if how != "exhausted" and error is None and pace.chunks else None
        between = (pace.last - pace.first) / (pace.chunks - 1) if pace.chunks > 1 else None
        self._end(found, output, error, last, (pace.first - self.started, between) if pace.chunks else None)

    def _estimate(self, accumulator: Accumulator) -> Attributes:
        """Counts for a stream that reported none, apart from what providers report (decision 3)."""
        corrected = self._engine.calibration.corrected
        tokens = corrected(self._key("input"), self._input_estimate())
        if not tokens:
            return {}
        return {
            names.OTEL_LLM_USAGE_SOURCE: "estimated",
            names.OTEL_LLM_USAGE_ESTIMATED_INPUT_TOKENS: tokens,
            names.OTEL_LLM_USAGE_ESTIMATED_OUTPUT_TOKENS: corrected(self._key("output"), accumulator.output_estimate),
        }

    def _input_estimate(self) -> int:
        """Input tokens by rule of thumb."""
        content = self.endpoint.input(self.body)
        texts = texts_of([content.messages, content.system, content.tools])
        return sum(map(estimate_tokens, texts))

    def _learn(self, found: Attributes, accumulator: Accumulator | None) -> None:
        """Compare what the provider counted with what would have been estimated."""
        calibration = self._engine.calibration
        if not calibration.is_wanted:
            return
        counted = found.get(names.GEN_AI_USAGE_INPUT_TOKENS)
        if isinstance(counted, int) and calibration.is_due(self._key("input")):
            calibration.learn(self._key("input"), self._input_estimate(), counted)
        produced, thought = (
            found.get(names.GEN_AI_USAGE_OUTPUT_TOKENS),
            found.get(names.GEN_AI_USAGE_REASONING_OUTPUT_TOKENS),
        )
        if accumulator is not None and isinstance(produced, int):
            shown = produced - thought if isinstance(thought, int) else produced
            calibration.learn(self._key("output"), accumulator.output_estimate, shown)

    def _key(self, what: str) -> str:
        return f"{self._sites.call} {self.attributes.get(names.GEN_AI_REQUEST_MODEL)} {what}"

    def _end(
        self,
        found: Attributes,
        output: Content | None,
        error: BaseException | None,
        last: float | None,
        pace: tuple[float, float | None] | None,
    ) -> None:
        now = time.perf_counter()
        seconds = (last or now) - self.started
        if error is not None:
            found[names.ERROR_TYPE] = error_type(error)
        if self._attempts > 1:
            found[names.OTEL_LLM_ATTEMPT_COUNT] = self._attempts
            found[names.OTEL_LLM_ATTEMPT_BACKOFF] = self._backoff
        self.attributes.update(found)
        self._engine.finish(self, output, seconds, pace)
        span = self.span
        if span is not None and span.is_recording():
            run = self._engine.boundary.run
            run(self._sites.span, span.set_attributes, found)
            if error is not None and not is_cancellation(error):
                run(self._sites.span, span.set_status, _ERROR)
        if span is not None:
            self._engine.boundary.run(self._sites.span, _end_span, span, 0.0 if last is None else now - last)


class Pace:
    """A counter and a clock: all that is recorded for each chunk.

    Attributes:
        chunks: how many came.
        first: when the first one came, by `time.perf_counter`.
        last: when the last one came.
    """

    __slots__ = ("chunks", "first", "last")

    def __init__(self) -> None:
        self.chunks = 0
        self.first = 0.0
        self.last = 0.0


def is_cancellation(error: BaseException) -> bool:
    """Whether the caller lost interest, which is no error of anybody's."""
    return isinstance(error, asyncio.CancelledError | GeneratorExit)


def error_type(error: BaseException) -> str:
    """The exception's full name, as `error.type` has it; low cardinality."""
    if isinstance(error, asyncio.CancelledError):
        return _CANCELLED
    kind = type(error)
    if isinstance(error, DeniedError):
        return f"otel_llm.{kind.__name__}"
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def _end_span(span: Span, ago_seconds: float) -> None:
    if ago_seconds:
        span.end(end_time=time.time_ns() - int(ago_seconds * 1e9))
    else:
        span.end()


def _complete(accumulator: Accumulator) -> bool:
    return accumulator.is_complete
