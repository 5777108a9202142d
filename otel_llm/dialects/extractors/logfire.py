"""Logfire: raw usage beside the counts, a second span for what a stream returned.

Source: logfire 5.2, versions 1 and latest of its LLM integrations (facts in semconv/dialects/logfire.yaml).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from otel_llm._generated import attributes as names
from otel_llm.dialects.draft import Draft
from otel_llm.dialects.exchange import read_request, read_response
from otel_llm.dialects.messages import canonical_messages, canonical_tool_definitions
from otel_llm.dialects.messages_events import message_events_json
from otel_llm.dialects.messages_json import as_object
from otel_llm.dialects.usage import read_usage

_REQUEST: Final = "request_data"
_RESPONSE: Final = "response_data"
_EVENTS: Final = "events"
_RAW: Final = "gen_ai.usage.raw"
_MODEL_CALLS: Final = ("chat", "text_completion", "generate_content")


def extract(draft: Draft) -> None:
    """Fill in what the table's renames cannot."""
    request = draft.mapping(_REQUEST)
    if not request and not draft.is_model_call():
        return
    if draft.operation.operation_name is None:
        draft.fill(names.GEN_AI_OPERATION_NAME, _operation(request))
    if draft.get("logfire.span_type") == "log":
        draft.fill(names.GEN_AI_REQUEST_STREAM, value=True)
    draft.fill_all(read_request(request))
    draft.fill_all(read_usage(draft.mapping(_RAW)))
    _messages(draft, request)
    _answer(draft, draft.mapping(_RESPONSE))
    _unverified(draft)
    draft.discard((_REQUEST, _RESPONSE, _EVENTS, _RAW))


def _operation(request: Mapping[str, object]) -> str | None:
    if "messages" in request:
        return "chat"
    return "embeddings" if "input" in request and "instructions" not in request else None


def _messages(draft: Draft, request: Mapping[str, object]) -> None:
    if draft.get(_EVENTS) is not None:
        sent, answered = message_events_json(draft.get(_EVENTS))
        draft.fill_input(sent)
        draft.fill_output(answered)
    if any(key in request for key in ("messages", "input", "prompt")):
        draft.fill_input(canonical_messages(request))
    draft.fill_json(names.GEN_AI_TOOL_DEFINITIONS, canonical_tool_definitions(request.get("tools")))


def _answer(draft: Draft, response: Mapping[str, object]) -> None:
    if not response:
        return
    draft.fill_response(read_response(response))
    answer = response.get("message") or response.get("combined_chunk_content") or response.get("text")
    if answer:
        source = {"role": "assistant", **message} if (message := as_object(answer)) else answer
        draft.fill_output(canonical_messages([source] if as_object(source) else source, "assistant"))


def _unverified(draft: Draft) -> None:
    """Take the requested model's name back where it stands for the response's, and say when usage is missing.

    The span of a streamed request ends before the stream does: what was used is on the second span.
    """
    operation = draft.operation
    if operation.operation_name not in _MODEL_CALLS or operation.response_id is not None:
        return
    if operation.response_model == operation.request_model:
        operation.remove(names.GEN_AI_RESPONSE_MODEL)
    if not draft.was_answered() and operation.status_code != 2:  # noqa: PLR2004 - OTLP's ERROR
        draft.fill(names.OTEL_LLM_USAGE_COMPLETE, value=False)
