from __future__ import annotations

import textwrap
from pathlib import Path

import pytest

from otel_llm.policy.sets import PolicyError, read_documents
from otel_llm.policy.sets.files import load_documents, read_text
from tests.policy.subjects import HEAD, WordDetector, bundle, rules, write

RULE = "id: a, stage: request, when: 'true', verdict: deny"


def problems(text: str) -> list[str]:
    with pytest.raises(PolicyError) as caught:
        bundle(text)
    return list(caught.value.problems)


@pytest.mark.parametrize(
    ("text", "part"),
    [
        (rules(RULE, RULE), "two rules with the id a"),
        (rules("id: a, stage: request, when: 'true', verdict: forbid"), "spec.rules[0] (a).verdict: expected allow or"),
        (rules("id: a, stage: requst, when: 'true', verdict: deny"), "got 'requst'; did you mean request?"),
        (
            rules("id: a, stage: request, wen: 'true', verdict: deny"),
            "spec.rules[0] (a).wen: unknown; did you mean when?",
        ),
        (rules("stage: request, when: 'true', verdict: deny"), "spec.rules[0].id: expected a text, got nothing"),
        (rules("id: 'a b', stage: request, when: 'true', verdict: deny"), "expected letters, digits, dots and dashes"),
        (rules("id: a, stage: request, when: 'true', verdict: modify"), "expected the types of findings to take out"),
        (rules(RULE + ", action: {redact: [X]}"), "is for actions of type modify"),
        (rules(RULE + ", severity: hihg"), "did you mean high?"),
        (rules(RULE + ", risk: agency"), "expected prompt_injection or"),
        (rules(RULE, head="mode: enforced"), "spec.mode: expected off or shadow or warn or enforce, got 'enforced'"),
        (rules(RULE, head="failurePolicy: {request: close}"), "spec.failurePolicy.request: expected ignore or fail"),
        ("rules: {a: b}", "spec.rules: expected a list, got a section"),
        ("- a", "expected a section, got a list"),
        (
            rules(RULE, head="exemptions: [{id: E, rules: [a], reason: r, owner: o}]"),
            "expires: expected a text, got nothing",
        ),
        (
            rules(RULE, head="exemptions: [{id: E, rules: [a], reason: r, expires: 2027-01-31}]"),
            "owner: expected a text",
        ),
        (
            rules(RULE, head="exemptions: [{id: E, rules: [b], reason: r, owner: o, expires: 2027-01-31}]"),
            "exemption E: there is no rule 'b' in this set",
        ),
        (
            rules(RULE, head="exemptions: [{id: E, rules: [a], reason: r, owner: o, expires: soon}]"),
            "expected the last day on which it counts, e.g. 2027-01-31",
        ),
        (rules(RULE, head="parameters: {a-b: 1}"), "spec.parameters.a-b: expected a name of letters"),
    ],
)
def test_what_is_wrong_with_a_document_is_named_with_its_place(text: str, part: str) -> None:
    found = problems(text)
    assert any(part in problem for problem in found), found
    assert all(problem.startswith("rules.yaml: ") for problem in found)


def test_every_problem_of_every_rule_is_named_at_once() -> None:
    text = rules(
        "id: a, stage: request, when: gen_ai.request.modle == 'x', verdict: deny",
        "id: b, stage: request, match: gen_ai.usage.input_tokens, when: 'qqqqqqq > 1 && size(1) > 2', verdict: warn",
        "id: c, stage: request, when: 'true', verdict: warn, reason: input.text",
    )
    assert problems(text) == [
        "rules.yaml: rule a: when: column 1: unknown name gen_ai.request.modle; did you mean gen_ai.request.model?",
        "rules.yaml: rule b: match: column 1: expected an expression of type bool, got int",
        "rules.yaml: rule b: when: column 1: unknown name qqqqqqq",
        (
            "rules.yaml: rule b: when: column 16: size() is not for (int); expected size(bytes) or size(list(A)) or "
            "size(map(A, B)) or size(string)"
        ),
        (
            "rules.yaml: rule c: reason: input.text may hold content, or say who somebody is, which a reason must not "
            "show; name models, tools or types of findings instead"
        ),
    ]


def test_a_reason_may_not_show_content_through_a_variable_either() -> None:
    head = "variables: [{name: said, expression: input.text}, {name: again, expression: variables.said}]"
    found = problems(rules("id: a, stage: request, when: 'true', verdict: deny, reason: variables.again", head=head))
    assert any("input.text may hold content" in problem for problem in found)


def test_a_reason_may_name_the_types_that_detectors_found() -> None:
    head = "mode: enforce\nvariables: [{name: types, expression: 'found(\"words\", input.text)'}]"
    reason = 'reason: \'variables.types.join(" ") + (finds("WORD", input.text) ? "!" : "")\''
    text = rules(f"id: a, stage: request, when: 'true', verdict: deny, {reason}", head=head)
    assert bundle(text, [WordDetector()]).id
    shown = text.replace("variables.types.join", "input.text + variables.types.join")
    with pytest.raises(PolicyError, match="may hold content"):
        bundle(shown, [WordDetector()])


@pytest.mark.parametrize("name", ["user.id", "session.id", "client.address", "gen_ai.conversation.id", "span.name"])
def test_a_reason_says_of_nobody_who_they_are(name: str) -> None:
    row = f"id: a, stage: request, when: 'has({name})', verdict: deny, reason: {name}"
    with pytest.raises(PolicyError, match=f"reason: {name} may hold content, or say who somebody is"):
        bundle(rules(row))


