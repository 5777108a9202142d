"""The Anthropic SDK: messages, their streams and helpers, beta, batches and token counts; Bedrock and Vertex clients.

The SDK traces itself from version 2 on. A client that does keeps its spans; ours are for those that do not.
Source: Anthropic API reference; facts on `cache_creation` and cumulative usage from it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from opentelemetry.trace import NoOpTracer, ProxyTracer, ProxyTracerProvider, get_tracer_provider

from otel_llm._generated import attributes as names
from otel_llm.dialects.messages import canonical_finish_reason, canonical_messages, canonical_tool_definitions
from otel_llm.dialects.providers import provider as provider_of
from otel_llm.instrumentation.foreign import wrapped_by
from otel_llm.instrumentation.loader import Library
from otel_llm.instrumentation.provider import (
    Attributes,
    Body,
    Content,
    Endpoint,
    Reading,
    fields,
    number,
    plain,
    read_fields,
    text,
    texts,
    whole,
)
from otel_llm.instrumentation.replace import replace_texts
from otel_llm.instrumentation.simple import read_messages, simple_message
from otel_llm.instrumentation.stainless import StainlessLibrary, install_stainless

_FIELDS: Final[Sequence[Reading]] = (
    ("model", names.GEN_AI_REQUEST_MODEL, text),
    ("max_tokens", names.GEN_AI_REQUEST_MAX_TOKENS, whole),
    ("max_tokens_to_sample", names.GEN_AI_REQUEST_MAX_TOKENS, whole),
    ("temperature", names.GEN_AI_REQUEST_TEMPERATURE, number),
    ("top_p", names.GEN_AI_REQUEST_TOP_P, number),
    ("top_k", names.GEN_AI_REQUEST_TOP_K, whole),
    ("stop_sequences", names.GEN_AI_REQUEST_STOP_SEQUENCES, texts),
)
_CHARACTERS_PER_TOKEN: Final = 4


def request(body: Body) -> Attributes:
    """Model and parameters of a messages request."""
    found = read_fields(body, _FIELDS)
    output = body.get("output_config")
    if isinstance(output, Mapping) and type(output.get("effort")) is str:
        found[names.GEN_AI_REQUEST_REASONING_LEVEL] = output["effort"]
    return found


def read_usage(usages: Sequence[Any], found: Attributes) -> None:
    """Token counts. Usage in a stream is cumulative, so of several objects the first here that has a count is right.

    Args:
        usages: one usage object; those of a stream from the last one to the first.
        found: where the counts go.
    """
    counts = [fields(usage) for usage in usages]
    entered = _last(counts, "input_tokens")
    read, written = _last(counts, "cache_read_input_tokens"), _last(counts, "cache_creation_input_tokens")
    if entered is not None:  # Anthropic counts cached tokens apart
        found[names.GEN_AI_USAGE_INPUT_TOKENS] = entered + (read or 0) + (written or 0)
    for key, value in (
        (names.GEN_AI_USAGE_OUTPUT_TOKENS, _last(counts, "output_tokens")),
        (names.GEN_AI_USAGE_CACHE_READ_INPUT_TOKENS, read),
        (names.GEN_AI_USAGE_CACHE_WRITE_INPUT_TOKENS, written),
    ):
        if value is not None:
            found[key] = value
    for group, name, key, is_always in _DETAILS:
        details = [fields(one[group]) for one in counts if one.get(group) is not None]
        value = _last(details, name) if details else None
        if value is not None and (value or is_always):
            found[key] = value
    tier = next((one["service_tier"] for one in counts if isinstance(one.get("service_tier"), str)), None)
    if tier is not None:
        found[names.OTEL_LLM_USAGE_SERVICE_TIER] = tier


_DETAILS: Final = (
    ("output_tokens_details", "thinking_tokens", names.GEN_AI_USAGE_REASONING_OUTPUT_TOKENS, True),
    ("cache_creation", "ephemeral_1h_input_tokens", names.OTEL_LLM_USAGE_CACHE_WRITE_1H_INPUT_TOKENS, False),
    ("server_tool_use", "web_search_requests", names.OTEL_LLM_USAGE_WEB_SEARCHES, False),
)


def _last(counts: Sequence[Mapping[str, Any]], name: str) -> int | None:
    for one in counts:
        value = one.get(name)
        if type(value) is int and value >= 0:
            return value
    return None


def response(answer: Any) -> Attributes:  # noqa: ANN401 - the SDK's model
    """Id, model, stop reason and usage of a message."""
    found: Attributes = {}
    _identity(answer, found)
    if answer.stop_reason:
        found[names.GEN_AI_RESPONSE_FINISH_REASONS] = [canonical_finish_reason(answer.stop_reason)]
    if answer.usage is not None:
        read_usage((answer.usage,), found)
    return found


def _identity(answer: Any, found: Attributes) -> None:  # noqa: ANN401 - the SDK's model
    for value, key in ((answer.id, names.GEN_AI_RESPONSE_ID), (answer.model, names.GEN_AI_RESPONSE_MODEL)):
        if isinstance(value, str) and value:
            found[key] = str(value)


def message_input(body: Body) -> Content:
    """Messages, system prompt and tools of a request."""
    given = body.get("messages")
    messages = read_messages(given, _plain_message) if isinstance(given, list | tuple) else []
    system = body.get("system")
    if isinstance(system, str) and system:
        instructions: Sequence[Mapping[str, object]] = [{"type": "text", "content": system}]
    else:
        instructions = canonical_messages({"system": system, "messages": []}).system if system else ()
    return Content(messages, instructions, canonical_tool_definitions(body.get("tools")))


def _plain_message(message: object) -> object:
    """A message as plain data: apps pass the SDK's content blocks of earlier answers in it."""
    message = plain(message)
    content = message.get("content") if isinstance(message, Mapping) else None
    if isinstance(message, Mapping) and isinstance(content, list | tuple):
        return {**message, "content": [plain(block) for block in content]}
    return message


