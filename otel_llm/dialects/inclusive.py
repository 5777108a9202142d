"""Input tokens with cached tokens in them, whatever the convention, provider and version counted.

In this order: what is known of the convention and the provider; what the provider's own total proves; that fewer input
tokens than cached ones can only be a count without them. The opposite proves nothing: 20 000 fresh tokens beside 16 000
cached ones look the same either way. What cannot be told is said to be unknown, and left.
Source: semconv `gen_ai.usage.cache_read.input_tokens`; Anthropic's and Bedrock's API references.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Final

from otel_llm._generated import attributes as names
from otel_llm.dialects.draft import MODEL_OPERATIONS
from otel_llm.dialects.tables import Semantics
from otel_llm.dialects.usage import is_exclusive
from otel_llm.dialects.values import count
from otel_llm.operation import Operation

# These report inclusive counts themselves: fewer input tokens than cached ones is then a contradiction, not a habit.
_INCLUSIVE_PROVIDERS: Final = frozenset(
    {"openai", "azure.ai.openai", "gcp.gemini", "gcp.vertex_ai", "x_ai", "deepseek"}
)

_COUNTS: Final = (
    names.GEN_AI_USAGE_INPUT_TOKENS,
    names.GEN_AI_USAGE_OUTPUT_TOKENS,
    names.GEN_AI_USAGE_CACHE_READ_INPUT_TOKENS,
    names.GEN_AI_USAGE_CACHE_WRITE_INPUT_TOKENS,
)
_CACHED: Final = _COUNTS[2:]
# Every count a span can carry.
USAGE_KEYS: Final = (
    *_COUNTS,
    *sorted(key for key in names.ATTRIBUTE_TYPES if key.startswith("gen_ai.usage.") and key not in _COUNTS),
    names.OTEL_LLM_USAGE_CACHE_WRITE_1H_INPUT_TOKENS,
)


@dataclass(frozen=True, slots=True)
class MakeInclusive:
    """Add cached tokens to the input count where they are missing from it, once.

    Attributes:
        scope: what the scope alone decides; None when it does not.
        providers: what the provider decides.
        otherwise: when neither does.
        totals: keys of the provider's own total; empty when the library adds up itself.
    """

    scope: Semantics | None
    providers: Mapping[str, Semantics]
    otherwise: Semantics
    totals: tuple[str, ...]

    def __call__(self, operation: Operation) -> None:
        """Do it, and note in `otel_llm.usage.input_semantics` what was done."""
        if operation.get(names.OTEL_LLM_USAGE_INPUT_SEMANTICS) is not None:
            return
        entered = operation.input_tokens
        read = operation.cache_read_input_tokens or 0
        write = operation.cache_write_input_tokens or 0
        if entered is None or not read + write:
            return
        counts = (entered, read, write, operation.output_tokens or 0)
        semantics = self._known(operation)
        if semantics == "unknown":
            semantics = self._proved(operation, counts)
        elif semantics == "inclusive" and entered < read + write:
            contradiction = operation.provider_name in _INCLUSIVE_PROVIDERS
            semantics = "unknown" if contradiction else "exclusive"
        if semantics == "exclusive":
            operation.set(names.GEN_AI_USAGE_INPUT_TOKENS, entered + read + write)
        if semantics != "inclusive":
            word = "repaired" if semantics == "exclusive" else "unknown"
            operation.set(names.OTEL_LLM_USAGE_INPUT_SEMANTICS, word)

    def _known(self, operation: Operation) -> Semantics:
        if self.scope is not None:
            return self.scope
        return self.providers.get(operation.provider_name or "", self.otherwise)

    def _proved(self, operation: Operation, counts: tuple[int, int, int, int]) -> Semantics:
        total = next((found for key in self.totals if (found := count(operation.get(key))) is not None), None)
        proved = is_exclusive(total, counts)
        if proved is None:
            return "unknown"
        return "exclusive" if proved else "inclusive"


@dataclass(frozen=True, slots=True)
class CheckUsage:
    """The counts of a span of the current generation: remove what is no count, mend the input when it must be.

    Attributes:
        entered: the key of the input count, if the span has it.
        cached: keys of cached tokens that the span has.
        others: other usage keys that it has.
        repair: what to do when there are cached tokens and they do not fit.
        always: repair whether they fit or not, because the scope is known to count them apart.
    """

    entered: tuple[str, ...]
    cached: tuple[str, ...]
    others: tuple[str, ...]
    repair: MakeInclusive
    always: bool

    def __call__(self, operation: Operation) -> None:
        """Check them."""
        _checked(operation, self.others)
        entered = _checked(operation, self.entered)
        if self.cached:
            cached = _checked(operation, self.cached)
            if cached > entered or (cached and self.always):
                self.repair(operation)


def _checked(operation: Operation, keys: tuple[str, ...]) -> int:
    """The sum of the counts under these keys; what is no count is removed."""
    total = 0
    for key in keys:
        value = operation.get(key)
        if type(value) is int and value >= 0:
            total += value
            continue
        if value is None:
            continue
        number = count(value)
        if number is None:
            operation.remove(key)
            operation.set(names.OTEL_LLM_USAGE_COMPLETE, value=False)
        else:
            operation.set(key, number)
            total += number
    return total


def check_usage(present: Collection[str], repair: MakeInclusive) -> CheckUsage | None:
    """The check for spans with these keys; None when none of them is a count."""
    keys = [key for key in USAGE_KEYS if key in present]
    if not keys:
        return None
    return CheckUsage(
        entered=tuple(key for key in keys if key == _COUNTS[0]),
        cached=tuple(key for key in keys if key in _CACHED),
        others=tuple(key for key in keys if key != _COUNTS[0] and key not in _CACHED),
        repair=repair,
        always=repair.scope == "exclusive",
    )


@dataclass(frozen=True, slots=True)
class RemoveRepeated:
    """Remove counts that only repeat those of the spans below: workflows, tasks and tools use no tokens themselves.

    Attributes:
        operations: the operations that the conventions give no counts.
        keys: what to remove.
    """

    operations: frozenset[str]
    keys: tuple[str, ...]

    def __call__(self, operation: Operation) -> None:
        """Remove them."""
        if operation.operation_name in self.operations:
            _remove(operation, self.keys)


def remove_zeros(operation: Operation) -> None:
    """Input 0 and output 0 of a call that was answered are not counts: nothing was reported."""
    if operation.operation_name not in MODEL_OPERATIONS or operation.input_tokens != 0:
        return
    if operation.output_tokens in (0, None):
        _remove(operation, USAGE_KEYS)


def _remove(operation: Operation, keys: tuple[str, ...]) -> None:
    for key in keys:
        if operation.get(key) is not None:
            operation.remove(key)
