"""OpenAI's chat completions, and the completions before them.

Source: OpenAI API reference, Chat and Completions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from otel_llm._generated import attributes as names
from otel_llm.dialects.messages import (
    Conversation,
    canonical_finish_reason,
    canonical_messages,
    lift_system,
)
from otel_llm.instrumentation.provider import (
    Attributes,
    Body,
    Content,
    Endpoint,
    Reading,
    View,
    number,
    plain,
    read_fields,
    text,
    texts,
    whole,
)
from otel_llm.instrumentation.providers.openai_usage import read_identity, read_usage
from otel_llm.instrumentation.replace import replace_texts
from otel_llm.instrumentation.simple import read_choice, read_messages, read_tools

_CHAT: Final[Sequence[Reading]] = (
    ("model", names.GEN_AI_REQUEST_MODEL, text),
    ("temperature", names.GEN_AI_REQUEST_TEMPERATURE, number),
    ("top_p", names.GEN_AI_REQUEST_TOP_P, number),
    ("max_completion_tokens", names.GEN_AI_REQUEST_MAX_TOKENS, whole),
    ("max_output_tokens", names.GEN_AI_REQUEST_MAX_TOKENS, whole),
    ("max_tokens", names.GEN_AI_REQUEST_MAX_TOKENS, whole),
    ("frequency_penalty", names.GEN_AI_REQUEST_FREQUENCY_PENALTY, number),
    ("presence_penalty", names.GEN_AI_REQUEST_PRESENCE_PENALTY, number),
    ("seed", names.GEN_AI_REQUEST_SEED, whole),
    ("stop", names.GEN_AI_REQUEST_STOP_SEQUENCES, texts),
    ("reasoning_effort", names.GEN_AI_REQUEST_REASONING_LEVEL, text),
    ("previous_response_id", names.GEN_AI_REQUEST_PREVIOUS_RESPONSE_ID, text),
)
_JSON_FORMATS: Final = frozenset({"json_object", "json_schema"})


def chat_request(body: Body) -> Attributes:
    """Model and parameters of a chat, responses or completions request."""
    found = read_fields(body, _CHAT)
    choices = body.get("n")
    if type(choices) is int and choices != 1:
        found[names.GEN_AI_REQUEST_CHOICE_COUNT] = choices
    tier = body.get("service_tier")
    if type(tier) is str and tier != "auto":
        found[names.OPENAI_REQUEST_SERVICE_TIER] = tier
    reasoning = body.get("reasoning")
    if isinstance(reasoning, Mapping) and type(reasoning.get("effort")) is str:
        found[names.GEN_AI_REQUEST_REASONING_LEVEL] = reasoning["effort"]
    output_type = _output_type(body)
    if output_type is not None:
        found[names.GEN_AI_OUTPUT_TYPE] = output_type
    conversation = body.get("conversation")
    if isinstance(conversation, Mapping):
        conversation = conversation.get("id")
    if type(conversation) is str and conversation:
        found[names.GEN_AI_CONVERSATION_ID] = conversation
    return found


def _output_type(body: Body) -> str | None:
    """What was asked for, when it was asked for explicitly."""
    wanted = body.get("response_format")
    if wanted is None and isinstance(body.get("text"), Mapping):
        wanted = body["text"].get("format")
    kind = wanted.get("type") if isinstance(wanted, Mapping) else None
    return "json" if kind in _JSON_FORMATS else "text" if kind == "text" else None


def chat_response(answer: Any) -> Attributes:  # noqa: ANN401 - the SDK's model
    """Id, model, finish reasons and usage of a chat or text completion."""
    found: Attributes = {}
    read_identity(answer, found)
    read_usage(getattr(answer, "usage", None), found)
    reasons = [choice.finish_reason for choice in answer.choices or () if choice.finish_reason]
    if reasons:
        found[names.GEN_AI_RESPONSE_FINISH_REASONS] = [canonical_finish_reason(reason) for reason in reasons]
    return found


def chat_input(body: Body) -> Content:
    """Messages and tools of a chat request."""
    given = body.get("messages")
    messages = read_messages(given) if isinstance(given, list | tuple) else []
    said = lift_system(Conversation(messages, [], []))
    return Content(said.messages, said.system, read_tools(body.get("tools") or body.get("functions")))


def chat_output(answer: Any) -> Content:  # noqa: ANN401 - the SDK's model
    """One message for each choice."""
    simple = [read_choice(choice.message) for choice in answer.choices or ()]
    if simple and None not in simple:
        return Content([message for message in simple if message is not None])
    return Content(canonical_messages(plain(answer), "assistant").messages)


class ChatChunks:
    """Collects the chunks of a chat or text completion.

    Args:
        captured: whether the texts are wanted.
    """

    __slots__ = ("_captured", "_finish", "_first", "_pieces", "_said", "_usage")

    def __init__(self, captured: bool) -> None:  # noqa: FBT001 - the accumulator's signature
        self._captured = captured
        self._first: Any = None
        self._usage: Any = None
        self._pieces = 0
        self._finish: dict[int, str] = {}
        self._said: dict[int, _Choice] = {}

    def add(self, chunk: Any) -> None:  # noqa: ANN401 - the SDK's model
        """Take a chunk."""
        if self._first is None:
            self._first = chunk
        usage = chunk.usage
        if usage is not None:
            self._usage = usage  # cumulative where it comes more than once
        choices = chunk.choices
        if not choices:
            return
        self._pieces += 1
        for choice in choices:
            reason = choice.finish_reason
            if reason is not None:
                self._finish[choice.index or 0] = reason
            if self._captured:
                index = choice.index or 0
                said = self._said.get(index)
                if said is None:
                    said = self._said[index] = _Choice()
                said.add(choice)

    @property
    def is_complete(self) -> bool:
        """Whether a choice was finished."""
        return bool(self._finish)

    @property
    def output_estimate(self) -> int:
        """The API sends a token or so in each chunk; the first one is the role, the last one the reason to stop."""
        return max(self._pieces - len(self._finish), 0)

    def attributes(self) -> Attributes:
        """What the chunks say."""
        found: Attributes = {}
        if self._first is not None:
            read_identity(self._first, found)
        read_usage(self._usage, found)
        if self._finish:
            reasons = [canonical_finish_reason(self._finish[index]) for index in sorted(self._finish)]
            found[names.GEN_AI_RESPONSE_FINISH_REASONS] = reasons
        return found

    def output(self) -> Content:
        """One message for each choice, as far as it came."""
        messages = [self._said[index].message() for index in sorted(self._said)]
        simple = [read_choice(message) for message in messages]
        if simple and None not in simple:
            return Content([message for message in simple if message is not None])
        return Content(canonical_messages({"choices": [{"message": one} for one in messages]}, "assistant").messages)


class _Choice:
    """The fragments of one choice."""

    __slots__ = ("_calls", "_reasoning", "_texts")

    def __init__(self) -> None:
        self._texts: list[str] = []
        self._reasoning: list[str] = []
        self._calls: dict[int, dict[str, Any]] = {}

    def add(self, choice: Any) -> None:  # noqa: ANN401 - the SDK's model
        """Take the choice's fragment in a chunk."""
        delta = getattr(choice, "delta", None)
        if delta is None:
            said = getattr(choice, "text", None)  # the older completions
        else:
            said = delta.content or delta.refusal
            extra = delta.json if type(delta) is View else delta.model_extra  # an attribute that is missing is slow
            if extra and extra.get("reasoning_content"):
                self._reasoning.append(extra["reasoning_content"])
            for call in delta.tool_calls or ():
                self._add_call(call)
        if said:
            self._texts.append(said)

    def _add_call(self, fragment: Any) -> None:  # noqa: ANN401 - the SDK's model
        index = fragment.index
        if index is None:  # some compatible servers leave it out: an id begins a new call
            index = len(self._calls) if fragment.id or not self._calls else len(self._calls) - 1
        call = self._calls.setdefault(index, {"id": None, "name": "", "arguments": []})
        if fragment.id:
            call["id"] = fragment.id
        if fragment.function is not None:
            call["name"] = fragment.function.name or call["name"]
            if fragment.function.arguments:
                call["arguments"].append(fragment.function.arguments)

    def message(self) -> dict[str, object]:
        """The message so far, as the API would have sent it whole."""
        message: dict[str, object] = {"role": "assistant", "content": "".join(self._texts) or None}
        if self._reasoning:
            message["reasoning_content"] = "".join(self._reasoning)
        if self._calls:
            message["tool_calls"] = [
                {
                    "id": call["id"],
                    "type": "function",
                    "function": {"name": call["name"], "arguments": "".join(call["arguments"])},
                }
                for call in self._calls.values()
            ]
        return message


def completion_input(body: Body) -> Content:
    """The prompt of a completions request."""
    prompt = body.get("prompt")
    prompts = [prompt] if isinstance(prompt, str) else prompt if isinstance(prompt, list) else []
    return Content([{"role": "user", "parts": [_text(one)]} for one in prompts if isinstance(one, str)])


def completion_output(answer: Any) -> Content:  # noqa: ANN401 - the SDK's model
    """One message for each choice."""
    return Content([{"role": "assistant", "parts": [_text(choice.text)]} for choice in answer.choices or ()])


def _text(content: str) -> dict[str, str]:
    return {"type": "text", "content": content}


CHAT: Final = Endpoint(
    name="chat",
    operation="chat",
    request=chat_request,
    response=chat_response,
    input=chat_input,
    output=chat_output,
    accumulator=ChatChunks,
    replace_input=replace_texts(chat_input, "messages"),
    constant={names.OPENAI_API_TYPE: "chat_completions"},
)
COMPLETION: Final = Endpoint(
    name="completion",
    operation="text_completion",
    request=chat_request,
    response=chat_response,
    input=completion_input,
    output=completion_output,
    accumulator=ChatChunks,
    replace_input=replace_texts(completion_input, "prompt"),
)
