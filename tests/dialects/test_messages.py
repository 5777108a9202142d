"""One small case for each shape that messages come in; the calls are the same, so are the messages."""

from __future__ import annotations

from typing import Any

import pytest

from otel_llm.dialects.messages import (
    Conversation,
    canonical_messages,
    dump,
    known_messages,
    lift_system,
    text_messages,
)
from tests.dialects.messages_checks import assert_messages

QUESTION = {"role": "user", "parts": [{"type": "text", "content": "Is it warm in Oslo?"}]}
CALL = {"type": "tool_call", "id": "c1", "name": "weather", "arguments": {"city": "Oslo"}}
ASKED = {"role": "assistant", "parts": [CALL]}
RESULT = {"type": "tool_call_response", "id": "c1", "response": "-3 C"}
TOLD = {"role": "tool", "parts": [RESULT]}
ANSWER = {"role": "assistant", "parts": [{"type": "text", "content": "No, -3 C."}]}
TERSE = {"type": "text", "content": "Be terse."}
TURNS = [QUESTION, ASKED, TOLD, ANSWER]
# Anthropic, Bedrock and Gemini have no role for tools.
TURNS_OF_TWO_ROLES = [QUESTION, ASKED, {**TOLD, "role": "user"}, ANSWER]


def langchain(name: str, /, **kwargs: Any) -> dict[str, Any]:
    return {"lc": 1, "type": "constructor", "id": ["langchain", "schema", "messages", name], "kwargs": kwargs}


OPENAI_CALLS = [{"id": "c1", "type": "function", "function": {"name": "weather", "arguments": '{"city":"Oslo"}'}}]

CONVERSATIONS: dict[str, Any] = {
    "openai chat": [
        {"role": "user", "content": "Is it warm in Oslo?"},
        {"role": "assistant", "content": None, "tool_calls": OPENAI_CALLS},
        {"role": "tool", "tool_call_id": "c1", "content": "-3 C"},
        {"role": "assistant", "content": "No, -3 C."},
    ],
    "openai chat with parts": [
        {"role": "user", "content": [{"type": "text", "text": "Is it warm in Oslo?"}]},
        {"role": "assistant", "content": [], "tool_calls": OPENAI_CALLS},
        {"role": "tool", "tool_call_id": "c1", "content": [{"type": "text", "text": "-3 C"}]},
        {"role": "assistant", "content": [{"type": "text", "text": "No, -3 C."}]},
    ],
    "openai responses items": [
        {"role": "user", "content": [{"type": "input_text", "text": "Is it warm in Oslo?"}]},
        {"type": "function_call", "id": "fc_9", "call_id": "c1", "name": "weather", "arguments": '{"city":"Oslo"}'},
        {"type": "function_call_output", "call_id": "c1", "output": "-3 C"},
        {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "No, -3 C."}]},
    ],
    "vercel 4": [
        {"role": "user", "content": [{"type": "text", "text": "Is it warm in Oslo?"}]},
        {
            "role": "assistant",
            "content": [{"type": "tool-call", "toolCallId": "c1", "toolName": "weather", "args": {"city": "Oslo"}}],
        },
        {
            "role": "tool",
            "content": [{"type": "tool-result", "toolCallId": "c1", "toolName": "weather", "result": "-3 C"}],
        },
        {"role": "assistant", "content": [{"type": "text", "text": "No, -3 C."}]},
    ],
    "vercel 5": [
        {"role": "user", "content": [{"type": "text", "text": "Is it warm in Oslo?"}]},
        {
            "role": "assistant",
            "content": [{"type": "tool-call", "toolCallId": "c1", "toolName": "weather", "input": {"city": "Oslo"}}],
        },
        {
            "role": "tool",
            "content": [{"type": "tool-result", "toolCallId": "c1", "output": {"type": "text", "value": "-3 C"}}],
        },
        {"role": "assistant", "content": [{"type": "text", "text": "No, -3 C."}]},
    ],
    "langchain constructors": [
        langchain("HumanMessage", content="Is it warm in Oslo?", type="human"),
        langchain(
            "AIMessage",
            content="",
            type="ai",
            id="run-1",
            tool_calls=[{"name": "weather", "args": {"city": "Oslo"}, "id": "c1", "type": "tool_call"}],
            additional_kwargs={"tool_calls": OPENAI_CALLS},
        ),
        langchain("ToolMessage", content="-3 C", type="tool", name="weather", tool_call_id="c1", id="m-1"),
        langchain("AIMessageChunk", content="No, -3 C.", type="AIMessageChunk"),
    ],
    "langchain messages": [
        {"type": "human", "content": "Is it warm in Oslo?"},
        {"type": "ai", "data": {"content": "", "additional_kwargs": {"tool_calls": OPENAI_CALLS}}},
        {"type": "tool", "content": "-3 C", "tool_call_id": "c1"},
        {"type": "ai", "content": "No, -3 C."},
    ],
    "pydantic ai events": [
        {"event.name": "gen_ai.user.message", "role": "user", "content": "Is it warm in Oslo?"},
        {"event.name": "gen_ai.assistant.message", "role": "assistant", "tool_calls": OPENAI_CALLS},
        {"event.name": "gen_ai.tool.message", "role": "tool", "content": "-3 C", "id": "c1", "name": "weather"},
        {"event.name": "gen_ai.choice", "index": 0, "message": {"role": "assistant", "content": "No, -3 C."}},
    ],
    "pydantic ai parts": [
        QUESTION,
        {"role": "assistant", "parts": [{**CALL, "arguments": '{"city":"Oslo"}'}]},
        {"role": "tool", "parts": [{"type": "tool_call_response", "id": "c1", "result": "-3 C"}]},
        ANSWER,
    ],
    "the conventions' with nulls": [
        {**QUESTION, "name": None},
        {"role": "assistant", "parts": [CALL], "finish_reason": "tool_call", "name": None},
        TOLD,
        ANSWER,
    ],
}

