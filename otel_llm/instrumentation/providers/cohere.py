"""The Cohere SDK: chat, rerank, embeddings and generation, in both versions of its API.

All clients go through `request` and `stream` of their HTTP client, so that is where the hooks stand; answers are read
from the wire. What Cohere bills is not what its models consume: billed counts win.
Source: Cohere API reference; the SDK, versions 5.11 to 7.3.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from typing import Any, Final

from opentelemetry import context

from otel_llm._generated import attributes as names
from otel_llm.dialects.messages import (
    canonical_finish_reason,
    canonical_messages,
    canonical_tool_definitions,
    lift_system,
    text_messages,
)
from otel_llm.instrumentation.boundary import Boundary
from otel_llm.instrumentation.call import Call
from otel_llm.instrumentation.foreign import wrapped_by
from otel_llm.instrumentation.loader import Library
from otel_llm.instrumentation.methods import Arguments, Method, Request, install_methods
from otel_llm.instrumentation.provider import (
    Attributes,
    Body,
    Content,
    Endpoint,
    number,
    plain,
    read_fields,
    text,
    texts,
    whole,
)
from otel_llm.instrumentation.providers.servers import server_of
from otel_llm.instrumentation.raw import guard_raw, watch_raw
from otel_llm.instrumentation.replace import replace_texts

_FAILED: Final = 400
_REQUEST: Final = (
    ("model", names.GEN_AI_REQUEST_MODEL, text),
    ("temperature", names.GEN_AI_REQUEST_TEMPERATURE, number),
    ("p", names.GEN_AI_REQUEST_TOP_P, number),
    ("k", names.GEN_AI_REQUEST_TOP_K, whole),
    ("max_tokens", names.GEN_AI_REQUEST_MAX_TOKENS, whole),
    ("stop_sequences", names.GEN_AI_REQUEST_STOP_SEQUENCES, texts),
    ("frequency_penalty", names.GEN_AI_REQUEST_FREQUENCY_PENALTY, number),
    ("presence_penalty", names.GEN_AI_REQUEST_PRESENCE_PENALTY, number),
    ("seed", names.GEN_AI_REQUEST_SEED, whole),
    ("embedding_types", names.GEN_AI_REQUEST_ENCODING_FORMATS, texts),
    ("output_dimension", names.GEN_AI_EMBEDDINGS_DIMENSION_COUNT, whole),
)
_FORMATS: Final = {"json_object": "json", "text": "text"}


def request(body: Body) -> Attributes:
    """The model and its parameters. Later versions of the SDK put a sentinel for what the app left out."""
    found = read_fields(body, _REQUEST)
    wanted = body.get("response_format")
    kind = _FORMATS.get(str(wanted.get("type"))) if isinstance(wanted, Mapping) else None
    if kind is not None:
        found[names.GEN_AI_OUTPUT_TYPE] = kind
    return found


def read_usage(usage: Any, found: Attributes) -> None:  # noqa: ANN401 - a View, or None
    """Billed counts, or where there are none those of the model's tokens."""
    billed = getattr(usage, "billed_units", None)
    if billed is None or number(billed.input_tokens) is None:
        billed = getattr(usage, "tokens", None)
    for word, key in (
        ("input_tokens", names.GEN_AI_USAGE_INPUT_TOKENS),
        ("output_tokens", names.GEN_AI_USAGE_OUTPUT_TOKENS),
    ):
        count = getattr(billed, word, None)
        if isinstance(count, int | float):
            found[key] = int(count)  # the API also sends 7.0
    cached = whole(getattr(usage, "cached_tokens", None))
    if cached:
        found[names.GEN_AI_USAGE_CACHE_READ_INPUT_TOKENS] = cached


def response(answer: Any) -> Attributes:  # noqa: ANN401 - a View, or None when the answer was no JSON
    """Id, reason to stop and usage."""
    found: Attributes = {}
    if answer is None:
        return found
    answer_id = text(answer.response_id) or text(answer.id) or text(answer.generation_id)
    if answer_id is not None:
        found[names.GEN_AI_RESPONSE_ID] = answer_id
    reason = text(answer.finish_reason)
    if reason is not None:
        found[names.GEN_AI_RESPONSE_FINISH_REASONS] = [canonical_finish_reason(reason)]
    read_usage(answer.usage or answer.meta, found)
    return found


def chat_input(body: Body) -> Content:
    """Messages, instructions and tools, of either version."""
    messages: Sequence[object] = [plain(one) for one in _listed(body.get("messages"))]
    if not messages:
        message = {"role": "user", "content": body.get("message")}
        messages = [*map(_as_message, _listed(body.get("chat_history"))), message]
    said = lift_system(canonical_messages(messages, "user"))
    preamble = text(body.get("preamble"))
    system: list[Mapping[str, object]] = list(said.system)
    if preamble:
        system.append({"type": "text", "content": preamble})
    return Content(said.messages, system, canonical_tool_definitions(_listed(body.get("tools"))))


