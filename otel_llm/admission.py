"""The answer before a call is made: allow, deny, or send it elsewhere.

The instrumentation hook makes an Operation of the request, before the call, and asks each admission in turn. An
admission reads it as a processor would, may set attributes (they go onto the call's span) or change
`gen_ai.input.messages` (the hook puts the changed messages into the request), and returns a decision. The first denial
ends the asking. What an admission raises is isolated by the hook, and counts as what the admission's `on_error` says.

An admission that also looks after answers (`AnswerAdmission`) is asked for a guard once the call is allowed. The app
gets of the answer what the guard has passed on, and a DeniedError in place of the rest where it denies it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal, Protocol, runtime_checkable

from otel_llm.operation import AttributeValue, Message, Operation


@dataclass(frozen=True, slots=True)
class Route:
    """Where a call is to go instead.

    Attributes:
        provider_name: as `gen_ai.provider.name`.
        model: the model to ask for there.
        endpoint: the base URL, None for the provider's own.
    """

    provider_name: str
    model: str
    endpoint: str | None = None


@dataclass(frozen=True, slots=True)
class Decision:
    """What is to happen to a call.

    Attributes:
        action: `allow`: it is made, with the changes the admission made to the operation; `deny`: it is not made and
            the caller gets a DeniedError; `reroute`: it is made to `route`.
        reason: low-cardinality reason for anything but a plain allow, e.g. `model_not_allowed`; never content.
        rule_id: the rule or budget that decided.
        route: where to, with `reroute` only.
        message: for whoever made the call, as the rule's author wrote it; never content.
    """

    action: Literal["allow", "deny", "reroute"]
    reason: str | None = None
    rule_id: str | None = None
    route: Route | None = None
    message: str | None = None


ALLOW: Final = Decision("allow")


class Admission(Protocol):
    """Something that is asked before each call: policy, budget, routing.

    Attributes:
        name: for counts and messages, e.g. `policy`.
        on_error: what a call gets when `admit` raises: `allow` fails open, `deny` fails closed.
    """

    name: str
    on_error: Literal["allow", "deny"]

    def admit(self, operation: Operation) -> Decision:
        """Decide about a call; thread-safe, and quick: the caller waits."""
        ...


class TextGuard(Protocol):
    """Guards one text of an answer while it arrives; for one thread.

    Attributes:
        passed: how many characters of what was pushed are through: passed on as they were, or with something in their
            place.
    """

    passed: int

    def push(self, piece: str) -> str:
        """Take a piece; what may be passed on now, often nothing."""
        ...

    def finish(self) -> str:
        """The text is complete: what is left of it."""
        ...


class AnswerGuard(Protocol):
    """Guards one answer; for one thread.

    Attributes:
        denied: why the answer was stopped, None while it was not. Nothing is passed on any more once it was.
        is_whole: whether it has to be seen whole before any of it is passed on.
    """

    is_whole: bool

    @property
    def denied(self) -> Decision | None:
        """See above."""
        ...

    def text(self) -> TextGuard:
        """A guard for one text of the answer."""
        ...

    def whole(self, messages: Sequence[Message]) -> None:
        """Decide about the messages of an answer that is complete; `denied` says how."""
        ...


@runtime_checkable
class EndingAdmission(Protocol):
    """An admission that wants to know how calls ended.

    Attributes:
        name: as of every admission.
    """

    name: str

    def ended(self, attributes: Mapping[str, AttributeValue]) -> None:
        """A call has ended, sampled or not, made or not; quick, and on any thread.

        Args:
            attributes: those of its span, what admissions have set included.
        """
        ...


@runtime_checkable
class AnswerAdmission(Protocol):
    """An admission that looks after answers too.

    Attributes:
        name: as of every admission.
        on_answer_error: what becomes of an answer when the guard raises: `allow` passes it on, `deny` stops it.
    """

    name: str
    on_answer_error: Literal["allow", "deny"]

    def guard(self, operation: Operation) -> AnswerGuard | None:
        """What looks after the answer to a call; None when nobody would act on it.

        Attributes that the guard sets on the operation go onto the call's span.
        """
        ...
