"""The Together SDK since 2.0: Stainless's, with OpenAI's API and a rerank of its own.

Source: Together API reference; the SDK's types, versions 2.0 to 3.1.
"""

from __future__ import annotations

from typing import Any, Final

from otel_llm.instrumentation.foreign import wrapped_by
from otel_llm.instrumentation.loader import Library
from otel_llm.instrumentation.provider import Endpoint
from otel_llm.instrumentation.providers import compatible, openai_other
from otel_llm.instrumentation.stainless import StainlessLibrary, install_stainless

RERANK: Final = Endpoint(name="rerank", operation="rerank", request=openai_other.request, response=openai_other.answer)


def endpoint(method: str, url: str) -> Endpoint | None:
    """The endpoint of a request; None for what is no GenAI operation."""
    if method in ("post", "POST") and url.rstrip("/").endswith("/rerank"):
        return RERANK
    return compatible.endpoint(method, url)


def provider(_: Any, __: str) -> str:  # noqa: ANN401 - the SDK's client
    """Whatever the base URL is, it speaks for Together."""
    return "together_ai"


LIBRARY: Final = Library(
    install_stainless(StainlessLibrary(name="together", endpoint=endpoint, provider=provider)),
    foreign=lambda base: wrapped_by(
        (base, "SyncAPIClient.request"), ("together.resources.chat.completions", "CompletionsResource.create")
    ),
)
