"""One chat message in any shape: role, parts, name and why the model stopped.

OpenAI, Anthropic, Bedrock, Gemini, Ollama, Cohere, Vercel and the conventions' own messages are all an object with a
role and some content; LangChain's are a class name with arguments, and are turned into the former first.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from otel_llm.dialects.messages_json import JsonObject, as_list, as_object, as_text, dump, first
from otel_llm.dialects.messages_parts import canonical_part, canonical_parts
from otel_llm.dialects.messages_tools import response_value, tool_call_part

_ROLES: Final = {
    "ai": "assistant",
    "aimessage": "assistant",
    "aimessagechunk": "assistant",
    "chatbot": "assistant",
    "model": "assistant",
    "human": "user",
    "humanmessage": "user",
    "humanmessagechunk": "user",
    "systemmessage": "system",
    "systemmessagechunk": "system",
    "function": "tool",
    "functionmessage": "tool",
    "toolmessage": "tool",
    "toolmessagechunk": "tool",
    "user": "user",
    "assistant": "assistant",
    "system": "system",
    "tool": "tool",
    "developer": "developer",
}
# Words that instrumentations write when they do not know.
_NO_ROLE: Final = frozenset({"", "unknown", "none"})
_LANGCHAIN_TYPES: Final = frozenset(
    {"human", "ai", "system", "tool", "function", "chat", "AIMessageChunk", "HumanMessageChunk", "SystemMessageChunk"}
    | {
        "HumanMessage",
        "AIMessage",
        "SystemMessage",
        "ToolMessage",
        "FunctionMessage",
        "ChatMessage",
        "ToolMessageChunk",
    }
)
_CONTENT_KEYS: Final = frozenset(
    {
        "content",
        "parts",
        "tool_calls",
        "toolCalls",
        "function_call",
        "refusal",
        "audio",
        "reasoning_content",
        "contents",
    }
)
_FOREIGN_KEYS: Final = _CONTENT_KEYS - {"parts"}
_FINISH: Final = ("finish_reason", "stop_reason", "stopReason", "finishReason", "done_reason", "completionReason")


@dataclass(frozen=True, slots=True)
class ChatMessage:
    """A message as read.

    Attributes:
        role: the conventions' role, or the source's own word in lower case.
        parts: its parts in the conventions' shape.
        name: the participant's name, None when there is none.
        finish_reason: why the model stopped, in the source's words; None when the message does not say.
    """

    role: str
    parts: list[JsonObject]
    name: str | None = None
    finish_reason: str | None = None

    def to_json(self) -> JsonObject:
        """The message as in the conventions' JSON schema."""
        message: JsonObject = {"role": self.role, "parts": self.parts}
        if self.name is not None:
            message["name"] = self.name
        return message


def canonical_role(value: object, default: str) -> str:
    """The conventions' role for any library's word; the default when there is none."""
    role = value.strip().lower() if isinstance(value, str) else ""
    return default if role in _NO_ROLE else _ROLES.get(role, role)


def finish_reason_of(source: Mapping[str, object]) -> str | None:
    """Why the model stopped, in the source's words, None when it does not say."""
    return as_text(first(source, *_FINISH))


def is_message(source: Mapping[str, object]) -> bool:
    """Whether this is a message in a known shape."""
    role = source.get("role")
    if isinstance(role, str) and role:
        return bool(source.keys() & _CONTENT_KEYS) or (len(source) == 1 and role.lower() in _ROLES)
    kind = source.get("type")
    if isinstance(kind, str) and kind in _LANGCHAIN_TYPES:
        return "content" in source or isinstance(source.get("data"), Mapping)
    return _is_constructor(source)


def canonical_message(source: Mapping[str, object], default_role: str) -> JsonObject | None:
    """The message when it is in the conventions' shape (Gemini's is the same), with what it has besides; else None.

    Its finish reason is left out: the conventions have moved it to an attribute.
    """
    parts = as_list(source.get("parts"))
    if parts is None or not isinstance(source.get("role"), str) or source.keys() & _FOREIGN_KEYS:
        return None
    message = {key: value for key, value in source.items() if value is not None and key not in _FINISH}
    return {**message, "role": canonical_role(source["role"], default_role), "parts": canonical_parts(parts)}


def read_message(source: Mapping[str, object], default_role: str) -> ChatMessage:
    """The message that an object of any shape means.

    Args:
        source: the object.
        default_role: the role when the object has none that is known.
    """
    source = _from_langchain(source)
    role = canonical_role(source.get("role"), default_role)
    parts = _parts(source)
    if role == "tool" and not any(part.get("type") == "tool_call_response" for part in parts):
        parts = [_response(source, parts)]
    name = None if role == "tool" else as_text(source.get("name"))
    return ChatMessage(role, parts, name, finish_reason_of(source))


