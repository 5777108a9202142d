"""Parts of a message: every provider's and library's content blocks as the conventions' parts.

A part with a `type` is read by the table TYPED; one without (Bedrock, Gemini) by the first key that marks it. What is
in the conventions' shape already is returned as it is, except for nulls. What nobody knows is kept: a part with a type
as it stands, anything else as text.
Source: semconv gen-ai-input-messages.json; shapes from the providers' API references.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from otel_llm.dialects.messages_json import JsonObject, as_list, as_object, dump, without_nulls
from otel_llm.dialects.messages_part_readers import (
    PartReader,
    as_it_is,
    bedrock_reasoning_part,
    call_part,
    canonical_media,
    code_execution,
    document_part,
    json_part,
    media,
    nested,
    nested_media,
    reasoning_part,
    response_part,
    server_tool_response_part,
    server_tool_use_part,
    text_part,
    typed_call_part,
    untyped_text_part,
)
from otel_llm.dialects.messages_tools import tool_call_part, tool_response_part

_EMPTY_TEXT: Final[JsonObject] = {"type": "text", "content": ""}


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
    parts = [part for item in items for part in _parts_of(item)]
    # Streams of OpenLLMetry put a text without any before a tool call; where it is all there is, it is the answer.
    return [part for part in parts if part != _EMPTY_TEXT] or parts


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


_AS_IT_IS: Final = frozenset({"compaction", "generic", "redacted_thinking", "server_tool_call_response"})


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
        return server_tool_response_part
    if kind.endswith("_call_output"):
        return tool_response_part
    return typed_call_part if kind.endswith("_call") else None


TYPED: Final[dict[str, PartReader]] = {
    **dict.fromkeys(("text", "input_text", "output_text", "summary_text"), text_part),
    **dict.fromkeys(("refusal", "text-plain", "markdown"), text_part),
    **dict.fromkeys(("reasoning", "thinking", "thought", "reasoning_content", "reasoning_text"), reasoning_part),
    **dict.fromkeys(("tool_call", "tool-call", "tool_use", "toolUse", "function_call", "functionCall"), call_part),
    **dict.fromkeys(("function", "custom", "custom_tool_call"), tool_call_part),
    **dict.fromkeys(("tool_call_response", "tool-result", "tool_result", "toolResult"), response_part),
    **dict.fromkeys(("function_call_output", "function_result"), response_part),
    **dict.fromkeys(("function_response", "functionResponse"), response_part),
    **dict.fromkeys(("server_tool_use", "server-tool-use", "mcp_tool_use"), server_tool_use_part),
    "server_tool_call": as_it_is,
    **dict.fromkeys(("google_search_result", "code_execution_result", "url_context_result"), server_tool_response_part),
    **dict.fromkeys(("image", "image_url", "input_image", "image-url", "image-data"), media("image")),
    **dict.fromkeys(("audio", "input_audio", "audio_url", "audio-url", "output_audio"), media("audio")),
    **dict.fromkeys(("video", "video_url", "video-url", "input_video"), media("video")),
    **dict.fromkeys(
        ("input_file", "binary", "media", "document-url", "file_url", "file-url", "file-data"), media("document")
    ),
    "file": canonical_media("file_id"),
    "blob": canonical_media("content"),
    "uri": canonical_media("uri"),
    "document": document_part,
}

UNTYPED: Final[dict[str, PartReader]] = {
    "toolUse": nested("toolUse", tool_call_part),
    "toolResult": nested("toolResult", tool_response_part),
    "reasoningContent": bedrock_reasoning_part,
    "functionCall": nested("functionCall", tool_call_part),
    "function_call": nested("function_call", tool_call_part),
    "functionResponse": nested("functionResponse", tool_response_part),
    "function_response": nested("function_response", tool_response_part),
    "inlineData": nested_media("inlineData", "document"),
    "inline_data": nested_media("inline_data", "document"),
    "fileData": nested_media("fileData", "document"),
    "file_data": nested_media("file_data", "document"),
    "executableCode": code_execution("executableCode", "code_execution", "_call"),
    "executable_code": code_execution("executable_code", "code_execution", "_call"),
    "codeExecutionResult": code_execution("codeExecutionResult", "code_execution", "_result"),
    "code_execution_result": code_execution("code_execution_result", "code_execution", "_result"),
    "toolCallId": tool_call_part,
    "function": tool_call_part,
    "image": nested_media("image", "image"),
    "video": nested_media("video", "video"),
    "audio": nested_media("audio", "audio"),
    "document": nested_media("document", "document"),
    "text": untyped_text_part,
    "json": json_part,
}
