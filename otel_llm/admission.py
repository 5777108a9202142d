"""The answer before a call is made: allow, deny, or send it elsewhere.

The instrumentation hook makes an Operation of the request, before the call, and asks each admission in turn. An
admission reads it as a processor would, may set attributes (they go onto the call's span) or change
`gen_ai.input.messages` (the hook puts the changed messages into the request), and returns a decision. The first denial
ends the asking. What an admission raises is isolated by the hook, and counts as what the admission's `on_error` says.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, Protocol

from otel_llm.operation import Operation


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
    """

    action: Literal["allow", "deny", "reroute"]
    reason: str | None = None
    rule_id: str | None = None
    route: Route | None = None


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
