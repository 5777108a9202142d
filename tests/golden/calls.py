"""The recorded calls as they were made, in the conventions' words: what every emitter's span must say in the end.

Written by hand from what `tests/emitters/drive.py` asks the loopback provider for. Prices are worked out here from the
list prices of 2026-01-01, the date of the recordings, in US dollars per million tokens.
"""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from typing import Any

Call = Mapping[str, Any]

_SYSTEM = {"type": "text", "content": "You are terse."}
_SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
_TOOLS = [{"type": "function", "name": "get_weather", "description": "Get weather", "parameters": _SCHEMA}]


def _says(role: str, *parts: Mapping[str, Any]) -> dict[str, Any]:
    return {"role": role, "parts": list(parts)}


def _text(content: str) -> dict[str, Any]:
    return {"type": "text", "content": content}


def _tool_call(identity: str, city: str) -> dict[str, Any]:
    return {"type": "tool_call", "id": identity, "name": "get_weather", "arguments": {"city": city}}


def _tool_result(identity: str, response: str) -> dict[str, Any]:
    return {"type": "tool_call_response", "id": identity, "response": response}


_QUESTION = _says("user", _text("What is the capital of France?"))
_TERSE = [_says("system", _SYSTEM), _QUESTION]
_CITIES = _says("user", _text("Weather in Paris and Rome?"))
_CITY = _says("user", _text("Weather in Paris?"))
_ANSWER = [_says("assistant", _text("Paris is the capital of France."))]

_MILLION = 1_000_000
_GPT = float(Fraction(86 * 150 + 1920 * 75 + 300 * 600, 1000 * _MILLION))
_CLAUDE = float(Fraction(7 * 3000 + 16399 * 300 + 2089 * 3750 + 445 * 15000, 1000 * _MILLION))
_EMBEDDING = float(Fraction(5 * 20, 1000 * _MILLION))

_OPENAI: Call = {
    "operation_name": "chat",
    "provider_name": "openai",
    "request_model": "gpt-4o-mini",
    "response_model": "gpt-4o-mini-2024-07-18",
    "finish_reasons": ["stop"],
    "input_tokens": 2006,
    "output_tokens": 300,
    "cache_read": 1920,
    "cache_write": None,
    "reasoning": 192,
    "cost": _GPT,
    "cost_status": "priced",
    "usage_source": "provider",
    "system_instructions": None,
    "tools": None,
}
_ANTHROPIC: Call = {
    **_OPENAI,
    "provider_name": "anthropic",
    "request_model": "claude-sonnet-4-5",
    "response_model": "claude-sonnet-4-5-20250929",
    "response_id": "msg_FAKE1",
    "input_tokens": 18495,
    "output_tokens": 445,
    "cache_read": 16399,
    "cache_write": 2089,
    "reasoning": None,
    "cost": _CLAUDE,
}
_FAILED: Call = {
    "response_model": None,
    "response_id": None,
    "finish_reasons": [],
    "input_tokens": None,
    "output_tokens": None,
    "cache_read": None,
    "cache_write": None,
    "reasoning": None,
    "request_model": "err429",
    "cost": None,
    "cost_status": "not_billable",
    "usage_source": None,
    "output_messages": None,
}
_RESPONSES: Call = {
    **_OPENAI,
    "response_id": "resp_FAKE1",
    "system_instructions": [_SYSTEM],
    "input_messages": [_QUESTION],
    "output_messages": _ANSWER,
}
_CLAUDE_TOOLS: Call = {
    **_ANTHROPIC,
    "response_id": "msg_FAKE2",
    "finish_reasons": ["tool_call"],
    "tools": _TOOLS,
    "input_messages": [_CITY],
    "output_messages": [
        _says(
            "assistant",
            {"type": "reasoning", "content": "I should call the tool."},
            _text("Let me check."),
            _tool_call("toolu_A1", "Paris"),
        )
    ],
}
_CLAUDE_TERSE: Call = {
    **_ANTHROPIC,
    "system_instructions": [_SYSTEM],
    "input_messages": [_QUESTION],
    "output_messages": _ANSWER,
}

CALLS: dict[str, Call] = {
    "openai_chat": {
        **_OPENAI,
        "response_id": "chatcmpl-FAKE1",
        "input_messages": _TERSE,
        "output_messages": _ANSWER,
    },
    "openai_chat_tools": {
        **_OPENAI,
        "response_id": "chatcmpl-FAKE2",
        "finish_reasons": ["tool_call"],
        "tools": _TOOLS,
        "input_messages": [_CITIES],
        "output_messages": [_says("assistant", _tool_call("call_A1", "Paris"), _tool_call("call_B2", "Rome"))],
    },
    "openai_chat_tool_result": {
        **_OPENAI,
        "response_id": "chatcmpl-FAKE1",
        "tools": _TOOLS,
        "input_messages": [
            _CITIES,
            _says("assistant", _tool_call("call_A1", "Paris")),
            _says("tool", _tool_result("call_A1", '{"temp_c":12}')),
        ],
        "output_messages": _ANSWER,
    },
    "openai_chat_stream_usage": {
        **_OPENAI,
        "response_id": "chatcmpl-FAKE3",
        "input_messages": _TERSE,
        "output_messages": _ANSWER,
    },
    # The provider tells no usage; the cost is that of our estimate of 7 and 5 tokens.
    "openai_chat_stream_nousage": {
        **_OPENAI,
        "response_id": "chatcmpl-FAKE3",
        "input_messages": _TERSE,
        "output_messages": _ANSWER,
        "input_tokens": None,
        "output_tokens": None,
        "cache_read": None,
        "reasoning": None,
        "usage_source": "estimated",
        "cost": float(Fraction(7 * 150 + 5 * 600, 1000 * _MILLION)),
    },
    "openai_chat_stream_tools": {
        **_OPENAI,
        "response_id": "chatcmpl-FAKE3",
        "finish_reasons": ["tool_call"],
        "tools": _TOOLS,
        "input_messages": [_CITIES],
        "output_messages": [_says("assistant", _tool_call("call_A1", "Paris"))],
    },
    "openai_responses": _RESPONSES,
    "openai_responses_stream": _RESPONSES,
    "openai_embeddings": {
        **_OPENAI,
        "operation_name": "embeddings",
        "request_model": "text-embedding-3-small",
        "response_model": "text-embedding-3-small",
        "response_id": None,
        "finish_reasons": [],
        "input_tokens": 5,
        "output_tokens": None,
        "cache_read": None,
        "reasoning": None,
        "cost": _EMBEDDING,
        "input_messages": [_says("user", _text("The capital of France"))],
        "output_messages": None,
    },
    "openai_err429": {**_OPENAI, **_FAILED, "input_messages": _TERSE},
    "anthropic_msg": _CLAUDE_TERSE,
    "anthropic_tools": _CLAUDE_TOOLS,
    "anthropic_tool_result": {
        **_ANTHROPIC,
        "tools": _TOOLS,
        "input_messages": [
            _CITY,
            _says("assistant", _tool_call("toolu_A1", "Paris")),
            _says("user", _tool_result("toolu_A1", "12C")),
        ],
        "output_messages": _ANSWER,
    },
    "anthropic_stream": _CLAUDE_TERSE,
    "anthropic_stream_tools": _CLAUDE_TOOLS,
    "anthropic_err429": {**_ANTHROPIC, **_FAILED, "input_messages": [_QUESTION]},
}
