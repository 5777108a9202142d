"""Messages that came as events, one each."""

from __future__ import annotations

from typing import Any

from otel_llm.dialects.messages import Conversation, dump, message_events, message_events_json

CALL = {"type": "tool_call", "id": "c1", "name": "weather", "arguments": {"city": "Oslo"}}
RESULT = {"type": "tool_call_response", "id": "c1", "response": "-3 C"}
OPENAI_CALLS = [{"id": "c1", "type": "function", "function": {"name": "weather", "arguments": '{"city":"Oslo"}'}}]


def text(role: str, content: str) -> dict[str, Any]:
    return {"role": role, "parts": [{"type": "text", "content": content}]}


SENT = [text("system", "Be terse."), text("user", "Warm?"), {"role": "assistant", "parts": [CALL]}]
SENT_AND_TOLD = Conversation([*SENT, {"role": "tool", "parts": [RESULT]}], [], [])
ANSWERED = Conversation([text("assistant", "No.")], [], ["stop"])


def test_log_records_with_bodies() -> None:
    events: list[tuple[str, dict[str, Any], Any]] = [
        ("gen_ai.system.message", {"gen_ai.system": "openai"}, {"content": "Be terse."}),
        ("gen_ai.user.message", {}, {"content": "Warm?"}),
        ("gen_ai.assistant.message", {}, {"tool_calls": OPENAI_CALLS}),
        ("gen_ai.tool.message", {}, {"content": "-3 C", "id": "c1"}),
        (
            "gen_ai.choice",
            {},
            {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "No."}},
        ),
    ]
    assert message_events(events) == (SENT_AND_TOLD, ANSWERED)


def test_azure_writes_the_body_as_json_into_an_attribute() -> None:
    bodies = {
        "gen_ai.system.message": {"role": "system", "content": "Be terse."},
        "gen_ai.user.message": {"role": "user", "content": "Warm?"},
        "gen_ai.assistant.message": {"role": "assistant", "tool_calls": OPENAI_CALLS},
        "gen_ai.tool.message": {"role": "tool", "content": "-3 C", "id": "c1"},
        "gen_ai.choice": {"message": {"content": "No."}, "finish_reason": "stop", "index": 0},
    }
    events = [(name, {"gen_ai.event.content": dump(body)}, None) for name, body in bodies.items()]
    assert message_events(events) == (SENT_AND_TOLD, ANSWERED)


def test_strands_writes_blocks_of_bedrock_into_attributes() -> None:
    events: list[tuple[str, dict[str, Any], Any]] = [
        ("gen_ai.system.message", {"content": '[{"text": "Be terse."}]'}, None),
        ("gen_ai.user.message", {"content": '[{"text": "Warm?"}]'}, None),
        (
            "gen_ai.assistant.message",
            {"content": '[{"toolUse": {"toolUseId": "c1", "name": "weather", "input": {"city": "Oslo"}}}]'},
            None,
        ),
        (
            "gen_ai.tool.message",
            {"content": '[{"toolResult": {"toolUseId": "c1", "content": [{"text": "-3 C"}]}}]'},
            None,
        ),
        ("gen_ai.choice", {"message": '[{"text": "No."}]', "finish_reason": "end_turn"}, None),
    ]
    assert message_events(events) == (SENT_AND_TOLD, ANSWERED)
    assert message_events([("gen_ai.choice", {"message": "No.", "finish_reason": "end_turn"}, None)])[1] == ANSWERED


def test_pydantic_ai_and_logfire_write_all_events_into_one_text() -> None:
    events = [
        {"event.name": "gen_ai.system.message", "content": "Be terse.", "role": "system"},
        {"event.name": "gen_ai.user.message", "content": "Warm?", "role": "user", "gen_ai.message.index": 0},
        {"event.name": "gen_ai.assistant.message", "role": "assistant", "tool_calls": OPENAI_CALLS},
        {"event.name": "gen_ai.tool.message", "content": "-3 C", "role": "tool", "id": "c1", "name": "weather"},
        {
            "event.name": "gen_ai.choice",
            "index": 0,
            "finish_reason": "stop",
            "message": {"role": "assistant", "content": "No."},
        },
    ]
    assert message_events_json(dump(events)) == (SENT_AND_TOLD, ANSWERED)
    assert message_events_json(events) == (SENT_AND_TOLD, ANSWERED)


def test_the_first_conventions_had_one_event_each_way() -> None:
    prompt = dump([{"role": "system", "content": "Be terse."}, {"role": "user", "content": "Warm?"}])
    completion = dump([{"role": "assistant", "content": "No.", "finish_reason": "stop"}])
    sent, answered = message_events(
        [
            ("gen_ai.content.prompt", {"gen_ai.prompt": prompt}, None),
            ("gen_ai.content.completion", {"gen_ai.completion": completion}, None),
        ]
    )
    assert sent.messages == SENT[:2]
    assert answered == ANSWERED


def test_openlit_joined_role_and_content_by_lines() -> None:
    prompt = "system: Be terse.\nuser: Two lines:\nnote: still mine\nuser: Warm?"
    sent, _ = message_events([("gen_ai.content.prompt", {"gen_ai.prompt": prompt}, None)])
    assert sent.messages == [SENT[0], text("user", "Two lines:\nnote: still mine"), SENT[1]]
    plain, _ = message_events([("gen_ai.content.prompt", {"gen_ai.prompt": "Dear user: warm?"}, None)])
    assert plain.messages == [text("user", "Dear user: warm?")]


def test_the_event_of_current_conventions_has_what_a_span_has() -> None:
    attributes = {
        "gen_ai.system_instructions": [{"type": "text", "content": "Be terse."}],
        "gen_ai.input.messages": [text("user", "Warm?")],
        "gen_ai.output.messages": [{**text("assistant", "No."), "finish_reason": "stop", "name": None}],
    }
    sent, answered = message_events([("gen_ai.client.inference.operation.details", attributes, None)])
    assert sent == Conversation([text("user", "Warm?")], [{"type": "text", "content": "Be terse."}], [])
    assert answered == ANSWERED
    as_json = {key: dump(value) for key, value in attributes.items()}
    assert message_events([("gen_ai.client.inference.operation.details", as_json, None)]) == (sent, answered)


def test_calls_beside_the_message_of_a_choice_are_its_calls() -> None:
    body = {"finish_reason": "tool_calls", "message": {"content": None}, "tool_calls": OPENAI_CALLS}
    _, answered = message_events([("gen_ai.choice", {}, body)])
    assert answered == Conversation([{"role": "assistant", "parts": [CALL]}], [], ["tool_call"])


def test_events_of_no_message_are_passed_over() -> None:
    empty = Conversation([], [], [])
    assert message_events([("exception", {"content": "x"}, {"content": "x"}), ("", {}, None)]) == (empty, empty)
    assert message_events_json("no json") == (empty, empty)
