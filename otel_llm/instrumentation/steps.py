"""Spans by hand for what stands around model calls: workflows, agents, tools, retrievals, tasks.

Each is a `with` block, an `async with` block and a decorator of functions, asynchronous functions and generators of
both kinds. What the app's code returns and raises is never touched; what fails on our side ends at the boundary.
"""

from __future__ import annotations

import functools
import inspect
import os
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from types import TracebackType
from typing import Any, Final, Self, TypeVar, cast

from opentelemetry import context, trace
from opentelemetry.trace import Span, SpanKind, Status, StatusCode

from otel_llm._generated import attributes as names
from otel_llm.dialects.messages import canonical_documents, canonical_messages, text_messages
from otel_llm.instrumentation import ambient, invocations
from otel_llm.instrumentation.call import error_type, is_cancellation
from otel_llm.instrumentation.documents import documents_of
from otel_llm.instrumentation.engine import Engine
from otel_llm.instrumentation.invocations import Invocation
from otel_llm.instrumentation.outlet import Outlet, Outlets
from otel_llm.instrumentation.settings import settings_from
from otel_llm.operation import AttributeValue

F = TypeVar("F", bound="Callable[..., Any]")


class Steps:
    """Whose engine makes spans by hand: that of the instrumented app, else one that reads the environment once."""

    def __init__(self) -> None:
        self._engine: Engine | None = None

    @property
    def engine(self) -> Engine:
        """The engine to use now."""
        if self._engine is None:
            self._engine = Engine(Outlets(), settings_from(os.environ))
        return self._engine

    def use(self, engine: Engine | None) -> None:
        """Use this engine from now on; None for one of our own."""
        self._engine = engine


STEPS: Final = Steps()


