"""OpenInference: flattened messages and tools, the raw request and response in input.value and output.value.

Source: openinference-semantic-conventions (facts in semconv/dialects/openinference.yaml).
"""

from __future__ import annotations

from typing import Final

from otel_llm._generated import attributes as names
from otel_llm.dialects.draft import Draft
from otel_llm.dialects.exchange import read_generation, read_request, read_response, unread_parameters, without_secrets
from otel_llm.dialects.messages import (
    Conversation,
    canonical_messages,
    canonical_tool_definitions,
    dump,
    text_messages,
    tool_arguments,
    tool_result,
)
from otel_llm.dialects.messages_documents import canonical_documents
from otel_llm.dialects.messages_indexed import indexed_documents, indexed_messages, indexed_tools
from otel_llm.dialects.messages_json import JsonObject

_INPUT: Final = "input.value"
_OUTPUT: Final = "output.value"
_VALUES: Final = (_INPUT, "input.mime_type", _OUTPUT, "output.mime_type")
_PARAMETERS: Final = ("llm.invocation_parameters", "embedding.invocation_parameters")
_MESSAGES: Final = ("llm.input_messages.", "llm.output_messages.", "message.tool_calls.", "message.role")
_COMPLETIONS: Final = ("llm.prompts.", "llm.choices.")
_TOOLS: Final = "llm.tools"
_EMBEDDINGS: Final = "embedding.embeddings."
_DOCUMENTS: Final = "retrieval.documents"
_RERANKED: Final = "reranker.output_documents"


def extract(draft: Draft) -> None:
    """Fill in what the table's renames cannot."""
    _parameters(draft)
    operation = draft.operation.operation_name
    if operation == "chat":
        _chat(draft)
    elif operation == "embeddings":
        _embeddings(draft)
    elif operation in ("retrieval", "rerank"):
        _retrieval(draft)
    elif operation == "execute_tool":
        _tool(draft)
    elif operation in ("invoke_agent", "invoke_workflow"):
        _agent(draft)
    else:
        _flattened(draft)


def _parameters(draft: Draft) -> None:
    for key in _PARAMETERS:
        parameters = draft.mapping(key)
        if not parameters:
            continue
        draft.fill_all(read_request(parameters))
        draft.fill_json(
            names.GEN_AI_TOOL_DEFINITIONS, _tools(draft) or canonical_tool_definitions(parameters.get("tools"))
        )
        draft.discard((key,))
        rest = without_secrets(parameters) if draft.keep_originals else unread_parameters(parameters)
        if rest != parameters:
            draft.replace(key, dump(rest) if rest else None)


def _tools(draft: Draft) -> list[JsonObject]:
    found = draft.under(f"{_TOOLS}.")
    draft.discard(found)
    return indexed_tools(found, _TOOLS)


def _chat(draft: Draft) -> None:
    if draft.operation.provider_name in ("gcp.gemini", "gcp.vertex_ai"):
        draft.operation.set(names.GEN_AI_OPERATION_NAME, "generate_content")
    draft.fill_json(names.GEN_AI_TOOL_DEFINITIONS, _tools(draft))
    request, response = draft.mapping(_INPUT), draft.mapping(_OUTPUT)
    draft.fill_all(read_request(request))
    draft.fill_response(read_generation(response) if "generations" in response else read_response(response))
    _flattened(draft)
    if draft.get(names.GEN_AI_INPUT_MESSAGES) is None and draft.get(_INPUT) is not None:
        draft.fill_input(_read(draft, _INPUT, "user"))
    if draft.get(names.GEN_AI_OUTPUT_MESSAGES) is None and draft.get(_OUTPUT) is not None:
        draft.fill_output(_read(draft, _OUTPUT, "assistant"))
    draft.discard(_VALUES)


def _flattened(draft: Draft) -> None:
    found = draft.under(*_MESSAGES)
    if found:
        draft.fill_input(indexed_messages(found, "llm.input_messages", "openinference"))
        draft.fill_output(indexed_messages(found, "llm.output_messages", "openinference"))
        draft.discard(found)
    completions = draft.under(*_COMPLETIONS)
    if completions:
        draft.operation.set(names.GEN_AI_OPERATION_NAME, "text_completion")
        draft.fill_input(indexed_messages(completions, "llm.prompts", "openinference"))
        draft.fill_output(indexed_messages(completions, "llm.choices", "openinference"))
        draft.discard(completions)


def _embeddings(draft: Draft) -> None:
    draft.fill_all(read_request(draft.mapping(_INPUT)))
    found = draft.under(_EMBEDDINGS)
    texts = [value for key, value in found.items() if key.endswith(".embedding.text") and isinstance(value, str)]
    draft.fill_json(names.GEN_AI_INPUT_MESSAGES, [message for text in texts for message in text_messages(text, "user")])
    draft.discard((*found, *_VALUES))


def _retrieval(draft: Draft) -> None:
    draft.fill(names.GEN_AI_RETRIEVAL_QUERY_TEXT, draft.text("reranker.query") or draft.text(_INPUT))
    found = draft.under(f"{_DOCUMENTS}.", f"{_RERANKED}.")
    documents = indexed_documents(found, _DOCUMENTS) or indexed_documents(found, _RERANKED)
    whole = canonical_documents(draft.get(_OUTPUT)) if draft.mapping(_OUTPUT) else []
    draft.fill_json(names.GEN_AI_RETRIEVAL_DOCUMENTS, _joined(documents, whole))
    if draft.get(names.GEN_AI_RETRIEVAL_DOCUMENTS) is not None:
        draft.discard((*found, "reranker.query", *_VALUES))


def _joined(documents: list[JsonObject], whole: list[JsonObject]) -> list[JsonObject]:
    """The documents, with the id that LangChain's spans have only in the raw output."""
    if not documents:
        return whole
    if len(documents) != len(whole):
        return documents
    return [{**other, **document} for document, other in zip(documents, whole, strict=True)]


def _tool(draft: Draft) -> None:
    draft.fill_text(names.GEN_AI_TOOL_CALL_ARGUMENTS, tool_arguments(draft.get(_INPUT)))
    draft.fill_text(names.GEN_AI_TOOL_CALL_RESULT, tool_result(draft.get(_OUTPUT)))
    draft.discard((*_VALUES, "tool.parameters", "tool.json_schema"))


def _agent(draft: Draft) -> None:
    _flattened(draft)
    for key, role in ((_INPUT, "user"), (_OUTPUT, "assistant")):
        if draft.get(key) is None:
            continue
        conversation = _read(draft, key, role)
        if role == "user":
            draft.fill_input(conversation)
        else:
            draft.fill_output(conversation)
    draft.discard(_VALUES)


def _read(draft: Draft, key: str, role: str) -> Conversation:
    value = draft.get(key)
    mime = draft.text(key.replace(".value", ".mime_type"))
    if isinstance(value, str) and mime == "text/plain":
        return Conversation(text_messages(value, role), [], [])
    return canonical_messages(value, role)
