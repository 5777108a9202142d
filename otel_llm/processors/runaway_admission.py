"""Stops agents that run away, before the call: in circles, or past what their trace may cost.

Asked in the app, where a call can still be stopped:

    guard = RunawayAdmission(Config(trace_cost_limit="2.00"), Context("runaway", Metrics(), SystemClock()))
    otel_llm.instrument(admissions=[guard])

What a call may cost at most is set aside before it is made, so that many at once do not pass the cap together; what it
has cost takes its place when it ends. A trace is what the app makes it: without a span round the agent's run
(`otel_llm.agent`) each call is a trace of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated, Final, Literal

import msgspec

from otel_llm._generated import attributes as names
from otel_llm._generated import metrics as definitions
from otel_llm.admission import ALLOW, Decision
from otel_llm.components import Context
from otel_llm.cost import Quote, Usage, estimate_tokens
from otel_llm.cost.trace_costs import TraceCosts
from otel_llm.errors import ConfigError
from otel_llm.operation import AttributeValue, Operation
from otel_llm.processors.cost import estimate_usage, load_catalogue, read_usage
from otel_llm.processors.ended import EndedCall
from otel_llm.processors.judge_config import decimal
from otel_llm.quality.signals.exchange import Answer, steps_of
from otel_llm.quality.signals.loops import is_loop

Reason = names.OtelLlmRunawayReason

_NOTHING: Final = Answer("", (), has_more=False, finish_reasons=())


class Config(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """When a call is one of an agent that runs away, and what becomes of it."""

    trace_cost_limit: str | None = None
    """What the calls of a trace may cost together, as a decimal number in `currency`, e.g. `"2.00"`. Each process
    counts its own calls. A call without a known price is not held against it."""

    currency: str = "USD"
    """Of the limit; prices in another one are taken for unknown."""

    loops: bool = True
    """Whether an agent whose history ends in the same one to four tool calls three times in a row, with the same
    results, runs away."""

    action: Literal["observe", "deny"] = "deny"
    """`deny`: the call is not made, and the app gets a DeniedError. `observe`: it is marked and counted."""

    expected_output_tokens: Annotated[int, msgspec.Meta(ge=1)] = 1000
    """How many output tokens are set aside for a call that does not say how many it allows."""

    prices: tuple[str, ...] = ()
    """Files with the user's own prices, as for the cost processor."""

    remembered_traces: Annotated[int, msgspec.Meta(ge=1)] = 10_000
    """How many traces are remembered."""


@dataclass(frozen=True, slots=True)
class Runaway:
    """What a callback is told.

    Attributes:
        reasons: why the call was taken for one of an agent that runs away.
        trace_id: of the run, 32 hex digits; empty when the call begins a trace.
        spent: what the trace has cost so far, with calls that are under way.
        may_cost: what this call may cost at most; None when that is not known.
    """

    reasons: tuple[Reason, ...]
    trace_id: str
    spent: Decimal
    may_cost: Decimal | None


