"""Messages and tools of the plainest shapes, read without the readers of every shape.

Nine of ten messages are a role and a text. The readers in dialects take ten times as long for those as needed; what is
not that plain goes to them, message by message, and comes back in its place.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from otel_llm.dialects.messages import canonical_messages, canonical_tool_definitions
from otel_llm.instrumentation.provider import fields, plain

_PLAIN: Final = frozenset({"role", "content"})
_TEXT_BLOCK: Final = frozenset({"type", "text"})
_ROLES: Final = frozenset({"user", "assistant", "system", "developer"})
_FUNCTION: Final = frozenset({"type", "function"})
_FUNCTION_FIELDS: Final = frozenset({"name", "description", "parameters"})


def read_messages(messages: Sequence[object], as_plain: Callable[[object], object] = plain) -> list[dict[str, object]]:
    """Chat messages in the conventions' shape, system messages among them.

    Args:
        messages: as the app gave them.
        as_plain: makes plain data of a message of an SDK's own type.
    """
    found: list[dict[str, object]] = []
    for message in messages:
        simple = _simple(message)
        if simple is None:
            found += canonical_messages([as_plain(message)]).messages
        else:
            found.append(simple)
    return found


def _simple(message: object) -> dict[str, object] | None:
    if type(message) is not dict or message.keys() != _PLAIN:
        return None
    content, role = message["content"], message["role"]
    if not _is_text(content) or role not in _ROLES:
        return None
    return {"role": role, "parts": [{"type": "text", "content": content}]}


def _is_text(content: object) -> bool:
    """Whether this is a text and nothing else: one that begins like JSON may be taken for more."""
    return type(content) is str and content != "" and content[0] not in '[{" \t\r\n'


def read_choice(message: object) -> dict[str, object] | None:
    """A choice's message in the conventions' shape, when it is a text of the assistant and nothing besides.

    Args:
        message: an SDK's model, a View, or plain data.
    """
    said = fields(message)
    if said.get("role") != "assistant" or not _is_text(said.get("content")):
        return None
    if any(value for name, value in said.items() if name not in _PLAIN):  # a tool's call, a refusal, audio
        return None
    return {"role": "assistant", "parts": [{"type": "text", "content": said["content"]}]}


def simple_message(role: object, blocks: object) -> dict[str, object] | None:
    """Anthropic's message of content blocks in the conventions' shape, when they are texts and nothing besides."""
    if role not in _ROLES or type(blocks) is not list or not blocks:
        return None
    parts = []
    for block in blocks:
        said = fields(block)
        if said.get("type") != "text" or not _is_text(said.get("text")):
            return None
        if any(value for name, value in said.items() if name not in _TEXT_BLOCK):  # citations
            return None
        parts.append({"type": "text", "content": said["text"]})
    return {"role": role, "parts": parts}


def read_tools(tools: object) -> list[dict[str, object]]:
    """Tool definitions in the conventions' shape."""
    if not isinstance(tools, list):
        return canonical_tool_definitions(tools)
    found: list[dict[str, object]] = []
    for tool in tools:
        function = _plain_function(tool)
        if function is None:
            found += canonical_tool_definitions([plain(tool)])
        else:
            found.append({"type": "function", **function})
    return found


def _plain_function(tool: object) -> Mapping[str, object] | None:
    if type(tool) is not dict or tool.keys() != _FUNCTION or tool["type"] != "function":
        return None
    function = tool["function"]
    if type(function) is not dict or not function.keys() <= _FUNCTION_FIELDS:
        return None
    name, described = function.get("name"), function.get("description", "-")
    is_plain = isinstance(name, str) and name and isinstance(described, str) and described
    return function if is_plain and isinstance(function.get("parameters", {}), dict) else None
