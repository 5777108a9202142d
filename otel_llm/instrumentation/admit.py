"""Asking admissions before a call: the request as an Operation, their decisions as changes to the request."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, cast

from opentelemetry import trace

from otel_llm._generated import attributes as names
from otel_llm.admission import Admission, AnswerAdmission, AnswerGuard, Decision, EndingAdmission
from otel_llm.errors import DeniedError
from otel_llm.instrumentation.guarding import Guarding, denial, failure
from otel_llm.instrumentation.provider import Content
from otel_llm.operation import AttributeValue, Event, Operation, parse_messages

if TYPE_CHECKING:
    from otel_llm.instrumentation.boundary import Boundary
    from otel_llm.instrumentation.call import Call
    from otel_llm.instrumentation.engine import Engine

_CLIENT: Final = 3
_MESSAGES: Final = names.GEN_AI_INPUT_MESSAGES
_CHANGEABLE: Final = (_MESSAGES, names.GEN_AI_SYSTEM_INSTRUCTIONS)
_CONTENT: Final = frozenset({*_CHANGEABLE, names.GEN_AI_TOOL_DEFINITIONS})
_EMPTY: Final[Mapping[str, AttributeValue]] = MappingProxyType({})


class RequestSource:
    """A request that was not sent yet, as the source of an Operation. Messages are read when somebody asks."""

    scope_name = "otel_llm.instrumentation"
    scope_version = ""
    kind = _CLIENT
    start_unix_nano = 0
    end_unix_nano = 0
    status_code = 0
    status_message = ""
    span_id = b""
    events: Sequence[Event] = ()
    resource: Mapping[str, AttributeValue] = _EMPTY

    __slots__ = ("_call", "_content")

    def __init__(self, call: Call) -> None:
        self._call = call
        self._content: dict[str, AttributeValue] | None = None

    @property
    def name(self) -> str:
        """The operation, as the span will be called."""
        return self._call.endpoint.operation

    @property
    def trace_id(self) -> bytes:
        """The trace the call is made in; empty when it will begin one."""
        current = trace.get_current_span().get_span_context()
        return current.trace_id.to_bytes(16, "big") if current.is_valid else b""

    @property
    def parent_span_id(self) -> bytes:
        """The span the call is made in; empty when there is none."""
        current = trace.get_current_span().get_span_context()
        return current.span_id.to_bytes(8, "big") if current.is_valid else b""

    @property
    def identity(self) -> tuple[bytes, bytes, bytes]:
        """Trace, span (none yet) and parent."""
        return self.trace_id, self.span_id, self.parent_span_id

    def keys(self) -> frozenset[str]:
        """The keys of everything known about the request, content included."""
        return frozenset(self._call.attributes) | self._read().keys()

    def has_exactly(self, keys: frozenset[str]) -> bool:
        """Whether these are the keys."""
        return self.keys() == keys

    def get(self, key: str) -> AttributeValue:
        """The value of an attribute; content is structured."""
        return self._read().get(key) if key in _CONTENT else self._call.attributes.get(key)

    def _read(self) -> dict[str, AttributeValue]:
        if self._content is None:
            self._content = _structured(self._call.endpoint.input(self._call.body))
        return self._content


def _structured(content: Content) -> dict[str, AttributeValue]:
    found = {
        _MESSAGES: content.messages,
        names.GEN_AI_SYSTEM_INSTRUCTIONS: content.system,
        names.GEN_AI_TOOL_DEFINITIONS: content.tools,
    }
    return {key: cast("AttributeValue", value) for key, value in found.items() if value}


def admit(engine: Engine, call: Call) -> DeniedError | None:
    """Ask every admission about a call, put what they change into it, and note who looks after the answer.

    Returns:
        Why the call may not be made; None when it may.
    """
    operation = Operation(RequestSource(call))
    for admission in engine.admissions:
        try:
            decision = engine.boundary.run(f"admission.{admission.name}", _decide, admission, operation, call)
        except DeniedError as error:
            return error
        if decision is None and admission.on_error == "deny":
            return failure(admission.name)
        if decision is not None and decision.action == "deny":
            return denial(admission.name, decision)
    return _guard(engine, call, operation) if call.endpoint.is_captured else None


def ended_of(
    admissions: Sequence[Admission], boundary: Boundary
) -> Callable[[Mapping[str, AttributeValue]], None] | None:
    """What `Engine.ended` is to be for these admissions; None when none of them wants to know how calls ended.

    One that fails does not keep the next ones from being told.
    """
    wanting = [one for one in admissions if isinstance(one, EndingAdmission)]
    if not wanting:
        return None

    def ended(attributes: Mapping[str, AttributeValue]) -> None:
        for one in wanting:
            boundary.run(f"admission.{one.name}.ended", one.ended, attributes)

    return ended


def _guard(engine: Engine, call: Call, operation: Operation) -> DeniedError | None:
    """Ask the admissions whether they look after the answer; why the call may not be made, when one cannot say."""
    guards: list[tuple[str, bool, AnswerGuard]] = []
    for admission in engine.admissions:
        if not isinstance(admission, AnswerAdmission):
            continue
        found = engine.boundary.run(f"admission.{admission.name}", _guards_of, admission, operation)
        is_closed = admission.on_answer_error == "deny"
        if found is None and is_closed:
            return failure(admission.name)
        guards += [(admission.name, is_closed, guard) for guard in found or ()]
    if guards:
        call.guarding = Guarding(call, operation, guards, engine.boundary)
    return None


def _guards_of(admission: AnswerAdmission, operation: Operation) -> list[AnswerGuard]:
    guard = admission.guard(operation)
    return [] if guard is None else [guard]


def _decide(admission: Admission, operation: Operation, call: Call) -> Decision:
    """One admission's decision, carried out.

    Raises:
        ValueError: what it wants cannot be done to this request.
    """
    before = [operation.get(key) for key in _CHANGEABLE]
    decision = admission.admit(operation)
    changed = {key: operation.get(key) for key in operation.overlay if key not in _CONTENT}
    call.attributes.update({key: value for key, value in changed.items() if value is not None})
    if [operation.get(key) for key in _CHANGEABLE] != before:
        system = parse_messages(operation.get(names.GEN_AI_SYSTEM_INSTRUCTIONS))
        _replace(call, Content(operation.input_messages, system))
    if decision.action == "reroute":
        _reroute(call, decision)
    return decision


def _replace(call: Call, content: Content) -> None:
    if call.endpoint.replace_input is None:
        raise ValueError(f"the messages of {call.endpoint.name} cannot be changed")
    call.body = call.endpoint.replace_input(call.body, content)


def _reroute(call: Call, decision: Decision) -> None:
    """Ask the same provider for another model. Another provider would get this one's key, so that is not done here."""
    route = decision.route
    if route is None or route.provider_name != call.server.provider or route.endpoint is not None:
        raise ValueError("the call can only be sent to another model of its own provider")
    if "model" not in call.body:
        raise ValueError(f"{call.endpoint.name} names no model in its body")
    call.body = {**call.body, "model": route.model}
    call.attributes[names.GEN_AI_REQUEST_MODEL] = route.model