CONVERSATIONS_OF_TWO_ROLES: dict[str, Any] = {
    "anthropic": [
        {"role": "user", "content": "Is it warm in Oslo?"},
        {
            "role": "assistant",
            "content": [{"type": "tool_use", "id": "c1", "name": "weather", "input": {"city": "Oslo"}}],
        },
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "c1", "content": "-3 C"}]},
        {"role": "assistant", "content": [{"type": "text", "text": "No, -3 C.", "citations": None}]},
    ],
    "bedrock": [
        {"role": "user", "content": [{"text": "Is it warm in Oslo?"}]},
        {
            "role": "assistant",
            "content": [{"toolUse": {"toolUseId": "c1", "name": "weather", "input": {"city": "Oslo"}}}],
        },
        {"role": "user", "content": [{"toolResult": {"toolUseId": "c1", "content": [{"text": "-3 C"}]}}]},
        {"role": "assistant", "content": [{"text": "No, -3 C."}]},
    ],
    "gemini": [
        {"role": "user", "parts": [{"text": "Is it warm in Oslo?"}]},
        {"role": "model", "parts": [{"functionCall": {"id": "c1", "name": "weather", "args": {"city": "Oslo"}}}]},
        {"role": "user", "parts": [{"functionResponse": {"id": "c1", "name": "weather", "response": "-3 C"}}]},
        {"role": "model", "parts": [{"text": "No, -3 C."}]},
    ],
    "gemini sdk": [
        {"role": "user", "parts": [{"text": "Is it warm in Oslo?", "function_call": None, "inline_data": None}]},
        {
            "role": "model",
            "parts": [{"text": None, "function_call": {"id": "c1", "name": "weather", "args": {"city": "Oslo"}}}],
        },
        {"role": "user", "parts": [{"function_response": {"id": "c1", "name": "weather", "response": "-3 C"}}]},
        {"role": "model", "parts": [{"text": "No, -3 C.", "thought": None}]},
    ],
}


@pytest.mark.parametrize("shape", CONVERSATIONS)
def test_the_same_conversation_is_the_same_in_every_shape(shape: str) -> None:
    assert canonical_messages(CONVERSATIONS[shape]).messages == TURNS


@pytest.mark.parametrize("shape", CONVERSATIONS_OF_TWO_ROLES)
def test_a_tool_result_keeps_the_role_the_provider_gives_it(shape: str) -> None:
    assert canonical_messages(CONVERSATIONS_OF_TWO_ROLES[shape]).messages == TURNS_OF_TWO_ROLES


@pytest.mark.parametrize("shape", CONVERSATIONS | CONVERSATIONS_OF_TWO_ROLES)
def test_json_text_reads_like_the_object(shape: str) -> None:
    value = (CONVERSATIONS | CONVERSATIONS_OF_TWO_ROLES)[shape]
    assert canonical_messages(dump(value)) == canonical_messages(value)
    assert canonical_messages(dump(dump(value))) == canonical_messages(value)  # MLflow quotes every value
    assert canonical_messages(dump(value).encode()) == canonical_messages(value)


