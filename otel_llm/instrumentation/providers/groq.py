"""The Groq SDK: Stainless's, with OpenAI's API.

Source: Groq API reference; the SDK's types, versions 0.13 to 1.7.
"""

from __future__ import annotations

from typing import Any, Final

from otel_llm.instrumentation.foreign import wrapped_by
from otel_llm.instrumentation.loader import Library
from otel_llm.instrumentation.providers.compatible import endpoint
from otel_llm.instrumentation.stainless import StainlessLibrary, install_stainless


def provider(_: Any, __: str) -> str:  # noqa: ANN401 - the SDK's client
    """Whatever the base URL is, it speaks for Groq."""
    return "groq"


LIBRARY: Final = Library(
    install_stainless(StainlessLibrary(name="groq", endpoint=endpoint, provider=provider)),
    foreign=lambda base: wrapped_by(
        (base, "SyncAPIClient.request"), ("groq.resources.chat.completions", "Completions.create")
    ),
)