def _parts(source: Mapping[str, object]) -> list[JsonObject]:
    parts = list(_reasoning(source))
    parts += canonical_parts(source.get("parts") if as_list(source.get("parts")) is not None else _content(source))
    refusal = as_text(source.get("refusal"))
    if refusal is not None:
        parts.append({"type": "text", "content": refusal})
    parts += _tool_calls(source, {part["id"] for part in parts if part["type"] == "tool_call" and _is_id(part)})
    audio = as_object(source.get("audio"))
    if audio is not None:
        part = canonical_part({"type": "audio", "format": "wav", **audio})
        if part is not None and part["type"] != "audio":
            parts.append(part)
    return parts


def _is_id(part: Mapping[str, object]) -> bool:
    return isinstance(part.get("id"), str)


def _content(source: Mapping[str, object]) -> object:
    """A message's content; an object that is neither text nor part is kept as its JSON text."""
    content = first(source, "content", "contents")
    inner = as_object(content)
    if inner is None:
        return content
    if as_list(inner.get("parts")) is not None:
        return inner["parts"]
    return [inner] if isinstance(inner.get("type"), str) else dump(inner)


def _reasoning(source: Mapping[str, object]) -> list[JsonObject]:
    """Reasoning that stands beside the content: DeepSeek and vLLM, OpenRouter, Ollama."""
    text = first(source, "reasoning_content", "reasoning", "thinking")
    return [{"type": "reasoning", "content": text}] if isinstance(text, str) and text else []


def _tool_calls(source: Mapping[str, object], seen: set[object]) -> list[JsonObject]:
    """Tool calls beside the content. LangChain and OpenInference also have them inside: those are not repeated."""
    calls: list[object] = []
    for key in ("tool_calls", "toolCalls", "invalid_tool_calls"):
        calls += as_list(source.get(key)) or ()
    calls.append(source.get("function_call"))
    sources = (as_object(call) for call in calls)
    parts = [tool_call_part(call) for call in sources if call]
    return [part for part in parts if not _is_id(part) or part["id"] not in seen]


def _response(source: Mapping[str, object], parts: list[JsonObject]) -> JsonObject:
    """A tool's message as one part: what the tool returned to the call it names."""
    part: JsonObject = {"type": "tool_call_response"}
    call_id = as_text(first(source, "tool_call_id", "toolCallId", "tool_use_id", "id"))
    name = as_text(first(source, "name", "tool_name", "toolName"))
    if call_id is not None:
        part["id"] = call_id
    elif name is not None:
        part["name"] = name
    content = source.get("content")
    if "parts" in source or content is None:
        content = parts or None
    part["response"] = response_value(content)
    return part


# LangChain.


def _is_constructor(source: Mapping[str, object]) -> bool:
    return "lc" in source and isinstance(source.get("kwargs"), Mapping) and _class_name(source).lower() in _CLASSES


_CLASSES: Final = frozenset(role for role in _ROLES if "message" in role) | {"chatmessage", "chatmessagechunk"}


def _class_name(source: Mapping[str, object]) -> str:
    path = as_list(source.get("id"))
    return str(path[-1]) if path else ""


def _from_langchain(source: Mapping[str, object]) -> Mapping[str, object]:
    """A LangChain message as a chat message; anything else as it is."""
    if _is_constructor(source):
        inner = as_object(source["kwargs"]) or {}
        return _plain({"type": _class_name(source), **inner})
    if isinstance(source.get("role"), str):
        return source
    kind = source.get("type")
    if not isinstance(kind, str) or kind not in _LANGCHAIN_TYPES:
        return source
    data = as_object(source.get("data"))
    return _plain({"type": kind, **(source if data is None else data)})


def _plain(source: JsonObject) -> JsonObject:
    extra = as_object(source.get("additional_kwargs")) or {}
    metadata = as_object(source.get("response_metadata")) or {}
    message = {**source, "role": source.get("role") or source["type"]}
    if str(source["type"]).lower() in ("chat", "chatmessage", "chatmessagechunk"):
        message["role"] = source.get("role")
    if not source.get("tool_calls") and not source.get("invalid_tool_calls"):
        message |= {key: extra[key] for key in ("tool_calls", "function_call") if extra.get(key)}
    for key in ("reasoning_content", "refusal"):
        if extra.get(key) and not source.get(key):
            message[key] = extra[key]
    if str(message["role"]).lower().startswith("tool") is False:
        message.pop("id", None)
    return {**message, **{key: metadata[key] for key in _FINISH if metadata.get(key)}}
