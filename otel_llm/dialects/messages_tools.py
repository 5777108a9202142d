"""Tool calls, their results and the definitions of tools, in the conventions' shape.

Source: semconv gen-ai-input-messages.json (ToolCallRequestPart, ToolCallResponsePart), gen-ai-tool-definitions.json.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from otel_llm.dialects.messages_json import (
    JsonObject,
    as_list,
    as_object,
    as_text,
    first,
    parse_container,
    parse_json,
    parse_repr,
    without_nulls,
)

_CALL_ID: Final = ("call_id", "id", "toolCallId", "tool_call_id", "toolUseId", "tool_use_id", "tool_id")
_NAME: Final = ("name", "toolName", "tool_name", "function_name")
_ARGUMENTS: Final = ("arguments", "args", "input", "parameters", "partial_json", "action", "operation")
_RESPONSE_ID: Final = ("tool_call_id", "toolCallId", "tool_use_id", "toolUseId", "call_id", "id")
_RESPONSE: Final = ("response", "result", "output", "content", "outputs")

_ENVELOPE: Final = frozenset({"inputs", "input_str", "output", "outputs", "tags", "metadata", "kwargs", "run_id"})
_ENVELOPE_MARKS: Final = frozenset({"tags", "metadata", "kwargs", "input_str"})
_OUTPUT_TYPES: Final = frozenset({"text", "json", "error-text", "error-json", "content", "execution-denied"})
_SCHEMA: Final = (
    "parameters",
    "input_schema",
    "inputSchema",
    "parameters_json_schema",
    "parametersJsonSchema",
    "args_schema",
)


def tool_call_part(call: Mapping[str, object]) -> JsonObject:
    """The `tool_call` part for a call in any provider's shape; arguments are an object when they were JSON of one."""
    inner = as_object(call.get("function")) or call
    part: JsonObject = {"type": "tool_call"}
    call_id = first(call, *_CALL_ID)
    if call_id is not None:
        part["id"] = call_id if isinstance(call_id, str) else str(call_id)
    part["name"] = as_text(first(inner, *_NAME)) or as_text(call.get("function")) or as_text(first(call, *_NAME)) or ""
    arguments = first(inner, *_ARGUMENTS)
    if arguments is not None:
        part["arguments"] = call_arguments(arguments)
    return part


def call_arguments(value: object) -> object:
    """Arguments in a message: the object that a JSON text holds, else the value as it is; `{}` for an empty text."""
    if not isinstance(value, str):
        return value
    if not value.strip():
        return {}
    parsed = parse_container(value)
    return value if parsed is None else parsed


def tool_response_part(result: Mapping[str, object]) -> JsonObject:
    """The `tool_call_response` part for a tool's result in any provider's shape.

    The tool's name is kept only when there is no id to find the call by (Gemini, Ollama).
    """
    part: JsonObject = {"type": "tool_call_response"}
    call_id = first(result, *_RESPONSE_ID)
    name = as_text(first(result, *_NAME))
    if call_id is not None:
        part["id"] = call_id if isinstance(call_id, str) else str(call_id)
    elif name is not None:
        part["name"] = name
    part["response"] = response_value(first(result, *_RESPONSE))
    return part


def response_value(value: object) -> object:
    """What a tool returned, out of the provider's content blocks: the text or object of a single block, else as it is.

    A text stays a text, even when it is JSON: it is what the model was given. Absence is the empty text.
    """
    while True:
        block = as_object(value)
        if block is not None and "value" in block and str(block.get("type")) in _OUTPUT_TYPES:
            value = block["value"]  # Vercel AI SDK 5: {type, value}
            continue
        items = as_list(value)
        block = as_object(items[0]) if items is not None and len(items) == 1 else None
        if (
            block is not None
            and "content" not in block
            and block.get("type", "text") in ("text", "input_text", "output_text")
        ):
            inner = first(block, "text", "json")
            if inner is not None and ("type" in block or len(block) == 1):
                value = inner
                continue
        return "" if value is None else value


