"""The checker accepts our registry and refuses broken ones with a message that says what to do."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from semconv import check
from semconv.vocabulary import REGISTRY, Upstream, load_registry, load_upstream

MANIFEST = "schema_url: https://example.invalid/schemas/test/0.1.0\n"

SOUND = """\
file_format: definition/2
attributes:
  - key: otel_llm.test.colour
    type: string
    stability: development
    brief: A colour.
    examples: ["red"]
attribute_groups:
  - id: attributes.test
    visibility: public
    stability: development
    brief: A group.
    attributes:
      - ref: otel_llm.test.colour
        requirement_level: recommended
      - ref: gen_ai.request.model
metrics:
  - name: otel_llm.test.duration
    instrument: histogram
    unit: s
    stability: development
    brief: A duration.
    annotations:
      code_generation: {metric_value_type: double, explicit_bucket_boundaries: [0.1, 1, 10]}
    attributes:
      - ref_group: attributes.test
span_refinements:
  - id: otel_llm.test.inference
    ref: gen_ai.client.inference
    attributes:
      - ref_group: attributes.test
"""

Checked = Callable[..., list[str]]


@pytest.fixture(scope="module")
def upstream() -> Upstream:
    return load_upstream()


@pytest.fixture
def checked(tmp_path: Path, upstream: Upstream) -> Checked:
    """Checks a registry made of SOUND with one text replaced by another."""

    def run(old: str = "", new: str = "", *, manifest: str = MANIFEST) -> list[str]:
        assert old in SOUND
        (tmp_path / "manifest.yaml").write_text(manifest)
        (tmp_path / "test.yaml").write_text(SOUND.replace(old, new, 1) if old else SOUND)
        return check.check_registry(tmp_path, upstream)

    return run


def test_our_registry_has_no_problems(upstream: Upstream) -> None:
    assert check.check_registry(REGISTRY, upstream) == []


def test_the_sound_example_of_these_tests_has_no_problems(checked: Checked) -> None:
    assert checked() == []


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        # shape
        ("definition/2", "definition/1", "test.yaml.file_format: 'definition/2' was expected"),
        ("    type: string\n", "    type: text\n", "test.yaml.attributes[0].type (otel_llm.test.colour)"),
        (
            "    brief: A colour.\n",
            "",
            "test.yaml.attributes[0] (otel_llm.test.colour): 'brief' is a required property",
        ),
        (
            "    stability: development\n    brief: A dur",
            "    brief: A dur",
            "(otel_llm.test.duration): 'stability' is a req",
        ),
        ("instrument: histogram", "instrument: summary", "metrics[0].instrument (otel_llm.test.duration)"),
        ("recommended\n", "sometimes\n", "attribute_groups[0].attributes[0].requirement_level"),
        ("    brief: A colour.\n", "    brief: A colour.\n    brief: Another.\n", "key 'brief' is given twice"),
        ("attributes:\n", "attributes: [\n", "test.yaml: not valid YAML"),
        # names
        ("key: otel_llm.test.colour", "key: otel_llm.Test-colour", "'otel_llm.Test-colour' is not lower-case words"),
        ("key: otel_llm.test.colour", "key: gen_ai.test.colour", "'gen_ai.test.colour' is outside our namespace"),
        ("key: otel_llm.test.colour", "key: otel_llm.test_total", "'otel_llm.test_total' ends in '_total'"),
        ("name: otel_llm.test.duration", "name: otel_llm.test.total", "ends in '.total'"),
        ("name: otel_llm.test.duration", "name: otel_llm.test.duration_seconds", "carries its unit in the name"),
        ("name: otel_llm.test.duration", "name: otel_llm.test.durations", "is plural but counts nothing"),
        ("unit: s", "unit: parsecs", "has unit 'parsecs'; expected a UCUM unit"),
        # attributes
        ('    examples: ["red"]\n', "", "'otel_llm.test.colour' is a string and needs examples"),
        ('examples: ["red"]', "examples: [7]", "example 7 of attribute 'otel_llm.test.colour' is not a string"),
        ("brief: A colour.", "brief: A colour", "needs a brief that is a sentence"),
        # references
        ("ref: gen_ai.request.model", "ref: gen_ai.request.modell", "did you mean 'gen_ai.request.model'?"),
        ("ref: gen_ai.request.model", "ref: gen_ai.system", "deprecated; use 'gen_ai.provider.name'"),
        ("ref: otel_llm.test.colour", "ref: server.address", "'otel_llm.test.colour' is on no span, metric or event"),
        ("ref: gen_ai.request.model", "ref: otel_llm.test.colour", "refers to 'otel_llm.test.colour' 2 times"),
        ("ref: gen_ai.request.model", "ref_group: attributes.tost", "unknown group 'attributes.tost'; did you mean"),
        ("ref: gen_ai.request.model", "ref_group: attributes.test", "group 'attributes.test' contains itself"),
        (
            "ref: gen_ai.client.inference",
            "ref: gen_ai.inference.client",
            "refines the unknown span 'gen_ai.inference.cl",
        ),
        ("recommended\n", '{conditionally_required: " "}\n', "conditionally but gives no condition"),
        # metrics
        ("metric_value_type: double, ", "", "'otel_llm.test.duration' does not say its value type"),
        (", explicit_bucket_boundaries: [0.1, 1, 10]", "", "histogram 'otel_llm.test.duration' has no buckets"),
        ("[0.1, 1, 10]", "[0.1, 10, 1]", "not strictly ascending: [0.1, 10.0, 1.0]"),
        ("instrument: histogram", "instrument: gauge", "gauge 'otel_llm.test.duration' has buckets"),
    ],
)
def test_a_broken_registry_is_refused_with_a_message_that_names_the_place(
    checked: Checked, old: str, new: str, expected: str
) -> None:
    problems = checked(old, new)
    assert any(expected in problem for problem in problems), problems


ATTRIBUTE = "  - {{key: {key}, type: int, stability: development, brief: A number.}}\n"


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("otel_llm.test", "'otel_llm.test' is a name and also the namespace of 'otel_llm.test.colour'"),
        ("otel_llm.test.colour.depth", "'otel_llm.test.colour' is a name and also the namespace of"),
        ("otel_llm.test_colour", "both become the constant OTEL_LLM_TEST_COLOUR"),
        ("otel_llm.test.colour", "attribute 'otel_llm.test.colour' is defined 2 times"),
    ],
)
def test_two_names_that_get_in_each_others_way_are_refused(checked: Checked, key: str, expected: str) -> None:
    problems = checked("attributes:\n", "attributes:\n" + ATTRIBUTE.format(key=key))
    assert any(expected in problem for problem in problems), problems


@pytest.mark.parametrize(
    ("members", "expected"),
    [
        ("[]", "has no members"),
        ("[{id: a, brief: A.}, {id: a, value: b, brief: B.}]", "has the id 'a' 2 times"),
        ("[{id: a, value: x, brief: A.}, {id: b, value: x, brief: B.}]", "has the value 'x' 2 times"),
        ("[{id: a}]", "member 'a' of 'otel_llm.test.colour' needs a brief"),
    ],
)
def test_enum_members_are_there_distinct_and_explained(checked: Checked, members: str, expected: str) -> None:
    problems = checked("    type: string\n", f"    type: {{members: {members}}}\n")
    assert any(expected in problem for problem in problems), problems


STRING_TYPE = """\
    type: string
    stability: development
    brief: A colour.
    examples: ["red"]
