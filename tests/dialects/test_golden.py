"""Telemetry of our own making in every source convention, and what must become of it, whole spans compared."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from otel_llm.dialects import detect, normalize
from otel_llm.dialects.tables import tables
from otel_llm.operation import Event, Operation
from tests.dialects.spans import again, attributes_of, operation

_FOLDER = Path(__file__).resolve().parents[1] / "golden" / "dialects"
_CASES = [
    pytest.param(path.stem, case, id=f"{path.stem}: {case['case']}")
    for path in sorted(_FOLDER.glob("*.json"))
    for case in json.loads(path.read_text(encoding="utf-8"))
]


def _span(case: dict[str, Any]) -> Operation:
    fields = {key: case[key] for key in ("kind", "name", "status_code", "scope_version") if key in case}
    return operation(
        case["attributes"],
        case["scope_name"],
        parent_span_id=bytes.fromhex(case.get("parent_span_id", "")),
        events=tuple(Event(event["name"], 0, event["attributes"]) for event in case.get("events", ())),
        **fields,
    )


@pytest.mark.parametrize(("dialect", "case"), _CASES)
def test_a_span_of_a_convention_becomes_what_the_golden_case_says(dialect: str, case: dict[str, Any]) -> None:
    span = _span(case)
    assert detect(span) == dialect
    normalize(span)
    assert attributes_of(span) == case["expected"]
    assert [event.name for event in span.events] == case.get("expected_events", [])


@pytest.mark.parametrize(("dialect", "case"), _CASES)
def test_value_types_are_those_of_the_golden_case(dialect: str, case: dict[str, Any]) -> None:
    span = _span(case)
    normalize(span)
    kinds = {key: type(value) for key, value in attributes_of(span).items()}
    assert kinds == {key: type(value) for key, value in case["expected"].items()}, dialect


@pytest.mark.parametrize(("dialect", "case"), _CASES)
def test_the_second_gateway_changes_nothing(dialect: str, case: dict[str, Any]) -> None:
    span = _span(case)
    normalize(span)
    second = again(span)
    normalize(second)
    assert not second.changes.set, dialect
    assert not second.changes.removed
    assert not second.changes.removed_events


def test_every_convention_has_a_golden_case() -> None:
    assert {path.stem for path in _FOLDER.glob("*.json")} == {table.id for table in tables()}
