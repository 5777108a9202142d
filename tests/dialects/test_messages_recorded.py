"""The converters on what real providers answered and what real libraries wrote, where the shared data is present."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from otel_llm.dialects.messages import canonical_messages, canonical_tool_definitions, dump
from otel_llm.dialects.messages_json import parse_container
from tests.dialects.messages_checks import assert_messages
from tests.shared_data import shared_data_path

# Bodies that are no exchange with a chat model.
NO_CHAT = (
    "embeddings",
    "rerank",
    "retrieve",
    "weaviate",
    "error",
    "404",
    "invalid",
    "not_found",
    "replicate",
    "invoke_agent",
)
CONTENT_KEYS = {
    *("gen_ai.input.messages", "gen_ai.output.messages", "pydantic_ai.all_messages", "ai.prompt.messages"),
    *("langfuse.observation.input", "langfuse.observation.output", "mlflow.spanInputs", "mlflow.spanOutputs"),
    *("input.value", "output.value", "traceloop.entity.input", "traceloop.entity.output", "ai.response.toolCalls"),
}


def exchanges(folder: Path) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """File, side and JSON body of every recorded exchange with a chat model."""
    for path in sorted(folder.glob("*/*.yaml")):
        if any(word in path.name for word in NO_CHAT):
            continue
        for exchange in yaml.safe_load(path.read_text())["interactions"]:
            bodies = {"user": exchange["request"].get("body"), "assistant": exchange["response"]["body"].get("string")}
            for role, body in bodies.items():
                text = body.decode("utf-8", "replace") if isinstance(body, bytes) else body or ""
                parsed = parse_container(text)  # None for a stream
                if isinstance(parsed, dict):
                    yield path.name, role, parsed


def test_every_recorded_request_and_answer_is_understood() -> None:
    read = 0
    for name, role, body in exchanges(shared_data_path("cassettes")):
        found = canonical_messages(body, role)
        parts: list[Any] = [part for message in found.messages for part in message["parts"]]  # type: ignore[attr-defined]
        assert parts, name
        assert_messages(found.messages)
        assert {part["type"] for part in parts}.isdisjoint({"generic"}), name
        assert not any(part["type"] == "text" and part["content"] == dump(body) for part in parts), name
        assert (role == "user") or found.finish_reasons, name
        assert len(canonical_tool_definitions(body.get("tools"))) >= len(body.get("tools") or ()), name
        read += 1
    assert read > 50


def values(node: Any) -> Iterator[tuple[str, str]]:
    """Texts of the attributes that hold messages, anywhere in a capture."""
    if isinstance(node, list):
        for item in node:
            yield from values(item)
    elif isinstance(node, dict):
        text = node.get("value", {}).get("stringValue") if isinstance(node.get("value"), dict) else None
        if node.get("key") in CONTENT_KEYS and isinstance(text, str):
            yield node["key"], text
        for item in node.values():
            yield from values(item)


def test_every_captured_attribute_reads_to_valid_messages_and_twice_the_same() -> None:
    read = 0
    for path in sorted(shared_data_path("dialects").glob("*.json")):
        for key, text in values(json.loads(path.read_text())):
            found = canonical_messages(text, "assistant" if "utput" in key or "response" in key else "user")
            assert_messages(found.messages)
            assert canonical_messages(found.messages).messages == found.messages
            read += 1
    assert read > 300