CHOICE = {"message": {"role": "assistant", "content": "No, -3 C."}, "index": 0, "finish_reason": "stop"}

RESPONSES: dict[str, Any] = {
    "openai completion object": {
        "id": "x",
        "object": "chat.completion",
        "choices": [CHOICE],
        "usage": {"total_tokens": 3},
    },
    "openai legacy completion": {"choices": [{"text": "No, -3 C.", "finish_reason": "stop"}]},
    "openai response": {
        "object": "response",
        "status": "completed",
        "instructions": None,
        "output": [{"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "No, -3 C."}]}],
    },
    "anthropic message": {
        "type": "message",
        "role": "assistant",
        "content": [{"type": "text", "text": "No, -3 C."}],
        "stop_reason": "end_turn",
    },
    "bedrock converse": {
        "output": {"message": {"role": "assistant", "content": [{"text": "No, -3 C."}]}},
        "stopReason": "end_turn",
    },
    "gemini": {
        "candidates": [{"content": {"role": "model", "parts": [{"text": "No, -3 C."}]}, "finishReason": "STOP"}]
    },
    "gemini interactions": {
        "status": "completed",
        "steps": [
            {"type": "thought", "signature": "c2ln"},
            {"type": "model_output", "content": [{"type": "text", "text": "No, -3 C."}]},
        ],
    },
    "langchain result": {
        "generations": [
            [
                {
                    "text": "No, -3 C.",
                    "generation_info": {"finish_reason": "stop"},
                    "message": langchain("AIMessage", content="No, -3 C.", type="ai"),
                }
            ]
        ]
    },
    "langchain result with metadata": {
        "generations": [
            [{"message": langchain("AIMessage", content="No, -3 C.", response_metadata={"finish_reason": "stop"})}]
        ]
    },
    "langgraph command": {
        "outputs": [{"graph": None, "update": {"messages": [{**CHOICE["message"], "finish_reason": "stop"}]}}],
        "kwargs": {},
    },
    "ollama": {"model": "m", "message": {"role": "assistant", "content": "No, -3 C."}, "done_reason": "stop"},
    "cohere": {
        "message": {"role": "assistant", "content": [{"type": "text", "text": "No, -3 C."}]},
        "finish_reason": "COMPLETE",
    },
    "logfire response data": {"message": {**CHOICE["message"], "finish_reason": "stop"}, "usage": None},
    "llama on bedrock": {"generation": "No, -3 C.", "stop_reason": "stop", "prompt_token_count": 4},
    "titan on bedrock": {"results": [{"outputText": "No, -3 C.", "completionReason": "FINISH"}]},
}


@pytest.mark.parametrize("shape", RESPONSES)
def test_a_response_is_one_message_and_one_finish_reason(shape: str) -> None:
    assert canonical_messages(RESPONSES[shape], "assistant") == Conversation([ANSWER], [], ["stop"])


REQUESTS: dict[str, Any] = {
    "anthropic": {
        "model": "m",
        "system": "Be terse.",
        "messages": [{"role": "user", "content": "Is it warm in Oslo?"}],
    },
    "anthropic with blocks": {
        "system": [{"type": "text", "text": "Be terse.", "cache_control": {"type": "ephemeral"}}],
        "messages": [{"role": "user", "content": "Is it warm in Oslo?"}],
    },
    "openai responses": {"model": "m", "instructions": "Be terse.", "input": "Is it warm in Oslo?"},
    "openai responses with items": {
        "instructions": "Be terse.",
        "input": [
            {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Is it warm in Oslo?"}]}
        ],
    },
    "gemini": {
        "systemInstruction": {"parts": [{"text": "Be terse."}]},
        "contents": [{"role": "user", "parts": [{"text": "Is it warm in Oslo?"}]}],
    },
    "google adk": {
        "model": "m",
        "config": {"system_instruction": "Be terse."},
        "contents": [{"parts": [{"text": "Is it warm in Oslo?"}], "role": "user"}],
    },
    "bedrock converse": {
        "system": [{"text": "Be terse."}],
        "messages": [{"role": "user", "content": [{"text": "Is it warm in Oslo?"}]}],
    },
    "vercel prompt": {"system": "Be terse.", "prompt": "Is it warm in Oslo?"},
    "vercel prompt with messages": {
        "system": "Be terse.",
        "messages": [{"role": "user", "content": [{"type": "text", "text": "Is it warm in Oslo?"}]}],
    },
}


@pytest.mark.parametrize("shape", REQUESTS)
def test_instructions_apart_from_the_messages_stay_apart(shape: str) -> None:
    assert canonical_messages(REQUESTS[shape]) == Conversation([QUESTION], [TERSE], [])


def test_langchain_batches_are_opened() -> None:
    batch = {"messages": [[langchain("HumanMessage", content="Is it warm in Oslo?")]]}
    assert canonical_messages(batch).messages == [QUESTION]


def test_each_choice_is_a_message_of_its_own() -> None:
    found = canonical_messages({"choices": [CHOICE, {**CHOICE, "finish_reason": "length"}]})
    assert found == Conversation([ANSWER, ANSWER], [], ["stop", "length"])


def test_the_items_of_one_response_are_one_message_in_their_order() -> None:
    found = canonical_messages(
        {
            "status": "completed",
            "output": [
                {
                    "type": "reasoning",
                    "id": "rs",
                    "summary": [{"type": "summary_text", "text": "Look it up."}],
                    "content": None,
                },
                {"type": "web_search_call", "id": "ws", "status": "completed", "action": {"query": "Oslo"}},
                {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Wait."}]},
                {"type": "function_call", "call_id": "c1", "name": "weather", "arguments": '{"city":"Oslo"}'},
            ],
        },
        "assistant",
    )
    search = {"type": "web_search", "status": "completed", "action": {"query": "Oslo"}}
    assert found.finish_reasons == ["tool_call"]
    assert found.messages == [
        {
            "role": "assistant",
            "parts": [
                {"type": "reasoning", "content": "Look it up."},
                {"type": "server_tool_call", "id": "ws", "name": "web_search", "server_tool_call": search},
                {"type": "text", "content": "Wait."},
                CALL,
            ],
        }
    ]


def test_an_incomplete_response_says_why() -> None:
    body = {"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}, "output": [ANSWER]}
    assert canonical_messages(body).finish_reasons == ["length"]


def test_messages_in_the_conventions_shape_are_returned_as_they_are() -> None:
    message = {
        "role": "assistant",
        "name": "weatherman",
        "agent": "ours",
        "parts": [
            {"type": "text", "content": '{"json": "text"}'},
            {"type": "reasoning", "content": "Hm.", "signature": "c2ln"},
            {**CALL, "index": 0},
            {"type": "tool_call_response", "id": "c1", "response": '{"temp_c":-3}'},
            {"type": "blob", "mime_type": "image/png", "modality": "image", "content": "iVBORw0KGgo="},
            {"type": "uri", "modality": "image", "uri": "gs://bucket/cat.jpg"},
            {"type": "file", "modality": "document", "file_id": "file-1"},
            {"type": "server_tool_call", "name": "web_search", "server_tool_call": {"type": "web_search"}},
            {"type": "server_tool_call_response", "server_tool_call_response": {"type": "web_search", "content": []}},
            {"type": "compaction", "content": "So far: weather."},
            {"type": "somebody's own", "text": "x"},
        ],
    }
    assert canonical_messages([message]).messages == [message]


PARTS: dict[str, tuple[Any, list[dict[str, Any]]]] = {
    "data url": (
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo=", "detail": "low"}},
        [{"type": "blob", "mime_type": "image/png", "modality": "image", "content": "iVBORw0KGgo="}],
    ),
    "image url": (
        {"type": "image_url", "image_url": {"url": "https://example.com/cat.png"}},
        [{"type": "uri", "modality": "image", "uri": "https://example.com/cat.png"}],
    ),
    "responses image": (
        {"type": "input_image", "image_url": "https://example.com/cat.png"},
        [{"type": "uri", "modality": "image", "uri": "https://example.com/cat.png"}],
    ),
    "openai audio": (
        {"type": "input_audio", "input_audio": {"data": "UklGRg==", "format": "wav"}},
        [{"type": "blob", "mime_type": "audio/wav", "modality": "audio", "content": "UklGRg=="}],
    ),
    "openai file": (
        {"type": "file", "file": {"file_id": "file-1"}},
        [{"type": "file", "modality": "document", "file_id": "file-1"}],
    ),
    "openai file data": (
        {"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,JVBERg=="}},
        [{"type": "blob", "mime_type": "application/pdf", "modality": "document", "content": "JVBERg=="}],
    ),
    "anthropic image": (
        {"type": "image", "source": {"type": "base64", "media_type": "image/jpeg", "data": "/9j/"}},
        [{"type": "blob", "mime_type": "image/jpeg", "modality": "image", "content": "/9j/"}],
    ),
    "anthropic document": (
        {"type": "document", "source": {"type": "url", "url": "https://example.com/a.pdf"}},
        [{"type": "uri", "modality": "document", "uri": "https://example.com/a.pdf"}],
    ),
    "anthropic text document": (
        {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "Once."}},
        [{"type": "text", "content": "Once."}],
    ),
    "anthropic redacted thinking": (
        {"type": "redacted_thinking", "data": "b3BhcXVl"},
        [{"type": "redacted_thinking", "data": "b3BhcXVl"}],
    ),
    "anthropic server tool": (
        {"type": "server_tool_use", "id": "s1", "name": "web_search", "input": {"query": "Oslo"}},
        [
            {
                "type": "server_tool_call",
                "id": "s1",
                "name": "web_search",
                "server_tool_call": {"type": "web_search", "input": {"query": "Oslo"}},
            }
        ],
    ),
    "anthropic server tool result": (
        {"type": "web_search_tool_result", "tool_use_id": "s1", "content": []},
        [
            {
                "type": "server_tool_call_response",
                "id": "s1",
                "server_tool_call_response": {"type": "web_search", "content": []},
            }
        ],
    ),
    "bedrock image": (
        {"image": {"format": "png", "source": {"bytes": "iVBORw0KGgo="}}},
        [{"type": "blob", "mime_type": "image/png", "modality": "image", "content": "iVBORw0KGgo="}],
    ),
    "bedrock document": (
        {"document": {"format": "pdf", "name": "a", "source": {"s3Location": {"uri": "s3://bucket/a.pdf"}}}},
        [{"type": "uri", "mime_type": "application/pdf", "modality": "document", "uri": "s3://bucket/a.pdf"}],
    ),
    "bedrock reasoning": (
        {"reasoningContent": {"reasoningText": {"text": "Hm.", "signature": "c2ln"}}},
        [{"type": "reasoning", "content": "Hm."}],
    ),
    "gemini inline data": (
        {"inlineData": {"mimeType": "video/mp4", "data": "AAAA"}},
        [{"type": "blob", "mime_type": "video/mp4", "modality": "video", "content": "AAAA"}],
    ),
    "gemini file data": (
        {"file_data": {"mime_type": "image/png", "file_uri": "gs://bucket/cat.png"}},
        [{"type": "uri", "mime_type": "image/png", "modality": "image", "uri": "gs://bucket/cat.png"}],
    ),
    "gemini thought": ({"text": "Hm.", "thought": True}, [{"type": "reasoning", "content": "Hm."}]),
    "vercel image": (
        {"type": "image", "image": "https://example.com/cat.png", "mediaType": "image/png"},
        [{"type": "uri", "mime_type": "image/png", "modality": "image", "uri": "https://example.com/cat.png"}],
    ),
    "vercel file": (
        {"type": "file", "data": "JVBERg==", "mediaType": "application/pdf", "filename": "a.pdf"},
        [{"type": "blob", "mime_type": "application/pdf", "modality": "document", "content": "JVBERg=="}],
    ),
    "pydantic binary": (
        {"type": "binary", "media_type": "audio/mpeg", "content": "SUQz"},
        [{"type": "blob", "mime_type": "audio/mpeg", "modality": "audio", "content": "SUQz"}],
    ),
    "pydantic video url": (
        {"type": "video-url", "url": "https://example.com/a.mp4"},
        [{"type": "uri", "modality": "video", "uri": "https://example.com/a.mp4"}],
    ),
    "logfire thinking": (
        {"type": "thinking", "thinking": "Hm.", "signature": "c2ln"},
        [{"type": "reasoning", "content": "Hm."}],
    ),
    "bytes": (
        {"inline_data": {"mime_type": "image/png", "data": b"\x89PNG"}},
        [{"type": "blob", "mime_type": "image/png", "modality": "image", "content": "iVBORw=="}],
    ),
    "refusal": ({"type": "refusal", "refusal": "I can't."}, [{"type": "text", "content": "I can't."}]),
    "not what it says": ({"type": "blob"}, [{"type": "generic", "generic_type": "blob"}]),
    "nobody knows": ({"what": 5}, [{"type": "generic", "what": 5}]),
    "a number": (5, [{"type": "text", "content": "5"}]),
    "nothing": (None, []),
}


@pytest.mark.parametrize("name", PARTS)
def test_a_part_of_any_provider_is_a_part_of_the_conventions(name: str) -> None:
    part, expected = PARTS[name]
    messages: list[Any] = canonical_messages([{"role": "user", "content": [part]}]).messages
    assert messages == [{"role": "user", "parts": expected}]
    assert_messages(messages)


def test_reasoning_beside_the_content_comes_first() -> None:
    message = {"role": "assistant", "content": "No.", "reasoning_content": "Hm.", "tool_calls": OPENAI_CALLS}
    assert [part["type"] for part in parts_of(message)] == ["reasoning", "text", "tool_call"]


def parts_of(message: dict[str, Any]) -> list[dict[str, Any]]:
    parts: Any = canonical_messages(message).messages[0]["parts"]
    return list(parts)


def test_calls_that_stand_in_the_content_and_beside_it_are_one() -> None:
    message = langchain(
        "AIMessage",
        content=[{"type": "tool_use", "id": "c1", "name": "weather", "input": {"city": "Oslo"}}],
        tool_calls=[{"name": "weather", "args": {"city": "Oslo"}, "id": "c1", "type": "tool_call"}],
    )
    assert parts_of(message) == [CALL]


def test_arguments_that_are_no_json_are_kept_as_text() -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Os'}}
    assert parts_of({"role": "assistant", "tool_calls": [call]}) == [{**CALL, "arguments": '{"city": "Os'}]


def test_a_tool_result_without_id_is_found_by_the_tools_name() -> None:
    assert parts_of({"role": "tool", "content": "-3 C", "tool_name": "weather"}) == [
        {"type": "tool_call_response", "name": "weather", "response": "-3 C"}
    ]


def test_a_tool_result_that_is_json_text_stays_the_text_the_model_was_given() -> None:
    message = {"role": "tool", "tool_call_id": "c1", "content": '{"temp_c":-3}'}
    assert parts_of(message) == [{**RESULT, "response": '{"temp_c":-3}'}]


@pytest.mark.parametrize(
    "text",
    ["Is it warm in Oslo?", "[sic]", "{x", '{"answer": 5}', "[1, 2]", "5", "null", "true", '["a"]', '{"text": "x"}'],
)
def test_a_text_that_is_not_of_a_known_shape_is_one_message(text: str) -> None:
    assert canonical_messages(text, "assistant").messages == text_messages(text, "assistant")
    assert known_messages(text) is None


@pytest.mark.parametrize("nothing", [None, "", [], {}, "[]", "{}", '""', ()])
def test_nothing_is_no_message(nothing: Any) -> None:
    assert canonical_messages(nothing) == Conversation([], [], [])


def test_an_object_nobody_knows_is_kept_as_its_json() -> None:
    assert canonical_messages({"q": "x"}).messages == text_messages('{"q":"x"}', "user")


def test_a_list_of_texts_is_a_message_each() -> None:
    assert canonical_messages(["a", "b"]).messages == [*text_messages("a", "user"), *text_messages("b", "user")]


def test_what_stands_among_messages_and_is_none_keeps_its_place_as_text() -> None:
    found = canonical_messages([["x"], {"q": 1}, QUESTION, "y", 5])
    texts: list[Any] = [message["parts"] for message in found.messages]
    assert [parts[0]["content"] for parts in texts] == ['["x"]', '{"q":1}', "Is it warm in Oslo?", "y", "5"]


def test_roles_nobody_knows_fall_back_or_stay() -> None:
    roles = [canonical_messages({"role": role, "content": "x"}).messages[0]["role"] for role in ("unknown", "Critic")]
    assert roles == ["user", "critic"]


def test_leading_system_messages_can_be_lifted() -> None:
    system = {"role": "system", "content": "Be terse."}
    found = canonical_messages([system, {"role": "user", "content": "Is it warm in Oslo?"}, system])
    assert lift_system(found) == Conversation([QUESTION, {"role": "system", "parts": [TERSE]}], [TERSE], [])


def test_an_empty_text_beside_a_tool_call_says_nothing():
    streamed = {"role": "assistant", "parts": [{"type": "text", "content": ""}, CALL]}
    assert canonical_messages([streamed]).messages == [ASKED]


def test_an_answer_that_is_an_empty_text_stays_one():
    empty = {"role": "assistant", "parts": [{"type": "text", "content": ""}]}
    assert canonical_messages([empty]).messages == [empty]
