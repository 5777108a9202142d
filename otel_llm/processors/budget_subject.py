"""Who and what a call is for, as budgets ask for it, and which budgets it has.

Calls of one service have few different answers, so the budgets for an answer are remembered.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from otel_llm._generated import attributes as names
from otel_llm.budget.model import Budget, keys_read
from otel_llm.cost.recent import Recent
from otel_llm.operation import AttributeValue, Operation

_REMEMBERED: Final = 4096
# Longer values are none that a budget names.
_LONGEST: Final = 256

# Where each word of a match is found: the first of these that is there, on the span or else on its resource. Those of
# owners are the ledger's.
_PLACES: Final[Mapping[str, tuple[str, ...]]] = {
    "service": (names.SERVICE_NAME,),
    "environment": (names.DEPLOYMENT_ENVIRONMENT_NAME, "deployment.environment"),
    "owner": (names.OTEL_LLM_OWNER_NAME, "service.owner", "team"),
    "tenant": (names.OTEL_LLM_TENANT_ID, "tenant.id", "tenant"),
    "user": (names.USER_ID, "enduser.id"),
    "feature": (names.OTEL_LLM_FEATURE_NAME, "feature.name", "feature"),
    "provider": (names.GEN_AI_PROVIDER_NAME,),
    "model": (names.GEN_AI_RESPONSE_MODEL, names.GEN_AI_REQUEST_MODEL),
    "operation": (names.GEN_AI_OPERATION_NAME,),
}
_OF_THE_RESOURCE: Final = frozenset({"service", "environment"})


class Subjects:
    """Finds the budgets of a call. Thread-safe.

    Args:
        budgets: all of them.
        resource: attributes of the app, for calls that do not know who makes them.

    Attributes:
        reads: the attributes that decide.
    """

    def __init__(self, budgets: Sequence[Budget], resource: Mapping[str, AttributeValue] | None = None) -> None:
        self._budgets = tuple(budgets)
        self._words = keys_read(budgets)
        self._places = tuple((_PLACES.get(word, (word,)), word in _OF_THE_RESOURCE) for word in self._words)
        self._resource = resource
        self._known: Recent[tuple[str | None, ...], tuple[Budget, ...]] = Recent(_REMEMBERED)
        self.reads = frozenset(key for places, _ in self._places for key in places if key.startswith("gen_ai."))

    def budgets_of(self, operation: Operation) -> tuple[Budget, ...]:
        """The budgets of a call, in the order of the configuration."""
        resource = operation.resource if self._resource is None else self._resource
        values = tuple(
            _first((resource,) if is_of_the_resource else (operation, resource), places)
            for places, is_of_the_resource in self._places
        )
        found = self._known.recall(values)
        if found is None:
            by_word = dict(zip(self._words, values, strict=True))
            found = tuple(budget for budget in self._budgets if budget.matches(by_word.get))
            self._known.remember(values, found)
        return found


def _first(sources: Sequence[Operation | Mapping[str, AttributeValue]], places: Sequence[str]) -> str | None:
    for source in sources:
        for place in places:
            value = source.get(place)
            if isinstance(value, str) and 0 < len(value) <= _LONGEST:
                return value
            if isinstance(value, int | float):
                return str(value).lower() if isinstance(value, bool) else str(value)
    return None
