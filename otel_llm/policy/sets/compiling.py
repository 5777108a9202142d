"""Documents to a bundle: every expression checked and compiled, every problem named with file, rule and column."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

import msgspec

from otel_llm.policy.cel import Environment, ExpressionError, Program, Type, Variables
from otel_llm.policy.cel.regex import best_regexes
from otel_llm.policy.cel.types import BOOL, DOUBLE, DYN, INT, STRING, list_of, map_of
from otel_llm.policy.redaction import Dropped, Redactor, Tally
from otel_llm.policy.sets.bundle import BoundSet, Bundle
from otel_llm.policy.sets.detection import Detection
from otel_llm.policy.sets.model import MODE_ORDER, Binding, Documents, Exemption, Mode, PolicySet, Rule
from otel_llm.policy.sets.reading import PolicyError
from otel_llm.policy.sets.rules import CompiledExemption, CompiledRule
from otel_llm.policy.sets.vocabulary import Vocabulary, is_content

_ID_HEX_DIGITS: Final = 16
# Detectors of what no reason may show, and how much of one they look at: far more than is kept.
_PRIVATE: Final = frozenset({"personal", "secrets"})
_MOST_LOOKED_AT: Final = 1_000


def compile_bundle(documents: Documents, vocabulary: Vocabulary, detection: Detection) -> Bundle:
    """Compile everything.

    Raises:
        PolicyError: with every problem.
    """
    problems: list[str] = []
    bound: list[BoundSet] = []
    number = 0
    for policy_set in documents.sets:
        named = [one for one in documents.bindings if one.policy == policy_set.name]
        bindings: list[Binding | None] = [*named] or [None]
        for binding in bindings:
            compiler = _Compiler(policy_set, binding, number, vocabulary, detection)
            # The expressions are the same for all bindings; parameters, and so types, may differ.
            bound.append(compiler.bound_set())
            problems += [one for one in compiler.problems if one not in problems]
            number += 1
    if problems:
        raise PolicyError(problems)
    return Bundle(bundle_id(documents), documents, tuple(bound), vocabulary)


def bundle_id(documents: Documents) -> str:
    """A digest of everything that was written, files' names left out: the same rules have the same id anywhere."""
    written = asdict(documents)
    for one in (*written["sets"], *written["bindings"]):
        del one["file"]
    text = msgspec.json.encode(written, order="deterministic")
    return f"sha256:{hashlib.sha256(text).hexdigest()[:_ID_HEX_DIGITS]}"


@dataclass(frozen=True, slots=True)
class _Place:
    """Where an expression stands, for messages."""

    file: str
    owner: str
    key: str

    def problems(self, error: ExpressionError) -> Iterable[str]:
        for line, column, message in error.located():
            lines = f"line {line}, " if "\n" in error.source.strip() else ""
            yield f"{self.file}: {self.owner}: {self.key}: {lines}column {column}: {message}"


