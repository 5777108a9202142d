"""Test suites of policies: spans, and what the rules have to say about them; with the coverage of rules.

apiVersion: otel-llm/v1
kind: PolicySuite
metadata: {name: approved-models}
policies: [rules.yaml]              # beside the suite; packs: [starter] for packs
tests:
- name: a model nobody has approved is denied
span:
attributes: {gen_ai.operation.name: chat, gen_ai.request.model: homegrown}
resource: {service.name: shop}
input: what the user asks       # in place of gen_ai.input.messages; output likewise
expect: {verdict: deny, rules: [approved-models], reason: "^model"}
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, get_args

from otel_llm.policy.cel import Variables
from otel_llm.policy.sets.bundle import Bundle, Plan
from otel_llm.policy.sets.decision import RULE_FAILURES, Decision, decide
from otel_llm.policy.sets.model import ActionType, Stage, Verdict
from otel_llm.policy.sets.reading import API_VERSION, PolicyError
from otel_llm.policy.sets.section import Section
from otel_llm.policy.sets.vocabulary import Subject

_EVERY_STAGE: Final[frozenset[Stage]] = frozenset(get_args(Stage))


@dataclass(frozen=True, slots=True)
class SpanCase:
    """A span as a suite has it.

    Attributes:
        name: of the span.
        attributes: of the span.
        resource: attributes of what made it.
        status: `unset`, `ok` or `error`.
        seconds: how long it took.
        input: a text of the user's, None for none.
        output: a text of the model's, None for none.
    """

    name: str
    attributes: Mapping[str, object]
    resource: Mapping[str, object]
    status: str
    seconds: float
    input: str | None
    output: str | None


@dataclass(frozen=True, slots=True)
class Case:
    """One test.

    Attributes:
        name: a sentence.
        span: what the rules look at.
        verdict: wanted; None for any.
        action: wanted; None for any.
        rules: ids of the rules that have to object, and of no others; None for any.
        reason: a regular expression that the reason has to match; None for any.
    """

    name: str
    span: SpanCase
    verdict: str | None
    action: str | None
    rules: tuple[str, ...] | None
    reason: re.Pattern[str] | None


@dataclass(frozen=True, slots=True)
class Suite:
    """Tests of some policies.

    Attributes:
        file: where it was read from.
        policies: paths beside the file.
        packs: names.
        cases: the tests.
    """

    file: str
    policies: tuple[str, ...]
    packs: tuple[str, ...]
    cases: tuple[Case, ...]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a test.

    Attributes:
        case: the test.
        decision: what the rules said.
        differences: what was wanted and got instead; empty for a test that passed.
    """

    case: Case
    decision: Decision
    differences: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Coverage:
    """How often each rule objected and did not, over all tests that were about it."""

    hits: Mapping[str, int]
    misses: Mapping[str, int]

    def missing(self) -> Iterable[str]:
        """A line for each rule that no test hits, or that every test hits."""
        for rule in sorted(self.hits):
            if not self.hits[rule]:
                yield f"rule {rule}: no test makes it object"
            if not self.misses[rule]:
                yield f"rule {rule}: no test has it look and not object"


def read_suite(document: object, file: str) -> Suite:
    """A suite.

    Raises:
        PolicyError: with every problem.
    """
    problems: list[str] = []
    section = Section(file, "", document, problems)
    section.choice("apiVersion", (API_VERSION,))
    section.choice("kind", ("PolicySuite",))
    metadata = section.section("metadata", is_optional=True)
    metadata.text("name", default="")
    suite = Suite(
        file=file,
        policies=tuple(section.texts("policies")),
        packs=tuple(section.texts("packs")),
        cases=tuple(_case(one) for one in section.sections("tests", name_key="name")),
    )
    metadata.finish()
    section.finish()
    if not suite.policies and not suite.packs:
        problems.append(f"{file}: expected policies (paths beside this file) or packs")
    if problems:
        raise PolicyError(problems)
    return suite


