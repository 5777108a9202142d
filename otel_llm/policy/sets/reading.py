"""YAML documents, already values, to policy sets and bindings. Names every problem, each with its file and path."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from typing import Final, cast, get_args

from otel_llm.policy.cel.values import INT_MAX, INT_MIN
from otel_llm.policy.sets.model import (
    DEFAULT_ACTIONS,
    Action,
    ActionType,
    Binding,
    Documents,
    Exemption,
    FailurePolicy,
    Mode,
    Operator,
    Parameter,
    PolicySet,
    Risk,
    Rule,
    RuleVerdict,
    Severity,
    Stage,
)
from otel_llm.policy.sets.section import Section

API_VERSION: Final = "otel-llm/v1"
MOST_RULES: Final = 1_000
_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,79}\Z")
_IDENTIFIER: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}\Z")


class PolicyError(ValueError):
    """Policies cannot be used.

    Attributes:
        problems: one line for each, with file, rule and column as far as it has them.
    """

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(self.problems))


def read_documents(documents: Iterable[tuple[str, object]]) -> Documents:
    """Sets and bindings.

    Args:
        documents: each with the file it comes from.

    Raises:
        PolicyError: with every problem.
    """
    problems: list[str] = []
    sets: list[PolicySet] = []
    bindings: list[Binding] = []
    for file, value in documents:
        section = Section(file, "", value, problems)
        section.choice("apiVersion", (API_VERSION,))
        match section.choice("kind", ("PolicySet", "PolicyBinding")):
            case "PolicySet":
                sets.append(_policy_set(section))
            case "PolicyBinding":
                bindings.append(_binding(section))
        section.finish()
    problems += _among_each_other(sets, bindings)
    if problems:
        raise PolicyError(problems)
    return Documents(tuple(sets), tuple(bindings))


def _among_each_other(sets: Sequence[PolicySet], bindings: Sequence[Binding]) -> Iterable[str]:
    yield from _repeated("policy sets named", [(one.file, one.name) for one in sets])
    # Spans and metrics name a rule by its id alone.
    owners: dict[str, str] = {}
    for one in sets:
        for rule in one.rules:
            owner = owners.setdefault(rule.id, one.name)
            if owner != one.name:
                yield f"{one.file}: rule {rule.id} of {one.name}: {owner} has a rule of that id too; ids are unique"
    names = {one.name for one in sets}
    for binding in bindings:
        if binding.policy and binding.policy not in names:
            known = ", ".join(sorted(names)) or "none"
            problem = f"spec.policy: there is no set {binding.policy!r}; known: {known}"
            yield f"{binding.file}: binding {binding.name}: {problem}"
    total = sum(len(one.rules) for one in sets)
    if total > MOST_RULES:
        yield f"{sets[0].file}: {total} rules; expected at most {MOST_RULES} in all sets together"


def _repeated(what: str, found: Iterable[tuple[str, str]]) -> Iterable[str]:
    seen: set[str] = set()
    for file, name in found:
        if name and name in seen:
            yield f"{file}: two {what} {name}; names are unique"
        seen.add(name)


def _policy_set(document: Section) -> PolicySet:
    metadata, spec = document.section("metadata"), document.section("spec")
    name = metadata.matching("name", _ID, "letters, digits, dots and dashes") or ""
    rules = [_rule(one) for one in spec.sections("rules", name_key="id")]
    exemptions = [_exemption(one) for one in spec.sections("exemptions", name_key="id")]
    variables = [_variable(one) for one in spec.sections("variables", name_key="name")]
    problems = document.problems
    problems += _repeated("rules with the id", [(document.file, one.id) for one in rules])
    problems += _repeated("exemptions with the id", [(document.file, one.id) for one in exemptions])
    problems += _repeated("variables named", [(document.file, one) for one, _ in variables])
    ids = {one.id for one in rules}
    for exemption in exemptions:
        for rule in exemption.rules:
            if rule not in ids:
                problems.append(f"{document.file}: exemption {exemption.id}: there is no rule {rule!r} in this set")
    failure = spec.section("failurePolicy", is_optional=True)
    read = PolicySet(
        file=document.file,
        name=name,
        version=metadata.text("version", default="0"),
        owner=metadata.text("owner", default="") or None,
        mode=cast("Mode", spec.choice("mode", get_args(Mode), default="shadow")),
        failure_policy={
            stage: cast("FailurePolicy", failure.choice(stage, get_args(FailurePolicy), default="ignore"))
            for stage in get_args(Stage)
        },
        audit_failure=cast("FailurePolicy", failure.choice("audit", get_args(FailurePolicy), default="ignore")),
        parameters=_parameters(spec),
        variables=tuple(variables),
        rules=tuple(rules),
        exemptions=tuple(exemptions),
    )
    for section in (metadata, failure, spec):
        section.finish()
    return read


def _rule(section: Section) -> Rule:
    verdict = cast("RuleVerdict", section.choice("verdict", get_args(RuleVerdict)) or "audit")
    rule = Rule(
        id=section.matching("id", _ID, "letters, digits, dots and dashes") or "",
        stage=cast("Stage", section.choice("stage", get_args(Stage)) or "export"),
        match=section.text("match", default="") or None,
        when=section.text("when"),
        verdict=verdict,
        action=_action(section, verdict),
        severity=cast("Severity", section.choice("severity", get_args(Severity), default="medium")),
        risk=cast("Risk | None", section.choice("risk", get_args(Risk), default="") or None),
        reason=section.text("reason", default="") or None,
        mode=cast("Mode | None", section.choice("mode", get_args(Mode), default="") or None),
    )
    section.finish()
    return rule


def _action(rule: Section, verdict: RuleVerdict) -> Action:
    section = rule.section("action", is_optional=True)
    default = DEFAULT_ACTIONS[verdict]
    action = Action(
        type=cast("ActionType", section.choice("type", get_args(ActionType), default=default)),
        message=section.text("message", default="") or None,
        redact=tuple(section.texts("redact")),
        operator=cast("Operator", section.choice("operator", get_args(Operator), default="mask")),
    )
    if action.redact and action.type != "modify":
        section.problem("redact", f"is for actions of type modify, and this is {action.type}")
    if action.type == "modify" and not action.redact:
        section.problem("redact", "expected the types of findings to take out, e.g. [EMAIL_ADDRESS]")
    section.finish()
    return action


def _exemption(section: Section) -> Exemption:
    exemption = Exemption(
        id=section.matching("id", _ID, "letters, digits, dots and dashes") or "",
        rules=tuple(section.texts("rules", is_required=True)),
        match=section.text("match", default="") or None,
        reason=section.text("reason"),
        owner=section.text("owner"),
        approved_by=section.text("approvedBy", default="") or None,
        expires=_expires(section),
    )
    section.finish()
    return exemption


def _expires(section: Section) -> date:
    text = section.text("expires")
    try:
        return date.fromisoformat(text) if text else date.min
    except ValueError:
        section.problem("expires", "expected the last day on which it counts, e.g. 2027-01-31")
        return date.min


def _variable(section: Section) -> tuple[str, str]:
    found = section.matching("name", _IDENTIFIER, "a name of letters, digits and _") or "", section.text("expression")
    section.finish()
    return found


def _binding(document: Section) -> Binding:
    metadata, spec = document.section("metadata"), document.section("spec")
    binding = Binding(
        file=document.file,
        name=metadata.matching("name", _ID, "letters, digits, dots and dashes") or "",
        policy=spec.text("policy"),
        services=tuple(spec.texts("services")),
        environments=tuple(spec.texts("environments")),
        mode=cast("Mode | None", spec.choice("mode", get_args(Mode), default="") or None),
        parameters=_parameters(spec),
    )
    metadata.finish()
    spec.finish()
    return binding


def _parameters(spec: Section) -> dict[str, Parameter]:
    section = spec.section("parameters", is_optional=True)
    found: dict[str, Parameter] = {}
    for name, value in section.rest():
        if not _IDENTIFIER.match(name):
            section.problem(name, "expected a name of letters, digits and _")
        elif not _is_parameter(value):
            section.problem(name, "expected a string, a number (64 bits), true or false, or a list or section of these")
        else:
            found[name] = cast("Parameter", value)
    return found


def _is_parameter(value: object) -> bool:
    if isinstance(value, Mapping):
        return all(isinstance(key, str) and _is_parameter(one) for key, one in value.items())
    if isinstance(value, list):
        return all(map(_is_parameter, value))
    if isinstance(value, int):
        return INT_MIN <= value <= INT_MAX
    return isinstance(value, str | float)
