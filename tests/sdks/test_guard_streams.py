"""Acceptance 26 for what streams beside a chat's texts: completions, arguments of tools, thoughts, raw streams."""

from __future__ import annotations

import asyncio
import functools
import importlib
import json

import pytest

from otel_llm.errors import DeniedError
from tests.sdks.answers import events, lines, named_events
from tests.sdks.test_guards import ASKED, MASKED, SECRET, admitted, openai_stream, pieces

__all__ = ["admitted"]  # a fixture

TOOLS = [{"type": "function", "function": {"name": "find", "parameters": {"type": "object", "properties": {}}}}]


def part_of(value, name):
    return value[name] if isinstance(value, dict) else getattr(value, name)


async def listed(stream):
    return [one async for one in stream]


def tool_stream(*, always_named=False):
    """Arguments of a call, in pieces, as OpenAI's chat has them; Mistral's SDK wants the name in each."""

    def chunk(arguments=None, finish=None):
        is_named = always_named or arguments == pieces()[0]
        function = {"arguments": arguments, **({"name": "find"} if is_named else {})}
        call = {"index": 0, "id": "call_1", "type": "function", "function": function}
        delta = {"role": "assistant", "content": None, "tool_calls": [call]} if arguments else {}
        choices = [{"index": 0, "delta": delta, "finish_reason": finish}]
        return {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": choices}

    return events(*map(chunk, pieces()), chunk(finish="tool_calls"), done=True)


def completion_stream():
    def chunk(text="", finish=None):
        choices = [{"index": 0, "text": text, "finish_reason": finish, "delta": {"content": text}}]
        return {"id": "c", "object": "text_completion", "created": 1, "model": "m", "choices": choices}

    return events(*map(chunk, pieces()), chunk(finish="stop"), done=True)


def arguments_of(chunks):
    calls = (call for chunk in chunks for choice in chunk.choices for call in choice.delta.tool_calls or ())
    return "".join(call.function.arguments or "" for call in calls)


def texts_of(chunks):
    return "".join(choice.text or "" for chunk in chunks for choice in chunk.choices)


def stainless(module, sync, asynchronous, answer, ask, read):
    """A call of an SDK that Stainless makes."""

    def call(server, is_async):
        server.answers["/completions"] = answer()
        library = importlib.import_module(module)
        if not is_async:
            return read(list(ask(getattr(library, sync)(base_url=server.url, api_key="any"))))

        async def run():
            return read(await listed(await ask(getattr(library, asynchronous)(base_url=server.url, api_key="any"))))

        return asyncio.run(run())

    return call


def with_tools(client):
    return client.chat.completions.create(model="m", messages=ASKED, tools=TOOLS, stream=True)


def with_prompt(client):
    return client.completions.create(model="m", prompt="Hi", stream=True)


def raw(module, sync, asynchronous):
    """The bytes of a stream, which an app parses itself."""

    def said(got):
        found = [json.loads(line.removeprefix("data: ")) for line in got if line.startswith("data: {")]
        return "".join(one["choices"][0]["delta"].get("content") or "" for one in found)

    def call(server, is_async):
        server.answers["/completions"] = openai_stream()
        library = importlib.import_module(module)
        asked = {"model": "m", "messages": ASKED, "stream": True}
        if not is_async:
            client = getattr(library, sync)(base_url=server.url, api_key="any")
            with client.chat.completions.with_streaming_response.create(**asked) as answer:
                return said(answer.iter_lines())

        async def run():
            client = getattr(library, asynchronous)(base_url=server.url, api_key="any")
            async with client.chat.completions.with_streaming_response.create(**asked) as answer:
                return said(await listed(answer.iter_lines()))

        return asyncio.run(run())

    return call


def litellm(answer, name, read, **asked):
    def call(server, is_async):
        server.answers["/completions"] = answer()
        library = importlib.import_module("litellm")
        settings = {"api_base": server.url, "api_key": "any", "stream": True, **asked}
        if not is_async:
            return read(list(getattr(library, name)(**settings)))

        async def run():
            return read(await listed(await getattr(library, f"a{name}")(**settings)))

        return asyncio.run(run())

    return call


def mistral(resource, answer, read, **asked):
    def call(server, is_async):
        try:
            kind = importlib.import_module("mistralai.client").Mistral
        except (ImportError, AttributeError):
            kind = importlib.import_module("mistralai").Mistral
        server.answers["/completions"] = answer()
        owner = kind(api_key="any", server_url=server.url)  # kept: it closes its connections when it goes
        client = getattr(owner, resource)
        if not is_async:
            return read([one.data for one in client.stream(**asked)])

        async def run():
            return read([one.data for one in await listed(await client.stream_async(**asked))])

        return asyncio.run(run())

    return call


def contents_of(chunks):
    return "".join(choice.delta.content or "" for chunk in chunks for choice in chunk.choices)


def cohere_tools(server, is_async):
    def piece(text):
        calls = {"function": {"arguments": text}}
        return ("tool-call-delta", {"type": "tool-call-delta", "index": 0, "delta": {"message": {"tool_calls": calls}}})

    first = {"id": "call_1", "type": "function", "function": {"name": "find", "arguments": ""}}
    start = {"type": "tool-call-start", "index": 0, "delta": {"message": {"tool_calls": first}}}
    end = {"type": "message-end", "delta": {"finish_reason": "TOOL_CALL"}}
    server.answers["/v2/chat"] = named_events(("tool-call-start", start), *map(piece, pieces()), ("message-end", end))
    library = importlib.import_module("cohere")

    def read(chunks):
        steps = ("delta", "message", "tool_calls", "function", "arguments")  # some are mappings in earlier versions
        found = (one for one in chunks if one.type == "tool-call-delta")
        return "".join(functools.reduce(part_of, steps, one) for one in found)

    asked = {"model": "m", "messages": ASKED}
    if not is_async:
        return read(library.ClientV2("any", base_url=server.url).chat_stream(**asked))

    async def run():
        return read(await listed(library.AsyncClientV2("any", base_url=server.url).chat_stream(**asked)))

    return asyncio.run(run())


def cohere_first(server, is_async):
    def piece(text):
        return {"event_type": "text-generation", "is_finished": False, "text": text}

    answer = {"text": "", "generation_id": "g", "finish_reason": "COMPLETE"}
    end = {"event_type": "stream-end", "is_finished": True, "finish_reason": "COMPLETE", "response": answer}
    server.answers["/v1/chat"] = lines(*map(piece, pieces()), end)
    library = importlib.import_module("cohere")

    def read(chunks):
        return "".join(one.text for one in chunks if one.event_type == "text-generation")

    if not is_async:
        return read(library.Client("any", base_url=server.url).chat_stream(message="Hi", model="m"))

    async def run():
        return read(await listed(library.AsyncClient("any", base_url=server.url).chat_stream(message="Hi", model="m")))

    return asyncio.run(run())


def google(part, read):
    def call(server, is_async):
        def generated(parts, finish=None):
            return {"candidates": [{"content": {"parts": parts, "role": "model"}, "finishReason": finish}]}

        chunks = [generated([one]) for one in part()]
        server.answers[":streamGenerateContent"] = events(*chunks, generated([], "STOP"))
        genai = importlib.import_module("google.genai")
        client = genai.Client(api_key="any", vertexai=False, http_options=genai.types.HttpOptions(base_url=server.url))

        def said(got):
            return "".join(read(one) for chunk in got for one in chunk.candidates[0].content.parts or ())

        if not is_async:
            return said(client.chats.create(model="m").send_message_stream("Hi"))

        async def run():
            return said(await listed(await client.aio.chats.create(model="m").send_message_stream("Hi")))

        return asyncio.run(run())

    return call


def ollama(name, path, make, read, **asked):
    def call(server, is_async):
        end = {"done": True, "done_reason": "stop", "prompt_eval_count": 2, "eval_count": 3}
        shared = {"model": "m", "created_at": "2026-01-01T00:00:00Z", "done": False}
        server.answers[path] = lines(*({**shared, **make(one)} for one in pieces()), {**shared, **make(""), **end})
        library = importlib.import_module("ollama")
        if "thinking" in make("").get("message", ()) and "thinking" not in library.Message.model_fields:
            pytest.skip("this version leaves thoughts out")
        if not is_async:
            return read(list(getattr(library.Client(server.url), name)("m", stream=True, **asked)))

        async def run():
            return read(await listed(await getattr(library.AsyncClient(server.url), name)("m", stream=True, **asked)))

        return asyncio.run(run())

    return call


def hub(answer, path, ask, read):
    def call(server, is_async):
        server.answers[path] = answer()
        library = importlib.import_module("huggingface_hub")
        if not is_async:
            client = library.InferenceClient(base_url=server.url + "/v1", api_key="any")
            return read(list(ask(client)))

        async def run():
            client = library.AsyncInferenceClient(base_url=server.url + "/v1", api_key="any")
            return read(await listed(await ask(client)))

        return asyncio.run(run())

    return call


def generated_stream():
    def token(text):
        return {"index": 1, "token": {"id": 1, "text": text, "logprob": -1.0, "special": False}}

    return events(*map(token, pieces()))


def thought(text):
    return {"message": {"role": "assistant", "content": "", "thinking": text}}


def thoughts_of(chunks):
    return "".join(one["message"].get("thinking") or "" for one in chunks)


GROQ, TOGETHER = ("groq", "Groq", "AsyncGroq"), ("together", "Together", "AsyncTogether")
STREAMS = {
    "groq, tools": ("groq", stainless(*GROQ, tool_stream, with_tools, arguments_of)),
    "groq, raw": ("groq", raw(*GROQ)),
    "together, tools": ("together", stainless(*TOGETHER, tool_stream, with_tools, arguments_of)),
    "together, completions": ("together", stainless(*TOGETHER, completion_stream, with_prompt, texts_of)),
    "together, raw": ("together", raw(*TOGETHER)),
    "litellm, tools": (
        "litellm",
        litellm(tool_stream, "completion", arguments_of, model="openai/m", messages=ASKED, tools=TOOLS),
    ),
    "litellm, text_completion": (
        "litellm",
        litellm(completion_stream, "text_completion", texts_of, model="text-completion-openai/m", prompt="Hi"),
    ),
    "mistral, tools": (
        "mistralai",
        mistral("chat", lambda: tool_stream(always_named=True), arguments_of, model="m", messages=ASKED, tools=TOOLS),
    ),
    "mistral, agents": ("mistralai", mistral("agents", openai_stream, contents_of, agent_id="a", messages=ASKED)),
    "mistral, fim": ("mistralai", mistral("fim", openai_stream, contents_of, model="m", prompt="Hi")),
    "cohere, tools": ("cohere", cohere_tools),
    "cohere, version 1": ("cohere", cohere_first),
    "google, chats": (
        "google.genai",
        google(lambda: [{"text": one} for one in pieces()], lambda part: part.text or ""),
    ),
    "google, thoughts": (
        "google.genai",
        google(lambda: [{"text": one, "thought": True} for one in pieces()], lambda part: part.text or ""),
    ),
    "google, arguments": (
        "google.genai",
        google(
            lambda: [{"functionCall": {"name": "find", "args": {"text": "".join(pieces())}}}],
            lambda part: part.function_call.args["text"] if part.function_call else "",
        ),
    ),
    "ollama, generate": (
        "ollama",
        ollama(
            *("generate", "/api/generate", lambda text: {"response": text}),
            lambda chunks: "".join(one["response"] for one in chunks),
            prompt="Hi",
        ),
    ),
    "ollama, thoughts": ("ollama", ollama("chat", "/api/chat", thought, thoughts_of, messages=ASKED)),
    "hub, tools": (
        "huggingface_hub",
        hub(
            *(tool_stream, "/chat/completions"),
            lambda client: client.chat_completion(ASKED, tools=TOOLS, stream=True),
            arguments_of,
        ),
    ),
    "hub, text_generation": (
        "huggingface_hub",
        hub(generated_stream, "/v1", lambda client: client.text_generation("Hi", stream=True), "".join),
    ),
}


@pytest.mark.parametrize("act", ["deny", "mask", "whole"])
@pytest.mark.parametrize("is_async", [False, True])
@pytest.mark.parametrize("name", STREAMS)
def test_26_a_secret_in_any_stream_is_stopped_or_masked(recording, server, admitted, name, is_async, act):
    library, call = STREAMS[name]
    pytest.importorskip(library, reason=f"{library} is not installed; see tests/sdks/README.md")
    with recording.hooked(library, admissions=[admitted(act)]):
        if act == "deny":
            with pytest.raises(DeniedError) as denied:
                call(server, is_async)
            assert denied.value.rule_id == "leak"
        else:
            said = call(server, is_async)
            assert SECRET not in said
            assert said == MASKED
    assert len(recording.spans) == 1
