"""What every message in the conventions' shape must satisfy; stricter than the JSON schemas, which pass anything."""

from __future__ import annotations

import json
from typing import Any

REQUIRED: dict[str, dict[str, type]] = {
    "text": {"content": str},
    "reasoning": {"content": str},
    "tool_call": {"name": str},
    "tool_call_response": {"response": object},
    "server_tool_call": {"name": str, "server_tool_call": dict},
    "server_tool_call_response": {"server_tool_call_response": dict},
    "blob": {"modality": str, "content": str},
    "uri": {"modality": str, "uri": str},
    "file": {"modality": str, "file_id": str},
}


def assert_part(part: dict[str, Any]) -> None:
    assert isinstance(part["type"], str)
    assert None not in part.values()
    for key, kind in REQUIRED.get(part["type"], {}).items():
        assert isinstance(part[key], kind)
    for nested in ("server_tool_call", "server_tool_call_response"):
        if part["type"] == nested:
            assert isinstance(part[nested]["type"], str)


def assert_messages(messages: list[dict[str, Any]]) -> None:
    for message in messages:
        assert isinstance(message["role"], str)
        assert message["role"]
        assert None not in message.values()
        assert "finish_reason" not in message
        for part in message["parts"]:
            assert_part(part)


def round_trip(value: Any) -> Any:
    return json.loads(json.dumps(value))
