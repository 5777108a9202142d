"""Google ADK: schema 1 puts Gemini's request and response into JSON on spans without an operation's name.

Source: google-adk 2.13 (facts in semconv/dialects/google_adk.yaml).
"""

from __future__ import annotations

from typing import Final

from otel_llm._generated import attributes as names
from otel_llm.dialects.draft import Draft
from otel_llm.dialects.exchange import read_request, read_response
from otel_llm.dialects.messages import canonical_messages, canonical_tool_definitions, tool_arguments, tool_result
from otel_llm.dialects.messages_json import as_object

_PREFIX: Final = "gcp.vertex.agent."
_REQUEST: Final = _PREFIX + "llm_request"
_RESPONSE: Final = _PREFIX + "llm_response"
_ARGUMENTS: Final = _PREFIX + "tool_call_args"
_RESULT: Final = _PREFIX + "tool_response"
_PLACEHOLDERS: Final = frozenset({"{}", "N/A", "<not specified>", "<not serializable>", '"<not serializable>"', ""})
_TOOL_TYPES: Final = frozenset({"function", "extension", "datastore"})


def extract(draft: Draft) -> None:
    """Fill in what the table's renames cannot."""
    operation = draft.operation
    if operation.name == "call_llm":
        _call(draft)
    elif operation.name.startswith("invocation"):
        draft.fill(names.GEN_AI_OPERATION_NAME, "invoke_workflow")
    if operation.operation_name == "execute_tool":
        _tool(draft)
    draft.discard(key for key in (_REQUEST, _RESPONSE, _ARGUMENTS, _RESULT) if _is_placeholder(draft.get(key)))


def _call(draft: Draft) -> None:
    request, response = draft.mapping(_REQUEST), draft.mapping(_RESPONSE)
    draft.fill_all(read_request(request))
    draft.fill_response(read_response(response))
    draft.fill(names.GEN_AI_RESPONSE_FINISH_REASONS, _text(response.get("finish_reason")))
    config = as_object(request.get("config")) or {}
    if "contents" in request:
        given = {"contents": request["contents"], "system_instruction": config.get("system_instruction")}
        draft.fill_input(canonical_messages(given))
    draft.fill_json(names.GEN_AI_TOOL_DEFINITIONS, canonical_tool_definitions(config.get("tools")))
    if as_object(response.get("content")):
        draft.fill_output(canonical_messages({"contents": [response["content"]]}, "assistant"))
    draft.discard((_REQUEST, _RESPONSE))
    if draft.operation.scope_version.partition(".")[0] in ("0", "1"):
        draft.fill(names.GEN_AI_OPERATION_NAME, "generate_content")
        return
    # From 2.0 on there is a generate_content span below it, with the same counts.
    draft.make_step()


def _tool(draft: Draft) -> None:
    kind = draft.get(names.GEN_AI_TOOL_TYPE)
    if isinstance(kind, str) and kind not in _TOOL_TYPES:  # the Python class
        draft.operation.set(names.GEN_AI_TOOL_TYPE, "function")
    for source, key, read in (
        (_ARGUMENTS, names.GEN_AI_TOOL_CALL_ARGUMENTS, tool_arguments),
        (_RESULT, names.GEN_AI_TOOL_CALL_RESULT, tool_result),
    ):
        value = draft.get(source)
        if value is not None and not _is_placeholder(value):
            draft.fill_text(key, read(value))
            draft.discard((source,))


def _is_placeholder(value: object) -> bool:
    return isinstance(value, str) and value in _PLACEHOLDERS


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None
