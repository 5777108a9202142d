"""OpenAI's Responses on the wire. Source: OpenAI API reference, Responses, and recorded exchanges."""

from __future__ import annotations

from collections.abc import Iterator

from otel_llm.loopback.json_types import Json, JsonObject, object_at, objects_at, objects_in, string_at, text_of
from otel_llm.loopback.openai_chat import json_schema
from otel_llm.loopback.openai_errors import openai_error
from otel_llm.loopback.prompt import Prompt, Tool
from otel_llm.loopback.reply import CREATED, Reply, ToolCall
from otel_llm.loopback.usage import Usage
from otel_llm.loopback.wire import fragments, server_sent_event, words


class Responses:
    """`POST /v1/responses`."""

    def read(self, model: str, body: JsonObject) -> Prompt:
        """The prompt; instructions come before the input items."""
        given = body.get("input")
        items: tuple[JsonObject, ...] = (
            ({"role": "user", "content": given},) if isinstance(given, str) else objects_in(given)
        )
        texts = [string_at(body, "instructions"), *map(_item_text, items)]
        return Prompt(
            api="responses",
            model=model,
            text="\n".join(texts),
            question=next((text_of(item.get("content")) for item in reversed(items) if item.get("role") == "user"), ""),
            stable_prefix="\n".join(texts[:-1]),
            after_tool=bool(items) and items[-1].get("type") == "function_call_output",
            tools=_tools(body),
            parallel=body.get("parallel_tool_calls") is not False,
            thinking="summary" in object_at(body, "reasoning"),
            stream=body.get("stream") is True,
            schema=json_schema(object_at(object_at(body, "text"), "format")),
        )

    def whole(self, prompt: Prompt, reply: Reply) -> JsonObject:  # noqa: ARG002 - the protocol's signature
        """The body of a plain answer."""
        status = "incomplete" if reply.finish in ("max_output_tokens", "content_filter") else "completed"
        details: Json = {"reason": reply.finish} if status == "incomplete" else None
        return {
            **_envelope(reply),
            "status": status,
            "incomplete_details": details,
            "output": _items(reply),
            "usage": _usage(reply.usage),
        }

    def stream(self, prompt: Prompt, reply: Reply) -> Iterator[bytes]:
        """Typed events, numbered from 0; the last one carries the whole answer with its usage."""
        whole = self.whole(prompt, reply)
        begun: JsonObject = {
            **_envelope(reply),
            "status": "in_progress",
            "incomplete_details": None,
            "output": [],
            "usage": None,
        }
        events: list[dict[str, Json]] = [
            {"type": "response.created", "response": begun},
            {"type": "response.in_progress", "response": begun},
        ]
        for index, item in enumerate(_items(reply)):
            events += _item_events(index, item, reply.piece)
        events.append({"type": f"response.{whole['status']}", "response": whole})
        for number, event in enumerate(events):
            yield server_sent_event({**event, "sequence_number": number}, event=str(event["type"]))

    def error(self, status: int, model: str, message: str | None) -> JsonObject:
        """The body of an error."""
        return openai_error(status, model, message)


def _item_text(item: JsonObject) -> str:
    return (
        text_of(item.get("content"))
        + text_of(item.get("output"))
        + string_at(item, "name")
        + string_at(item, "arguments")
    )


def _tools(body: JsonObject) -> tuple[Tool, ...]:
    if body.get("tool_choice") == "none":
        return ()
    forced = string_at(object_at(body, "tool_choice"), "name")
    tools = (
        Tool(string_at(tool, "name"), object_at(tool, "parameters"))
        for tool in objects_at(body, "tools")
        if tool.get("type") == "function"
    )
    return tuple(tool for tool in tools if tool.name and forced in ("", tool.name))


def _envelope(reply: Reply) -> dict[str, Json]:
    return {
        "id": reply.id,
        "object": "response",
        "created_at": CREATED,
        "model": reply.model,
        "error": None,
        "instructions": None,
        "metadata": {},
        "parallel_tool_calls": True,
        "service_tier": reply.service_tier or "default",
        "temperature": 1.0,
        "text": {"format": {"type": "text"}},
        "tool_choice": "auto",
        "tools": [],
        "top_p": 1.0,
    }


def _items(reply: Reply) -> list[JsonObject]:
    items: list[JsonObject] = []
    number = reply.id.removeprefix("resp_")
    if reply.thinking:
        summary: Json = [{"type": "summary_text", "text": reply.thinking}]
        items.append({"id": f"rs_{number}", "type": "reasoning", "summary": summary})
    if reply.text:
        part: JsonObject = {"type": "output_text", "text": reply.text, "annotations": [], "logprobs": []}
        items.append(
            {"id": f"msg_{number}", "type": "message", "role": "assistant", "status": "completed", "content": [part]}
        )
    return items + [_call_item(number, index, call) for index, call in enumerate(reply.tool_calls)]


def _call_item(number: str, index: int, call: ToolCall) -> JsonObject:
    item_id = f"fc_{number}_{index + 1}"
    return {
        "id": item_id,
        "type": "function_call",
        "status": "completed",
        "call_id": call.id,
        "name": call.name,
        "arguments": call.arguments,
    }


def _item_events(index: int, item: JsonObject, size: int | None) -> list[dict[str, Json]]:
    place: dict[str, Json] = {"output_index": index, "item_id": item["id"]}
    middle = {"message": _text_events, "function_call": _argument_events}.get(string_at(item, "type"))
    empty: dict[str, Json] = {key: [] for key in ("content", "summary") if key in item} | (
        {"arguments": ""} if "arguments" in item else {}
    )
    begun: JsonObject = {**item, **empty, **({"status": "in_progress"} if "status" in item else {})}
    return [
        {"type": "response.output_item.added", "output_index": index, "item": begun},
        *(middle(place, item, size) if middle else []),
        {"type": "response.output_item.done", "output_index": index, "item": item},
    ]


def _text_events(place: JsonObject, item: JsonObject, size: int | None) -> list[dict[str, Json]]:
    part = objects_at(item, "content")[0]
    at: dict[str, Json] = {**place, "content_index": 0}
    return [
        {"type": "response.content_part.added", **at, "part": {**part, "text": ""}},
        *(
            {"type": "response.output_text.delta", **at, "delta": word, "logprobs": []}
            for word in words(string_at(part, "text"), size)
        ),
        {"type": "response.output_text.done", **at, "text": part["text"], "logprobs": []},
        {"type": "response.content_part.done", **at, "part": part},
    ]


def _argument_events(place: JsonObject, item: JsonObject, _: int | None) -> list[dict[str, Json]]:
    arguments = string_at(item, "arguments")
    return [
        *(
            {"type": "response.function_call_arguments.delta", **place, "delta": piece}
            for piece in fragments(arguments)
        ),
        {"type": "response.function_call_arguments.done", **place, "name": item["name"], "arguments": arguments},
    ]


def _usage(usage: Usage) -> JsonObject:
    return {
        "input_tokens": usage.input_tokens,
        "input_tokens_details": {
            "cached_tokens": usage.cache_read_tokens,
            "cache_write_tokens": usage.cache_write_tokens,
        },
        "output_tokens": usage.output_tokens,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
        "total_tokens": usage.total_tokens,
    }
