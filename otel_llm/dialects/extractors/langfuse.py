"""Langfuse SDK: JSON under langfuse.observation.*, with the defaults of a form for parameters nobody gave.

Source: langfuse 5.0 (facts in semconv/dialects/langfuse.yaml).
"""

from __future__ import annotations

from datetime import datetime
from typing import Final

from otel_llm._generated import attributes as names
from otel_llm.dialects.draft import Draft
from otel_llm.dialects.exchange import read_request
from otel_llm.dialects.messages import (
    canonical_messages,
    canonical_tool_definitions,
    text_messages,
    tool_arguments,
    tool_result,
)
from otel_llm.dialects.messages_documents import canonical_documents
from otel_llm.dialects.messages_json import as_list, as_object, as_text
from otel_llm.dialects.providers import provider
from otel_llm.dialects.usage import read_usage

_PREFIX: Final = "langfuse.observation."
_INPUT: Final = _PREFIX + "input"
_OUTPUT: Final = _PREFIX + "output"
_MODEL: Final = _PREFIX + "model.name"
_PARAMETERS: Final = _PREFIX + "model.parameters"
_USAGE: Final = _PREFIX + "usage_details"
_STARTED: Final = _PREFIX + "completion_start_time"
_METADATA: Final = _PREFIX + "metadata."
_ITEMS: Final = frozenset({"message", "reasoning", "function_call"})
_DEFAULTS: Final = {"temperature": 1, "top_p": 1, "frequency_penalty": 0, "presence_penalty": 0}


def extract(draft: Draft) -> None:
    """Fill in what the table's renames cannot."""
    operation = draft.operation.operation_name
    if operation in ("chat", "embeddings"):
        _call(draft)
    elif operation == "execute_tool":
        draft.fill(names.GEN_AI_TOOL_NAME, draft.operation.name)
        draft.fill_text(names.GEN_AI_TOOL_CALL_ARGUMENTS, tool_arguments(draft.get(_INPUT)))
        draft.fill_text(names.GEN_AI_TOOL_CALL_RESULT, tool_result(draft.get(_OUTPUT)))
    elif operation == "retrieval":
        query = as_text(draft.mapping(_INPUT).get("query")) or draft.text(_INPUT)
        draft.fill(names.GEN_AI_RETRIEVAL_QUERY_TEXT, query)
        draft.fill_json(names.GEN_AI_RETRIEVAL_DOCUMENTS, canonical_documents(draft.get(_OUTPUT)))
    elif operation in ("invoke_agent", "invoke_workflow"):
        _messages(draft)
    else:
        return
    draft.discard((_INPUT, _OUTPUT))


def _call(draft: Draft) -> None:
    model = draft.text(_MODEL)
    # The model's name is the response's once there is one; on a failed call it is still the request's.
    answered = draft.get(_OUTPUT) is not None or draft.get(_USAGE) is not None or draft.get(_STARTED) is not None
    draft.fill(names.GEN_AI_RESPONSE_MODEL if answered else names.GEN_AI_REQUEST_MODEL, model)
    draft.fill(names.GEN_AI_PROVIDER_NAME, _provider(draft, model))
    parameters = draft.mapping(_PARAMETERS)
    given = {key: value for key, value in parameters.items() if _DEFAULTS.get(key) != value and key != "service_tier"}
    draft.fill_all(read_request(given))
    draft.fill(names.OPENAI_RESPONSE_SERVICE_TIER, as_text(parameters.get("service_tier")))
    draft.fill_all(read_usage(draft.mapping(_USAGE)))
    _stream(draft)
    identifier = as_text(draft.parsed(_METADATA + "id"))
    if identifier and identifier.startswith(("resp_", "chatcmpl-", "msg_")):
        draft.fill(names.GEN_AI_RESPONSE_ID, identifier)
    draft.fill(names.GEN_AI_RESPONSE_FINISH_REASONS, as_text(draft.parsed(_METADATA + "finish_reason")))
    if draft.operation.operation_name == "chat":
        _messages(draft)
    else:
        draft.fill_json(names.GEN_AI_INPUT_MESSAGES, text_messages(draft.text(_INPUT) or "", "user"))
    draft.discard((_MODEL, _PARAMETERS, _USAGE, _STARTED))


def _provider(draft: Draft, model: str | None) -> str | None:
    """The provider of the wrapped client, which the wrapper writes into the observation's name."""
    if model and draft.operation.name.startswith("OpenAI-"):
        return provider(None, None, model) or "openai"
    return None


def _stream(draft: Draft) -> None:
    started = as_text(draft.parsed(_STARTED)) or draft.text(_STARTED)
    if started is None:
        return
    draft.fill(names.GEN_AI_REQUEST_STREAM, value=True)
    try:
        moment = datetime.fromisoformat(started)
    except ValueError:
        return
    if moment.tzinfo is not None and draft.operation.start_unix_nano:
        seconds = moment.timestamp() - draft.operation.start_unix_nano / 1e9
        if seconds >= 0:
            draft.fill(names.GEN_AI_RESPONSE_TIME_TO_FIRST_CHUNK, round(seconds, 6))


def _messages(draft: Draft) -> None:
    sent = draft.get(_INPUT)
    if sent is not None:
        draft.fill_input(canonical_messages(sent))
        draft.fill_json(names.GEN_AI_TOOL_DEFINITIONS, canonical_tool_definitions(draft.mapping(_INPUT).get("tools")))
    if draft.get(_OUTPUT) is not None:
        draft.fill_output(canonical_messages(_answer(draft), "assistant"))


def _answer(draft: Draft) -> object:
    """The output; items of OpenAI's Responses API as the whole response, whose status tells why it ended."""
    parsed = draft.parsed(_OUTPUT)
    items = [parsed] if as_object(parsed) else as_list(parsed) or ()
    sources = [source for item in items if (source := as_object(item)) and source.get("type") in _ITEMS]
    if not sources:
        return draft.get(_OUTPUT)
    status = draft.parsed(_METADATA + "status") or next(
        (found for item in sources if (found := item.get("status"))), None
    )
    return {"object": "response", "output": list(items), "status": status}
