"""OpenLLMetry: numbered prompts, completions and functions, entities' inputs and outputs.

Source: openllmetry 0.38 and 0.62 (facts in semconv/dialects/openllmetry.yaml).
"""

from __future__ import annotations

from typing import Final

from otel_llm._generated import attributes as names
from otel_llm.dialects.draft import Draft
from otel_llm.dialects.messages import Conversation, canonical_messages, tool_arguments, tool_result
from otel_llm.dialects.messages_documents import canonical_documents
from otel_llm.dialects.messages_indexed import indexed_messages, indexed_tools
from otel_llm.dialects.messages_json import JsonObject, as_list, as_object, as_text, first

_PROMPT: Final = "gen_ai.prompt"
_COMPLETION: Final = "gen_ai.completion"
_FUNCTIONS: Final = "llm.request.functions"
_INPUTS: Final = ("gen_ai.task.input", "traceloop.entity.input")
_OUTPUTS: Final = ("gen_ai.task.output", "traceloop.entity.output")
_NAME: Final = "traceloop.entity.name"
_VARIABLES: Final = "traceloop.prompt.template_variables"


def extract(draft: Draft) -> None:
    """Fill in what the table's renames cannot."""
    _messages(draft)
    operation = draft.operation.operation_name
    if operation == "text_completion" and draft.operation.provider_name == "anthropic":
        # 0.38 says "completion" for messages; Anthropic's completions API is long gone.
        draft.operation.set(names.GEN_AI_OPERATION_NAME, "chat")
    if operation == "execute_tool":
        _tool(draft)
    elif operation == "retrieval":
        _retrieval(draft)
    elif operation in _NAMED:
        _step(draft, _NAMED[operation])
    _prompt_variables(draft)


def _messages(draft: Draft) -> None:
    numbered = draft.under(f"{_PROMPT}.", f"{_COMPLETION}.", f"{_FUNCTIONS}.")
    used = [key for key in numbered if _has_number(key)]
    if not used:
        return
    draft.fill_input(indexed_messages(numbered, _PROMPT, "openllmetry"))
    draft.fill_output(_one_choice(draft, indexed_messages(numbered, _COMPLETION, "openllmetry")))
    draft.fill_json(names.GEN_AI_TOOL_DEFINITIONS, indexed_tools(numbered, _FUNCTIONS))
    draft.discard(used)


def _one_choice(draft: Draft, answered: Conversation) -> Conversation:
    """Anthropic's streams come as one completion for each block; there is one choice, and one reason why it ended."""
    if draft.operation.provider_name != "anthropic" or not answered.finish_reasons:
        return answered
    parts = [part for message in answered.messages for part in as_list(message["parts"]) or ()]
    messages: list[JsonObject] = [{"role": "assistant", "parts": parts}] if parts else []
    return Conversation(messages, answered.system, answered.finish_reasons[:1])


def _has_number(key: str) -> bool:
    """Whether a number follows the prefix: `gen_ai.prompt.0.role` is a message, `gen_ai.prompt.name` is not."""
    prefix = next(prefix for prefix in (_PROMPT, _COMPLETION, _FUNCTIONS) if key.startswith(prefix))
    return key[len(prefix) + 1 :].partition(".")[0].isdigit()


def _tool(draft: Draft) -> None:
    draft.fill(names.GEN_AI_TOOL_NAME, draft.text(_NAME))
    draft.fill_text(names.GEN_AI_TOOL_CALL_ARGUMENTS, tool_arguments(_first(draft, _INPUTS)))
    draft.fill_text(names.GEN_AI_TOOL_CALL_RESULT, tool_result(_first(draft, _OUTPUTS)))
    draft.discard((*_INPUTS, *_OUTPUTS))


def _retrieval(draft: Draft) -> None:
    source = next((found for key in _INPUTS if (found := draft.mapping(key))), {})
    query = as_text(source.get("query")) or as_text(first(source, "inputs", "input"))
    draft.fill(names.GEN_AI_RETRIEVAL_QUERY_TEXT, query)
    draft.fill_json(names.GEN_AI_RETRIEVAL_DOCUMENTS, canonical_documents(_first(draft, _OUTPUTS)))
    if draft.get(names.GEN_AI_RETRIEVAL_DOCUMENTS) is not None:
        draft.discard((*_INPUTS, *_OUTPUTS))


# Operations with an input and an output in LangChain's shapes -> where their name goes; a task's stays where it is.
_NAMED: Final = {
    "invoke_agent": names.GEN_AI_AGENT_NAME,
    "invoke_workflow": names.GEN_AI_WORKFLOW_NAME,
    "execute_task": _NAME,
}


def _step(draft: Draft, name_key: str) -> None:
    draft.fill(name_key, draft.text(_NAME))
    sent, answered = draft.mapping(_INPUTS[1]), draft.mapping(_OUTPUTS[1])
    inputs, outputs = first(sent, "inputs", "input"), first(answered, "outputs", "output")
    if inputs is not None:
        draft.fill_input(canonical_messages(inputs))
    if outputs is not None:
        draft.fill_output(canonical_messages(_newest(outputs), "assistant"))
    draft.discard(key for key in (*_INPUTS, *_OUTPUTS) if draft.get(names.GEN_AI_INPUT_MESSAGES) is not None)


def _newest(outputs: object) -> object:
    """LangGraph returns its whole state: the last message is the answer."""
    messages = (as_object(outputs) or {}).get("messages")
    return messages[-1:] if isinstance(messages, list) else outputs


def _prompt_variables(draft: Draft) -> None:
    variables = draft.mapping(_VARIABLES)
    for name, value in variables.items():
        if isinstance(value, str | int | float):
            draft.fill(f"{names.GEN_AI_PROMPT_VARIABLE}.{name}", str(value))
    if variables:
        draft.discard((_VARIABLES,))


def _first(draft: Draft, keys: tuple[str, ...]) -> object:
    return next((value for key in keys if (value := draft.get(key)) is not None), None)
