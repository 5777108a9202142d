"""Issue 2, "Real emitters": whoever reports a call, the span says the same in the end.

Each recording is compared with the call as it was made (calls.py): messages, usage, finish reasons, model, provider,
price. `_LOST` lists what an emitter did not put on its span; a field listed there must be absent, so that the list is
exact and nothing wrong can hide in it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import Any

import pytest

from otel_llm._generated import attributes as names
from otel_llm.operation import AttributeValue, Operation
from tests.golden.calls import CALLS
from tests.golden.recorded import RECORDED_LOGS, RECORDINGS, Recording, log_records_of, processed, processed_logs
from tests.spans import attributes_of

_FIELDS = {
    "operation_name": names.GEN_AI_OPERATION_NAME,
    "provider_name": names.GEN_AI_PROVIDER_NAME,
    "request_model": names.GEN_AI_REQUEST_MODEL,
    "response_model": names.GEN_AI_RESPONSE_MODEL,
    "response_id": names.GEN_AI_RESPONSE_ID,
    "input_tokens": names.GEN_AI_USAGE_INPUT_TOKENS,
    "output_tokens": names.GEN_AI_USAGE_OUTPUT_TOKENS,
    "cache_read": names.GEN_AI_USAGE_CACHE_READ_INPUT_TOKENS,
    "cache_write": names.GEN_AI_USAGE_CACHE_WRITE_INPUT_TOKENS,
    "reasoning": names.GEN_AI_USAGE_REASONING_OUTPUT_TOKENS,
    "cost": names.OTEL_LLM_COST_TOTAL,
    "cost_status": names.OTEL_LLM_COST_STATUS,
    "usage_source": names.OTEL_LLM_USAGE_SOURCE,
}
_MESSAGES = {"input_messages": names.GEN_AI_INPUT_MESSAGES, "output_messages": names.GEN_AI_OUTPUT_MESSAGES}
_OTHER_CONTENT = {"system_instructions": names.GEN_AI_SYSTEM_INSTRUCTIONS, "tools": names.GEN_AI_TOOL_DEFINITIONS}
_CONTENT = {*_MESSAGES, *_OTHER_CONTENT}
_USAGE = {"input_tokens", "output_tokens", "cache_read", "cache_write", "reasoning"}

_IN_LOGS = dict.fromkeys(_CONTENT, "in log records")
_CANNOT_ESTIMATE = {**dict.fromkeys(("cost", "usage_source"), "no content to estimate from"), "cost_status": "so too"}
_NOT_WRITTEN = "the emitter does not write it"
_INVENTED_ZERO = "the provider said nothing; the emitter writes 0"

# Emitter -> scenario ("*" for all) -> field -> why it is not there. What is there instead, if anything, is in _LEFT.
_LOST: dict[str, dict[str, dict[str, str]]] = {
    "genai-openai": {"openai_embeddings": {"input_messages": _NOT_WRITTEN}},
    "genai-openai-events": {
        "*": _IN_LOGS,
        "openai_chat_stream_nousage": _CANNOT_ESTIMATE,
    },
    "openllmetry": {
        "openai_chat_stream_usage": {"reasoning": "left out of streams"},
        "openai_chat_stream_tools": {"reasoning": "left out of streams"},
        "openai_embeddings": {"cache_read": _INVENTED_ZERO},
    },
    "openllmetry-events": {
        "openai_chat": _IN_LOGS,
        "openai_chat_tools": _IN_LOGS,
        "openai_chat_tool_result": _IN_LOGS,
        "openai_chat_stream_usage": {**_IN_LOGS, "reasoning": "left out of streams"},
        "openai_chat_stream_nousage": {**_IN_LOGS, **_CANNOT_ESTIMATE},
        "openai_chat_stream_tools": {**_IN_LOGS, "reasoning": "left out of streams"},
        "openai_embeddings": {**_IN_LOGS, "cache_read": _INVENTED_ZERO},
        "openai_err429": _IN_LOGS,
    },
    "openinference": {
        "openai_responses": {"cache_write": _INVENTED_ZERO},
        "openai_responses_stream": {"cache_write": _INVENTED_ZERO},
    },
    "openlit": {
        "openai_chat": {"reasoning": _NOT_WRITTEN},
        "openai_chat_tools": {"reasoning": _NOT_WRITTEN, "tools": "in log records only"},
        "openai_chat_tool_result": {
            "reasoning": _NOT_WRITTEN,
            "tools": "in log records only",
            "input_messages": "the assistant's tool call is left out",
        },
        "openai_chat_stream_usage": {"reasoning": _NOT_WRITTEN},
        "openai_chat_stream_nousage": {
            **dict.fromkeys(("input_tokens", "output_tokens", "cost"), "the emitter's own estimate"),
        },
        "openai_chat_stream_tools": {"reasoning": _NOT_WRITTEN, "tools": "in log records only"},
        "openai_responses": {"system_instructions": _NOT_WRITTEN},
        "openai_responses_stream": {"system_instructions": _NOT_WRITTEN},
        "openai_err429": {"input_messages": _NOT_WRITTEN},
        "anthropic_tools": {"tools": "in log records only", "output_messages": "thinking is left out"},
        "anthropic_tool_result": {"tools": "in log records only"},
        "anthropic_stream_tools": {"tools": "in log records only", "output_messages": "thinking is left out"},
        "anthropic_err429": {"input_messages": _NOT_WRITTEN},
    },
    "anthropic-native": {
        "anthropic_tools": {"tools": _NOT_WRITTEN},
        "anthropic_tool_result": {"tools": _NOT_WRITTEN},
        "anthropic_stream": {"output_messages": "left out of streams"},
        "anthropic_stream_tools": {"output_messages": "left out of streams", "tools": _NOT_WRITTEN},
    },
}

# What is there in place of a lost field, where that is anything at all.
_LEFT: dict[tuple[str, str, str], Any] = {
    ("openllmetry", "openai_embeddings", "cache_read"): 0,
    ("openllmetry-events", "openai_embeddings", "cache_read"): 0,
    ("openinference", "openai_responses", "cache_write"): 0,
    ("openinference", "openai_responses_stream", "cache_write"): 0,
    ("genai-openai-events", "openai_chat_stream_nousage", "cost_status"): "unpriced",
    ("openllmetry-events", "openai_chat_stream_nousage", "cost_status"): "unpriced",
    ("openlit", "openai_chat_stream_nousage", "input_tokens"): 30,
    ("openlit", "openai_chat_stream_nousage", "output_tokens"): 16,
    ("openlit", "openai_chat_stream_nousage", "cost"): 0.0000141,
}
for _scenario in ("anthropic_tools", "anthropic_stream_tools"):
    (_message,) = CALLS[_scenario]["output_messages"]
    _LEFT["openlit", _scenario, "output_messages"] = [{**_message, "parts": _message["parts"][1:]}]
_asked, _, _answered = CALLS["openai_chat_tool_result"]["input_messages"]
_LEFT["openlit", "openai_chat_tool_result", "input_messages"] = [_asked, _answered]


def _plain(value: AttributeValue) -> Any:
    """Content as JSON has it, whether it stands on the span as a string or as values."""
    if isinstance(value, str):
        return json.loads(value)
    if isinstance(value, Mapping):
        return {key: _plain_value(item) for key, item in value.items()}
    return _plain_value(value)


def _plain_value(value: AttributeValue) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain_value(item) for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return [_plain_value(item) for item in value]
    return value


def _messages(value: AttributeValue) -> list[dict[str, Any]] | None:
    """Role, parts and name: a message's own finish reason is deprecated, and a name of null is none."""
    if value is None:
        return None
    return [
        {key: item for key, item in message.items() if key in ("role", "parts") or (key == "name" and item is not None)}
        for message in _plain(value)
    ]


