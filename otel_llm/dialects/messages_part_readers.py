"""Readers of parts: each takes a part of one kind in any provider's shape and gives the conventions' part.

Which reader a part is for is in the tables of messages_parts. A reader gives None for a part that holds nothing.
Source: the providers' API references; semconv gen-ai-input-messages.json.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, TypeAlias

from otel_llm.dialects.messages_json import JsonObject, as_list, as_object, as_text, dump, first, without_nulls
from otel_llm.dialects.messages_media import media_part
from otel_llm.dialects.messages_tools import call_arguments, response_value, tool_call_part, tool_response_part

PartReader: TypeAlias = Callable[[Mapping[str, object]], JsonObject | None]

_REASONING_TEXT: Final = ("content", "thinking", "text", "reasoning", "reasoningText", "reasoning_content", "summary")


# Text and reasoning.


def text_part(part: Mapping[str, object]) -> JsonObject | None:
    """A text, in whichever key it is."""
    if isinstance(part.get("content"), str):
        return without_nulls(part)
    value = first(part, "text", "content", "refusal", "value")
    inner = as_object(value)
    if inner is not None and "value" in inner:
        value = inner["value"]  # OpenAI assistants: {"text": {"value", "annotations"}}
    if value is None or value == "":
        return None
    return {"type": "text", "content": value if isinstance(value, str) else dump(value)}


def reasoning_part(part: Mapping[str, object]) -> JsonObject | None:
    """A model's reasoning; signatures and encrypted reasoning say nothing to a reader and are left out."""
    if part.get("type") == "reasoning" and isinstance(part.get("content"), str):
        return without_nulls(part)
    content = _reasoning_text(first_filled(part, _REASONING_TEXT))
    return {"type": "reasoning", "content": content} if content else None


def first_filled(source: Mapping[str, object], keys: tuple[str, ...]) -> object:
    """The value of the first key that is neither None nor empty."""
    return next((source[key] for key in keys if source.get(key)), None)


def _reasoning_text(value: object) -> str:
    if isinstance(value, str):
        return value
    source = as_object(value)
    if source is not None:
        inner = first_filled(source, _REASONING_TEXT)
        return inner if isinstance(inner, str) else ""
    texts = (_reasoning_text(item) for item in as_list(value) or () if isinstance(item, str | Mapping))
    return "\n".join(text for text in texts if text)


def untyped_text_part(part: Mapping[str, object]) -> JsonObject | None:
    """A text of Gemini or Bedrock; Gemini marks its thoughts."""
    return reasoning_part(part) if part.get("thought") is True else text_part({"text": part.get("text")})


def bedrock_reasoning_part(part: Mapping[str, object]) -> JsonObject | None:
    """The reasoning of Bedrock: `{"reasoningContent": {"reasoningText": {...}}}`."""
    inner = as_object(part["reasoningContent"])
    return None if inner is None else reasoning_part(inner)


# Tool calls.


def call_part(part: Mapping[str, object]) -> JsonObject:
    """A call of a tool, as it is when it is in the conventions' shape but for JSON arguments."""
    if part.get("type") == "tool_call" and isinstance(part.get("name"), str) and not part.keys() & _FOREIGN_CALL:
        arguments = part.get("arguments")
        parsed = call_arguments(arguments)
        return without_nulls(part) if parsed is arguments else {**without_nulls(part), "arguments": parsed}
    return tool_call_part(part)


_FOREIGN_CALL: Final = frozenset({"args", "input", "function", "toolCallId"})


def response_part(part: Mapping[str, object]) -> JsonObject:
    """What a tool returned, as it is when it is in the conventions' shape."""
    if part.get("type") == "tool_call_response" and "response" in part:
        response = response_value(part["response"])
        return without_nulls(part) if response is part["response"] else {**without_nulls(part), "response": response}
    return tool_response_part(part)


