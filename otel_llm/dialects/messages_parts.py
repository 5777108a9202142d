"""Parts of a message: every provider's and library's content blocks as the conventions' parts.

A part with a `type` is read by the table TYPED; one without (Bedrock, Gemini) by the first key that marks it. What is
in the conventions' shape already is returned as it is, except for nulls. What nobody knows is kept: a part with a type
as it stands, anything else as text.
Source: semconv gen-ai-input-messages.json; shapes from the providers' API references.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, TypeAlias

from otel_llm.dialects.messages_json import (
    JsonObject,
    as_list,
    as_object,
    as_text,
    dump,
    first,
    without_nulls,
)
from otel_llm.dialects.messages_media import media_part
from otel_llm.dialects.messages_tools import call_arguments, response_value, tool_call_part, tool_response_part

PartReader: TypeAlias = Callable[[Mapping[str, object]], JsonObject | None]

_REASONING_TEXT: Final = ("content", "thinking", "text", "reasoning", "reasoningText", "reasoning_content", "summary")


def canonical_parts(content: object) -> list[JsonObject]:
    """The parts that a message's content means.

    Args:
        content: a text, a list of parts in any shape, a single part, or None.
    """
    if content is None or content == "":
        return []
    items = as_list(content)
    if items is None:
        return _parts_of(content)
    return [part for item in items for part in _parts_of(item)]


def _parts_of(item: object) -> list[JsonObject]:
    source = as_object(item)
    if source is None:
        text = item if isinstance(item, str) else None if item is None else dump(item)
        return [{"type": "text", "content": text}] if text else []
    part = canonical_part(source)
    return [] if part is None else [part]


def canonical_part(part: Mapping[str, object]) -> JsonObject | None:
    """The conventions' part for a part of any shape; None when it holds nothing."""
    kind = part.get("type")
    if isinstance(kind, str):
        reader = _reader(kind)
        return _checked(without_nulls(part) if reader is None else reader(part))
    for key, reader in UNTYPED.items():
        if part.get(key) is not None:
            return _checked(reader(part))
    return {**without_nulls(part), "type": "generic"}


# What a part of the conventions' types must have; the type `object` stands for anything but null.
_REQUIRED: Final[dict[str, tuple[tuple[str, type], ...]]] = {
    "text": (("content", str),),
    "reasoning": (("content", str),),
    "tool_call": (("name", str),),
    "tool_call_response": (("response", object),),
    "server_tool_call": (("name", str), ("server_tool_call", dict)),
    "server_tool_call_response": (("server_tool_call_response", dict),),
    "blob": (("modality", str), ("content", str)),
    "uri": (("modality", str), ("uri", str)),
    "file": (("modality", str), ("file_id", str)),
}


def _checked(part: JsonObject | None) -> JsonObject | None:
    """The part, under the generic type when it is not what its type says: consumers may rely on the types.

    Source: semantic-conventions-genai #584, `generic_type`.
    """
    if part is None:
        return None
    required = _REQUIRED.get(str(part["type"]), ())
    if all(key in part and isinstance(part[key], kind) for key, kind in required):
        return part
    return {**part, "type": "generic", "generic_type": part["type"]}


def is_part(part: Mapping[str, object]) -> bool:
    """Whether this is a part in a known shape."""
    kind = part.get("type")
    if isinstance(kind, str):
        return kind in _AS_IT_IS or _reader(kind) is not None
    return any(part.get(key) is not None for key in UNTYPED)


def _reader(kind: str) -> PartReader | None:
    reader = TYPED.get(kind)
    if reader is not None:
        return reader
    if kind.endswith("_tool_result"):
        return _server_tool_response
    if kind.endswith("_call_output"):
        return tool_response_part
    return _typed_call if kind.endswith("_call") else None


# Text and reasoning.


def _text(part: Mapping[str, object]) -> JsonObject | None:
    if isinstance(part.get("content"), str):
        return without_nulls(part)
    value = first(part, "text", "content", "refusal", "value")
    inner = as_object(value)
    if inner is not None and "value" in inner:
        value = inner["value"]  # OpenAI assistants: {"text": {"value", "annotations"}}
    if value is None or value == "":
        return None
    return {"type": "text", "content": value if isinstance(value, str) else dump(value)}


