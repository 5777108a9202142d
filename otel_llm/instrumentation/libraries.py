"""Which libraries are instrumented: where each one and its table are. Imports nothing, for it runs in every process."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final


@dataclass(frozen=True, slots=True)
class Row:
    """Where a library and its table are, before either is imported.

    Attributes:
        table: our module that has its `LIBRARY`.
        watch: the module of the library whose import makes it time to put the hooks in.
        more: further such modules, of other versions or parts of it.
        family: packages that must not be half imported when the hooks go in; the library itself by default.
    """

    table: str
    watch: str
    more: tuple[str, ...] = ()
    family: tuple[str, ...] = ()


_TABLES: Final = "otel_llm.instrumentation.providers."
_FRAMEWORKS: Final = "otel_llm.instrumentation.frameworks."
LIBRARIES: Final[Mapping[str, Row]] = MappingProxyType(
    {
        "agents": Row(_FRAMEWORKS + "openai_agents", "agents"),
        "crewai": Row(_FRAMEWORKS + "crewai", "crewai"),
        "langchain_core": Row(
            _FRAMEWORKS + "langchain",
            "langchain_core.callbacks.manager",
            family=("langchain_core", "langchain", "langchain_classic", "langgraph"),
        ),
        "llama_index.core": Row(_FRAMEWORKS + "llama_index", "llama_index.core"),
        "mcp": Row(
            _FRAMEWORKS + "mcp",
            "mcp.shared.session",
            ("mcp.server.lowlevel.server", "mcp.shared._otel", "mcp.shared.jsonrpc_dispatcher", "mcp.server._otel"),
        ),
        "pydantic_ai": Row(_FRAMEWORKS + "pydantic_ai", "pydantic_ai.agent"),
        "openai": Row(_TABLES + "openai", "openai._base_client"),
        "anthropic": Row(_TABLES + "anthropic", "anthropic._base_client"),
        "botocore": Row(_TABLES + "botocore", "botocore.client"),
        "cohere": Row(_TABLES + "cohere", "cohere.core.http_client"),
        "google.genai": Row(_TABLES + "google_genai", "google.genai._api_client"),
        "groq": Row(_TABLES + "groq", "groq._base_client"),
        "huggingface_hub": Row(_TABLES + "huggingface_hub", "huggingface_hub.inference._client"),
        "litellm": Row(_TABLES + "litellm", "litellm"),
        "mistralai": Row(
            _TABLES + "mistralai",
            "mistralai.client.sdk",
            ("mistralai.azure.client.sdk", "mistralai.gcp.client.sdk", "mistralai.sdk"),
        ),
        "ollama": Row(_TABLES + "ollama", "ollama._client"),
        "together": Row(_TABLES + "together", "together._base_client"),
    }
)
"""By import name."""
COMPANIONS: Final[Mapping[str, Row]] = MappingProxyType(
    {
        "multiprocessing": Row(
            "otel_llm.instrumentation.processes", "multiprocessing.process", ("concurrent.futures.process",)
        ),
        "threading": Row("otel_llm.instrumentation.threads", "threading"),
    }
)
"""What every process imports: hooked once one of the others is, so that no other process is any slower."""
