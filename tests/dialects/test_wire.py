"""The golden cases once more, as bytes in and bytes out: what the wire codec shows and writes is what was meant."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from otel_llm.codecs.json import to_json, to_protobuf
from otel_llm.codecs.wire import decode_traces
from otel_llm.dialects import normalize
from tests.dialects.spans import attributes_of, operations_of

_FOLDER = Path(__file__).resolve().parents[1] / "golden" / "dialects"
_CASES = [
    pytest.param(case, id=f"{path.stem}: {case['case']}")
    for path in sorted(_FOLDER.glob("*.json"))
    for case in json.loads(path.read_text(encoding="utf-8"))
]

# Nothing in the bytes of these says that they are of a GenAI library: bare keys, or those of a database.
_PASSED_THROUGH = {"a call", "a turn, its prompt withheld", "a vector database: distance is no score"}


def _value(value: Any) -> dict[str, Any]:
    if isinstance(value, list):
        return {"arrayValue": {"values": [_value(item) for item in value]}}
    for kind, name in ((bool, "boolValue"), (int, "intValue"), (float, "doubleValue"), (str, "stringValue")):
        if type(value) is kind:
            return {name: value}
    raise TypeError(type(value))


def _attributes(attributes: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"key": key, "value": _value(value)} for key, value in attributes.items()]


def _request(case: dict[str, Any]) -> bytes:
    span = {
        "traceId": "74" * 16,
        "spanId": "73" * 8,
        "parentSpanId": case.get("parent_span_id", ""),
        "name": case.get("name", "span"),
        "kind": case.get("kind", 3),
        "startTimeUnixNano": "1763600000000000000",
        "endTimeUnixNano": "1763600001000000000",
        "attributes": _attributes(case["attributes"]),
        "events": [
            {"timeUnixNano": "0", "name": event["name"], "attributes": _attributes(event["attributes"])}
            for event in case.get("events", ())
        ],
        "status": {"code": case.get("status_code", 0)},
    }
    scope = {"name": case["scope_name"], "version": case.get("scope_version", "")}
    request = {"resourceSpans": [{"scopeSpans": [{"scope": scope, "spans": [span]}]}]}
    return to_protobuf("traces", json.dumps(request).encode())


def _plain(value: Any) -> Any:
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value


@pytest.mark.parametrize("case", _CASES)
def test_a_golden_case_holds_through_the_wire_codec(case: dict[str, Any]) -> None:
    batch = decode_traces(_request(case))
    for operation in batch.operations:
        normalize(operation)
    if not batch.operations:
        assert case["case"] in _PASSED_THROUGH
        return
    (span,) = operations_of(json.loads(to_json("traces", b"".join(batch.encode().buffers))))
    assert {key: _plain(value) for key, value in attributes_of(span).items()} == case["expected"]
    assert [event.name for event in span.events] == case.get("expected_events", [])
