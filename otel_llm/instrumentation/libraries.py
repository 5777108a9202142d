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
        others: the distributions that make its spans, where we have no hook; the first one installed is switched on.
    """

    table: str
    watch: str
    more: tuple[str, ...] = ()
    family: tuple[str, ...] = ()
    others: tuple[str, ...] = ()


_TABLES: Final = "otel_llm.instrumentation.providers."
_FRAMEWORKS: Final = "otel_llm.instrumentation.frameworks."
_GENAI: Final = "opentelemetry-instrumentation-genai-"
_OPENINFERENCE: Final = "openinference-instrumentation-"
_OPENLLMETRY: Final = "opentelemetry-instrumentation-"


def _by_others(watch: str, *others: str, family: tuple[str, ...] = ()) -> Row:
    """A library whose spans others make, the best first."""
    return Row(_FRAMEWORKS + "others", watch, family=family, others=others)


LIBRARIES: Final[Mapping[str, Row]] = MappingProxyType(
    {
        "agents": _by_others(
            "agents", _GENAI + "openai-agents", _OPENINFERENCE + "openai-agents", _OPENLLMETRY + "openai-agents"
        ),
        "agno": _by_others("agno.agent", _GENAI + "agno", _OPENINFERENCE + "agno", _OPENLLMETRY + "agno"),
        "autogen_agentchat": _by_others("autogen_agentchat.agents", _OPENINFERENCE + "autogen-agentchat"),
        "beeai_framework": _by_others("beeai_framework", _OPENINFERENCE + "beeai"),
        "chromadb": _by_others("chromadb", _OPENLLMETRY + "chromadb"),
        "claude_agent_sdk": _by_others("claude_agent_sdk", _OPENINFERENCE + "claude-agent-sdk"),
        "crewai": _by_others("crewai", _OPENINFERENCE + "crewai", _OPENLLMETRY + "crewai"),
        "dspy": _by_others("dspy", _GENAI + "dspy", _OPENINFERENCE + "dspy"),
        "google.adk": _by_others("google.adk.runners", _OPENINFERENCE + "google-adk"),
        "haystack": _by_others("haystack", _OPENINFERENCE + "haystack", _OPENLLMETRY + "haystack"),
        "lancedb": _by_others("lancedb", _OPENLLMETRY + "lancedb"),
        "langchain_core": _by_others(
            "langchain_core.callbacks.manager",
            _GENAI + "langchain",
            _OPENINFERENCE + "langchain",
            _OPENLLMETRY + "langchain",
            family=("langchain_core", "langchain", "langchain_classic", "langgraph"),
        ),
        "llama_index.core": _by_others(
            "llama_index.core", _GENAI + "llama-index", _OPENINFERENCE + "llama-index", _OPENLLMETRY + "llamaindex"
        ),
        "pinecone": _by_others("pinecone", _OPENLLMETRY + "pinecone"),
        "pymilvus": _by_others("pymilvus", _OPENLLMETRY + "milvus"),
        "qdrant_client": _by_others("qdrant_client", _OPENLLMETRY + "qdrant"),
        "smolagents": _by_others("smolagents", _GENAI + "smolagents", _OPENINFERENCE + "smolagents"),
        "weaviate": _by_others("weaviate", _OPENLLMETRY + "weaviate"),
        "mcp": Row(
            _FRAMEWORKS + "mcp",
            "mcp.shared.session",
            ("mcp.server.lowlevel.server", "mcp.shared._otel", "mcp.shared.jsonrpc_dispatcher", "mcp.server._otel"),
        ),
        "pydantic_ai": Row(_FRAMEWORKS + "pydantic_ai", "pydantic_ai.agent"),
        "openai": Row(_TABLES + "openai", "openai._base_client"),
        "anthropic": Row(_TABLES + "anthropic", "anthropic._base_client"),
        "aiobotocore": Row(_TABLES + "aiobotocore", "aiobotocore.client"),
        "botocore": Row(_TABLES + "botocore", "botocore.client"),
        "cohere": Row(_TABLES + "cohere", "cohere.core.http_client"),
        "google.genai": Row(_TABLES + "google_genai", "google.genai._api_client"),
        "groq": Row(_TABLES + "groq", "groq._base_client"),
        "huggingface_hub": Row(
            _TABLES + "huggingface_hub",
            "huggingface_hub.inference._client",
            ("huggingface_hub.inference._generated._async_client",),
        ),
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