class _Compiler:
    """Compiles one set with one binding."""

    def __init__(
        self,
        policy_set: PolicySet,
        binding: Binding | None,
        number: int,
        vocabulary: Vocabulary,
        detection: Detection,
    ) -> None:
        self.problems: list[str] = []
        self._set = policy_set
        self._binding = binding
        self._vocabulary = vocabulary
        self._detection = detection
        # Variables of different sets may have the same names: each set is a namespace of its own.
        self._namespace = f"set{number}"
        self._variables: dict[str, Program] = {}

    def bound_set(self) -> BoundSet:
        """The set as it applies; with problems, it is not to be used."""
        environment = self._environment()
        for name, expression in self._set.variables:
            place = _Place(self._set.file, f"variable {name}", "expression")
            program = self._compile(environment, expression, place)
            if program is not None:
                self._variables[f"{self._namespace}.variables.{name}"] = program
                environment = self._environment()
        exemptions = [self._exemption(environment, one) for one in self._set.exemptions]
        rules = [self._rule(environment, one, exemptions) for one in self._set.rules]
        return BoundSet(
            policy_set=self._set,
            binding=self._binding,
            mode=self._mode(),
            rules=tuple(one for one in rules if one is not None),
            variables=self._variables,
        )

    def _mode(self) -> Mode:
        bound = self._binding.mode if self._binding is not None else None
        return bound or self._set.mode

    def _environment(self) -> Environment:
        parameters = {**self._set.parameters, **(self._binding.parameters if self._binding is not None else {})}
        constants = {f"params.{name}": (_type_of(value), value) for name, value in parameters.items()}
        own = {name: program.type for name, program in self._variables.items()}
        return Environment(
            {**self._vocabulary.types, **own},
            constants=constants,
            functions=self._detection.overloads(),
            container=self._namespace,
            regexes=best_regexes(),
        )

    def _compile(
        self, environment: Environment, source: str, place: _Place, wanted: Type | None = None
    ) -> Program | None:
        try:
            return environment.compile(source, wanted)
        except ExpressionError as error:
            prefix = f"{self._namespace}."
            self.problems += [one.replace(prefix, "") for one in place.problems(error)]
            return None

    def _exemption(self, environment: Environment, exemption: Exemption) -> CompiledExemption:
        program = None
        if exemption.match is not None:
            place = _Place(self._set.file, f"exemption {exemption.id}", "match")
            program = self._compile(environment, exemption.match, place, BOOL)
        ends = datetime.combine(exemption.expires, datetime.min.time(), UTC) + timedelta(days=1)
        return CompiledExemption(exemption, _evaluate(program), int(ends.timestamp()) * 1_000_000_000)

    def _rule(
        self, environment: Environment, rule: Rule, exemptions: Sequence[CompiledExemption]
    ) -> CompiledRule | None:
        where = f"rule {rule.id}"
        match = when = reason = None
        if rule.match is not None:
            match = self._compile(environment, rule.match, _Place(self._set.file, where, "match"), BOOL)
        when = self._compile(environment, rule.when, _Place(self._set.file, where, "when"), BOOL)
        if rule.reason is not None:
            reason = self._compile(environment, rule.reason, _Place(self._set.file, where, "reason"), STRING)
            self._check_reason(rule, reason)
        self._check_redacted(rule)
        if when is None or (rule.match is not None and match is None):
            return None
        both = f"(\n{rule.match or 'true'}\n) && (\n{rule.when}\n)"
        mode = self._mode()
        if rule.mode is not None and MODE_ORDER[rule.mode] < MODE_ORDER[mode]:
            mode = rule.mode
        return CompiledRule(
            rule=rule,
            policy_set=self._set,
            mode=mode,
            failure_policy=self._set.failure_policy[rule.stage],
            applies=self._compiled(environment, both),
            match=_evaluate(match),
            when=when.evaluate,
            reason=self._discreet(reason, rule),
            reads=frozenset(name for one in (match, when) if one is not None for name in self._all_reads(one)),
            exemptions=tuple(one for one in exemptions if rule.id in one.exemption.rules),
        )

    def _compiled(self, environment: Environment, source: str) -> Callable[[Variables], object]:
        """What consists of expressions that were compiled already: only its size can still be wrong."""
        try:
            return environment.compile(source).evaluate
        except ExpressionError as error:
            self.problems.append(f"{self._set.file}: {error}: match and when are too large together")
            return lambda _: False

    def _check_reason(self, rule: Rule, reason: Program | None) -> None:
        shown = sorted(set(self._shown(reason))) if reason is not None else []
        for name in filter(is_content, shown):
            self.problems.append(
                f"{self._set.file}: rule {rule.id}: reason: {name} may hold content, or say who somebody is, which a "
                "reason must not show; name models, tools or types of findings instead"
            )

    def _discreet(self, reason: Program | None, rule: Rule) -> Callable[[Variables], object] | None:
        """A reason without what must not leave: even what is called a model is what somebody wrote there."""
        if reason is None or not reason.shown:
            return _evaluate(reason)
        evaluate = reason.evaluate
        redactor = Redactor(self._detection.choose(sorted(_PRIVATE & self._detection.names)), credential_names=False)

        def redacted(variables: Variables) -> object:
            text = redactor.text(str(evaluate(variables))[:_MOST_LOOKED_AT], None, Tally())
            return rule.id if isinstance(text, Dropped) else text

        return redacted

    def _all_reads(self, program: Program) -> Iterable[str]:
        """The variables that a program reads, and those that its variables read."""
        for name in program.variables:
            yield name
            if name in self._variables:
                yield from self._all_reads(self._variables[name])

    def _shown(self, program: Program) -> Iterable[str]:
        """The variables whose values may show in that of a program, through its variables too."""
        for name in program.shown:
            yield name
            if name in self._variables:
                yield from self._shown(self._variables[name])

    def _check_redacted(self, rule: Rule) -> None:
        for name in rule.action.redact:
            try:
                self._detection.select(name)
            except ValueError as error:
                self.problems.append(f"{self._set.file}: rule {rule.id}: action.redact: {error}")


def _evaluate(program: Program | None) -> Callable[[Variables], object] | None:
    return None if program is None else program.evaluate


def _type_of(value: object) -> Type:
    """The type of a parameter, from its value."""
    match value:
        case bool():
            return BOOL
        case int():
            return INT
        case float():
            return DOUBLE
        case str():
            return STRING
        case list():
            return list_of(_common(map(_type_of, value)))
        case Mapping():
            return map_of(STRING, _common(map(_type_of, value.values())))
    return DYN


def _common(types: Iterable[Type]) -> Type:
    distinct = set(types)
    return distinct.pop() if len(distinct) == 1 else DYN