def _listed(value: object) -> Sequence[Any]:
    return value if isinstance(value, list | tuple) else ()


def _as_message(turn: Mapping[str, Any]) -> Mapping[str, Any]:
    return {**turn, "content": turn.get("message")}


def chat_output(answer: Any) -> Content:  # noqa: ANN401 - a View
    """The one message."""
    message = plain(answer.message)
    if not isinstance(message, Mapping):
        message = {"role": "assistant", "content": answer.text, "tool_calls": answer.json.get("tool_calls")}
    return Content(canonical_messages([message], "assistant").messages)


def _prompt(body: Body) -> Content:
    prompt = text(body.get("prompt")) or text(body.get("text"))
    return Content(text_messages(prompt, "user") if prompt else ())


def _generated(answer: Any) -> Content:  # noqa: ANN401 - a View
    said = [one.text for one in answer.generations or ()]
    return Content([message for one in said if one for message in text_messages(one, "assistant")])


def _given_texts(body: Body) -> Content:
    return Content([one for said in texts(body.get("texts")) or () for one in text_messages(said, "user")])


def _query(body: Body) -> Content:
    query = text(body.get("query"))
    return Content(text_messages(query, "user") if query else ())


class Events:
    """Collects a stream of either version: usage stands in its last event.

    Args:
        captured: whether the texts are wanted.
    """

    __slots__ = ("_calls", "_captured", "_first_id", "_last", "_pieces", "_texts", "_whole")

    def __init__(self, captured: bool) -> None:  # noqa: FBT001 - the accumulator's signature
        self._captured = captured
        self._first_id: str | None = None
        self._last: Any = None
        self._whole: Any = None
        self._pieces = 0
        self._texts: list[str] = []
        self._calls: dict[int, dict[str, Any]] = {}

    def add(self, event: Any) -> None:  # noqa: ANN401 - a View
        """Take an event."""
        kind = event.json.get("type") or event.json.get("event_type")
        if kind in ("content-delta", "text-generation", "tool-call-delta", "tool-plan-delta"):
            self._pieces += 1
            if self._captured:
                self._take(kind, event)
        elif kind == "message-start":
            self._first_id = event.id
        elif kind == "tool-call-start" and self._captured:
            call = plain(event.delta.message.tool_calls)
            self._calls[event.index or 0] = call if isinstance(call, dict) else {}
        elif kind == "message-end":
            self._last = event.delta
        elif kind == "stream-end":
            self._last = event
            self._whole = event.response

    def _take(self, kind: str, event: Any) -> None:  # noqa: ANN401 - a View
        if kind == "content-delta":
            content = event.delta.message.content
            self._texts.append(content.text or "")
        elif kind == "text-generation":
            self._texts.append(event.text or "")
        elif kind == "tool-call-delta":
            function = self._calls.setdefault(event.index or 0, {}).setdefault("function", {})
            piece = event.delta.message.tool_calls.function.arguments or ""
            function["arguments"] = (function.get("arguments") or "") + piece

    @property
    def is_complete(self) -> bool:
        """Whether its last event came."""
        return self._last is not None

    @property
    def output_estimate(self) -> int:
        """The API sends a token in each event."""
        return self._pieces

    def attributes(self) -> Attributes:
        """What the last event says."""
        found = response(self._whole) if self._whole is not None else {}
        if self._last is not None:
            found = {**found, **{key: item for key, item in response(self._last).items() if key not in found}}
        if self._first_id:
            found[names.GEN_AI_RESPONSE_ID] = self._first_id
        return found

    def output(self) -> Content:
        """The message as far as it came."""
        calls = [self._calls[index] for index in sorted(self._calls)]
        message = {"role": "assistant", "content": "".join(self._texts), "tool_calls": calls}
        return Content(canonical_messages([message], "assistant").messages)


CHAT: Final = Endpoint(
    name="chat",
    operation="chat",
    request=request,
    response=response,
    input=chat_input,
    output=chat_output,
    accumulator=Events,
    replace_input=replace_texts(chat_input, "messages", "message", "chat_history", "preamble"),
)
GENERATE: Final = Endpoint(
    name="generate",
    operation="text_completion",
    request=request,
    response=response,
    input=_prompt,
    output=_generated,
    accumulator=Events,
    replace_input=replace_texts(_prompt, "prompt", "text"),
)
EMBED: Final = Endpoint(
    name="embed",
    operation="embeddings",
    request=request,
    response=response,
    input=_given_texts,
    replace_input=replace_texts(_given_texts, "texts"),
    is_captured=False,
)
RERANK: Final = Endpoint(
    name="rerank",
    operation="rerank",
    request=request,
    response=response,
    input=_query,
    replace_input=replace_texts(_query, "query"),
    is_captured=False,
)
PATHS: Final[Mapping[str, Endpoint]] = {
    "chat": CHAT,
    "generate": GENERATE,
    "summarize": GENERATE,
    "embed": EMBED,
    "rerank": RERANK,
}


