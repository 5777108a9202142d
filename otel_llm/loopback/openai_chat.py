"""OpenAI's Chat Completions on the wire. Source: OpenAI API reference, Chat, and recorded exchanges."""

from __future__ import annotations

from collections.abc import Iterator

from otel_llm.loopback.json_types import Json, JsonObject, count_at, object_at, objects_at, string_at, text_of
from otel_llm.loopback.openai_errors import openai_error
from otel_llm.loopback.prompt import Prompt, Tool
from otel_llm.loopback.reply import CREATED, Reply, ToolCall
from otel_llm.loopback.usage import Usage
from otel_llm.loopback.wire import fragments, server_sent_event, words

FINGERPRINT = "fp_loopback"


class ChatCompletions:
    """`POST /v1/chat/completions`."""

    def read(self, model: str, body: JsonObject) -> Prompt:
        """The prompt; its stable prefix is everything before the last message."""
        messages = objects_at(body, "messages")
        texts = [_message_text(message) for message in messages]
        return Prompt(
            api="chat_completions",
            model=model,
            text="\n".join(texts),
            question=next((text_of(m.get("content")) for m in reversed(messages) if m.get("role") == "user"), ""),
            stable_prefix="\n".join(texts[:-1]),
            after_tool=bool(messages) and messages[-1].get("role") in ("tool", "function"),
            tools=_tools(body),
            parallel=body.get("parallel_tool_calls") is not False,
            stream=body.get("stream") is True,
            include_usage=object_at(body, "stream_options").get("include_usage") is True,
            choices=count_at(body, "n", 1),
            schema=json_schema(object_at(object_at(body, "response_format"), "json_schema")),
        )

    def whole(self, prompt: Prompt, reply: Reply) -> JsonObject:
        """The body of a plain answer."""
        message: dict[str, Json] = {
            "role": "assistant",
            "content": reply.text or None,
            "refusal": None,
            "annotations": [],
        }
        if reply.tool_calls:
            message["tool_calls"] = [
                {"id": call.id, "type": "function", "function": _function(call)} for call in reply.tool_calls
            ]
        choice = {"message": message, "logprobs": None, "finish_reason": _finish(reply)}
        return {
            **_envelope(reply, "chat.completion"),
            "choices": [{"index": index, **choice} for index in range(prompt.choices)],
            "usage": _usage(reply.usage),
        }

    def stream(self, prompt: Prompt, reply: Reply) -> Iterator[bytes]:
        """Chunks: role, words, calls in fragments, finish reason; the usage chunk only when asked for; the end mark."""
        envelope = _envelope(reply, "chat.completion.chunk")
        if prompt.include_usage:
            envelope["usage"] = None
        for index in range(prompt.choices):
            for delta in _deltas(reply):
                yield _chunk(envelope, index, delta, None)
        for index in range(prompt.choices):
            yield _chunk(envelope, index, {}, _finish(reply))
        if prompt.include_usage:
            yield server_sent_event({**envelope, "choices": [], "usage": _usage(reply.usage)})
        yield server_sent_event("[DONE]")

    def error(self, status: int, model: str, message: str | None) -> JsonObject:
        """The body of an error."""
        return openai_error(status, model, message)


def json_schema(wrapper: JsonObject) -> JsonObject | None:
    """The JSON schema inside OpenAI's structured output settings, None when none is asked for."""
    return object_at(wrapper, "schema") or None


def _message_text(message: JsonObject) -> str:
    calls = (object_at(call, "function") for call in objects_at(message, "tool_calls"))
    return "\n".join(
        [text_of(message.get("content")), *(string_at(call, "name") + string_at(call, "arguments") for call in calls)]
    )


def _tools(body: JsonObject) -> tuple[Tool, ...]:
    if body.get("tool_choice") == "none":
        return ()
    forced = string_at(object_at(object_at(body, "tool_choice"), "function"), "name")
    functions = (object_at(tool, "function") for tool in objects_at(body, "tools"))
    tools = (Tool(string_at(function, "name"), object_at(function, "parameters")) for function in functions)
    return tuple(tool for tool in tools if tool.name and forced in ("", tool.name))


def _envelope(reply: Reply, kind: str) -> dict[str, Json]:
    return {
        "id": reply.id,
        "object": kind,
        "created": CREATED,
        "model": reply.model,
        "service_tier": reply.service_tier or "default",
        "system_fingerprint": FINGERPRINT,
    }


def _chunk(envelope: JsonObject, index: int, delta: JsonObject, finish: str | None) -> bytes:
    choice: dict[str, Json] = {"index": index, "delta": delta, "logprobs": None, "finish_reason": finish}
    return server_sent_event({**envelope, "choices": [choice]})


def _deltas(reply: Reply) -> Iterator[JsonObject]:
    yield {"role": "assistant", "content": None if reply.tool_calls and not reply.text else "", "refusal": None}
    for word in words(reply.text, reply.piece):
        yield {"content": word}
    for index, call in enumerate(reply.tool_calls):
        start = {"name": call.name, "arguments": ""}
        yield {"tool_calls": [{"index": index, "id": call.id, "type": "function", "function": start}]}
        for fragment in fragments(call.arguments):
            yield {"tool_calls": [{"index": index, "function": {"arguments": fragment}}]}


def _function(call: ToolCall) -> JsonObject:
    return {"name": call.name, "arguments": call.arguments}


def _finish(reply: Reply) -> str:
    return reply.finish or ("tool_calls" if reply.tool_calls else "stop")


def _usage(usage: Usage) -> JsonObject:
    return {
        "prompt_tokens": usage.input_tokens,
        "completion_tokens": usage.output_tokens,
        "total_tokens": usage.total_tokens,
        "prompt_tokens_details": {"cached_tokens": usage.cache_read_tokens, "audio_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": usage.reasoning_tokens,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }
