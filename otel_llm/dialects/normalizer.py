"""Spans of any convention, rewritten as the one pinned generation of OpenTelemetry's.

Doing it twice is doing it once: what was rewritten carries `otel_llm.dialect` and is only checked from then on.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from otel_llm._generated import attributes as names
from otel_llm.dialects.draft import Draft
from otel_llm.dialects.plan import Plan, make_plan
from otel_llm.operation import Operation

# Older name -> current one, for backends that still read the older.
TWINS: Final = {
    "gen_ai.system": names.GEN_AI_PROVIDER_NAME,
    "gen_ai.usage.cache_creation.input_tokens": names.GEN_AI_USAGE_CACHE_WRITE_INPUT_TOKENS,
    "gen_ai.usage.prompt_tokens": names.GEN_AI_USAGE_INPUT_TOKENS,
    "gen_ai.usage.completion_tokens": names.GEN_AI_USAGE_OUTPUT_TOKENS,
}

# Shapes kept: two generations of this many, each of at most so many characters of keys, so about 16 MB at the very
# worst. Apps have tens of shapes; flattened messages make one for each length of a conversation.
_MAX_SHAPES: Final = 1024
_MAX_SHAPE_CHARS: Final = 8192
_MAX_SHAPE_KEYS: Final = 256
_MAX_SCOPES: Final = 256


class Normalizer:
    """Rewrites spans. Safe to use from several threads; each may make a plan that another makes as well.

    Args:
        twins: older names to write beside the current ones; keys of TWINS.
        keep_originals: leave foreign attributes in place when their meaning has moved to a canonical one.
    """

    __slots__ = ("_keep_originals", "_old", "_plans", "_recent", "_twins")

    def __init__(self, twins: Iterable[str] = (), *, keep_originals: bool = False) -> None:
        self._twins = {twin: TWINS[twin] for twin in twins}
        self._keep_originals = keep_originals
        self._recent: dict[tuple[str, str], Plan] = {}
        self._plans: dict[tuple[str, str, frozenset[str]], Plan] = {}
        self._old: dict[tuple[str, str, frozenset[str]], Plan] = {}

    def normalize(self, operation: Operation) -> None:
        """Rewrite one span in place."""
        scope = (operation.scope_name, operation.scope_version)
        # Spans of a scope come in runs of one shape; comparing with the last one needs no set of their keys.
        plan = self._recent.get(scope)
        if plan is None or not operation.has_exactly(plan.keys):
            plan = self._find((*scope, operation.keys()))
        course = plan.course
        for branch in plan.branches:
            mark = operation.get(branch.key)
            if isinstance(mark, str) and mark in branch.values:
                course = branch.course
                break
        if course.steps:
            draft = Draft(operation, plan.keys, keep_originals=self._keep_originals)
            for step in course.steps:
                step(draft)
        for check in course.checks:
            check(operation)
        if self._twins:
            self._set_twins(operation, plan.keys)

    def _set_twins(self, operation: Operation, keys: frozenset[str]) -> None:
        for twin, key in self._twins.items():
            value = operation.get(key)
            held = operation.get(twin)
            if value is None:
                # It came instead of the current name and its value was none. What was rewritten before keeps its own.
                if held is not None and not self._keep_originals and names.OTEL_LLM_DIALECT not in keys:
                    operation.remove(twin)
            elif type(held) is not type(value) or held != value:  # one that is right keeps its place among the bytes
                operation.set(twin, value)

    def _find(self, shape: tuple[str, str, frozenset[str]]) -> Plan:
        plan = self._plans.get(shape)
        if plan is None:
            plan = self._old.get(shape) or make_plan(*shape, self._twins)
            if len(plan.keys) > _MAX_SHAPE_KEYS or sum(map(len, plan.keys)) > _MAX_SHAPE_CHARS:
                return plan
            if len(self._plans) >= _MAX_SHAPES:
                self._old, self._plans = self._plans, {}
            self._plans[shape] = plan
        if len(self._recent) >= _MAX_SCOPES:
            self._recent = {}
        self._recent[shape[:2]] = plan
        return plan


_DEFAULT: Final = Normalizer()


def normalize(operation: Operation) -> None:
    """Rewrite one span in place, without twins and without the originals."""
    _DEFAULT.normalize(operation)