def _find(*, is_stream: bool) -> Any:  # noqa: ANN401 - a Method's find
    def find(client: Any, arguments: Arguments) -> Request | None:  # noqa: ANN401 - the SDK's HTTP client
        found = PATHS.get(str(arguments.get("path")).rpartition("/")[2])
        body = arguments.get("json")
        if found is None or arguments.get("retries") or not isinstance(body, Mapping):
            return None  # an attempt made again calls itself
        url = arguments.get("base_url") or client.base_url
        given = {key: item for key, item in body.items() if item is not ... and item is not None}
        return Request(found, server_of("cohere", str(url() if callable(url) else url or "")), given, is_stream)

    return find


def _answered(call: Call, answer: Any, boundary: Boundary) -> Any:  # noqa: ANN401 - an httpx response
    if answer.status_code >= _FAILED:
        call.failed(_error(answer.status_code))
    else:
        if call.guarding is not None:
            guard_raw(call, call.guarding, answer)  # a stream was read when it was entered
        watch_raw(call, answer, boundary)
    return answer


def _error(status: int) -> BaseException:
    """The error that the SDK is about to raise, for its name: it makes it of the answer after it has left us."""
    found = {400: "BadRequest", 401: "Unauthorized", 403: "Forbidden", 404: "NotFound", 422: "UnprocessableEntity"}
    found |= {429: "TooManyRequests", 498: "InvalidToken", 499: "ClientClosedRequest", 500: "InternalServer"}
    found |= {501: "NotImplemented", 503: "ServiceUnavailable", 504: "GatewayTimeout"}
    name = found.get(status)
    kind = (
        getattr(importlib.import_module("cohere.errors"), f"{name}Error")
        if name
        else importlib.import_module("cohere.core.api_error").ApiError
    )
    made: BaseException = kind.__new__(kind)
    return made


def _streamed(call: Call, answer: Any, boundary: Boundary) -> Any:  # noqa: ANN401 - contextlib's context manager
    """The SDK gets a context manager that yields the response: it asks when it is entered."""
    answer.gen = _Entered(call, answer.gen, boundary)
    return answer


class _Entered:
    """The generator of a context manager: the call's context is current while it is entered, and no longer."""

    __slots__ = ("_boundary", "_call", "_generator")

    def __init__(self, call: Call, generator: Any, boundary: Boundary) -> None:  # noqa: ANN401 - of either kind
        self._call: Call | None = call
        self._generator = generator
        self._boundary = boundary

    def __next__(self) -> Any:  # noqa: ANN401 - an httpx response
        call, self._call = self._call, None
        if call is None:
            return next(self._generator)
        token = self._attach(call)
        try:
            answer = next(self._generator)
        except BaseException as error:
            call.failed(error)
            raise
        finally:
            self._detach(token)
        if self._is_guarded(call, answer):
            with call.failing():
                answer.read()
        return self._seen(call, answer)

    async def __anext__(self) -> Any:  # noqa: ANN401 - an httpx response
        call, self._call = self._call, None
        if call is None:
            return await anext(self._generator)
        token = self._attach(call)
        try:
            answer = await anext(self._generator)
        except BaseException as error:
            call.failed(error)
            raise
        finally:
            self._detach(token)
        if self._is_guarded(call, answer):
            with call.failing():
                await answer.aread()
        return self._seen(call, answer)

    def _is_guarded(self, call: Call, answer: Any) -> bool:  # noqa: ANN401 - an httpx response
        """Whether the answer has to be complete before the app reads it: what is looked after is its body."""
        return call.guarding is not None and answer.status_code < _FAILED

    def _attach(self, call: Call) -> Any:  # noqa: ANN401 - OpenTelemetry's token
        return None if call.context is None else self._boundary.run("attach", context.attach, call.context)

    def _detach(self, token: Any) -> None:  # noqa: ANN401 - OpenTelemetry's token
        if token is not None:
            self._boundary.run("detach", context.detach, token)

    def _seen(self, call: Call, answer: Any) -> Any:  # noqa: ANN401 - an httpx response
        self._boundary.run("cohere.stream.answer", _answered, call, answer, self._boundary)
        return answer

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - throw and close, or athrow and aclose
        return getattr(self._generator, name)


def _with_body(body: Body) -> Mapping[str, Any]:
    return {"json": dict(body)}


_MODULE: Final = "cohere.core.http_client"
LIBRARY: Final = Library(
    install_methods(
        Method(_MODULE, f"{owner}.{name}", _find(is_stream=name == "stream"), answered, _with_body)
        for owner in ("HttpClient", "AsyncHttpClient")
        for name, answered in (("request", _answered), ("stream", _streamed))
    ),
    foreign=lambda module: wrapped_by(
        (module, "HttpClient.request"), ("cohere.base_client", "BaseCohere.chat"), ("cohere.client", "Client.chat")
    ),
)
