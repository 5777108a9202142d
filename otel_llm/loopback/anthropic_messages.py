"""Anthropic's Messages on the wire. Source: Anthropic API reference, Messages and streaming, and recorded exchanges.

Here `input_tokens` leaves out what was read from or written to the cache, and a stream's usage is cumulative:
`message_start` has all input and a first output token, `message_delta` repeats the input and has all output. Adding the
two is wrong.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

from otel_llm.loopback.json_types import Json, JsonObject, object_at, objects_at, objects_in, string_at, text_of
from otel_llm.loopback.prompt import CacheMark, Prompt, Tool
from otel_llm.loopback.reply import Reply
from otel_llm.loopback.usage import Usage
from otel_llm.loopback.wire import fragments, server_sent_event, words

_SIGNATURE = "bG9vcGJhY2s="
_ERRORS = {
    400: ("invalid_request_error", "The request is not valid."),
    401: ("authentication_error", "The API key is not valid."),
    404: ("not_found_error", "model: {model}"),
    429: ("rate_limit_error", "Number of requests has exceeded your rate limit"),
    529: ("overloaded_error", "Overloaded"),
}


class Messages:
    """`POST /v1/messages`."""

    def read(self, model: str, body: JsonObject) -> Prompt:
        """The prompt, in the order in which the provider reads and caches it: tools, system, messages."""
        messages = objects_at(body, "messages")
        blocks = [block for message in messages for block in _blocks(message.get("content"))]
        ordered = [*objects_at(body, "tools"), *_blocks(body.get("system")), *blocks]
        last = _blocks(messages[-1].get("content")) if messages else ()
        choice = object_at(body, "tool_choice")
        return Prompt(
            api="messages",
            model=model,
            text="\n".join(map(_block_text, ordered)),
            question=next((text_of(m.get("content")) for m in reversed(messages) if m.get("role") == "user"), ""),
            after_tool=any(block.get("type") == "tool_result" for block in last),
            tools=_tools(body, choice),
            parallel=choice.get("disable_parallel_tool_use") is not True,
            thinking=object_at(body, "thinking").get("type") in ("enabled", "adaptive"),
            cache=_cache_mark(ordered),
            stream=body.get("stream") is True,
            schema=object_at(object_at(object_at(body, "output_config"), "format"), "schema") or None,
        )

    def whole(self, prompt: Prompt, reply: Reply) -> JsonObject:  # noqa: ARG002 - the protocol's signature
        """The body of a plain answer."""
        ended: JsonObject = {"stop_reason": _stop_reason(reply), "stop_sequence": None}
        return {**_envelope(reply), "content": _content(reply), **ended, "usage": _full_usage(reply)}

    def stream(self, prompt: Prompt, reply: Reply) -> Iterator[bytes]:  # noqa: ARG002 - the protocol's signature
        """Named events: the message without content, each block in deltas, the stop reason the usage so far."""
        started = {**_full_usage(reply), "output_tokens": 1}
        begun: JsonObject = {
            **_envelope(reply),
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "usage": started,
        }
        yield _event({"type": "message_start", "message": begun})
        yield _event({"type": "ping"})
        for index, block in enumerate(_content(reply)):
            empty, deltas = _in_deltas(block, reply.piece)
            yield _event({"type": "content_block_start", "index": index, "content_block": empty})
            for delta in deltas:
                yield _event({"type": "content_block_delta", "index": index, "delta": delta})
            yield _event({"type": "content_block_stop", "index": index})
        ended: JsonObject = {"stop_reason": _stop_reason(reply), "stop_sequence": None}
        yield _event({"type": "message_delta", "delta": ended, "usage": _usage(reply.usage)})
        yield _event({"type": "message_stop"})

    def error(self, status: int, model: str, message: str | None) -> JsonObject:
        """The body of an error."""
        kind, usual = _ERRORS.get(status, ("api_error", "Internal server error"))
        error: JsonObject = {"type": kind, "message": message or usual.format(model=model)}
        return {"type": "error", "error": error, "request_id": "req_loopback"}


def _blocks(content: Json) -> tuple[JsonObject, ...]:
    return ({"type": "text", "text": content},) if isinstance(content, str) else objects_in(content)


def _block_text(block: JsonObject) -> str:
    """What the model reads of a block; tools and tool calls count with their JSON."""
    shape = block.get("input_schema") or block.get("input")
    called = string_at(block, "name") + string_at(block, "description") + (json.dumps(shape) if shape else "")
    return called or text_of([block])


def _cache_mark(ordered: list[JsonObject]) -> CacheMark | None:
    lives = [
        string_at(control, "ttl") or "5m" if (control := object_at(block, "cache_control")) else "" for block in ordered
    ]
    texts = [_block_text(block) for block in ordered]

    def prefix(end: int) -> str:
        return "\n".join(texts[:end])

    if not any(lives):
        return None
    marked = [position + 1 for position, life in enumerate(lives) if life]
    marked_1h = [position + 1 for position, life in enumerate(lives) if life == "1h"]
    return CacheMark(prefix(marked[-1]), prefix(marked_1h[-1]) if marked_1h else "")


def _tools(body: JsonObject, choice: JsonObject) -> tuple[Tool, ...]:
    if choice.get("type") == "none":
        return ()
    forced = string_at(choice, "name")
    tools = (Tool(string_at(tool, "name"), object_at(tool, "input_schema")) for tool in objects_at(body, "tools"))
    return tuple(tool for tool in tools if tool.name and forced in ("", tool.name))


def _envelope(reply: Reply) -> dict[str, Json]:
    return {"id": reply.id, "type": "message", "role": "assistant", "model": reply.model}


def _content(reply: Reply) -> list[JsonObject]:
    content: list[JsonObject] = []
    if reply.thinking:
        content.append({"type": "thinking", "thinking": reply.thinking, "signature": _SIGNATURE})
    if reply.text:
        content.append({"type": "text", "text": reply.text})
    content += [
        {"type": "tool_use", "id": call.id, "name": call.name, "input": json.loads(call.arguments)}
        for call in reply.tool_calls
    ]
    return content


def _in_deltas(block: JsonObject, size: int | None) -> tuple[JsonObject, list[JsonObject]]:
    """A content block as it starts, and the deltas that fill it."""
    match block["type"]:
        case "thinking":
            thought: list[JsonObject] = [
                {"type": "thinking_delta", "thinking": word} for word in words(string_at(block, "thinking"), size)
            ]
            return {**block, "thinking": "", "signature": ""}, [
                *thought,
                {"type": "signature_delta", "signature": _SIGNATURE},
            ]
        case "tool_use":
            text = json.dumps(block["input"], separators=(",", ":"))
            return {**block, "input": {}}, [
                {"type": "input_json_delta", "partial_json": piece} for piece in ["", *fragments(text)]
            ]
        case _:
            return {**block, "text": ""}, [
                {"type": "text_delta", "text": word} for word in words(string_at(block, "text"), size)
            ]


def _event(data: JsonObject) -> bytes:
    return server_sent_event(data, event=string_at(data, "type"))


def _stop_reason(reply: Reply) -> str:
    return reply.finish or ("tool_use" if reply.tool_calls else "end_turn")


def _usage(usage: Usage) -> dict[str, Json]:
    reported: dict[str, Json] = {
        "input_tokens": usage.fresh_input_tokens,
        "cache_creation_input_tokens": usage.cache_write_tokens,
        "cache_read_input_tokens": usage.cache_read_tokens,
        "output_tokens": usage.output_tokens,
    }
    if usage.reasoning_tokens:
        reported["output_tokens_details"] = {"thinking_tokens": usage.reasoning_tokens}
    return reported


def _full_usage(reply: Reply) -> dict[str, Json]:
    usage = reply.usage
    created: JsonObject = {
        "ephemeral_5m_input_tokens": usage.cache_write_tokens - usage.cache_write_1h_tokens,
        "ephemeral_1h_input_tokens": usage.cache_write_1h_tokens,
    }
    return {**_usage(usage), "cache_creation": created, "service_tier": reply.service_tier or "standard"}