def _reasoning(part: Mapping[str, object]) -> JsonObject | None:
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


def _untyped_text(part: Mapping[str, object]) -> JsonObject | None:
    return _reasoning(part) if part.get("thought") is True else _text({"text": part.get("text")})


def _bedrock_reasoning(part: Mapping[str, object]) -> JsonObject | None:
    inner = as_object(part["reasoningContent"])
    return None if inner is None else _reasoning(inner)


# Tool calls.


def _call(part: Mapping[str, object]) -> JsonObject:
    if part.get("type") == "tool_call" and isinstance(part.get("name"), str) and not part.keys() & _FOREIGN_CALL:
        arguments = part.get("arguments")
        parsed = call_arguments(arguments)
        return without_nulls(part) if parsed is arguments else {**without_nulls(part), "arguments": parsed}
    return tool_call_part(part)


_FOREIGN_CALL: Final = frozenset({"args", "input", "function", "toolCallId"})


def _response(part: Mapping[str, object]) -> JsonObject:
    if part.get("type") == "tool_call_response" and "response" in part:
        response = response_value(part["response"])
        return without_nulls(part) if response is part["response"] else {**without_nulls(part), "response": response}
    return tool_response_part(part)


def _typed_call(part: Mapping[str, object]) -> JsonObject:
    """An item `<name>_call` of OpenAI's Responses: of the client's when it has a call id, else of the server's."""
    name = str(part["type"]).removesuffix("_call")
    if part.get("call_id") is not None:
        return tool_call_part({"name": name, **without_nulls(part)})
    return _server_call(part, as_text(part.get("name")) or name, name)


def _server_tool_use(part: Mapping[str, object]) -> JsonObject:
    name = as_text(part.get("name")) or "unknown"
    return _server_call(part, name, name)


def _server_call(part: Mapping[str, object], name: str, kind: str) -> JsonObject:
    payload = {key: value for key, value in part.items() if key not in ("type", "id", "name") and value is not None}
    call: JsonObject = {"type": "server_tool_call", "name": name, "server_tool_call": {**payload, "type": kind}}
    return {**call, "id": part["id"]} if isinstance(part.get("id"), str) else call


def _server_tool_response(part: Mapping[str, object]) -> JsonObject:
    kind = str(part["type"]).removesuffix("_tool_result").removesuffix("_result")
    call_id = as_text(first(part, "tool_use_id", "call_id", "id"))
    drop = ("type", "id", "call_id", "tool_use_id")
    payload = {key: value for key, value in part.items() if key not in drop and value is not None}
    response: JsonObject = {"type": "server_tool_call_response", "server_tool_call_response": {**payload, "type": kind}}
    return response if call_id is None else {**response, "id": call_id}


def _nested(key: str, reader: PartReader) -> PartReader:
    """A reader of what a key holds, for parts such as Bedrock's `{"toolUse": {...}}`."""

    def read(part: Mapping[str, object]) -> JsonObject | None:
        inner = as_object(part[key])
        return {"type": "generic", key: part[key]} if inner is None else reader(inner)

    return read


def _code(key: str, name: str, suffix: str) -> PartReader:
    """A reader of Gemini's code execution: the provider ran it."""

    def read(part: Mapping[str, object]) -> JsonObject | None:
        return canonical_part({**(as_object(part[key]) or {}), "type": name + suffix})

    return read


# Media.


def _media(modality: str) -> PartReader:
    def read(part: Mapping[str, object]) -> JsonObject | None:
        media = media_part(part, modality)
        return without_nulls(part) if media is None else media

    return read


def _nested_media(key: str, modality: str) -> PartReader:
    def read(part: Mapping[str, object]) -> JsonObject | None:
        inner = as_object(part[key])
        media = None if inner is None else media_part(inner, modality)
        return {"type": "generic", key: part[key]} if media is None else media

    return read


def _canonical_media(key: str) -> PartReader:
    def read(part: Mapping[str, object]) -> JsonObject | None:
        if isinstance(part.get(key), str) and isinstance(part.get("modality"), str):
            is_data = key == "uri" and str(part[key]).startswith("data:")
            return _media(str(part["modality"]))(part) if is_data else without_nulls(part)
        return _media(as_text(part.get("modality")) or "document")(part)

    return read


def _document(part: Mapping[str, object]) -> JsonObject | None:
    """Anthropic's documents may be plain text; all others are media."""
    source = as_object(part.get("source"))
    if source is not None and source.get("type") == "text":
        return _text({"text": source.get("data")})
    return _media("document")(part)


def _as_it_is(part: Mapping[str, object]) -> JsonObject:
    return without_nulls(part)


_AS_IT_IS: Final = frozenset({"compaction", "generic", "redacted_thinking", "server_tool_call_response"})


def _json_text(part: Mapping[str, object]) -> JsonObject:
    return {"type": "text", "content": dump(part.get("json"))}


TYPED: Final[dict[str, PartReader]] = {
    **dict.fromkeys(("text", "input_text", "output_text", "summary_text", "refusal", "text-plain", "markdown"), _text),
    **dict.fromkeys(("reasoning", "thinking", "thought", "reasoning_content", "reasoning_text"), _reasoning),
    **dict.fromkeys(("tool_call", "tool-call", "tool_use", "toolUse", "function_call", "functionCall"), _call),
    **dict.fromkeys(("function", "custom", "custom_tool_call"), tool_call_part),
    **dict.fromkeys(("tool_call_response", "tool-result", "tool_result", "toolResult"), _response),
    **dict.fromkeys(("function_call_output", "function_response", "functionResponse", "function_result"), _response),
    **dict.fromkeys(("server_tool_use", "server-tool-use", "mcp_tool_use"), _server_tool_use),
    "server_tool_call": _as_it_is,
    **dict.fromkeys(("google_search_result", "code_execution_result", "url_context_result"), _server_tool_response),
    **dict.fromkeys(("image", "image_url", "input_image", "image-url", "image-data"), _media("image")),
    **dict.fromkeys(("audio", "input_audio", "audio_url", "audio-url", "output_audio"), _media("audio")),
    **dict.fromkeys(("video", "video_url", "video-url", "input_video"), _media("video")),
    **dict.fromkeys(
        ("input_file", "binary", "media", "document-url", "file_url", "file-url", "file-data"), _media("document")
    ),
    "file": _canonical_media("file_id"),
    "blob": _canonical_media("content"),
    "uri": _canonical_media("uri"),
    "document": _document,
}

UNTYPED: Final[dict[str, PartReader]] = {
    "toolUse": _nested("toolUse", tool_call_part),
    "toolResult": _nested("toolResult", tool_response_part),
    "reasoningContent": _bedrock_reasoning,
    "functionCall": _nested("functionCall", tool_call_part),
    "function_call": _nested("function_call", tool_call_part),
    "functionResponse": _nested("functionResponse", tool_response_part),
    "function_response": _nested("function_response", tool_response_part),
    "inlineData": _nested_media("inlineData", "document"),
    "inline_data": _nested_media("inline_data", "document"),
    "fileData": _nested_media("fileData", "document"),
    "file_data": _nested_media("file_data", "document"),
    "executableCode": _code("executableCode", "code_execution", "_call"),
    "executable_code": _code("executable_code", "code_execution", "_call"),
    "codeExecutionResult": _code("codeExecutionResult", "code_execution", "_result"),
    "code_execution_result": _code("code_execution_result", "code_execution", "_result"),
    "toolCallId": tool_call_part,
    "function": tool_call_part,
    "image": _nested_media("image", "image"),
    "video": _nested_media("video", "video"),
    "audio": _nested_media("audio", "audio"),
    "document": _nested_media("document", "document"),
    "text": _untyped_text,
    "json": _json_text,
}