def tool_arguments(value: object) -> object:
    """What a tool was called with, out of `gen_ai.tool.call.arguments` and its forerunners.

    JSON text is read, the envelopes of OpenLLMetry and LangChain are opened; anything else is returned as it is.
    """
    value = _parsed(value)
    envelope = _envelope(value)
    if envelope is None:
        return value
    text = as_text(envelope.get("input_str"))
    inner = first(envelope, "inputs", "input") if text is None else _parsed(text)
    calls = as_list(inner)
    call = as_object(calls[0]) if calls is not None and len(calls) == 1 else None
    if call is not None and call.get("type") == "tool_call" and "args" in call:
        return call["args"]
    return value if inner is None else inner


def tool_result(value: object) -> object:
    """What a tool returned, out of `gen_ai.tool.call.result` and its forerunners; opened as in `tool_arguments`."""
    value = _parsed(value)
    envelope = _envelope(value)
    if envelope is not None:
        value = first(envelope, "output", "outputs")
    message = as_object(value)
    if message is not None and isinstance(message.get("kwargs"), Mapping) and "lc" in message:
        message = as_object(message["kwargs"])
    if message is not None and message.get("type") in ("tool", "ToolMessage") and "content" in message:
        value = message["content"]
    return response_value(value)


def _parsed(value: object) -> object:
    """The value of a JSON text or repr that holds an object, a list or a quoted text, else the value itself."""
    if not isinstance(value, str):
        return value
    parsed = parse_json(value) if value.lstrip()[:1] in ("{", "[", '"') else None
    if isinstance(parsed, str):  # MLflow quotes every value
        value, parsed = parsed, parse_container(parsed)
    if parsed is None:
        parsed = parse_repr(value)
    return value if parsed is None else parsed


def _envelope(value: object) -> Mapping[str, object] | None:
    source = as_object(value)
    if source is None or not source.keys() <= _ENVELOPE or not source.keys() & _ENVELOPE_MARKS:
        return None
    return source


def canonical_tool_definitions(value: object) -> list[JsonObject]:
    """Definitions of tools as the conventions have them: `{type: "function", name, description, parameters}`.

    Args:
        value: a list of definitions, or JSON of one, in the shape of OpenAI (nested or flat), Anthropic, Bedrock,
            Gemini, Vercel (a list of JSON texts), Pydantic AI; or a request that has `tools`.

    Returns:
        What could be understood; a provider's own tool keeps its type and settings.
    """
    return _definitions(value, 0)


def _definitions(value: object, depth: int) -> list[JsonObject]:
    value = _parsed(value)
    items = as_list(value)
    if items is None:
        source = as_object(value)
        return [] if source is None or depth > _MAX_DEFINITION_DEPTH else _definition(source, depth)
    if depth > _MAX_DEFINITION_DEPTH:
        return []
    return [definition for item in items for definition in _definitions(item, depth + 1)]


_MAX_DEFINITION_DEPTH: Final = 4


def _definition(source: Mapping[str, object], depth: int) -> list[JsonObject]:
    for key in ("tools", "function_tools", "functionDeclarations", "function_declarations", "toolSpec", "functions"):
        if isinstance(source.get(key), list | tuple | Mapping):
            return _definitions(source[key], depth + 1)
    inner = as_object(source.get("function")) or source
    name = as_text(first(inner, "name"))
    kind = as_text(source.get("type"))
    is_function = kind in (None, "function") or (kind == "custom" and "input_schema" in source)  # Anthropic's custom
    if is_function and name is not None:
        return [_function(inner, name)]
    if kind is not None and not is_function:
        return [{**without_nulls(source), "type": kind, "name": name or kind}]
    # Gemini names a tool of its own by the one key that is set: {"google_search": {}}
    keys = [key for key, setting in source.items() if setting is not None]
    is_named = len(keys) == 1 and keys[0] != "" and isinstance(source[keys[0]], Mapping)
    return [{"type": keys[0], "name": keys[0]}] if is_named else []


def _function(source: Mapping[str, object], name: str) -> JsonObject:
    definition: JsonObject = {"type": "function", "name": name}
    description = as_text(source.get("description"))
    if description is not None:
        definition["description"] = description
    schema = first(source, *_SCHEMA)
    schema = parse_container(schema) if isinstance(schema, str) else schema
    parameters = as_object(schema)
    if parameters is not None:
        nested = as_object(parameters.get("json")) if "inputSchema" in source else None  # Bedrock: inputSchema.json
        definition["parameters"] = parameters if nested is None else nested
    return definition
