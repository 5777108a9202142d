"""The steps of normalising that hold for every convention. Each takes a draft and does one thing to it.

What a step needs to know about the table and the shape is worked out once, when the plan is made (see plan.py).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, TypeAlias

from otel_llm._generated import attributes as names
from otel_llm.dialects.draft import MODEL_OPERATIONS, Draft
from otel_llm.dialects.messages import canonical_finish_reasons
from otel_llm.dialects.providers import CANONICAL, provider
from otel_llm.dialects.tables import OperationRule, common
from otel_llm.dialects.values import Coercion, double, host_and_port
from otel_llm.operation import AttributeValue, Operation

Step: TypeAlias = Callable[[Draft], None]
# What needs no draft; spans of the current generation get nothing else, and each is well below a microsecond.
Check: TypeAlias = Callable[[Operation], None]

REASONS: Final = frozenset({"stop", "length", "content_filter", "tool_call", "compaction", "error"})
_USAGE_PREFIX: Final = "gen_ai.usage."


@dataclass(frozen=True, slots=True)
class Settle:
    """Give one canonical attribute its value, from the best of the keys a span has for it; the others go.

    Attributes:
        key: the canonical attribute.
        sources: keys that may hold it, best first; the canonical one is the first when the span has it.
        coerce: makes a value what the type says.
        scale: factors for numbers under some of the sources.
        values: words of the convention -> canonical words.
        absent: values that mean that nothing was given.
        kept: sources that stay.
    """

    key: str
    sources: tuple[str, ...]
    coerce: Coercion
    scale: Mapping[str, float]
    values: Mapping[str, str]
    absent: tuple[object, ...]
    kept: frozenset[str]

    def __call__(self, draft: Draft) -> None:
        """Settle it."""
        operation = draft.operation
        if not self._adopt(draft):
            if self.sources[0] == self.key:
                operation.remove(self.key)
            if self.key.startswith(_USAGE_PREFIX) and any(self._is_wrong(operation.get(key)) for key in self.sources):
                operation.set(names.OTEL_LLM_USAGE_COMPLETE, value=False)
        if len(self.sources) > 1 or self.sources[0] != self.key:
            draft.discard(key for key in self.sources if key != self.key and key not in self.kept)

    def _adopt(self, draft: Draft) -> bool:
        operation = draft.operation
        for source in self.sources:
            raw = operation.get(source)
            value = self._read(source, raw)
            if value is None:
                continue
            if source == self.key:
                if type(value) is not type(raw) or value != raw:
                    operation.set(self.key, value)
            elif value is raw and not draft.keep_originals and source not in self.kept:
                operation.rename(source, self.key)
            else:
                operation.set(self.key, value)
            return True
        return False

    def _read(self, source: str, raw: AttributeValue) -> AttributeValue:
        if raw is None:
            return None
        if source in self.scale:
            number = double(raw)
            raw = None if number is None else number * self.scale[source]
        value = self.coerce(raw)
        if isinstance(value, str):
            value = self.values.get(value, value)
        held = list(value) if isinstance(value, tuple) else value
        return None if held in self.absent else value

    def _is_wrong(self, raw: AttributeValue) -> bool:
        return raw is not None and self.coerce(raw) is None


@dataclass(frozen=True, slots=True)
class Verify:
    """Settle the canonical attributes that a span has under no other key, those that need it: most have their type.

    Attributes:
        settled: for each, its key, the Python type of its values, and how to settle it.
    """

    settled: tuple[tuple[str, type, Settle], ...]

    def __call__(self, draft: Draft) -> None:
        """Verify them."""
        get = draft.operation.get
        for key, kind, settle in self.settled:
            value = get(key)
            if type(value) is not kind or settle.absent or not _is_plain(value):
                settle(draft)


def _is_plain(value: AttributeValue) -> bool:
    """Whether a number is one that every key may have: finite, and not below 0."""
    return not isinstance(value, int | float) or 0 <= value < math.inf


PYTHON_TYPES: Final[Mapping[str, type]] = {"int": int, "double": float, "boolean": bool}


@dataclass(frozen=True, slots=True)
class NameOperation:
    """Set `gen_ai.operation.name` by the first rule that knows the value it looks at.

    Attributes:
        rules: those whose key the span has.
    """

    rules: tuple[OperationRule, ...]

    def __call__(self, draft: Draft) -> None:
        """Name it."""
        operation = draft.operation
        for rule in self.rules:
            name = self._name(rule, draft)
            if name is None:
                continue
            if name:
                if operation.get(names.GEN_AI_OPERATION_NAME) != name:
                    operation.set(names.GEN_AI_OPERATION_NAME, name)
            else:
                draft.make_step()
            if name and not rule.keep and rule.key != names.GEN_AI_OPERATION_NAME:
                draft.discard((rule.key,))
            return

    @staticmethod
    def _name(rule: OperationRule, draft: Draft) -> str | None:
        value = draft.operation.get(rule.key)
        if not isinstance(value, str):
            return None
        word = value.strip('"')  # MLflow quotes every value
        if not draft.operation.parent_span_id and word in rule.root:
            return rule.root[word]
        return rule.values.get(word)


def remove(keys: tuple[str, ...]) -> Step:
    """A step that removes keys, originals kept or not."""

    def step(draft: Draft) -> None:
        for key in keys:
            draft.operation.remove(key)

    return step


def discard(keys: tuple[str, ...]) -> Step:
    """A step that removes keys, unless originals are kept."""

    def step(draft: Draft) -> None:
        draft.discard(keys)

    return step


def remove_events(names_: frozenset[str], prefixes: tuple[str, ...]) -> Step:
    """A step that removes span events by name or by the beginning of the name."""

    def step(draft: Draft) -> None:
        found = {
            event.name
            for event in draft.operation.events
            if event.name in names_ or (prefixes and event.name.startswith(prefixes))
        }
        if found:
            draft.operation.remove_events(found)

    return step


def on_operation(check: Check) -> Step:
    """A check as a step."""

    def step(draft: Draft) -> None:
        check(draft.operation)

    return step


def settle_provider(operation: Operation) -> None:
    """Provider name by the conventions; a framework's name goes, and is replaced when the call's provider is known."""
    value = operation.get(names.GEN_AI_PROVIDER_NAME)
    host = operation.get(names.SERVER_ADDRESS)
    name = value if isinstance(value, str) else None
    if name in CANONICAL and (host is None or name not in common().providers.by_host):
        return
    called = operation.operation_name in MODEL_OPERATIONS
    model = (operation.request_model or operation.response_model) if called else None
    found = provider(name, host if isinstance(host, str) else None, model)
    if found is None:
        if value is not None:
            operation.remove(names.GEN_AI_PROVIDER_NAME)
    elif found != value and (value is not None or called):
        operation.set(names.GEN_AI_PROVIDER_NAME, found)


def check_provider(operation: Operation) -> None:
    """Provider name of a span of the current generation, which always has one."""
    value = operation.get(names.GEN_AI_PROVIDER_NAME)
    if type(value) is not str or value not in CANONICAL:
        settle_provider(operation)


def settle_finish_reasons(operation: Operation) -> None:
    """Finish reasons in the conventions' words, as a list; nothing when there is none."""
    value = operation.get(names.GEN_AI_RESPONSE_FINISH_REASONS)
    if value is None:
        return
    if isinstance(value, list | tuple) and value:
        for reason in value:
            if type(reason) is not str or reason not in REASONS:
                break
        else:
            return
    reasons = canonical_finish_reasons(value)
    if not reasons:
        operation.remove(names.GEN_AI_RESPONSE_FINISH_REASONS)
    elif not isinstance(value, list | tuple) or reasons != list(value):
        operation.set(names.GEN_AI_RESPONSE_FINISH_REASONS, reasons)


