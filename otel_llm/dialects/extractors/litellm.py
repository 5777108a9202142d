"""LiteLLM: tool calls beside the messages, an id of its own making for providers other than OpenAI.

Source: litellm 1.106 (facts in semconv/dialects/litellm.yaml).
"""

from __future__ import annotations

from typing import Final

from otel_llm._generated import attributes as names
from otel_llm.dialects.draft import Draft
from otel_llm.dialects.messages import canonical_messages, dump
from otel_llm.dialects.messages_indexed import indexed_tools
from otel_llm.dialects.messages_json import JsonObject, as_list, as_object, parse_container, parse_json, parse_repr
from otel_llm.dialects.usage import read_usage

_USAGE: Final = "metadata.usage_object"
_COMPLETION: Final = "gen_ai.completion."
_FUNCTIONS: Final = "llm.request.functions"
# An answer has few choices; a key that says otherwise is not one to follow.
_MAX_CALLS: Final = 128


def extract(draft: Draft) -> None:
    """Fill in what the table's renames cannot."""
    operation = draft.operation
    if operation.name == "raw_gen_ai_request":
        # The same call again, as the provider's own words.
        draft.make_step()
        return
    if operation.name == "litellm_request":
        draft.fill(names.GEN_AI_OPERATION_NAME, "chat")
    _tool_calls(draft)
    functions = draft.under(f"{_FUNCTIONS}.")
    draft.fill_json(names.GEN_AI_TOOL_DEFINITIONS, indexed_tools(functions, _FUNCTIONS))
    usage = draft.text(_USAGE)
    if usage:
        draft.fill_all(read_usage(as_object(parse_container(usage) or parse_repr(usage)) or {}, "inclusive"))
    if operation.provider_name not in (None, "openai") and (operation.response_id or "").startswith("chatcmpl-"):
        operation.remove(names.GEN_AI_RESPONSE_ID)
    draft.discard((*functions, _USAGE))


def _tool_calls(draft: Draft) -> None:
    """Put the calls that its messages leave out into the last one."""
    found = draft.under(_COMPLETION)
    calls = [
        {
            "type": "function",
            "function": {
                "name": found[f"{_COMPLETION}{number}.function_call.name"],
                "arguments": found.get(f"{_COMPLETION}{number}.function_call.arguments"),
            },
        }
        for number in range(_MAX_CALLS)
        if f"{_COMPLETION}{number}.function_call.name" in found
    ]
    held = draft.get(names.GEN_AI_OUTPUT_MESSAGES)
    messages = as_list(parse_json(held) if isinstance(held, str) else None) or ()
    if not calls or "tool_call" in _part_types(messages):
        return
    last: JsonObject = dict(as_object(messages[-1]) or {}) if messages else {"role": "assistant"}
    added = canonical_messages([{"role": "assistant", "tool_calls": calls}], "assistant").messages
    if added:
        last["parts"] = [*(as_list(last.get("parts")) or ()), *(as_list(added[0]["parts"]) or ())]
        draft.operation.set(names.GEN_AI_OUTPUT_MESSAGES, dump([*messages[:-1], last]))
        draft.discard(found)


def _part_types(messages: object) -> set[object]:
    sources = [as_object(message) or {} for message in as_list(messages) or ()]
    parts = [as_object(part) or {} for source in sources for part in as_list(source.get("parts")) or ()]
    return {kind for part in parts if isinstance(kind := part.get("type"), str)}