def _told(attributes: Mapping[str, AttributeValue]) -> dict[str, Any]:
    """What a span says of its call."""
    return {
        **{field: attributes.get(key) for field, key in _FIELDS.items()},
        **{field: _messages(attributes.get(key)) for field, key in _MESSAGES.items()},
        **{
            field: None if (value := attributes.get(key)) is None else _plain(value)
            for field, key in _OTHER_CONTENT.items()
        },
        "finish_reasons": _plain_value(attributes.get(names.GEN_AI_RESPONSE_FINISH_REASONS) or ()),
    }


@cache
def _spans(recording: Recording) -> list[dict[str, AttributeValue]]:
    operations, _ = processed(recording.traces)
    return [_attributes(operation) for operation in operations]


def _attributes(operation: Operation) -> dict[str, AttributeValue]:
    return {key: operation.get(key) for key in sorted(operation.keys())}


def _expected(emitter: str, scenario: str) -> dict[str, Any]:
    """The call as made, less what the emitter has lost."""
    lost = {**_LOST.get(emitter, {}).get("*", {}), **_LOST.get(emitter, {}).get(scenario, {})}
    call = dict(CALLS[scenario])
    call.update({field: _LEFT.get((emitter, scenario, field)) for field in lost})
    return call


_ONE_SPAN = [one for one in RECORDINGS if one.emitter != "genai-anthropic-and-native"]
_TWO_SPANS = [one for one in RECORDINGS if one.emitter == "genai-anthropic-and-native"]


