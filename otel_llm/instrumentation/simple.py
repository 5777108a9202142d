"""Messages and tools of the plainest shapes, read without the readers of every shape.

Nine of ten messages are a role and a text. The readers in dialects take ten times as long for those as needed; what is
not that plain goes to them, message by message, and comes back in its place.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from otel_llm.dialects.messages import canonical_messages, canonical_tool_definitions
from otel_llm.instrumentation.provider import plain

_PLAIN: Final = frozenset({"role", "content"})
_ROLES: Final = frozenset({"user", "assistant", "system", "developer"})
_FUNCTION: Final = frozenset({"type", "function"})
_FUNCTION_FIELDS: Final = frozenset({"name", "description", "parameters"})


def read_messages(messages: Sequence[object]) -> list[dict[str, object]]:
    """Chat messages in the conventions' shape, system messages among them."""
    found: list[dict[str, object]] = []
    for message in messages:
        simple = _simple(message)
        if simple is None:
            found += canonical_messages([plain(message)]).messages
        else:
            found.append(simple)
    return found


def _simple(message: object) -> dict[str, object] | None:
    if type(message) is not dict or message.keys() != _PLAIN:
        return None
    content, role = message["content"], message["role"]
    # A text that begins like JSON may be taken for more than a text.
    if type(content) is not str or not content or content[0] in '[{" \t\r\n' or role not in _ROLES:
        return None
    return {"role": role, "parts": [{"type": "text", "content": content}]}


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
