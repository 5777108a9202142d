"""MLflow: JSON in every attribute, the call's parameters under bare names, the provider's bodies as inputs and outputs.

Source: mlflow-tracing 3.17 (facts in semconv/dialects/mlflow.yaml).
"""

from __future__ import annotations

from typing import Final

from otel_llm._generated import attributes as names
from otel_llm.dialects.draft import Draft
from otel_llm.dialects.exchange import REQUEST_WORDS, read_request, read_response
from otel_llm.dialects.messages import canonical_messages, canonical_tool_definitions, tool_arguments, tool_result
from otel_llm.dialects.messages_documents import canonical_documents
from otel_llm.dialects.messages_json import as_text, first
from otel_llm.dialects.usage import read_usage

_INPUTS: Final = "mlflow.spanInputs"
_OUTPUTS: Final = "mlflow.spanOutputs"
_USAGE: Final = "mlflow.chat.tokenUsage"
_MODEL: Final = "mlflow.llm.model"
_PROVIDER: Final = "mlflow.llm.provider"
_TOOLS: Final = "mlflow.chat.tools"
_FUNCTION: Final = "mlflow.spanFunctionName"


def extract(draft: Draft) -> None:
    """Fill in what the table's renames cannot."""
    operation = draft.operation.operation_name
    if draft.is_model_call():
        _call(draft)
    elif operation == "execute_tool":
        draft.fill(names.GEN_AI_TOOL_NAME, as_text(draft.parsed(_FUNCTION)) or draft.operation.name)
        draft.fill_text(names.GEN_AI_TOOL_CALL_ARGUMENTS, tool_arguments(draft.get(_INPUTS)))
        draft.fill_text(names.GEN_AI_TOOL_CALL_RESULT, tool_result(draft.get(_OUTPUTS)))
    elif operation == "retrieval":
        inputs = draft.mapping(_INPUTS)
        query = as_text(first(inputs, "query", "question", "q", "input")) or as_text(draft.parsed(_INPUTS))
        draft.fill(names.GEN_AI_RETRIEVAL_QUERY_TEXT, query)
        draft.fill_json(names.GEN_AI_RETRIEVAL_DOCUMENTS, canonical_documents(draft.get(_OUTPUTS)))
    elif operation in ("invoke_agent", "invoke_workflow"):
        if operation == "invoke_agent":
            draft.fill(names.GEN_AI_AGENT_NAME, as_text(draft.parsed(_FUNCTION)))
        _messages(draft)
    else:
        return
    draft.discard((_INPUTS, _OUTPUTS))


def _call(draft: Draft) -> None:
    bare = {word: draft.parsed(word) for word in REQUEST_WORDS if draft.get(word) is not None}
    request = {**draft.mapping(_INPUTS), **bare}
    draft.fill_all(read_request(request))
    draft.fill(names.GEN_AI_RESPONSE_MODEL, as_text(draft.parsed(_MODEL)))
    draft.fill(names.GEN_AI_PROVIDER_NAME, as_text(draft.parsed(_PROVIDER)))
    # The translators that fill this object add cached tokens to the input themselves.
    draft.fill_all(read_usage(draft.mapping(_USAGE), "inclusive"))
    draft.fill_response(read_response(draft.mapping(_OUTPUTS)))
    _messages(draft)
    tools = draft.parsed(_TOOLS) or draft.parsed("tools") or request.get("tools")
    draft.fill_json(names.GEN_AI_TOOL_DEFINITIONS, canonical_tool_definitions(tools))
    draft.discard((*bare, "tools", "stream_options", _MODEL, _PROVIDER, _USAGE, _TOOLS))


def _messages(draft: Draft) -> None:
    if draft.get(_INPUTS) is not None:
        draft.fill_input(canonical_messages(draft.get(_INPUTS)))
    if draft.get(_OUTPUTS) is not None:
        draft.fill_output(canonical_messages(draft.get(_OUTPUTS), "assistant"))
