"""Containers of messages: requests, responses, lists, and the envelopes that frameworks put around them.

`read` takes a value of any shape and collects from it; the table CONTAINERS says by which key a shape is known.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final, TypeAlias

from otel_llm.dialects.messages_chat import (
    canonical_message,
    canonical_role,
    finish_reason_of,
    is_message,
    read_message,
)
from otel_llm.dialects.messages_json import JsonObject, as_list, as_object, as_text, dump, first
from otel_llm.dialects.messages_parts import canonical_part, is_part
from otel_llm.dialects.messages_reader import Reader

ContainerReader: TypeAlias = Callable[[Reader, Mapping[str, object], int], bool]

# Containers in containers, as in `{"generations": [[{"message": {...}}]]}`; what is deeper is kept as text.
_MAX_NESTING: Final = 12
_SYSTEM_KEYS: Final = ("system", "instructions", "system_instruction", "systemInstruction", "system_prompt")


def read(reader: Reader, value: object, depth: int = 0) -> bool:
    """Collect from a value of any shape.

    Args:
        reader: what is collected into.
        value: a list or an object; anything else is not of a known shape.
        depth: how many containers are around the value.

    Returns:
        False when nothing in the value is a message; then nothing was collected.
    """
    if depth > _MAX_NESTING:
        return False
    items = as_list(value)
    if items is not None:
        return _read_list(reader, items, depth)
    source = as_object(value)
    return source is not None and _read_object(reader, source, depth)


def _read_list(reader: Reader, items: Sequence[object], depth: int) -> bool:
    unknown: list[object] = []
    for position, item in enumerate(items):
        before = len(reader.messages)
        if not read(reader, item, depth + 1):
            unknown.append(item)
            continue
        if unknown:
            reader.messages[before:before] = _as_texts(reader, unknown)
        for other in items[position + 1 :]:
            if not read(reader, other, depth + 1):
                reader.messages += _as_texts(reader, [other])
                reader.close()
        return True
    return False


def _as_texts(reader: Reader, items: Sequence[object]) -> list[JsonObject]:
    """What stands among messages and is none, as messages of one text."""
    texts = Reader(reader.default_role)
    for item in items:
        if item is not None:
            texts.add_text(item if isinstance(item, str) else dump(item))
    return texts.messages


def _read_object(reader: Reader, source: Mapping[str, object], depth: int) -> bool:
    if is_message(source):
        _read_message(reader, source)
        return True
    if isinstance(source.get("event.name"), str):
        _read_event(reader, source)
        return True
    # Without a type and on its own, `{"text": ...}` is more likely to be what a model was asked to answer with.
    if (isinstance(source.get("type"), str) or depth > 0) and is_part(source):
        reader.add_loose(canonical_part(source))
        return True
    return any(source.get(key) is not None and collect(reader, source, depth) for key, collect in CONTAINERS.items())


def _read_message(reader: Reader, source: Mapping[str, object]) -> None:
    message = canonical_message(source, reader.default_role)
    if message is not None:
        reader.add_json(message, finish_reason_of(source))
        return
    read_one = read_message(source, reader.default_role)
    is_item = source.get("type") == "message" and read_one.role == "assistant" and "stop_reason" not in source
    if is_item:
        reader.add_loose_parts(read_one.parts, "assistant")
    else:
        reader.add(read_one)


def _read_event(reader: Reader, source: Mapping[str, object]) -> None:
    """An event of Pydantic AI's first format: a message whose role is in the event's name."""
    word = str(source["event.name"]).removeprefix("gen_ai.").removesuffix(".message")
    role = "assistant" if word == "choice" else canonical_role(word, reader.default_role)
    message = source.get("message")
    if isinstance(message, str):
        reader.add_text(message, role)
    else:
        reader.add(read_message({"role": role, **(as_object(message) or source)}, role))
    if message is not None:
        reader.finish(finish_reason_of(source))


def _choices(reader: Reader, source: Mapping[str, object], depth: int) -> bool:
    """OpenAI's completion objects, and what streams of them were put together to."""
    for choice in as_list(source["choices"]) or ():
        item = as_object(choice)
        if item is None:
            continue
        _choice(reader, item, first(item, "message", "delta"), depth)
    return as_list(source["choices"]) is not None


def _choice(reader: Reader, item: Mapping[str, object], inner: object, depth: int) -> None:
    message = as_object(inner)
    reader.close()
    reasons = len(reader.finish_reasons)
    if message is not None:
        if is_message(message):
            reader.add(read_message(message, "assistant"))
        elif not read(reader, message, depth + 1):
            reader.add(read_message({"role": "assistant", **message}, "assistant"))
    else:
        reader.add_text(
            inner if isinstance(inner, str) else as_text(first(item, "text", "outputText")) or "", "assistant"
        )
    if len(reader.finish_reasons) == reasons:
        reader.finish(finish_reason_of(item))


def _candidates(reader: Reader, source: Mapping[str, object], depth: int) -> bool:
    """Gemini's response."""
    for candidate in as_list(source["candidates"]) or ():
        item = as_object(candidate)
        if item is not None:
            _choice(reader, item, {"role": "model", **(as_object(item.get("content")) or {"parts": []})}, depth)
    return as_list(source["candidates"]) is not None


def _generations(reader: Reader, source: Mapping[str, object], depth: int) -> bool:
    """LangChain's result: a list of generations for each prompt."""
    for batch in as_list(source["generations"]) or ():
        for generation in as_list(batch) or (batch,):
            item = as_object(generation)
            if item is None:
                continue
            info = as_object(item.get("generation_info")) or {}
            _choice(reader, {**item, **info}, item.get("message"), depth)
    return as_list(source["generations"]) is not None


