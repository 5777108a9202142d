"""Finish reasons: every provider's and every library's word for why a model stopped, as the conventions' word.

Source: semconv gen-ai-output-messages.json, FinishReason: stop, length, content_filter, tool_call, compaction, error.
"""

from __future__ import annotations

from typing import Final

from otel_llm.dialects.messages_json import as_list, parse_json

_WORDS: Final = {
    "stop": (
        "complete completed done end_turn endoftext eos eos_token end_of_text finish finished natural stop "
        "stop_sequence stop_token"
    ),
    "length": (
        "length max_length max_new_tokens max_output_tokens max_tokens model_context_window_exceeded model_length"
    ),
    "tool_call": "function_call function_calls tool_call tool_calls tool_use",
    "content_filter": (
        "blocklist content_filter content_filtered error_toxic guardrail_intervened image_safety prohibited_content "
        "recitation refusal safety spii"
    ),
    "error": "error failed malformed_function_call malformed_model_output malformed_tool_use network_error",
}
_CANONICAL: Final = {word: reason for reason, words in _WORDS.items() for word in words.split()}
_ENUM_PREFIX: Final = "finishreason."


def canonical_finish_reason(value: str) -> str:
    """The conventions' word for a finish reason; one they have no word for is kept in lower case."""
    text = value.strip(" \t\r\n\"'").lower()
    while text.startswith(_ENUM_PREFIX):  # `str` of Google's and Semantic Kernel's enum
        text = text[len(_ENUM_PREFIX) :].strip(" \t\r\n\"'")
    return _CANONICAL.get(text) or _CANONICAL.get(text.replace("-", "_"), text)


def canonical_finish_reasons(value: object) -> list[str]:
    """The reasons of all choices, in the conventions' words.

    Args:
        value: a list of reasons, a JSON text of such a list, a comma-separated text, or a single reason.
    """
    if isinstance(value, str):
        parsed = parse_json(value) if value[:1] in ("[", '"') else None
        value = parsed if isinstance(parsed, str | list) else value
    items: object = value.split(",") if isinstance(value, str) else value
    reasons = (canonical_finish_reason(item) for item in as_list(items) or () if isinstance(item, str))
    return [reason for reason in reasons if reason]
