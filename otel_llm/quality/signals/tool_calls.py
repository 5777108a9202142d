"""Whether tool calls name a tool that was offered, with arguments that fit its schema."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

import msgspec

from otel_llm.quality.signals.json_schema import breaks

Fault = Literal["unknown_tool", "invalid_tool_arguments"]

MAX_CALLS: Final = 64
MAX_ARGUMENTS: Final = 64 * 1024


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A call that the model asked for.

    Attributes:
        name: of the tool.
        arguments: as a JSON decoder gives them, or the JSON text.
    """

    name: str
    arguments: object


Tools = Mapping[str, object]


def read_tools(definitions: object) -> Tools | None:
    """Names of the tools offered, each with the schema of its parameters (None without one).

    Args:
        definitions: as in `gen_ai.tool.definitions`, or in OpenAI's nested form.

    Returns:
        None when these are no definitions, or when the provider's own tools are among them, which may go by any name.
    """
    if not isinstance(definitions, Sequence) or isinstance(definitions, str | bytes) or not definitions:
        return None
    tools: dict[str, object] = {}
    for definition in definitions:
        if not isinstance(definition, Mapping):
            return None
        function = definition.get("function")
        source = function if isinstance(function, Mapping) else definition
        name = source.get("name")
        if not isinstance(name, str) or definition.get("type", "function") != "function":
            return None
        tools[name] = source.get("parameters")
    return tools


def fault(call: ToolCall, tools: Tools) -> Fault | None:
    """What is wrong with a call, None when nothing is or it cannot be told."""
    if call.name not in tools:
        return "unknown_tool"
    arguments = call.arguments
    if isinstance(arguments, str):
        if len(arguments) > MAX_ARGUMENTS:
            return None
        try:
            arguments = msgspec.json.decode(arguments.encode("utf-8", "replace")) if arguments.strip() else {}
        except (msgspec.DecodeError, RecursionError):
            return "invalid_tool_arguments"
    schema = tools[call.name]
    if arguments is None:
        arguments = {}
    if not isinstance(arguments, Mapping):
        return "invalid_tool_arguments"
    if schema is None:
        return None
    return "invalid_tool_arguments" if breaks(arguments, schema, closed=True) else None
