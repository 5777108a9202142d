from __future__ import annotations

import json

import pytest

from otel_llm.operation import Operation
from otel_llm.policy.sets import Bundle, Decision, LazyDetector, decide
from otel_llm.policy.sets.model import Stage
from tests.policy.subjects import DAY, HEAD, NOON, WordDetector, asked, bundle, call, rules

ALL: frozenset[Stage] = frozenset({"request", "response", "tool", "retrieval", "export"})


def decided(
    policies: Bundle, operation: Operation, now: int = NOON, stoppable: frozenset[Stage] = ALL, **resource: str
) -> Decision:
    plan = policies.plan(resource.get("service", "shop"), resource.get("environment", ""))
    return decide(plan.of(operation), policies.variables(operation), now, stoppable)


def rule(id_: str, when: str = "true", verdict: str = "deny", rest: str = "", stage: str = "request") -> str:
    return f"id: {id_}, stage: {stage}, when: '{when}', verdict: {verdict}{rest and ', '}{rest}"


def test_all_rules_run_and_the_most_restrictive_verdict_stands() -> None:
    policies = bundle(
        rules(rule("a", verdict="warn"), rule("b", verdict="deny"), rule("c", verdict="escalate"), rule("d", "false"))
    )
    decision = decided(policies, call())
    assert (decision.evaluated, decision.verdict, decision.action) == (4, "deny", "block")
    assert [result.rule.rule.id for result in decision.results] == ["a", "b", "c"]
    assert decision.deciding is decision.results[1]


def test_a_rule_that_nobody_objects_to_allows() -> None:
    decision = decided(bundle(rules(rule("a", "false"))), call())
    assert (decision.verdict, decision.action, decision.results, decision.evaluated) == ("allow", "allow", (), 1)


@pytest.mark.parametrize(
    ("mode", "verdict", "action"),
    [("off", "allow", "allow"), ("shadow", "deny", "allow"), ("warn", "deny", "audit"), ("enforce", "deny", "block")],
)
def test_verdict_and_action_are_two_things_and_the_mode_is_between_them(mode: str, verdict: str, action: str) -> None:
    decision = decided(bundle(rules(rule("a"), head=f"mode: {mode}")), call())
    assert (decision.verdict, decision.action) == (verdict, action)


def test_a_rule_goes_no_further_than_its_set_and_may_go_less_far() -> None:
    policies = bundle(rules(rule("a", rest="mode: enforce"), head="mode: shadow"))
    assert decided(policies, call()).action == "allow"
    policies = bundle(rules(rule("a", rest="mode: warn"), rule("b", rest="mode: 'off'"), head="mode: enforce"))
    decision = decided(policies, call())
    assert (decision.evaluated, decision.action) == (1, "audit")


def test_what_has_happened_already_cannot_be_blocked_and_is_recorded_so() -> None:
    assert decided(bundle(rules(rule("a"))), call(), stoppable=frozenset()).action == "audit"


def test_a_rule_that_cannot_be_evaluated_is_an_error_and_never_an_allow() -> None:
    policies = bundle(rules(rule("a", "gen_ai.request.top_k > 1.0")))
    decision = decided(policies, call())
    assert (decision.verdict, decision.action) == ("error", "allow")
    assert decision.deciding is not None
    assert decision.deciding.error == "gen_ai.request.top_k is absent"


def test_a_stage_that_fails_closed_blocks_on_an_error() -> None:
    policies = bundle(
        rules(rule("a", "gen_ai.request.top_k > 1.0"), head="mode: enforce\nfailurePolicy: {request: fail}")
    )
    assert decided(policies, call()).action == "block"
    policies = bundle(
        rules(rule("a", "gen_ai.request.top_k > 1.0"), head="mode: shadow\nfailurePolicy: {request: fail}")
    )
    assert decided(policies, call()).action == "allow"


def test_an_attribute_of_another_type_than_the_conventions_have_is_an_error() -> None:
    policies = bundle(rules(rule("a", "gen_ai.usage.output_tokens > 5")))
    decision = decided(policies, call(gen_ai__usage__output_tokens="many"))
    assert decision.deciding is not None
    assert decision.deciding.error == "gen_ai.usage.output_tokens is of type string where the registry says int"


def test_an_error_outranks_a_warning_and_not_a_denial() -> None:
    failing = rule("a", "gen_ai.request.top_k > 1.0")
    assert (
        decided(bundle(rules(failing, rule("b", verdict="modify", rest="action: {type: audit}"))), call()).verdict
        == "error"
    )
    assert decided(bundle(rules(failing, rule("b"))), call()).verdict == "deny"


def test_a_detector_that_fails_makes_the_rule_an_error() -> None:
    class Failing(WordDetector):
        def find(self, text: str) -> tuple[()]:
            raise RuntimeError(text)

    policies = bundle(rules(rule("a", 'finds("words", input.text)')), [Failing()])
    decision = decided(policies, asked("a tulip"))
    assert decision.deciding is not None
    assert (decision.verdict, decision.deciding.error) == ("error", "RuntimeError")


