"""The OpenTelemetry Collector and the gateway, each set up to do one thing to spans: for benchmarks/collector.py.

The Collector's configurations are what its documentation leads to: one `set` for each name that a convention calls
otherwise, and the regular expressions that are commonly shown for personal data. They are no straw men: every name and
type is in that the processors can reach by a rename.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

# OpenInference, OpenLLMetry and older semantic conventions, name by name; what needs more than a rename is left out.
_RENAMES: Final = {
    "llm.model_name": "gen_ai.request.model",
    "embedding.model_name": "gen_ai.request.model",
    "llm.token_count.prompt": "gen_ai.usage.input_tokens",
    "llm.token_count.completion": "gen_ai.usage.output_tokens",
    "llm.token_count.prompt_details.cache_read": "gen_ai.usage.cache_read.input_tokens",
    "llm.token_count.completion_details.reasoning": "gen_ai.usage.reasoning.output_tokens",
    "llm.system": "gen_ai.provider.name",
    "llm.provider": "gen_ai.provider.name",
    "gen_ai.system": "gen_ai.provider.name",
    "session.id": "gen_ai.conversation.id",
    "agent.name": "gen_ai.agent.name",
    "tool.name": "gen_ai.tool.name",
    "tool.description": "gen_ai.tool.description",
    "tool.parameters": "gen_ai.tool.call.arguments",
    "gen_ai.usage.prompt_tokens": "gen_ai.usage.input_tokens",
    "gen_ai.usage.completion_tokens": "gen_ai.usage.output_tokens",
    "gen_ai.usage.cache_read_input_tokens": "gen_ai.usage.cache_read.input_tokens",
    "gen_ai.usage.cache_creation_input_tokens": "gen_ai.usage.cache_write.input_tokens",
    "gen_ai.usage.cache_creation.input_tokens": "gen_ai.usage.cache_write.input_tokens",
    "gen_ai.usage.reasoning_tokens": "gen_ai.usage.reasoning.output_tokens",
    "llm.usage.total_tokens": "gen_ai.usage.total_tokens",
    "llm.request.type": "gen_ai.operation.name",
    "llm.request.functions": "gen_ai.tool.definitions",
    "llm.top_k": "gen_ai.request.top_k",
    "llm.is_streaming": "gen_ai.request.stream",
    "llm.frequency_penalty": "gen_ai.request.frequency_penalty",
    "llm.presence_penalty": "gen_ai.request.presence_penalty",
    "traceloop.entity.name": "gen_ai.agent.name",
    "ai.model.id": "gen_ai.request.model",
    "ai.model.provider": "gen_ai.provider.name",
    "ai.usage.promptTokens": "gen_ai.usage.input_tokens",
    "ai.usage.completionTokens": "gen_ai.usage.output_tokens",
    "ai.response.finishReason": "gen_ai.response.finish_reasons",
    "gen_ai.openai.response.service_tier": "openai.response.service_tier",
    "gen_ai.openai.request.service_tier": "openai.request.service_tier",
    "gen_ai.openai.response.system_fingerprint": "openai.response.system_fingerprint",
}
_KINDS: Final = {
    "LLM": "chat",
    "EMBEDDING": "embeddings",
    "TOOL": "execute_tool",
    "AGENT": "invoke_agent",
    "RETRIEVER": "retrieval",
}
# What tutorials show for these; Go's RE2, as the processor uses it.
PATTERNS: Final[Mapping[str, str]] = {
    "EMAIL_ADDRESS": r"[A-Za-z0-9._%+-]+@[A-Za-z0-9.-]+\.[A-Za-z]{2,}",
    "CREDIT_CARD": r"\b(?:\d[ -]?){12,18}\d\b",
    "IBAN_CODE": r"\b[A-Z]{2}\d{2}[A-Z0-9]{11,30}\b",
    "IP_ADDRESS": r"\b(?:\d{1,3}\.){3}\d{1,3}\b|\b(?:[0-9a-fA-F]{1,4}:){2,7}[0-9a-fA-F]{1,4}\b",
    "US_SSN": r"\b\d{3}-\d{2}-\d{4}\b",
    "PHONE_NUMBER": r"(?:\+?\d{1,3}[ .-]?)?\(?\d{3}\)?[ .-]?\d{3}[ .-]?\d{4}\b",
    "key": r"\b(?:sk|pk|ghp|gho|xoxb|xoxp|AKIA|hf)[-_A-Za-z0-9]{16,}\b",
    "jwt": r"\beyJ[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+",
}

_NEXT: Final = """
exporters:
  otlp_http:
    endpoint: {sink}
    compression: none
"""


def transform() -> str:
    """The `transform` processor with all renames."""
    statements = [
        f'set(span.attributes["{new}"], span.attributes["{old}"]) where span.attributes["{old}"] != nil '
        f'and span.attributes["{new}"] == nil'
        for old, new in _RENAMES.items()
    ]
    kind = 'span.attributes["openinference.span.kind"]'
    statements += [
        f'set(span.attributes["gen_ai.operation.name"], "{name}") where {kind} == "{value}"'
        for value, name in _KINDS.items()
    ]
    lines = "\n".join(f"      - '{statement}'" for statement in statements)
    return f"  transform:\n    error_mode: ignore\n    trace_statements:\n{lines}\n"


def redaction() -> str:
    """The `redaction` processor with all patterns."""
    lines = "\n".join(f"      - '{pattern}'" for pattern in PATTERNS.values())
    settings = "    allow_all_keys: true\n    redact_all_types: true\n    summary: silent\n"
    return f"  redaction:\n{settings}    blocked_values:\n{lines}\n"


def collector(port: int, sink: str, *names: str) -> str:
    """OTLP/HTTP in, these processors, OTLP/HTTP out."""
    sections = "".join({"transform": transform, "redaction": redaction}[name]() for name in names)
    processors = f"processors:\n{sections}" if sections else ""
    pipeline = f"receivers: [otlp], processors: [{', '.join(names)}], exporters: [otlp_http]"
    return (
        f"receivers: {{otlp: {{protocols: {{http: {{endpoint: '127.0.0.1:{port}'}}}}}}}}\n{processors}"
        f"{_NEXT.format(sink=sink)}"
        f"service:\n  telemetry: {{metrics: {{level: none}}, logs: {{level: error}}}}\n"
        f"  pipelines:\n    traces: {{{pipeline}}}\n    logs: {{{pipeline}}}\n"
    )


def gateway(port: int, sink: str, *names: str, flush_seconds: float = 0.2) -> str:
    """The same of ours."""
    settings = {"cost": "cost: {existing: replace}"}
    processors = ", ".join(settings.get(name, f"{name}: ") for name in names)
    in_logs = [name for name in names if name not in ("cost", "metrics", "quality")]
    return (
        f"receivers: {{otlp: {{protocols: {{http: {{endpoint: '127.0.0.1:{port}'}}}}}}}}\n"
        f"processors: {{{processors}}}\n"
        f"exporters: {{otlp_http: {{endpoint: '{sink}', compression: none, "
        f"sending_queue: {{batch: {{flush_timeout_seconds: {flush_seconds}}}}}}}}}\n"
        "service:\n  admin: {endpoint: null}\n  telemetry: {logs: {level: error}}\n  pipelines:\n"
        f"    traces: {{receivers: [otlp], processors: [{', '.join(names)}], exporters: [otlp_http]}}\n"
        f"    logs: {{receivers: [otlp], processors: [{', '.join(in_logs)}], exporters: [otlp_http]}}\n"
    )