class Step:
    """One step: the span of a `with` block, or of each call of a function.

    Args:
        kind: `gen_ai.operation.name`, or `task`, for which there is none.
        name: of the workflow, agent, tool, data source or task; None for the name of the decorated function.
        attributes: further attributes; those that are None are left out.
        span_kind: INTERNAL, or CLIENT for what is remote.
    """

    def __init__(
        self,
        kind: str,
        name: str | None,
        attributes: Mapping[str, AttributeValue],
        span_kind: SpanKind = SpanKind.INTERNAL,
    ) -> None:
        self._kind = kind
        self._name = name
        self._given = {key: value for key, value in attributes.items() if value is not None}
        self._span_kind = span_kind
        self._attributes: dict[str, AttributeValue] = {}
        self._outlet: Outlet | None = None
        self._invocation: Invocation | None = None
        self._span: Span | None = None
        self._token: Any = None
        self._started = 0.0

    # What the app may say while it is under way.

    @property
    def span(self) -> Span:
        """OpenTelemetry's span; one that records nothing outside of the block."""
        return self._span or trace.INVALID_SPAN

    def set(self, key: str, value: AttributeValue) -> Self:
        """Set an attribute."""
        self._run("set", self._set, {key: value})
        return self

    def input(self, value: object) -> Self:
        """What it was given: messages or text, a tool's arguments, a retrieval's query. Kept when content is."""
        self._run("input", self._content, value, _INPUTS.get(self._kind))
        return self

    def output(self, value: object) -> Self:
        """What came of it: messages or text, a tool's result, documents. Kept when content is."""
        self._run("output", self._content, value, _OUTPUTS.get(self._kind))
        return self

    def _content(self, value: object, key: str | None) -> None:
        capture = STEPS.engine.capture
        if capture is None or key is None or not STEPS.engine.settings.content_on_spans:
            return
        if key in _MESSAGES:
            role = "user" if key == names.GEN_AI_INPUT_MESSAGES else "assistant"
            messages = (
                text_messages(value, role) if isinstance(value, str) else canonical_messages(value, role).messages
            )
            value = messages or text_messages(str(value), role)
        elif key == names.GEN_AI_RETRIEVAL_DOCUMENTS:
            value = canonical_documents(documents_of(value))
        elif key == names.GEN_AI_RETRIEVAL_QUERY_TEXT:
            self._set({key: capture.text(str(value))})
            return
        self._set({key: capture.value(value)})

    def _set(self, found: Mapping[str, AttributeValue]) -> None:
        self._attributes.update(found)
        if self._span is not None:
            self._span.set_attributes(found)

    def _run(self, site: str, step: Callable[..., Any], *args: Any) -> Any:  # noqa: ANN401 - what the step returns
        return STEPS.engine.boundary.run(f"steps.{self._kind}.{site}", step, *args)

    # A block.

    def __enter__(self) -> Self:
        self._run("start", self._start)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._run("end", self._end, error)

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.__exit__(kind, error, traceback)

    def _start(self) -> None:
        name = self._name or ""
        self._attributes = {**self._given, **ambient.attributes()}
        if self._kind != "task":
            self._attributes[names.GEN_AI_OPERATION_NAME] = self._kind
        if name:
            self._attributes[_NAMES[self._kind]] = name
        if self._kind == "execute_tool":
            self._called_by(invocations.current())
        elif self._kind == "invoke_agent":
            self._invocation = Invocation(self._name)
        self._outlet = STEPS.engine.outlet()
        self._started = time.perf_counter()
        self._span = self._outlet.tracer.start_span(
            f"{self._kind} {name}".rstrip(),
            kind=self._span_kind,
            attributes=self._attributes,
        )
        self.attach()

    def _called_by(self, agent: Invocation | None) -> None:
        """It is a tool that this agent calls."""
        if agent is not None:
            agent.calls_tool()
            if agent.name:
                self._attributes.setdefault(names.GEN_AI_AGENT_NAME, agent.name)

    def attach(self) -> None:
        """Make its span the current one."""
        at = trace.set_span_in_context(self.span)
        if self._invocation is not None:
            at = invocations.within(self._invocation, at)
        self._token = context.attach(at)

    def detach(self, error: BaseException | None = None) -> None:
        """Make the span around it the current one again."""
        token, self._token = self._token, None
        if token is not None and not isinstance(error, GeneratorExit):  # closed in whatever context: nothing to detach
            context.detach(token)

    def _end(self, error: BaseException | None) -> None:
        self.detach(error)
        span, outlet, self._span = self._span, self._outlet, None
        if span is None or outlet is None:
            return
        if error is not None and not isinstance(error, GeneratorExit):
            kind = error_type(error)
            self._attributes[names.ERROR_TYPE] = kind
            span.set_attribute(names.ERROR_TYPE, kind)
            if not is_cancellation(error):
                span.set_status(Status(StatusCode.ERROR))
        span.end()
        dimensions = {key: self._attributes[key] for key in ambient.DIMENSIONS if key in self._attributes}
        outlet.steps.record(self._attributes, time.perf_counter() - self._started, dimensions)
        if self._invocation is not None:
            outlet.steps.record_invocation(self._invocation, dimensions)

    # A decorator.

    def __call__(self, function: F) -> F:
        """The function with a step around each call."""
        if inspect.isasyncgenfunction(function):
            return cast("F", self._async_generator(function))
        if inspect.iscoroutinefunction(function):
            return cast("F", self._async(function))
        if inspect.isgeneratorfunction(function):
            return cast("F", self._generator(function))
        return cast("F", self._sync(function))

    def _sync(self, function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def within(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - the app's function
            with self._for(function, args, kwargs) as step:
                result = function(*args, **kwargs)
                step.output(result)
                return result

        return within

    def _async(self, function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        async def within(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - the app's function
            with self._for(function, args, kwargs) as step:
                result = await function(*args, **kwargs)
                step.output(result)
                return result

        return within

    def _generator(self, function: Callable[..., Iterator[Any]]) -> Callable[..., Iterator[Any]]:
        """The step's span is current while the generator runs, and not while the app holds it."""

        @functools.wraps(function)
        def within(*args: Any, **kwargs: Any) -> Iterator[Any]:  # noqa: ANN401 - the app's function
            with self._for(function, args, kwargs) as step:
                for item in function(*args, **kwargs):
                    step.detach()
                    yield item
                    step.attach()

        return within

    def _async_generator(self, function: Callable[..., AsyncIterator[Any]]) -> Callable[..., AsyncIterator[Any]]:
        """As `_generator`."""

        @functools.wraps(function)
        async def within(*args: Any, **kwargs: Any) -> AsyncIterator[Any]:  # noqa: ANN401 - the app's function
            with self._for(function, args, kwargs) as step:
                async for item in function(*args, **kwargs):
                    step.detach()
                    yield item
                    step.attach()

        return within

    def _for(self, function: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Step:
        """The step of one call. The block's own state is for one step at a time, so each call has its own."""
        step = _Asked(self._kind, self._name or function.__name__, self._given, self._span_kind)
        step.call = function, args, kwargs
        return step


class _Asked(Step):
    """A step that says what a function was called with, once its span has begun.

    Attributes:
        call: the function and its arguments.
    """

    call: tuple[Callable[..., Any], tuple[Any, ...], Mapping[str, Any]]

    def _start(self) -> None:
        super()._start()
        if STEPS.engine.capture is None:
            return
        function, args, kwargs = self.call
        said = dict(inspect.signature(function).bind(*args, **kwargs).arguments)
        said = {key: value for key, value in said.items() if key not in ("self", "cls")}
        one = next(iter(said.values())) if len(said) == 1 or self._kind == "retrieval" else said
        self.input(said if self._kind == "execute_tool" else one)


_NAMES: Final = {
    "invoke_workflow": names.GEN_AI_WORKFLOW_NAME,
    "invoke_agent": names.GEN_AI_AGENT_NAME,
    "execute_tool": names.GEN_AI_TOOL_NAME,
    "retrieval": names.GEN_AI_DATA_SOURCE_ID,
    "task": names.OTEL_LLM_TASK_NAME,
}
_INPUTS: Final = {
    "invoke_workflow": names.GEN_AI_INPUT_MESSAGES,
    "invoke_agent": names.GEN_AI_INPUT_MESSAGES,
    "execute_tool": names.GEN_AI_TOOL_CALL_ARGUMENTS,
    "retrieval": names.GEN_AI_RETRIEVAL_QUERY_TEXT,
}
_OUTPUTS: Final = {
    "invoke_workflow": names.GEN_AI_OUTPUT_MESSAGES,
    "invoke_agent": names.GEN_AI_OUTPUT_MESSAGES,
    "execute_tool": names.GEN_AI_TOOL_CALL_RESULT,
    "retrieval": names.GEN_AI_RETRIEVAL_DOCUMENTS,
}
_MESSAGES: Final = frozenset({names.GEN_AI_INPUT_MESSAGES, names.GEN_AI_OUTPUT_MESSAGES})