def test_detectors_are_asked_once_for_all_rules_and_only_when_one_is_reached() -> None:
    detector = WordDetector()
    policies = bundle(
        rules(
            rule("a", 'gen_ai.provider.name == "nobody" && finds("words", input.text)'),
            rule("b", 'finds("words.OTHER_WORD", input.text)'),
            rule("c", 'finds("WORD", input.text)'),
            rule("d", 'found("words", input.text) == ["WORD"]'),
        ),
        [detector],
    )
    assert [one.rule.rule.id for one in decided(policies, asked("a tulip")).results] == ["c", "d"]
    assert detector.asked == 1
    first_only = bundle(rules(rule("a", 'gen_ai.provider.name == "nobody" && finds("words", input.text)')), [detector])
    decided(first_only, asked("a tulip"))
    assert detector.asked == 1


def test_a_detector_is_made_when_a_rule_names_it_and_not_before() -> None:
    made: list[str] = []

    def make() -> WordDetector:
        made.append("words")
        return WordDetector()

    lazy = LazyDetector("words", WordDetector.types, make)
    bundle(rules(rule("a")), [lazy])
    assert made == []
    policies = bundle(rules(rule("a", 'finds("WORD", input.text)'), rule("b", 'finds("words", input.text)')), [lazy])
    assert made == ["words"]
    assert len(decided(policies, asked("a tulip")).results) == 2
    assert made == ["words"]


def test_content_that_was_not_captured_is_an_error_for_a_rule_about_content() -> None:
    policies = bundle(rules(rule("a", 'finds("words", input.text)')), [WordDetector()])
    decision = decided(policies, call())
    assert decision.deciding is not None
    assert decision.deciding.error == "input.text is absent"


def test_the_text_of_the_input_holds_all_that_goes_to_the_model() -> None:
    policies = bundle(
        rules(*(rule(word, f'input.text.contains("{word}")') for word in ("sys", "usr", "arg", "res", "deep")))
    )
    messages = [
        {"role": "user", "parts": [{"type": "text", "content": "usr"}, {"type": "blob", "content": "usr"}]},
        {
            "role": "assistant",
            "parts": [{"type": "tool_call", "id": "1", "name": "t", "arguments": {"a": ["arg", {"b": "deep"}]}}],
        },
        {"role": "tool", "parts": [{"type": "tool_call_response", "id": "1", "response": "res"}]},
    ]
    operation = call(
        gen_ai__input__messages=json.dumps(messages),
        gen_ai__system_instructions=json.dumps([{"type": "text", "content": "sys"}]),
    )
    assert len(decided(policies, operation).results) == 5


def test_the_text_of_the_input_holds_definitions_of_tools_and_all_of_an_apps_own_data() -> None:
    arguments = {"id": "under-id", "a-key": {"type": "file", "content": "in-file", "b-key": 1}}
    escaped = '{"to": "ada\\u0040example.com"}'
    parts = [
        {"type": "tool_call", "id": "call-1", "name": "t", "arguments": arguments},
        {"type": "tool_call", "id": "call-2", "name": "t", "arguments": escaped},
    ]
    operation = call(
        gen_ai__input__messages=json.dumps([{"role": "assistant", "parts": parts}]),
        gen_ai__tool__definitions=json.dumps([{"type": "function", "name": "mail", "description": "in-definition"}]),
        gen_ai__tool__call__arguments=json.dumps({"role": "under-role"}),
    )
    words = ("under-id", "a-key", "in-file", "b-key", "ada@example.com", "in-definition", "under-role", "role", "mail")
    policies = bundle(rules(*(rule(f"r{at}", f'input.text.contains("{word}")') for at, word in enumerate(words))))
    assert len(decided(policies, operation).results) == len(words)
    labels = bundle(
        rules(*(rule(f"r{at}", f'input.text.contains("{word}")') for at, word in enumerate(["call-1", "assistant"])))
    )
    assert decided(labels, operation).results == ()


def test_rules_are_about_the_stages_an_operation_passes() -> None:
    policies = bundle(rules(*(rule(stage, stage=stage) for stage in sorted(ALL))))

    def stages(name: str | None, model: str | None = "gpt-4o") -> list[str]:
        operation = call(gen_ai__operation__name=name, gen_ai__request__model=model)
        return [one.rule.rule.id for one in decided(policies, operation).results]

    for name in (
        "chat",
        "embeddings",
        "rerank",
        "image_generation",
        "video_generation",
        "count_tokens",
        "theirs",
        None,
    ):
        assert stages(name) == ["export", "request", "response"]
    assert stages("execute_tool") == ["export", "tool"]
    assert stages("retrieval") == ["export", "retrieval"]
    for name in ("invoke_agent", "create_agent", "invoke_workflow", "plan", "update_memory"):
        assert stages(name) == ["export"]
    assert stages("theirs", model=None) == stages(None, model=None) == ["export"]