"""


def typed(declared: str, examples: str) -> str:
    return STRING_TYPE.replace("string", declared).replace('["red"]', examples)


@pytest.mark.parametrize(
    ("declared", "examples"),
    [
        ("int", "[1]"),
        ("double", "[1.5, 2.5]"),
        ("boolean", "[true]"),
        ('"string[]"', "[[a, b]]"),
        ('"template[string]"', "[a]"),
        ("any", "[[a, b]]"),
    ],
)
def test_examples_of_the_declared_type_are_accepted(checked: Checked, declared: str, examples: str) -> None:
    assert checked(STRING_TYPE, typed(declared, examples)) == []


@pytest.mark.parametrize(
    ("declared", "examples"),
    [
        ("int", "[true]"),
        ("int", "[1.5]"),
        ("double", "['1']"),
        ("boolean", "[1]"),
        ('"string[]"', "[a]"),
        ('"string[]"', "[[1]]"),
        ("string", "[[a]]"),
    ],
)
def test_examples_of_another_type_are_refused(checked: Checked, declared: str, examples: str) -> None:
    problems = checked(STRING_TYPE, typed(declared, examples))
    plain_type = declared.strip('"')
    assert len(problems) == 1
    assert f"of attribute 'otel_llm.test.colour' is not a {plain_type}" in problems[0]


@pytest.mark.parametrize(
    ("manifest", "expected"),
    [
        ("name: test\n", "manifest.yaml: schema_url is None"),
        (
            "schema_url: somewhere\n",
            "manifest.yaml: schema_url is 'somewhere'; expected http[s]://server/path/<version>",
        ),
        (MANIFEST + "dependencies: [{registry_path: x}]\n", "manifest.yaml: dependencies[0]: schema_url is None"),
        ("- a list\n", "manifest.yaml: expected a mapping with schema_url"),
        ("schema_url: [\n", "manifest.yaml: not valid YAML"),
    ],
)
def test_a_manifest_without_versioned_schema_urls_is_refused(checked: Checked, manifest: str, expected: str) -> None:
    assert any(expected in problem for problem in checked(manifest=manifest))


def test_a_missing_manifest_and_an_empty_folder_are_named(tmp_path: Path, upstream: Upstream) -> None:
    assert "no registry files" in check.check_registry(tmp_path, upstream)[0]
    (tmp_path / "test.yaml").write_text(SOUND)
    assert check.check_registry(tmp_path, upstream) == [
        "manifest.yaml is missing; it names the registry's schema_url and dependencies"
    ]


def test_all_problems_are_reported_at_once(tmp_path: Path, upstream: Upstream) -> None:
    (tmp_path / "manifest.yaml").write_text("name: test\n")
    (tmp_path / "test.yaml").write_text(
        SOUND.replace("unit: s", "unit: parsecs").replace("gen_ai.request.model", "nope")
    )
    assert len(check.check_registry(tmp_path, upstream)) == 3


def test_the_command_prints_problems_and_fails(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "manifest.yaml").write_text(MANIFEST)
    (tmp_path / "test.yaml").write_text(SOUND.replace("unit: s", "unit: parsecs"))
    assert check.main([str(tmp_path)]) == 1
    assert "parsecs" in capsys.readouterr().err
    assert check.main([]) == 0


def test_every_name_the_design_fixes_is_in_the_registry() -> None:
    fixed = {
        *(f"otel_llm.cost.{part}" for part in ("total", "input", "output", "cache_read", "cache_write", "input_audio")),
        *(f"otel_llm.cost.{part}" for part in ("output_audio", "input_image", "output_image", "web_search", "request")),
        *(f"otel_llm.cost.{part}" for part in ("other", "currency", "status", "reason", "source", "model_matched")),
        *(f"otel_llm.cost.{part}" for part in ("price_version", "estimated")),
        *(f"otel_llm.usage.{part}" for part in ("source", "complete", "input_semantics", "processing", "service_tier")),
        *(f"otel_llm.usage.{part}" for part in ("web_searches", "cache_write_1h.input_tokens", "audio_seconds")),
        *(
            f"otel_llm.policy.{part}"
            for part in ("verdict.type", "verdict.reason", "action.type", "rule.id", "bundle.id")
        ),
        "otel_llm.dialect",
        "otel_llm.processing.errors",
        "otel_llm.quality.flags",
    }
    assert fixed <= {attribute.key for attribute in load_registry().attributes()}
