"""The tables themselves: what they name exists, and the generated literals are what the YAML files say."""

from __future__ import annotations

from pathlib import Path

import pytest

from otel_llm._generated import attributes as names
from otel_llm.dialects.extractors import EXTRACTORS
from otel_llm.dialects.tables import common, table, tables
from semconv import generate_dialects

# Attributes of the tables that the registry does not list: OpenTelemetry's own, outside of GenAI.
_BEYOND = {"db.system.name"}


@pytest.mark.parametrize("dialect", [table.id for table in tables()])
def test_canonical_keys_are_canonical(dialect):
    found = table(dialect)
    for key in (*found.attributes, *found.values, *found.absent):
        assert key in names.ATTRIBUTE_TYPES or key in _BEYOND, key


def test_common_canonical_keys_are_canonical():
    for key in (*common().attributes, *common().absent):
        assert key in names.ATTRIBUTE_TYPES, key


@pytest.mark.parametrize("dialect", [table.id for table in tables()])
def test_extractors_exist(dialect):
    assert set(table(dialect).extract) <= set(EXTRACTORS)


def test_every_extractor_is_used():
    assert {name for table in tables() for name in table.extract} == set(EXTRACTORS)


@pytest.mark.parametrize("dialect", [table.id for table in tables()])
def test_what_is_kept_or_scaled_stands_for_something(dialect):
    found = table(dialect)
    others = {key for keys in (*found.attributes.values(), *common().attributes.values()) for key in keys}
    assert set(found.keep) <= others
    assert set(found.scale) <= others


@pytest.mark.parametrize("dialect", [table.id for table in tables()])
def test_operations_are_the_conventions_or_said_to_be_our_own(dialect):
    ours = {"rerank", "apply_guardrail", "evaluation", "execute_task", ""}
    for rule in table(dialect).operations:
        for name in (*rule.values.values(), *rule.root.values()):
            assert name in names.ENUM_VALUES[names.GEN_AI_OPERATION_NAME] or name in ours, name


def test_provider_names_map_to_names_that_map_to_themselves():
    providers = common().providers
    for found in (*providers.names.values(), *providers.prefixes.values(), *providers.hosts.values()):
        assert providers.names.get(found, found) == found


def test_the_generated_tables_are_current():
    assert generate_dialects.main(["--check"]) == 0


def test_a_stale_table_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    folder = tmp_path / "semconv" / "dialects"
    folder.mkdir(parents=True)
    (folder / "common.yaml").write_text("{}", encoding="utf-8")
    (folder / "mine.yaml").write_text("id: mine", encoding="utf-8")
    output = tmp_path / generate_dialects.OUTPUT
    output.parent.mkdir(parents=True)
    assert generate_dialects.main(["--check"], project=tmp_path) == 1
    assert generate_dialects.OUTPUT in capsys.readouterr().err
    assert generate_dialects.main([], project=tmp_path) == 0
    assert generate_dialects.main(["--check"], project=tmp_path) == 0


def test_a_file_is_named_as_the_convention_in_it(tmp_path: Path):
    (tmp_path / "common.yaml").write_text("{}", encoding="utf-8")
    (tmp_path / "mine.yaml").write_text("id: yours", encoding="utf-8")
    with pytest.raises(ValueError, match=r"mine\.yaml: id is 'yours', expected 'mine'"):
        generate_dialects.render(tmp_path)