def settle_error(draft: Draft) -> None:
    """`error.type` of a failed span, from its exception event when the convention has it only there."""
    operation = draft.operation
    if operation.status_code != 2:  # noqa: PLR2004 - OTLP's ERROR
        return
    if operation.response_model == operation.request_model and not draft.was_answered():
        operation.remove(names.GEN_AI_RESPONSE_MODEL)  # nothing answered: it is a copy of the request's
    if operation.get(names.ERROR_TYPE) is not None:
        return
    kinds = (event.attributes.get(names.EXCEPTION_TYPE) for event in operation.events if event.name == "exception")
    operation.set(names.ERROR_TYPE, next((kind for kind in kinds if isinstance(kind, str) and kind), "_OTHER"))


def settle_address(draft: Draft) -> None:
    """`server.address` without the rest of the URL, and its port."""
    address = draft.text(names.SERVER_ADDRESS)
    parsed = host_and_port(address) if address else None
    if parsed is None:
        return
    host, port = parsed
    draft.operation.set(names.SERVER_ADDRESS, host)
    if port is not None:
        draft.fill(names.SERVER_PORT, port)


def settle_top_k(draft: Draft) -> None:
    """The number of documents asked for, which older generations wrote as the sampling parameter."""
    if draft.operation.operation_name == "retrieval":
        draft.operation.rename(names.GEN_AI_REQUEST_TOP_K, names.GEN_AI_RETRIEVAL_TOP_K)


def mark(dialect: str) -> Step:
    """A step that notes which convention the span was written in."""

    def step(draft: Draft) -> None:
        draft.operation.set(names.OTEL_LLM_DIALECT, dialect)

    return step
