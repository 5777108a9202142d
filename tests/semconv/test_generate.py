"""Generated files are current, deterministic, well-formed, and say what the vocabulary says."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_llm._generated import attributes, events, metrics
from semconv import generate
from semconv.naming import class_name, constant_name
from semconv.vocabulary import EnumType, load_registry, load_upstream

PROJECT = generate.PROJECT


@pytest.fixture(scope="module")
def texts() -> dict[str, str]:
    return generate.outputs(load_registry(), load_upstream())


def test_the_generated_files_in_the_project_are_current(texts: dict[str, str]) -> None:
    assert generate.stale(texts, PROJECT) == []


def test_the_same_vocabulary_gives_the_same_text_twice(texts: dict[str, str]) -> None:
    assert generate.outputs(load_registry(), load_upstream()) == texts


def test_check_names_every_stale_file_writes_nothing_and_fails(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], texts: dict[str, str]
) -> None:
    assert generate.main(["--check"], project=tmp_path) == 1
    printed = capsys.readouterr().err
    assert all(path in printed for path in texts)
    assert list(tmp_path.iterdir()) == []


def test_generating_makes_check_pass_and_an_edit_makes_it_fail_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert generate.main([], project=tmp_path) == 0
    assert generate.main(["--check"], project=tmp_path) == 0
    (tmp_path / "docs/attributes.md").write_text("edited by hand")
    capsys.readouterr()
    assert generate.main(["--check"], project=tmp_path) == 1
    assert capsys.readouterr().err.startswith("docs/attributes.md is stale")


def test_files_of_other_generators_are_left_alone(tmp_path: Path) -> None:
    other = tmp_path / "otel_llm/_generated/dialects.py"
    other.parent.mkdir(parents=True)
    other.write_text("# somebody else's")
    generate.main([], project=tmp_path)
    assert other.read_text() == "# somebody else's"


def test_generated_python_is_formatted_as_ruff_formats_it(tmp_path: Path) -> None:
    ruff = shutil.which("ruff", path=str(Path(sys.executable).parent))
    if ruff is None:
        pytest.skip("ruff is not installed beside this Python")
    generate.main([], project=tmp_path)
    command = [ruff, "format", "--isolated", "--line-length", "120", "--check", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_every_attribute_has_a_constant_and_a_type() -> None:
    upstream = load_upstream()
    own = {attribute.key for attribute in load_registry().attributes()}
    names = own | upstream.all_attributes().keys()
    assert names == attributes.ATTRIBUTE_TYPES.keys() | attributes.TEMPLATE_TYPES.keys()
    assert all(getattr(attributes, constant_name(name)) == name for name in names)


def test_the_pinned_revision_has_its_79_genai_names() -> None:
    genai = load_upstream().attributes.genai
    assert sum(name.startswith("gen_ai.") for name in genai) == 79


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (attributes.GEN_AI_USAGE_INPUT_TOKENS, "int"),
        (attributes.GEN_AI_REQUEST_TEMPERATURE, "double"),
        (attributes.GEN_AI_REQUEST_TOP_K, "int"),
        (attributes.GEN_AI_RESPONSE_FINISH_REASONS, "string[]"),
        (attributes.GEN_AI_INPUT_MESSAGES, "any"),
        (attributes.GEN_AI_OPERATION_NAME, "string"),
        (attributes.SERVER_PORT, "int"),
        (attributes.OTEL_LLM_COST_TOTAL, "double"),
        (attributes.OTEL_LLM_COST_ESTIMATED, "boolean"),
        (attributes.OTEL_LLM_PROCESSING_ERRORS, "string[]"),
    ],
)
def test_attribute_types_are_those_of_the_conventions(name: str, expected: str) -> None:
    assert attributes.ATTRIBUTE_TYPES[name] == expected


def test_a_template_is_a_prefix_and_not_an_attribute() -> None:
    assert attributes.TEMPLATE_TYPES == {"gen_ai.prompt.variable": "string"}
    assert attributes.GEN_AI_PROMPT_VARIABLE not in attributes.ATTRIBUTE_TYPES


def test_enum_values_are_listed_by_attribute_and_as_constants() -> None:
    assert attributes.GenAiOperationNameValues.CHAT in attributes.ENUM_VALUES[attributes.GEN_AI_OPERATION_NAME]
    assert attributes.McpMethodNameValues.LOGGING_SET_LEVEL == "logging/setLevel"
    for attribute in load_registry().attributes():
        if isinstance(attribute.type, EnumType):
            values = {member.value or member.id for member in attribute.type.members}
            holder = getattr(attributes, class_name(attribute.key) + "Values")
            assert attributes.ENUM_VALUES[attribute.key] == values
            assert {value for key, value in vars(holder).items() if key.isupper()} == values


def test_a_replaced_name_leads_to_a_current_one() -> None:
    assert attributes.REPLACED_BY[attributes.GEN_AI_SYSTEM] == attributes.GEN_AI_PROVIDER_NAME
    assert not attributes.REPLACED_BY.keys() & set(attributes.REPLACED_BY.values())


def test_metrics_carry_unit_buckets_and_known_attributes() -> None:
    duration = metrics.GEN_AI_CLIENT_INFERENCE_DURATION
    assert (duration.instrument, duration.unit, duration.buckets[0], duration.buckets[-1]) == (
        "histogram",
        "s",
        0.01,
        81.92,
    )
    assert metrics.GEN_AI_CLIENT_INFERENCE_USAGE_INPUT_TOKENS.instrument == "counter"
    assert metrics.METRICS["otel_llm.cost.usage"] is metrics.OTEL_LLM_COST_USAGE
    for metric in metrics.METRICS.values():
        known = attributes.ATTRIBUTE_TYPES.keys() | attributes.TEMPLATE_TYPES.keys()
        assert set(metric.attributes) <= known, metric.name
        assert metric.required <= set(metric.attributes), metric.name
        assert bool(metric.buckets) is (metric.instrument == "histogram"), metric.name


def test_every_cost_meter_has_an_amount_attribute_and_the_other_way_round() -> None:
    meters = attributes.ENUM_VALUES[attributes.OTEL_LLM_COST_METER]
    doubles = {name for name, kind in attributes.ATTRIBUTE_TYPES.items() if kind == "double"}
    amounts = {name.removeprefix("otel_llm.cost.") for name in doubles if name.startswith("otel_llm.cost.")}
    assert amounts == meters | {"total"}


def test_component_metrics_open_the_group_they_refer_to() -> None:
    assert {"otel_llm.component.name", "otel_llm.signal", "otel_llm.drop.reason"} == set(
        metrics.OTEL_LLM_DELIVERY_ITEMS_DROPPED.attributes
    )


def test_events_have_names_and_advised_severities() -> None:
    assert events.GEN_AI_EVALUATION_RESULT == "gen_ai.evaluation.result"
    assert events.SEVERITY_NUMBERS[events.GEN_AI_CLIENT_INFERENCE_OPERATION_DETAILS] == 5
    assert events.GEN_AI_EVALUATION_RESULT not in events.SEVERITY_NUMBERS


def test_the_documentation_lists_every_attribute_metric_and_event(texts: dict[str, str]) -> None:
    page = texts["docs/attributes.md"]
    upstream = load_upstream()
    names = {*attributes.ATTRIBUTE_TYPES, *metrics.METRICS, *upstream.signals.spans, events.OTEL_LLM_POLICY_FINDING}
    assert [name for name in sorted(names) if f"`{name}`" not in page] == []


def test_upstream_signals_refer_only_to_attributes_we_know() -> None:
    upstream = load_upstream()
    known = upstream.all_attributes().keys()
    signals = upstream.signals
    levelled = {**signals.spans, **signals.span_refinements, **signals.metrics, **signals.events}
    assert {name: set(fact.names()) - known for name, fact in levelled.items() if set(fact.names()) - known} == {}
    operations = set(upstream.attributes.genai["gen_ai.operation.name"].values)
    assert operations == {operation for span in signals.spans.values() for operation in span.operations}
    assert {refinement.refines for refinement in signals.span_refinements.values()} <= signals.spans.keys()


words = st.from_regex(r"[a-z][a-z0-9]{0,5}", fullmatch=True)


@given(st.lists(words, min_size=1, max_size=5), st.lists(st.sampled_from("._"), min_size=4, max_size=4))
def test_a_constant_is_always_an_identifier(parts: list[str], joints: list[str]) -> None:
    name = parts[0] + "".join(joint + part for joint, part in zip(joints, parts[1:], strict=False))
    assert constant_name(name).isidentifier()
    assert constant_name(name).isupper()
    assert class_name(name).isidentifier()