def test_an_expression_of_several_lines_is_pointed_at_with_its_line() -> None:
    text = textwrap.dedent(
        """\
        rules:
        - id: a
          stage: request
          verdict: deny
          when: |
            gen_ai.request.model == "x"
              && gen_ai.request.modle == "y"
        """
    )
    assert problems(text)[0].startswith("rules.yaml: rule a: when: line 2, column 6: unknown name gen_ai.request.modle")


def test_a_variable_knows_those_before_it_and_no_others() -> None:
    head = "variables: [{name: a, expression: variables.b}, {name: b, expression: '1'}]"
    assert problems(rules(RULE, head=head)) == [
        "rules.yaml: variable a: expression: column 1: unknown name variables.b"
    ]
    head = "variables: [{name: a, expression: '1'}, {name: b, expression: variables.a + 1}]"
    bundle(rules("id: a, stage: request, when: variables.b == 2, verdict: deny", head=head))


def test_an_unknown_detector_is_refused_when_the_rule_is_loaded() -> None:
    text = rules("id: a, stage: request, when: 'finds(\"pii\", input.text)', verdict: deny")
    assert "there is no detector or type 'pii'" in problems(text)[0]


def test_rules_of_two_sets_have_different_ids() -> None:
    spec = "\n".join(f"  {line}" for line in rules(RULE).splitlines())
    text = f"{HEAD}{spec}\n---\n{HEAD.replace('name: test', 'name: other')}{spec}"
    assert problems(text) == ["rules.yaml: rule a of other: test has a rule of that id too; ids are unique"]


def test_a_binding_names_a_set_that_is_there() -> None:
    text = (
        HEAD
        + "  rules: []\n---\napiVersion: otel-llm/v1\nkind: PolicyBinding\nmetadata: {name: b}\nspec: {policy: tests}\n"
    )
    assert problems(text) == ["rules.yaml: binding b: spec.policy: there is no set 'tests'; known: test"]


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("a: [", "not YAML"),
        ("a: 1\na: 2", "a is written twice"),
        ("a: &x [1]\nb: *x", "an alias"),
        ("a: !!python/object:os.system {}", "the tag"),
        ("a: 1\nb: !!int c", "line 2: the tag"),
        ("a: !!bool maybe", "the tag"),
        ("a: !!map b", "the tag"),
        ("a: !!seq {b: 1}", "the tag"),
        ('a: "\\ud83d"', "half of a surrogate pair"),
        ("[" * 300 + "]" * 300, "nested"),
        ("a: 1\nb: \x07", "rules.yaml: line 2: not YAML"),
    ],
)
def test_text_that_is_no_yaml_of_policies_is_refused_with_its_line(text: str, part: str) -> None:
    with pytest.raises(PolicyError, match=part):
        read_text(text, "rules.yaml")


def test_json_is_read_as_well() -> None:
    assert read_text('{"a": [1, "off"]}', "rules.json") == [{"a": [1, "off"]}]


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ('{"a": 1\n"b": 2}', "rules.json: not JSON: .*line 2 column 1"),
        ('{"mode": "enforce", "mode": "off"}', "mode is written twice"),
        ('{"a": "\\ud83d"}', "half of a surrogate pair"),
        ('{"a": NaN}', "NaN is no number of JSON"),
        ("[" * 100 + "]" * 100, "nested deeper than 20 levels"),
        ("[" * 100_000 + "]" * 100_000, "nested deeper than 20 levels"),
    ],
)
def test_text_that_is_no_json_of_policies_is_refused(text: str, part: str) -> None:
    with pytest.raises(PolicyError, match=part):
        read_text(text, "rules.json")


def test_a_parameter_that_no_integer_of_a_rule_can_be_is_refused() -> None:
    document = {
        "apiVersion": "otel-llm/v1",
        "kind": "PolicySet",
        "metadata": {"name": "a"},
        "spec": {"parameters": {"most": 2**63 - 1, "more": 2**63}},
    }
    with pytest.raises(PolicyError) as caught:
        read_documents([("rules.json", document)])
    assert [problem.partition(": expected")[0] for problem in caught.value.problems] == [
        "rules.json: spec.parameters.more"
    ]


def test_ten_thousand_rules_are_refused_quickly_with_one_problem() -> None:
    document = {
        "apiVersion": "otel-llm/v1",
        "kind": "PolicySet",
        "metadata": {"name": "many"},
        "spec": {
            "rules": [{"id": f"r{n}", "stage": "request", "when": "true", "verdict": "warn"} for n in range(10_000)]
        },
    }
    with pytest.raises(PolicyError) as caught:
        read_documents([("many.json", document)])
    assert caught.value.problems == ("many.json: 10000 rules; expected at most 1000 in all sets together",)


def test_files_are_read_from_folders_and_test_suites_are_not_policies(tmp_path: Path) -> None:
    write(tmp_path, rules(RULE), "b.yaml")
    write(tmp_path, rules(RULE), "b.test.yaml")
    (tmp_path / "notes.txt").write_text("no policy")
    assert [name for name, _ in load_documents([tmp_path])] == [str(tmp_path / "b.yaml")]


def test_what_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "latin.yaml").write_bytes(b"a: \xff")
    (tmp_path / "link.yaml").symlink_to(tmp_path / "nowhere.yaml")
    (tmp_path / "short.yaml").write_text("# an editor has emptied it, and not written it yet\n")
    with pytest.raises(PolicyError) as caught:
        load_documents([tmp_path, tmp_path / "gone.yaml"])
    assert [problem.partition(": ")[2] for problem in caught.value.problems] == [
        "expected text in UTF-8",
        "cannot be read: No such file or directory",
        "nothing in it; expected policies, or no file",
        "no file of policies here; expected a .yaml or .json file, or a folder of them",
    ]