def _case(section: Section) -> Case:
    span = section.section("span")
    expect = section.section("expect")
    pattern = expect.text("reason", default="")
    reason = None
    try:
        reason = re.compile(pattern) if pattern else None
    except re.error as error:
        expect.problem("reason", f"is no regular expression: {error}")
    # `rules: []` wants that none objects; without the key, anything goes.
    rules = expect.texts("rules", may_be_empty=True) if "rules" in expect else None
    case = Case(
        name=section.text("name"),
        span=_span(span),
        verdict=expect.choice("verdict", get_args(Verdict), default="") or None,
        action=expect.choice("action", get_args(ActionType), default="") or None,
        rules=None if rules is None else tuple(rules),
        reason=reason,
    )
    for one in (span, expect, section):
        one.finish()
    return case


def _span(section: Section) -> SpanCase:
    return SpanCase(
        name=section.text("name", default="chat"),
        attributes=dict(section.section("attributes", is_optional=True).rest()),
        resource=dict(section.section("resource", is_optional=True).rest()),
        status=section.choice("status", ("unset", "ok", "error"), default="unset"),
        seconds=float(section.text("seconds", default="1") or 1),
        input=section.text("input", default="") or None,
        output=section.text("output", default="") or None,
    )


def run_suite(
    suite: Suite, bundle: Bundle, subject: Callable[[SpanCase], Subject], now_unix_nano: int
) -> tuple[list[Outcome], Coverage]:
    """Run every test, as if each span could still be stopped at any stage.

    Args:
        suite: the tests.
        bundle: the policies they are about.
        subject: makes an operation of a span.
        now_unix_nano: for exemptions.
    """
    hits = {rule.rule.id: 0 for rule in bundle.rules}
    misses = dict(hits)
    outcomes = []
    for case in suite.cases:
        operation = subject(case.span)
        plan = plan_of(bundle, operation)
        rules = plan.of(operation)
        variables = bundle.variables(operation)
        decision = decide(rules, variables, now_unix_nano, _EVERY_STAGE)
        objecting = {result.rule.rule.id for result in decision.results if result.verdict != "error"}
        for rule in rules:
            if rule.rule.id in objecting:
                hits[rule.rule.id] += 1
            elif is_looking(rule.match, variables):
                misses[rule.rule.id] += 1
        outcomes.append(Outcome(case, decision, tuple(_differences(case, decision))))
    return outcomes, Coverage(hits, misses)


def plan_of(bundle: Bundle, operation: Subject) -> Plan:
    """The rules for the service of an operation."""
    service = operation.resource.get("service.name")
    environment = operation.resource.get("deployment.environment.name")
    return bundle.plan(str(service or ""), str(environment or ""))


def is_looking(match: Callable[[Variables], object] | None, variables: Variables) -> bool:
    """Whether a rule is about an operation at all."""
    try:
        return match is None or match(variables) is True
    except RULE_FAILURES:
        return False


def _differences(case: Case, decision: Decision) -> Iterable[str]:
    if case.verdict is not None and case.verdict != decision.verdict:
        yield f"verdict: expected {case.verdict}, got {decision.verdict}{_why(decision)}"
    if case.action is not None and case.action != decision.action:
        yield f"action: expected {case.action}, got {decision.action}"
    found = sorted(result.rule.rule.id for result in decision.results)
    if case.rules is not None and sorted(case.rules) != found:
        yield f"rules: expected {_listed(sorted(case.rules))}, got {_listed(found)}"
    reason = decision.deciding.reason if decision.deciding is not None else ""
    if case.reason is not None and not case.reason.search(reason):
        yield f"reason: expected {case.reason.pattern!r}, got {reason!r}"


def _why(decision: Decision) -> str:
    errors = [f"{one.rule.rule.id}: {one.error}" for one in decision.results if one.error is not None]
    return f" ({'; '.join(errors)})" if errors else ""


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names) or "none"