class RunawayAdmission:
    """The admission; thread-safe.

    Args:
        config: the user's settings.
        context: name, metrics and clock.
        decide: asked in place of `config.action`: True lets the call be made. One that raises counts as no opinion, and
            the call is made (`on_error`).

    Raises:
        ConfigError: the limit is no amount, or a price file cannot be used.
    """

    on_error: Literal["allow", "deny"] = "allow"

    def __init__(self, config: Config, context: Context, decide: Callable[[Runaway], bool] | None = None) -> None:
        self.name = context.name
        self._config = config
        self._clock = context.clock
        self._decide = decide
        self._cap = _cap(config, context.name)
        self._catalogue = load_catalogue(config.prices, f"{context.name}.prices")
        self.costs = TraceCosts(config.remembered_traces)
        self._calls = context.metrics.counter(
            definitions.OTEL_LLM_RUNAWAY_CALLS, (names.OTEL_LLM_RUNAWAY_REASON, names.OTEL_LLM_RUNAWAY_ACTION)
        )

    def admit(self, operation: Operation) -> Decision:
        """Decide about a call, and set aside what it may cost."""
        reasons: list[Reason] = []
        if self._config.loops and is_loop(steps_of(operation.input_messages, _NOTHING)):
            reasons.append("agent_loop")
        may_cost, reservation = self._may_cost(operation), None
        if may_cost is not None:
            reservation = self.costs.reserve(operation.trace_id, may_cost, self._cap)
            if reservation is None:
                reasons.append("trace_cost")
        if reasons and not self._is_let_through(operation, tuple(reasons), may_cost):
            if reservation is not None:
                self.costs.settle(reservation.id, Decimal(0))
            return Decision("deny", reasons[0], self.name)
        if reservation is None and may_cost is not None:  # it is made all the same, and costs
            reservation = self.costs.reserve(operation.trace_id, may_cost, None)
        if reservation is not None:
            operation.set(names.OTEL_LLM_RUNAWAY_RESERVATION, reservation.id)
        return ALLOW

    def _is_let_through(self, operation: Operation, reasons: tuple[Reason, ...], may_cost: Decimal | None) -> bool:
        is_made = self._config.action == "observe"
        if self._decide is not None:
            spent = self.costs.spent(operation.trace_id)
            is_made = self._decide(Runaway(reasons, operation.trace_id.hex(), spent, may_cost))
        action: names.OtelLlmRunawayAction = "observe" if is_made else "deny"
        operation.set(names.OTEL_LLM_RUNAWAY_REASONS, reasons)
        operation.set(names.OTEL_LLM_RUNAWAY_ACTION, action)
        for reason in reasons:
            self._calls.add(1, reason, action)
        return is_made

    def ended(self, attributes: Mapping[str, AttributeValue]) -> None:
        """A call has ended: what it has cost takes the place of what was set aside."""
        reservation_id = attributes.get(names.OTEL_LLM_RUNAWAY_RESERVATION)
        if isinstance(reservation_id, str):
            self.costs.settle(reservation_id, self._cost(attributes))

    def _may_cost(self, operation: Operation) -> Decimal | None:
        """What a call may cost at most, as far as can be told before; None without a cap or a price."""
        if self._cap is None:
            return None
        estimated = estimate_usage(operation) or Usage(0, 0)
        beside = [operation.get(key) for key in (names.GEN_AI_SYSTEM_INSTRUCTIONS, names.GEN_AI_TOOL_DEFINITIONS)]
        # As text, `estimate_usage` has counted them.
        extra = [msgspec.json.encode(one).decode() for one in beside if one is not None and not isinstance(one, str)]
        most = operation.get(names.GEN_AI_REQUEST_MAX_TOKENS)
        output = most if isinstance(most, int) and most > 0 else self._config.expected_output_tokens
        usage = Usage((estimated.text[0] or 0) + sum(map(estimate_tokens, extra)), output)
        return self._price(operation.get, usage)

    def _cost(self, attributes: Mapping[str, AttributeValue]) -> Decimal | None:
        usage = read_usage(Operation(EndedCall(attributes, self._clock.unix_nano())))
        if usage is None:
            # A call that failed without any usage was not billed; of another one nobody knows.
            return Decimal(0) if attributes.get(names.ERROR_TYPE) is not None else None
        return self._price(attributes.get, usage)

    def _price(self, get: Callable[[str], AttributeValue], usage: Usage) -> Decimal | None:
        provider, model = get(names.GEN_AI_PROVIDER_NAME), get(names.GEN_AI_RESPONSE_MODEL)
        asked = get(names.GEN_AI_REQUEST_MODEL)
        quote: Quote = self._catalogue.quote(
            provider if isinstance(provider, str) else None,
            model if isinstance(model, str) else asked if isinstance(asked, str) else None,
            usage,
            self._clock.unix_nano(),
        )
        return quote.total_decimal if quote.currency == self._config.currency else None


def _cap(config: Config, name: str) -> Decimal | None:
    if config.trace_cost_limit is None:
        return None
    cap = decimal(config.trace_cost_limit)
    if cap is None:
        raise ConfigError([f"{name}.trace_cost_limit: expected an amount such as 2.00, got another text"])
    return cap