@pytest.mark.parametrize("recording", _ONE_SPAN, ids=str)
def test_a_span_says_what_the_call_was(recording: Recording) -> None:
    emitter, scenario = recording.emitter, recording.scenario
    expected = _expected(emitter, scenario)
    (span,) = _spans(recording)
    told = _told(span)
    assert {field: told[field] for field in expected} == expected


def test_what_is_listed_as_lost_is_not_there() -> None:
    """A row of the table that says what the call was after all belongs out of it."""
    wrong = [
        (emitter, scenario, field)
        for emitter, scenarios in _LOST.items()
        for scenario, fields in scenarios.items()
        if scenario != "*"
        for field in fields
        if field not in _CONTENT and _expected(emitter, scenario)[field] == CALLS[scenario][field]
    ]
    assert wrong == []


@pytest.mark.parametrize("scenario", sorted(CALLS))
def test_all_emitters_of_a_call_cost_the_same(scenario: str) -> None:
    """Nothing is lost of the price, except where nobody but OpenLIT's own estimate tells any usage."""
    costs = {
        one.emitter: [cost for span in _spans(one) if (cost := span.get(names.OTEL_LLM_COST_TOTAL)) is not None]
        for one in RECORDINGS
        if one.scenario == scenario
    }
    if scenario == "openai_chat_stream_nousage":
        assert costs.pop("openlit") == [0.0000141]
        assert costs.pop("genai-openai-events") == costs.pop("openllmetry-events") == []
    priced = [] if scenario.endswith("err429") else [CALLS[scenario]["cost"]]
    assert costs == dict.fromkeys(costs, priced)
    assert len(costs) >= 3


@pytest.mark.parametrize("recording", _TWO_SPANS, ids=str)
def test_two_spans_of_one_call_agree_and_one_of_them_is_billed(recording: Recording) -> None:
    """The Anthropic SDK's own span beside the instrumentation's: same usage on both, one price."""
    told = [_told(span) for span in _spans(recording)]
    call = CALLS[recording.scenario]
    assert len(told) == 2
    for field in _USAGE | {"provider_name", "request_model", "response_model", "response_id", "finish_reasons"}:
        assert [one[field] for one in told] == [call[field]] * 2, field
    if call["cost"] is None:
        assert [one["cost_status"] for one in told] == ["not_billable"] * 2
    else:
        assert sorted(one["cost_status"] for one in told) == ["not_billable", "priced"]
        assert [one["cost"] for one in told if one["cost"] is not None] == [call["cost"]]
    content = [one for one in told if one["input_messages"] is not None]
    assert [one["input_messages"] for one in content] == [call["input_messages"]]
    assert [one["output_messages"] for one in content] == [call["output_messages"]]