def typed_call_part(part: Mapping[str, object]) -> JsonObject:
    """An item `<name>_call` of OpenAI's Responses: of the client's when it has a call id, else of the server's."""
    name = str(part["type"]).removesuffix("_call")
    if part.get("call_id") is not None:
        return tool_call_part({"name": name, **without_nulls(part)})
    return _server_call(part, as_text(part.get("name")) or name, name)


def server_tool_use_part(part: Mapping[str, object]) -> JsonObject:
    """A call that the provider makes itself, in the shape of Anthropic."""
    name = as_text(part.get("name")) or "unknown"
    return _server_call(part, name, name)


def _server_call(part: Mapping[str, object], name: str, kind: str) -> JsonObject:
    payload = {key: value for key, value in part.items() if key not in ("type", "id", "name") and value is not None}
    call: JsonObject = {"type": "server_tool_call", "name": name, "server_tool_call": {**payload, "type": kind}}
    return {**call, "id": part["id"]} if isinstance(part.get("id"), str) else call


def server_tool_response_part(part: Mapping[str, object]) -> JsonObject:
    """What a provider's own tool returned."""
    kind = str(part["type"]).removesuffix("_tool_result").removesuffix("_result")
    call_id = as_text(first(part, "tool_use_id", "call_id", "id"))
    drop = ("type", "id", "call_id", "tool_use_id")
    payload = {key: value for key, value in part.items() if key not in drop and value is not None}
    response: JsonObject = {"type": "server_tool_call_response", "server_tool_call_response": {**payload, "type": kind}}
    return response if call_id is None else {**response, "id": call_id}


def nested(key: str, reader: PartReader) -> PartReader:
    """A reader of what a key holds, for parts such as Bedrock's `{"toolUse": {...}}`."""

    def read(part: Mapping[str, object]) -> JsonObject | None:
        inner = as_object(part[key])
        return {"type": "generic", key: part[key]} if inner is None else reader(inner)

    return read


def code_execution(key: str, name: str, suffix: str) -> PartReader:
    """A reader of Gemini's code execution: the provider ran it."""

    def read(part: Mapping[str, object]) -> JsonObject | None:
        source = {**(as_object(part[key]) or {}), "type": name + suffix}
        return typed_call_part(source) if suffix == "_call" else server_tool_response_part(source)

    return read


# Media.


def media(modality: str) -> PartReader:
    """A reader of media of one modality; a part in which none is found is kept."""

    def read(part: Mapping[str, object]) -> JsonObject | None:
        found = media_part(part, modality)
        return without_nulls(part) if found is None else found

    return read


def nested_media(key: str, modality: str) -> PartReader:
    """A reader of the media under a key; when there is none, the key is kept in a generic part."""

    def read(part: Mapping[str, object]) -> JsonObject | None:
        inner = as_object(part[key])
        found = None if inner is None else media_part(inner, modality)
        return {"type": "generic", key: part[key]} if found is None else found

    return read


def canonical_media(key: str) -> PartReader:
    """A reader of the types that are the conventions' own as well as others': blob, uri, file."""

    def read(part: Mapping[str, object]) -> JsonObject | None:
        if isinstance(part.get(key), str) and isinstance(part.get("modality"), str):
            is_data = key == "uri" and str(part[key]).startswith("data:")
            return media(str(part["modality"]))(part) if is_data else without_nulls(part)
        return media(as_text(part.get("modality")) or "document")(part)

    return read


def document_part(part: Mapping[str, object]) -> JsonObject | None:
    """Anthropic's documents may be plain text; all others are media."""
    source = as_object(part.get("source"))
    if source is not None and source.get("type") == "text":
        return text_part({"text": source.get("data")})
    return media("document")(part)


def as_it_is(part: Mapping[str, object]) -> JsonObject:
    """A part of the conventions' own."""
    return without_nulls(part)


def json_part(part: Mapping[str, object]) -> JsonObject:
    """Bedrock's `{"json": ...}` in a message."""
    return {"type": "text", "content": dump(part.get("json"))}
