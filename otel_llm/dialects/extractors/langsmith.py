"""LangSmith: a run's inputs and outputs as JSON, LangChain's constructors in them.

Source: langsmith's OpenTelemetry exporter in langchain-core 1.7 (facts in semconv/dialects/langsmith.yaml).
"""

from __future__ import annotations

from typing import Final

from otel_llm._generated import attributes as names
from otel_llm.dialects.draft import Draft
from otel_llm.dialects.exchange import read_generation
from otel_llm.dialects.messages import canonical_messages, tool_arguments, tool_result
from otel_llm.dialects.messages_documents import canonical_documents
from otel_llm.dialects.messages_json import as_text, first
from otel_llm.dialects.usage import read_usage

_INPUTS: Final = "gen_ai.prompt"
_OUTPUTS: Final = "gen_ai.completion"
_USAGE: Final = "langsmith.metadata.usage_metadata"


def extract(draft: Draft) -> None:
    """Fill in what the table's renames cannot."""
    operation = draft.operation.operation_name
    if draft.is_model_call():
        _call(draft)
    elif operation == "execute_tool":
        draft.fill(names.GEN_AI_TOOL_NAME, draft.text("langsmith.trace.name") or draft.operation.name)
        draft.fill_text(names.GEN_AI_TOOL_CALL_ARGUMENTS, tool_arguments(draft.get(_INPUTS)))
        draft.fill_text(names.GEN_AI_TOOL_CALL_RESULT, tool_result(draft.get(_OUTPUTS)))
    elif operation == "retrieval":
        draft.fill(names.GEN_AI_RETRIEVAL_QUERY_TEXT, as_text(first(draft.mapping(_INPUTS), "query", "input")))
        draft.fill_json(names.GEN_AI_RETRIEVAL_DOCUMENTS, canonical_documents(draft.get(_OUTPUTS)))
    elif operation in ("invoke_agent", "invoke_workflow"):
        draft.fill_input(canonical_messages(draft.get(_INPUTS)))
        draft.fill_output(canonical_messages(draft.get(_OUTPUTS), "assistant"))
    else:
        return
    draft.discard((_INPUTS, _OUTPUTS))


def _call(draft: Draft) -> None:
    draft.fill_all(read_usage(draft.mapping(_USAGE), "inclusive"))
    draft.fill_response(read_generation(draft.mapping(_OUTPUTS)))
    if draft.get(_INPUTS) is not None:
        draft.fill_input(canonical_messages(draft.get(_INPUTS)))
    if draft.get(_OUTPUTS) is not None:
        draft.fill_output(canonical_messages(draft.get(_OUTPUTS), "assistant"))
    draft.discard((_USAGE,))
