"""The OpenAI SDK, and every vendor that its client reaches under another base URL."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from otel_llm._generated.attributes import SERVER_ADDRESS
from otel_llm.dialects.providers import provider as provider_of
from otel_llm.instrumentation.foreign import wrapped_by
from otel_llm.instrumentation.loader import Library
from otel_llm.instrumentation.provider import Body, Endpoint, Server
from otel_llm.instrumentation.providers import openai_other as other
from otel_llm.instrumentation.providers.openai_chat import CHAT, COMPLETION
from otel_llm.instrumentation.providers.openai_responses import COMPACT, DECISIONS, FETCH, RESPONSES
from otel_llm.instrumentation.stainless import StainlessLibrary, install_stainless

# The end of a path, for Azure's and others' prefixes; the longer ones first.
POST: Final[Mapping[str, Endpoint]] = {
    "/chat/completions": CHAT,
    "/responses": RESPONSES,
    "/embeddings": other.EMBEDDINGS,
    "/completions": COMPLETION,
    "/responses/compact": COMPACT,
    "/responses/input_tokens": other.COUNT_TOKENS,
    "/decisions": DECISIONS,
    "/images/generations": other.IMAGES,
    "/images/edits": other.IMAGES,
    "/images/variations": other.IMAGES,
    "/audio/speech": other.SPEECH,
    "/audio/transcriptions": other.TRANSCRIPTION,
    "/audio/translations": other.TRANSCRIPTION,
    "/moderations": other.MODERATION,
    "/videos": other.VIDEOS,
    "/videos/edits": other.VIDEOS,
    "/videos/extensions": other.VIDEOS,
    "/batches": other.BATCH,
}


def endpoint(method: str, url: str) -> Endpoint | None:
    """The endpoint of a request; None for what is no GenAI operation."""
    if method in ("post", "POST"):
        found = POST.get(url)
        if found is not None:
            return found
        path = url.partition("?")[0].rstrip("/")
        if path.endswith("/remix"):
            return other.VIDEOS
        if path.endswith("/cancel"):
            return FETCH if "/responses/" in path else None  # it answers with the response as it is
        return next((one for end, one in POST.items() if path.endswith(end)), None)
    if method in ("get", "GET"):
        *_, resource, name = ["", *url.partition("?")[0].split("/")]
        return FETCH if resource == "responses" and name else None
    return None


def provider(client: Any, host: str) -> str:  # noqa: ANN401 - the SDK's client
    """The provider behind a client: by its class, else by its host; one that nobody knows speaks OpenAI's language."""
    name = type(client).__name__
    if "Azure" in name:
        return "azure.ai.openai"
    if "Bedrock" in name:
        return "aws.bedrock"
    return provider_of(None, host, None) or "openai"


# Whoever else speaks OpenAI's language may answer 400 to a field that it does not know.
_TAKES_STREAM_OPTIONS: Final = frozenset({"api.openai.com"})


def ask_for_usage(server: Server, asked: Endpoint, body: Body) -> Body | None:
    """A streamed chat's body with a wish for usage, where the app has not said what it wants."""
    takes = server.attributes.get(SERVER_ADDRESS) in _TAKES_STREAM_OPTIONS or server.provider == "azure.ai.openai"
    if not takes or asked not in (CHAT, COMPLETION) or body.get("stream_options") is not None:
        return None
    return {**body, "stream_options": {"include_usage": True}}


LIBRARY: Final = Library(
    install_stainless(
        StainlessLibrary(name="openai", endpoint=endpoint, provider=provider, ask_for_usage=ask_for_usage)
    ),
    foreign=lambda base: wrapped_by(
        (base, "SyncAPIClient.request"),
        ("openai.resources.chat.completions", "Completions.create"),
        ("openai.resources.responses", "Responses.create"),
    ),
)
