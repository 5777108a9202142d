"""Messages that were flattened into attributes with numbers in their keys.

OpenLLMetry writes `gen_ai.prompt.0.content`, OpenInference `llm.input_messages.0.message.content`. The attributes are
put back into a tree, the tree into a chat message, and that is read like any other. Numbers need not be dense; a
span's number of attributes bounds the work.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final, Literal, TypeAlias

from otel_llm.dialects.messages_chat import ChatMessage, read_message
from otel_llm.dialects.messages_documents import document
from otel_llm.dialects.messages_json import JsonObject, as_list, as_object, as_text, first, parse_container
from otel_llm.dialects.messages_parts import canonical_part, is_part
from otel_llm.dialects.messages_reader import Conversation, Reader
from otel_llm.dialects.messages_tools import canonical_tool_definitions

Style: TypeAlias = Literal["openllmetry", "openinference"]

# Deeper than any key of a convention; what is deeper is one key.
_MAX_KEY_DEPTH: Final = 8
_OUTPUT_PREFIXES: Final = ("gen_ai.completion", "llm.output_messages", "llm.choices")
# google-genai streams under OpenInference 1.4 write the calls of the answer without prefix and message number.
_LOST_CALLS: Final = "message.tool_calls."


def indexed_messages(attributes: Mapping[str, object], prefix: str, style: Style) -> Conversation:
    """The messages under a prefix.

    Args:
        attributes: all attributes of a span.
        prefix: what stands before the number, without the dot: `gen_ai.prompt`, `gen_ai.completion`,
            `llm.input_messages`, `llm.output_messages`, `llm.prompts`, `llm.choices`.
        style: whose keys they are.
    """
    role = "assistant" if prefix in _OUTPUT_PREFIXES else "user"
    reader = Reader(role)
    for node in _nodes(attributes, prefix):
        source = _openllmetry(node) if style == "openllmetry" else _openinference(node)
        if source:
            _add(reader, read_message(source, role))
    if prefix == "llm.output_messages" and style == "openinference":
        _add_lost_calls(reader, attributes)
    return reader.conversation()


def indexed_tools(attributes: Mapping[str, object], prefix: str) -> list[JsonObject]:
    """The definitions of tools under a prefix: `llm.request.functions` or `llm.tools`."""
    sources: list[object] = []
    for node in _nodes(attributes, prefix):
        tool = as_object(node.get("tool"))
        sources.append(node if tool is None else first(tool, "json_schema", "parameters") or tool)
    return canonical_tool_definitions(sources)


def indexed_documents(attributes: Mapping[str, object], prefix: str) -> list[JsonObject]:
    """The documents under a prefix: `retrieval.documents`, `reranker.output_documents`."""
    sources = (as_object(node.get("document")) or node for node in _nodes(attributes, prefix))
    return [found for source in sources for found in document(source)]


def _add(reader: Reader, message: ChatMessage) -> None:
    """Collect a message. OpenInference gives the reasoning of an answer a message of its own: it joins the answer."""
    last = reader.messages[-1] if reader.messages else None
    reader.add(message)
    if last is None or message.role != "assistant" or last["role"] != "assistant":
        return
    parts = as_list(last["parts"]) or ()
    if parts and all((as_object(part) or {}).get("type") == "reasoning" for part in parts):
        reader.messages[-2:] = [{**reader.messages[-1], "parts": [*parts, *message.parts]}]


def _add_lost_calls(reader: Reader, attributes: Mapping[str, object]) -> None:
    lost = {key.removeprefix("message."): value for key, value in attributes.items() if key.startswith(_LOST_CALLS)}
    calls = [_call(node) for node in _nodes(lost, "tool_calls")]
    if not calls:
        return
    parts = read_message({"role": "assistant", "tool_calls": calls}, "assistant").parts
    if not reader.messages:
        reader.add(ChatMessage("assistant", parts))
        return
    last = reader.messages[-1]
    last["parts"] = [*(as_list(last["parts"]) or ()), *parts]


# Attributes to a tree.


def _nodes(attributes: Mapping[str, object], prefix: str) -> list[JsonObject]:
    """The trees under the numbers that follow a prefix, in the numbers' order."""
    start = prefix + "."
    found: dict[int, JsonObject] = {}
    for key, value in attributes.items():
        if not key.startswith(start) or value is None:
            continue
        number, _, path = key[len(start) :].partition(".")
        if number.isascii() and number.isdigit() and path and len(number) <= _MAX_DIGITS:
            _insert(found.setdefault(int(number), {}), path.split(".", _MAX_KEY_DEPTH), value)
    return [found[number] for number in sorted(found)]


_MAX_DIGITS: Final = 9


def _insert(node: JsonObject, path: Sequence[str], value: object) -> None:
    for word in path[:-1]:
        inner = node.get(word)
        if not isinstance(inner, dict):
            inner = node[word] = {}
        node = inner
    node.setdefault(path[-1], value)


def _numbered(node: object) -> Iterable[JsonObject]:
    """The children of a node whose keys are numbers, in their order."""
    if not isinstance(node, dict):
        return ()
    numbers = sorted((key for key in node if key.isascii() and key.isdigit()), key=lambda key: (len(key), key))
    return (node[number] for number in numbers if isinstance(node[number], dict))


# Trees to chat messages.


def _openllmetry(node: JsonObject) -> JsonObject:
    message = dict(node)
    message["tool_calls"] = list(_numbered(node.get("tool_calls")))
    content = node.get("content")
    if isinstance(content, str):
        message["content"] = _content(content)
    return message


def _content(text: str) -> object:
    """The parts that OpenLLMetry wrote as JSON, else the text."""
    items = as_list(parse_container(text)) if text.startswith("[") else None
    objects = [item for item in items or () if isinstance(item, dict)]
    return objects if objects and len(objects) == len(items or ()) and all(map(is_part, objects)) else text


def _openinference(node: JsonObject) -> JsonObject:
    if "message" not in node:
        inner = as_object(node.get("prompt")) or as_object(node.get("completion")) or {}
        return {"content": inner.get("text")}
    source = as_object(node["message"]) or {}
    message: JsonObject = {key: source[key] for key in ("role", "name", "tool_call_id") if key in source}
    contents = [part for part in map(_content_part, _numbered(source.get("contents"))) if part is not None]
    message["content"] = contents or source.get("content")
    message["tool_calls"] = [_call(as_object(call)) for call in _numbered(source.get("tool_calls"))]
    if as_text(source.get("function_call_name")) is not None:
        message["function_call"] = {
            "name": source["function_call_name"],
            "arguments": source.get("function_call_arguments_json"),
        }
    return message


def _call(node: Mapping[str, object] | None) -> JsonObject:
    call = as_object((node or {}).get("tool_call")) or {}
    return {key: call[key] for key in ("id", "function") if key in call}


def _content_part(node: JsonObject) -> JsonObject | None:
    if isinstance(node.get("tool_call"), dict):
        return {**_call(node), "type": "tool_call"}
    source = as_object(node.get("message_content"))
    if source is None:
        return None
    image = as_object(source.get("image"))
    if image is not None:
        return {"type": "image", **(as_object(image.get("image")) or image)}
    part = canonical_part({**source, "type": source.get("type") or "text"})
    if part is not None and part["type"] == "reasoning":
        return {"type": "reasoning", "content": part.get("content", "")}
    return part