def message_output(answer: Any) -> Content:  # noqa: ANN401 - the SDK's model
    """The one message."""
    return Content(_one_message(getattr(answer, "role", None), answer.content, answer))


def _one_message(role: object, blocks: Any, answer: Any) -> Sequence[Mapping[str, object]]:  # noqa: ANN401 - the SDK's models
    """A message of content blocks, which are nearly always texts; those of an answer, or of a stream without one."""
    simple = simple_message(role, blocks)
    if simple is not None:
        return [simple]
    said = [{"role": role, "content": blocks}] if answer is None else plain(answer)
    return canonical_messages(said, "assistant").messages


class MessageEvents:
    """Collects the events of a streamed message.

    Args:
        captured: whether the texts are wanted.
    """

    __slots__ = ("_blocks", "_captured", "_characters", "_delta", "_message", "_stop")

    def __init__(self, captured: bool) -> None:  # noqa: FBT001 - the accumulator's signature
        self._captured = captured
        self._message: Any = None
        self._delta: Any = None
        self._stop: str | None = None
        self._characters = 0
        self._blocks: dict[int, tuple[Any, list[str]]] = {}

    def add(self, event: Any) -> None:  # noqa: ANN401 - the SDK's model
        """Take an event."""
        kind = event.type
        if kind == "content_block_delta":
            piece = _piece(event.delta)
            if piece:
                self._characters += len(piece)
                if self._captured and event.index in self._blocks:
                    self._blocks[event.index][1].append(piece)
        elif kind == "message_delta":
            self._delta = event.usage
            self._stop = event.delta.stop_reason or self._stop
        elif kind == "message_start":
            self._message = event.message
        elif kind == "content_block_start" and self._captured:
            self._blocks[event.index] = (event.content_block, [])

    @property
    def is_complete(self) -> bool:
        """Whether the message had its end."""
        return self._stop is not None

    @property
    def output_estimate(self) -> int:
        """Four characters to a token, or so."""
        return -(-self._characters // _CHARACTERS_PER_TOKEN)

    def attributes(self) -> Attributes:
        """What the events say."""
        found: Attributes = {}
        usages = [self._delta] if self._delta is not None else []
        if self._message is not None:
            _identity(self._message, found)
            if self._message.usage is not None:
                usages.append(self._message.usage)
        read_usage(usages, found)
        if self._stop is not None:
            found[names.GEN_AI_RESPONSE_FINISH_REASONS] = [canonical_finish_reason(self._stop)]
        return found

    def output(self) -> Content:
        """The message as far as it came."""
        blocks = [_block(*self._blocks[index]) for index in sorted(self._blocks)]
        return Content(_one_message("assistant", blocks, None))


def _piece(delta: Any) -> str | None:  # noqa: ANN401 - the SDK's model
    kind = delta.type
    if kind == "text_delta":
        said = delta.text
    elif kind == "input_json_delta":
        said = delta.partial_json
    else:
        said = delta.thinking if kind == "thinking_delta" else None
    return said if isinstance(said, str) else None


_PIECES: Final = {"text": "text", "thinking": "thinking"}


def _block(start: Any, pieces: Sequence[str]) -> object:  # noqa: ANN401 - the SDK's model
    """A content block as the API would have sent it whole."""
    block = plain(start)
    if not isinstance(block, Mapping) or not pieces:
        return block
    said = "".join(pieces)
    return {**block, _PIECES.get(str(block.get("type")), "input"): said}


MESSAGES: Final = Endpoint(
    name="messages",
    operation="chat",
    request=request,
    response=response,
    input=message_input,
    output=message_output,
    accumulator=MessageEvents,
    replace_input=replace_texts(message_input, "messages", "system"),
)
COMPLETE: Final = Endpoint(name="complete", operation="text_completion", request=request)
COUNT_TOKENS: Final = Endpoint(name="count_tokens", operation="count_tokens", request=request)
BATCH: Final = Endpoint(name="batch", operation="create_batch")
POST: Final[Mapping[str, Endpoint]] = {
    "/v1/messages": MESSAGES,
    "/v1/messages/count_tokens": COUNT_TOKENS,
    "/v1/messages/batches": BATCH,
    "/v1/complete": COMPLETE,
}


def endpoint(method: str, url: str) -> Endpoint | None:
    """The endpoint of a request; None for what is no GenAI operation."""
    if method not in ("post", "POST"):
        return None
    path = url.partition("?")[0].rstrip("/")
    found = POST.get(path)
    return found or next((one for end, one in POST.items() if path.endswith(end)), None)


_CLASSES: Final = (
    ("Bedrock", "aws.bedrock"),
    ("AWS", "aws.bedrock"),
    ("Vertex", "gcp.vertex_ai"),
    ("GoogleCloud", "gcp.vertex_ai"),
    ("Foundry", "azure.ai.inference"),
)


def provider(client: Any, host: str) -> str:  # noqa: ANN401 - the SDK's client
    """The provider behind a client: by its class, else by its host."""
    name = type(client).__name__
    known = next((found for part, found in _CLASSES if part in name), None)
    return known or provider_of(None, host, None) or "anthropic"


def traces_itself(client: Any) -> bool:  # noqa: ANN401 - the SDK's client
    """Whether the client emits spans of its own, and they go anywhere: to a provider of its own, or the app's."""
    tracer = getattr(client, "_tracer", None)
    if tracer is None or isinstance(tracer, NoOpTracer):
        return False
    return not isinstance(tracer, ProxyTracer) or not isinstance(get_tracer_provider(), ProxyTracerProvider)


def native(environment: Mapping[str, str], module: Any) -> str | None:  # noqa: ANN401 - the SDK's _base_client
    """Why clients trace themselves here, None when they do not."""
    can = hasattr(getattr(module, "BaseClient", None), "_tracer")
    if not can or environment.get("ANTHROPIC_OPEN_TELEMETRY", "").lower() == "false":
        return None
    return "the SDK traces itself where the app has set OpenTelemetry up; our hook adds metrics and admission"


LIBRARY: Final = Library(
    install_stainless(
        StainlessLibrary(name="anthropic", endpoint=endpoint, provider=provider, traces_itself=traces_itself)
    ),
    native=native,
    foreign=lambda base: wrapped_by(
        (base, "SyncAPIClient.request"), ("anthropic.resources.messages", "Messages.create")
    ),
)