def _logged(recording: Recording) -> Iterable[dict[str, AttributeValue]]:
    for record in log_records_of(processed_logs(recording.logs)):
        if record.event_name == "gen_ai.client.inference.operation.details":
            yield attributes_of(record)  # type: ignore[arg-type] # log records have attributes as spans have


# Content of OpenLLMetry's message events that is not there: the id of the call that a tool's answer is to, and answers
# of streams, which come without the ids of their span.
_LOST_IN_LOGS = {
    ("openllmetry-events", "openai_chat_tool_result"): {"input_messages", "tools"},
    ("openllmetry-events", "openai_chat_tools"): {"tools"},
    ("openllmetry-events", "openai_chat_stream_tools"): {"tools", "output_messages"},
    ("openllmetry-events", "openai_chat_stream_usage"): {"output_messages"},
    ("openllmetry-events", "openai_chat_stream_nousage"): {"output_messages"},
    ("openlit", "openai_chat_tool_result"): {"input_messages"},
    ("openlit", "anthropic_tools"): {"output_messages"},
    ("openlit", "anthropic_stream_tools"): {"output_messages"},
    ("openlit", "openai_responses"): {"system_instructions"},
    ("openlit", "openai_responses_stream"): {"system_instructions"},
}


@pytest.mark.parametrize("recording", [one for one in RECORDED_LOGS if "embeddings" not in one.scenario], ids=str)
def test_content_in_log_records_is_the_content_of_the_call(recording: Recording) -> None:
    call = CALLS[recording.scenario]
    (told,) = map(_told, _logged(recording))
    lost = _LOST_IN_LOGS.get((recording.emitter, recording.scenario), set())
    wrong = {field for field in _CONTENT if told[field] != call[field]}
    assert wrong == lost, {field: told[field] for field in wrong ^ lost}


def test_no_span_has_a_request_parameter_that_nobody_sent() -> None:
    """The app sent max_tokens 50 or 64 and the stop sequence END, or none."""
    sent = {names.GEN_AI_REQUEST_MAX_TOKENS: (50, 64), names.GEN_AI_REQUEST_STOP_SEQUENCES: (["END"],)}
    made_up = [
        (str(recording), key, value)
        for recording in RECORDINGS
        for span in _spans(recording)
        for key, right in sent.items()
        if (value := _plain_value(span.get(key))) is not None and value not in right
    ]
    assert made_up == []


def test_no_span_has_a_second_price_that_contradicts_ours() -> None:
    """Backends read gen_ai.usage.cost; a 0 there is an unknown model that looks free."""
    contradicted = {
        str(recording): (other, ours)
        for recording in RECORDINGS
        for span in _spans(recording)
        if (other := span.get("gen_ai.usage.cost")) is not None
        and other != pytest.approx(ours := span.get(names.OTEL_LLM_COST_TOTAL))
    }
    assert contradicted == {}


def test_messages_on_log_events_are_structured() -> None:
    """The conventions: content on events is structured, never a string (a MUST). It came that way from OpenLIT."""
    strings = [
        str(recording)
        for recording in RECORDED_LOGS
        for record in _logged(recording)
        for key in _MESSAGES.values()
        if isinstance(record.get(key), str)
    ]
    assert strings == []


def test_the_vector_of_an_embedding_is_no_answer() -> None:
    (told,) = map(_told, _logged(Recording("openllmetry-events", "openai_embeddings")))
    assert told["output_messages"] is None
    assert told["operation_name"] != "chat"