def _conversation(key: str) -> ContainerReader:
    """A request: messages, and instructions apart from them."""

    def read_container(reader: Reader, source: Mapping[str, object], depth: int) -> bool:
        value = source[key]
        if isinstance(value, str):
            reader.add_text(value)
        elif not read(reader, value, depth + 1) and not _is_empty(value):
            return False
        _instructions(reader, source)
        return True

    return read_container


def _instructions(reader: Reader, source: Mapping[str, object]) -> None:
    config = as_object(first(source, "config", "generation_config")) or {}
    value = first(source, *_SYSTEM_KEYS)
    reader.instruct(first(config, *_SYSTEM_KEYS) if value is None else value)


def _is_empty(value: object) -> bool:
    items = as_list(value)
    return items is not None and not items


def _output(reader: Reader, source: Mapping[str, object], depth: int) -> bool:
    """OpenAI's response, Bedrock's Converse response, and the envelopes of agents."""
    value = source["output"]
    if isinstance(value, str):
        if not source.keys() <= _OUTPUT_ENVELOPE:
            return False
        reader.add_text(value, "assistant")
        return True
    inner = as_object(value)
    if inner is not None and as_object(inner.get("message")) is not None:
        _choice(reader, source, inner["message"], depth)
        return True
    before = len(reader.messages)
    if not read(reader, value, depth + 1):
        return False
    if "status" in source or "incomplete_details" in source:
        reader.finish(_response_status(source, reader.messages[before:]))
    return True


_OUTPUT_ENVELOPE: Final = frozenset({"output", "kwargs", "tags", "metadata"})


def _response_status(source: Mapping[str, object], messages: Sequence[JsonObject]) -> object:
    """Why an OpenAI response ended: it has a status in place of a finish reason."""
    details = as_object(source.get("incomplete_details"))
    if details is not None and details.get("reason") is not None:
        return details["reason"]
    parts = [part for message in messages for part in as_list(message["parts"]) or ()]
    last = as_object(parts[-1]) if parts else None
    is_call = last is not None and last.get("type") == "tool_call"
    return "tool_call" if is_call and source.get("status") == "completed" else source.get("status")


def _input(reader: Reader, source: Mapping[str, object], depth: int) -> bool:
    """OpenAI's Responses request, and the input of agents."""
    value = source["input"]
    if isinstance(value, str) and not ("model" in source or source.keys() <= _INPUT_KEYS):
        return False
    return _conversation("input")(reader, source, depth)


_INPUT_KEYS: Final = frozenset({"input", "chat_history", "intermediate_steps", "agent_scratchpad", *_SYSTEM_KEYS})


def _prompt(reader: Reader, source: Mapping[str, object], depth: int) -> bool:
    """A completion request, and the Vercel AI SDK's `ai.prompt`."""
    if not ("model" in source or source.keys() <= {"prompt", "messages", *_SYSTEM_KEYS}):
        return False
    value = source["prompt"]
    if not isinstance(value, str) and not read(reader, value, depth + 1):
        texts = [item for item in as_list(value) or () if isinstance(item, str)]
        if not texts:
            return False
        for text in texts:
            reader.add_text(text)
    elif isinstance(value, str):
        reader.add_text(value)
    _instructions(reader, source)
    return True


def _message(reader: Reader, source: Mapping[str, object], depth: int) -> bool:
    """An object with one message in it: Ollama, Cohere, Logfire's response data."""
    value = source["message"]
    if isinstance(value, str):
        history = as_list(source.get("chat_history"))
        if history is None:
            return False
        for item in history:  # Cohere's first version
            turn = as_object(item) or {}
            reader.add_text(as_text(turn.get("message")) or "", canonical_role(turn.get("role"), reader.default_role))
        reader.add_text(value)
        return True
    inner = as_object(value)
    if inner is None or not is_message(inner):
        return False
    _choice(reader, source, inner, depth)
    return True


def _steps(reader: Reader, source: Mapping[str, object], depth: int) -> bool:
    """Gemini's Interactions response."""
    if not read(reader, source["steps"], depth + 1):
        return False
    reader.finish(source.get("status"))
    return True


def _inner(key: str) -> ContainerReader:
    """An envelope that holds something else."""

    def read_container(reader: Reader, source: Mapping[str, object], depth: int) -> bool:
        return read(reader, source[key], depth + 1)

    return read_container


def _assistant_text(key: str) -> ContainerReader:
    def read_container(reader: Reader, source: Mapping[str, object], _depth: int) -> bool:
        text = source[key]
        if not isinstance(text, str):
            return False
        reader.add_text(text, "assistant")
        reader.finish(finish_reason_of(source))
        return True

    return read_container


def _parts(reader: Reader, source: Mapping[str, object], _depth: int) -> bool:
    """A Gemini content without a role."""
    if as_list(source["parts"]) is None:
        return False
    reader.add(read_message(source, reader.default_role))
    return True


# In the order of what marks a shape best.
CONTAINERS: Final[dict[str, ContainerReader]] = {
    "choices": _choices,
    "candidates": _candidates,
    "generations": _generations,
    "messages": _conversation("messages"),
    "contents": _conversation("contents"),
    "steps": _steps,
    "output": _output,
    "input": _input,
    "prompt": _prompt,
    "message": _message,
    "combined_chunk_content": _assistant_text("combined_chunk_content"),
    "outputText": _assistant_text("outputText"),
    "generation": _assistant_text("generation"),
    "results": _inner("results"),
    "parts": _parts,
    "content": _inner("content"),
    "update": _inner("update"),
    "inputs": _inner("inputs"),
    "outputs": _inner("outputs"),
}
