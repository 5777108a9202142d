"""A bundle: everything that was loaded together, under one id; and what of it is for one service."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Final, get_args

from otel_llm.policy.cel import ABSENT, Program, Variables
from otel_llm.policy.sets.model import Binding, Documents, Mode, PolicySet, Stage
from otel_llm.policy.sets.rules import CompiledRule
from otel_llm.policy.sets.vocabulary import Loader, Subject, Vocabulary

# The stages that a span has passed when it ends, by its operation; every span is exported. Agents and workflows repeat
# what the calls below them did, so rules about requests and responses are for the calls. Whatever else asks for a model
# is a call of it, by whatever name: nobody knows all of them, and none may pass for that.
_CALL: Final = frozenset({"request", "response", "export"})
_EXPORT: Final = frozenset({"export"})
_STAGES: Final[Mapping[str, frozenset[str]]] = {
    **dict.fromkeys(("chat", "generate_content", "text_completion", "embeddings", "fetch_response"), _CALL),
    **dict.fromkeys(("rerank", "image_generation", "speech", "transcription"), _CALL),
    **dict.fromkeys(("retrieval", "search_memory"), frozenset({"retrieval", "export"})),
    "execute_tool": frozenset({"tool", "export"}),
    **dict.fromkeys(("create_agent", "invoke_agent", "invoke_workflow", "plan"), _EXPORT),
    **dict.fromkeys(("create_memory", "update_memory", "upsert_memory", "delete_memory"), _EXPORT),
    **dict.fromkeys(("create_memory_store", "delete_memory_store"), _EXPORT),
}
_OPERATION_NAME: Final = "gen_ai.operation.name"
_REQUEST_MODEL: Final = "gen_ai.request.model"
_MOST_PLANS: Final = 1_024
_WARNING_DAYS: Final = 14
_DAY_NANO: Final = 86_400_000_000_000


@dataclass(frozen=True, slots=True)
class BoundSet:
    """A set with one of its bindings.

    Attributes:
        policy_set: as written.
        binding: where it applies; None for everywhere.
        mode: how far its rules go at most.
        rules: compiled.
        variables: its own variables by their full names.
    """

    policy_set: PolicySet
    binding: Binding | None
    mode: Mode
    rules: tuple[CompiledRule, ...]
    variables: Mapping[str, Program]

    def is_for(self, service: str, environment: str) -> bool:
        """Whether it applies to a service in an environment; empty for one that nobody named."""
        binding = self.binding
        if binding is None:
            return True
        return _is_among(service, binding.services) and _is_among(environment, binding.environments)


def _is_among(name: str, patterns: Iterable[str]) -> bool:
    patterns = tuple(patterns)
    return not patterns or any(fnmatchcase(name, pattern) for pattern in patterns)


@dataclass(frozen=True, slots=True)
class Plan:
    """The rules for one service in one environment; without those that are off.

    Attributes:
        by_stage: in the order in which they were written.
        by_operation: the same by `gen_ai.operation.name`, for a span that has ended: it passed several stages.
        of_others: for any operation that is not there, and asks for a model.
    """

    by_stage: Mapping[Stage, tuple[CompiledRule, ...]]
    by_operation: Mapping[str, tuple[CompiledRule, ...]]
    of_others: tuple[CompiledRule, ...]

    def of(self, subject: Subject) -> tuple[CompiledRule, ...]:
        """The rules about a span that has ended."""
        name = subject.get(_OPERATION_NAME)
        rules = self.by_operation.get(name) if isinstance(name, str) else None
        if rules is not None:
            return rules
        return self.of_others if subject.get(_REQUEST_MODEL) is not None else self.by_stage["export"]


class _SubjectVariables(Variables):
    """Those of an operation. A class, as a function for `load` would refer to itself, and be garbage late."""

    __slots__ = ("_loaders", "_own", "_subject")

    def __init__(self, subject: Subject, loaders: Mapping[str, Loader], own: Mapping[str, Program]) -> None:
        super().__init__()
        self._subject = subject
        self._loaders = loaders
        self._own = own

    def load(self, name: str) -> object:
        loader = self._loaders.get(name)
        if loader is not None:
            return loader(self._subject)
        program = self._own.get(name)
        return ABSENT if program is None else program.evaluate(self)


class Bundle:
    """Policies, compiled. Nothing of it changes; a reload makes another one.

    Args:
        id_: digest of what was written.
        documents: what was written.
        sets: compiled, each binding apart.
        vocabulary: what rules read.

    Attributes:
        id: as given.
        documents: as given.
        sets: as given.
    """

    def __init__(self, id_: str, documents: Documents, sets: tuple[BoundSet, ...], vocabulary: Vocabulary) -> None:
        self.id = id_
        self.documents = documents
        self.sets = sets
        self._loaders = vocabulary.loaders
        self._own = {name: program for one in sets for name, program in one.variables.items()}
        self._plans: dict[tuple[str, str], Plan] = {}

    @property
    def rules(self) -> Iterable[CompiledRule]:
        """All rules, of all bindings."""
        return (rule for one in self.sets for rule in one.rules)

    def plan(self, service: str, environment: str) -> Plan:
        """The rules for a service; of each set, the first binding that fits decides."""
        key = (service, environment)
        plan = self._plans.get(key)
        if plan is None:
            plan = self._make_plan(service, environment)
            if len(self._plans) >= _MOST_PLANS:  # names come from traffic
                self._plans = {}
            self._plans[key] = plan
        return plan

    def _make_plan(self, service: str, environment: str) -> Plan:
        chosen: dict[str, BoundSet] = {}
        for one in self.sets:
            if one.is_for(service, environment):
                chosen.setdefault(one.policy_set.name, one)
        rules = [rule for one in chosen.values() for rule in one.rules if rule.mode != "off"]
        by_stage: dict[Stage, tuple[CompiledRule, ...]] = {
            stage: tuple(rule for rule in rules if rule.rule.stage == stage) for stage in get_args(Stage)
        }
        by_operation = {
            name: tuple(rule for rule in rules if rule.rule.stage in stages) for name, stages in _STAGES.items()
        }
        return Plan(by_stage, by_operation, by_operation["chat"])

    def variables(self, subject: Subject) -> Variables:
        """What its rules read, of one operation."""
        return _SubjectVariables(subject, self._loaders, self._own)

    def warnings(self, now_unix_nano: int) -> list[str]:
        """Exemptions that have expired, or soon will."""
        found: dict[str, None] = {}
        for rule in self.rules:
            for one in rule.exemptions:
                left = one.end_unix_nano - now_unix_nano
                name = f"exemption {one.exemption.id} of {rule.policy_set.name} (owner {one.exemption.owner})"
                if left <= 0:
                    found[f"{name} expired on {one.exemption.expires} and counts no more"] = None
                elif left <= _WARNING_DAYS * _DAY_NANO:
                    found[f"{name} expires on {one.exemption.expires}"] = None
        return list(found)