EXEMPT = """
mode: enforce
exemptions:
- {id: EX-7, rules: [a], match: 'resource["service.name"] == "shop"', reason: pilot, owner: ada, expires: 2026-11-30}
rules:
- {id: a, stage: request, when: 'true', verdict: deny}
- {id: b, stage: request, when: 'true', verdict: warn}
"""


def test_an_exemption_lifts_its_rules_and_is_named() -> None:
    decision = decided(bundle(EXEMPT), call())
    assert (decision.verdict, decision.action) == ("warn", "audit")
    assert [(one.verdict, one.exemption_id) for one in decision.results] == [("allow", "EX-7"), ("warn", None)]


def test_an_exemption_does_not_lift_a_rule_that_fails_closed() -> None:
    text = EXEMPT.replace("when: 'true', verdict: deny", "when: 'gen_ai.request.seed == 1', verdict: deny")
    decision = decided(bundle(text.replace("mode: enforce", "mode: enforce\nfailurePolicy: {request: fail}")), call())
    first = decision.results[0]
    assert (first.verdict, first.action, first.exemption_id) == ("error", "block", None)


def test_an_exemption_counts_until_the_end_of_its_last_day_and_not_after() -> None:
    policies = bundle(EXEMPT)
    assert decided(policies, call(), now=NOON + 12 * DAY).verdict == "warn"
    assert decided(policies, call(), now=NOON + 13 * DAY).verdict == "deny"


def test_an_exemption_that_cannot_be_evaluated_lifts_nothing() -> None:
    policies = bundle(EXEMPT.replace("""'resource["service.name"] == "shop"'""", "gen_ai.request.top_k == 1"))
    assert decided(policies, call()).verdict == "deny"


def test_exemptions_warn_fourteen_days_ahead_and_when_they_are_over() -> None:
    policies = bundle(EXEMPT)
    assert policies.warnings(NOON - 10 * DAY) == []
    assert policies.warnings(NOON) == ["exemption EX-7 of test (owner ada) expires on 2026-11-30"]
    assert policies.warnings(NOON + 13 * DAY) == [
        "exemption EX-7 of test (owner ada) expired on 2026-11-30 and counts no more"
    ]


BOUND = (
    HEAD
    + """
  mode: shadow
  parameters: {models: [gpt-4o]}
  rules:
  - {id: a, stage: request, when: '!(gen_ai.request.model in params.models)', verdict: deny}
---
apiVersion: otel-llm/v1
kind: PolicyBinding
metadata: {name: lab}
spec: {policy: test, services: ["lab-*"], mode: enforce, parameters: {models: [none]}}
---
apiVersion: otel-llm/v1
kind: PolicyBinding
metadata: {name: production}
spec: {policy: test, environments: [production], mode: warn}
"""
)


def test_a_binding_says_where_a_set_applies_and_with_what() -> None:
    policies = bundle(BOUND)
    assert decided(policies, call(), service="lab-7").action == "block"
    assert decided(policies, call(), environment="production").verdict == "allow"
    assert decided(policies, call(gen_ai__request__model="x"), environment="production").action == "audit"
    assert decided(policies, call(gen_ai__request__model="x")).evaluated == 0


def test_the_first_binding_that_fits_decides() -> None:
    assert decided(bundle(BOUND), call(), service="lab-7", environment="production").action == "block"


def test_the_id_of_a_bundle_depends_on_what_is_written_and_not_on_where() -> None:
    text = rules(rule("a"))
    assert bundle(text).id == bundle(text).id
    assert bundle(text).id != bundle(rules(rule("a", "false"))).id
    assert bundle(text).id.startswith("sha256:")


def test_a_reason_is_short_and_the_id_of_the_rule_where_it_cannot_be_given() -> None:
    policies = bundle(
        rules(
            rule("a", rest="reason: '\"model \" + gen_ai.request.model'"),
            rule("b", rest="reason: 'string(gen_ai.request.seed)'"),
            rule("c"),
        )
    )
    reasons = [one.reason for one in decided(policies, call(gen_ai__request__model="m" * 500)).results]
    assert reasons == ["model " + "m" * 194, "b", "c"]


def test_sets_do_not_see_each_others_variables() -> None:
    first = rules(rule("a", "variables.x == 1"), head="mode: enforce\nvariables: [{name: x, expression: '1'}]")
    second = rules(rule("b", "variables.x == 2"), head="mode: enforce\nvariables: [{name: x, expression: '2'}]")
    text = "\n---\n".join(
        HEAD.replace("test", name) + "\n".join(f"  {line}" for line in spec.splitlines())
        for name, spec in (("one", first), ("two", second))
    )
    assert [one.rule.rule.id for one in decided(bundle(text), call()).results] == ["a", "b"]


def test_services_that_nobody_knows_do_not_fill_the_memory() -> None:
    policies = bundle(rules(rule("a")))
    for number in range(3000):
        policies.plan(f"service-{number}", "")
    assert len(policies._plans) <= 1024
