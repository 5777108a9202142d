"""Every configuration that is shown to users can be run: the files in collector-config, and those in the documents."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from otel_llm.cli.main import main
from otel_llm.config import load

PROJECT = Path(__file__).resolve().parents[2]
EXAMPLES = sorted((PROJECT / "collector-config").glob("gateway-*.yaml")) + sorted(
    (PROJECT / "collector-config").glob("worker-*.yaml")
)
YAML_BLOCK = re.compile(r"^```yaml\n(.*?)^```$", re.MULTILINE | re.DOTALL)
# Of variables that are not where to send to.
OTHER_VALUES = {"OTEL_LLM_HOST": "127.0.0.2", "OTEL_LLM_DATA": "elsewhere"}


def _other_value(variable: str) -> str:
    is_address = variable.startswith("OTEL_LLM_LISTEN")
    return "127.0.0.1:5" if is_address else OTHER_VALUES.get(variable, "http://host:5")


# What README leaves out where only the destination differs.
REST_OF_A_CONFIGURATION = """
receivers:
  otlp:
service:
  pipelines:
    traces: {{receivers: [otlp], exporters: [{exporter}]}}
"""


def yaml_blocks(document: str) -> list[str]:
    return YAML_BLOCK.findall((PROJECT / document).read_text())


def test_there_are_examples():
    assert len(EXAMPLES) >= 4


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_an_example_is_valid_without_any_variable_and_has_nothing_unused(path: Path):
    settings = load(str(path), {})
    assert settings.warnings == ()
    assert settings.pipelines[0].signal == "traces"


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_validate_makes_the_components_of_an_example(path: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["validate", "--config", str(path)]) == 0
    printed = capsys.readouterr()
    assert printed.out.startswith(f"ok: {path}\n")
    assert printed.err == ""


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_every_variable_an_example_names_is_read(path: Path):
    variables = set(re.findall(r"^[^#\n]*\$\{env:(\w+):-", path.read_text(), re.MULTILINE))
    assert variables
    plain = load(str(path), {})
    for variable in variables:
        changed = load(str(path), {variable: _other_value(variable)})
        assert [(one.config, one.delivery) for one in (*plain.receivers, *plain.processors, *plain.exporters)] != [
            (one.config, one.delivery) for one in (*changed.receivers, *changed.processors, *changed.exporters)
        ]


@pytest.mark.parametrize("document", ["README.md", "docs/gateway.md", "docs/quality.md", "docs/budgets.md"])
def test_complete_configurations_in_a_document_are_valid(
    document: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)  # a ledger is opened where it stands
    complete = [block for block in yaml_blocks(document) if "\nservice:" in block]
    assert complete
    for number, block in enumerate(complete):
        path = tmp_path / f"{number}.yaml"
        path.write_text(block)
        assert load(str(path), {}).warnings == ()
        assert main(["validate", "--config", str(path)]) == 0


def test_the_exporters_that_the_readme_shows_alone_are_valid_and_those_of_the_examples(tmp_path: Path):
    shown = 0
    for block in yaml_blocks("README.md"):
        exporter = re.search(r"^  (otlp_\w+/\w+):$", block, re.MULTILINE)
        if exporter is None or "\nservice:" in block:
            continue
        path = tmp_path / "gateway.yaml"
        path.write_text(block + REST_OF_A_CONFIGURATION.format(exporter=exporter[1]))
        [ours] = load(str(path), {}).exporters
        [example] = [example for example in EXAMPLES if f"  {exporter[1]}:\n" in example.read_text()]
        [theirs] = [one for one in load(str(example), {}).exporters if one.id == ours.id]
        assert ours.config == theirs.config
        shown += 1
    assert shown == 2
