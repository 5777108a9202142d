"""Containers of messages: requests, responses, lists, and the envelopes that frameworks put around them.

A `Reader` takes a value of any shape and collects messages, separate system instructions and finish reasons. Parts and
items that stand alone (OpenAI Responses, a list of Bedrock blocks) are gathered into one message as long as they are of
one role, so that one choice is one output message.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from otel_llm.dialects.messages_chat import ChatMessage, canonical_role, finish_reason_of, is_message, read_message
from otel_llm.dialects.messages_finish import canonical_finish_reason
from otel_llm.dialects.messages_json import JsonObject, as_list, as_object, as_text, dump, first
from otel_llm.dialects.messages_parts import canonical_part, canonical_parts, is_part

# Containers in containers, as in `{"generations": [[{"message": {...}}]]}`; what is deeper is kept as text.
_MAX_NESTING: Final = 12
_ASSISTANT_PARTS: Final = frozenset({"tool_call", "reasoning", "server_tool_call", "server_tool_call_response"})
_SYSTEM_KEYS: Final = ("system", "instructions", "system_instruction", "systemInstruction", "system_prompt")


@dataclass(slots=True)
class Reader:
    """Collects what values of any shape say.

    Attributes:
        default_role: the role of what has none.
        messages: messages in the conventions' shape.
        system: parts of instructions that were given apart from the messages.
        finish_reasons: one for each choice that says why it ended, in the conventions' words.
    """

    default_role: str
    messages: list[JsonObject] = field(default_factory=list)
    system: list[JsonObject] = field(default_factory=list)
    finish_reasons: list[str] = field(default_factory=list)
    _open: list[JsonObject] | None = None

    def read(self, value: object, depth: int = 0) -> bool:
        """Collect from a value; False when nothing in it is a message (then nothing was collected)."""
        if depth > _MAX_NESTING:
            return False
        items = as_list(value)
        if items is not None:
            return self._read_list(items, depth)
        source = as_object(value)
        return source is not None and self._read_object(source, depth)

    def add(self, message: ChatMessage) -> None:
        """Collect a whole message."""
        self.messages.append(message.to_json())
        self.finish(message.finish_reason)
        self._open = None

    def add_text(self, text: str, role: str | None = None) -> None:
        """Collect a message of one text; nothing when it is empty."""
        if text:
            self.add(ChatMessage(role or self.default_role, [{"type": "text", "content": text}]))

    def add_loose(self, part: JsonObject | None) -> None:
        """Collect a part that stands outside of a message."""
        if part is None:
            return
        role = self._role_of(part)
        if self._open is None or self.messages[-1]["role"] != role:
            self._start(role)
        if self._open is not None:
            self._open.append(part)

    def finish(self, reason: object) -> None:
        """Collect a finish reason; nothing when it is not a text."""
        canonical = canonical_finish_reason(reason) if isinstance(reason, str) else ""
        if canonical:
            self.finish_reasons.append(canonical)

    def close(self) -> None:
        """What comes next begins a new message."""
        self._open = None

    def instruct(self, value: object) -> None:
        """Collect instructions that were given apart from the messages."""
        source = as_object(value)
        content = source.get("parts") if source is not None and "parts" in source else value
        self.system += canonical_parts(content)

    def _role_of(self, part: Mapping[str, object]) -> str:
        kind = part["type"]
        if kind == "tool_call_response":
            return "tool"
        if kind in _ASSISTANT_PARTS:
            return "assistant"
        # A text after the model's reasoning is the model's.
        return self.default_role if self._open is None or kind != "text" else str(self.messages[-1]["role"])

    def _start(self, role: str) -> None:
        self._open = []
        self.messages.append({"role": role, "parts": self._open})

    def _read_list(self, items: Sequence[object], depth: int) -> bool:
        known = False
        pending: list[object] = []
        for item in items:
            if known:
                self._read_item(item, depth)
            elif self.read(item, depth + 1):
                known = True
            else:
                pending.append(item)
        if known and pending:
            self._prepend(pending)
        return known

    def _read_item(self, item: object, depth: int) -> None:
        if isinstance(item, str):
            self.add_text(item)
        elif item is not None and not self.read(item, depth + 1):
            self.add_text(dump(item))

    def _prepend(self, pending: Sequence[object]) -> None:
        """Put what came before the first known message in front of it, as text."""
        before = Reader(self.default_role)
        for item in pending:
            before._read_item(item, _MAX_NESTING)
        self.messages[:0] = before.messages

    def _read_object(self, source: Mapping[str, object], depth: int) -> bool:
        if is_message(source):
            self._read_message(source)
            return True
        if isinstance(source.get("event.name"), str):
            return self._read_event(source, depth)
        kind = source.get("type")
        if (isinstance(kind, str) or depth > 0) and is_part(source):
            self.add_loose(canonical_part(source))
            return True
        return any(source.get(key) is not None and read(self, source, depth) for key, read in CONTAINERS.items())

    def _read_message(self, source: Mapping[str, object]) -> None:
        message = read_message(source, self.default_role)
        is_item = source.get("type") == "message" and message.role == "assistant" and "stop_reason" not in source
        if not is_item:
            self.add(message)
            return
        if self._open is None or self.messages[-1]["role"] != "assistant":
            self._start("assistant")
        if self._open is not None:
            self._open += message.parts

    def _read_event(self, source: Mapping[str, object], depth: int) -> bool:
        """An event of Pydantic AI's first format: a message whose role is in the event's name."""
        word = str(source["event.name"]).removeprefix("gen_ai.").removesuffix(".message")
        role = "assistant" if word == "choice" else canonical_role(word, self.default_role)
        inner = as_object(source.get("message"))
        self.finish(finish_reason_of(source))
        if inner is not None:
            self.add(read_message({"role": role, **inner}, role))
        elif isinstance(source.get("message"), str):
            self.add_text(str(source["message"]), role)
        else:
            self.add(read_message({"role": role, **source}, role))
        return depth <= _MAX_NESTING


ContainerReader = Callable[[Reader, Mapping[str, object], int], bool]


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
        elif not reader.read(message, depth + 1):
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

    def read(reader: Reader, source: Mapping[str, object], depth: int) -> bool:
        value = source[key]
        if isinstance(value, str):
            reader.add_text(value)
        elif not reader.read(value, depth + 1) and not _is_empty(value):
            return False
        _instructions(reader, source)
        return True

    return read


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
    if not reader.read(value, depth + 1):
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
    if not isinstance(value, str) and not reader.read(value, depth + 1):
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


def _inner(key: str) -> ContainerReader:
    """An envelope that holds something else."""

    def read(reader: Reader, source: Mapping[str, object], depth: int) -> bool:
        return reader.read(source[key], depth + 1)

    return read


def _assistant_text(key: str) -> ContainerReader:
    def read(reader: Reader, source: Mapping[str, object], _depth: int) -> bool:
        text = source[key]
        if not isinstance(text, str):
            return False
        reader.add_text(text, "assistant")
        reader.finish(finish_reason_of(source))
        return True

    return read


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
    "steps": _inner("steps"),
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
