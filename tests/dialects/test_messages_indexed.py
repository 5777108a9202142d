"""Messages flattened into attributes, as OpenLLMetry and OpenInference write them."""

from __future__ import annotations

from typing import Any

from otel_llm.dialects.messages import Conversation, indexed_documents, indexed_messages, indexed_tools

CALL = {"type": "tool_call", "id": "c1", "name": "weather", "arguments": {"city": "Oslo"}}
RESULT = {"type": "tool_call_response", "id": "c1", "response": "-3 C"}


def text(role: str, content: str) -> dict[str, Any]:
    return {"role": role, "parts": [{"type": "text", "content": content}]}


def test_openllmetry_prompts() -> None:
    attributes = {
        "gen_ai.prompt.10.role": "tool",
        "gen_ai.prompt.10.content": "-3 C",
        "gen_ai.prompt.10.tool_call_id": "c1",
        "gen_ai.prompt.2.role": "assistant",
        "gen_ai.prompt.2.tool_calls.0.id": "c1",
        "gen_ai.prompt.2.tool_calls.0.name": "weather",
        "gen_ai.prompt.2.tool_calls.0.arguments": '{"city":"Oslo"}',
        "gen_ai.prompt.0.role": "system",
        "gen_ai.prompt.0.content": "Be terse.",
        "gen_ai.prompt.1.role": "user",
        "gen_ai.prompt.1.content": "Warm?",
        "gen_ai.prompt.name": "not a message",
        "gen_ai.prompt.variable.1.x": "not a message",
        "gen_ai.prompt.prompt_filter_results": "[]",
    }
    assert indexed_messages(attributes, "gen_ai.prompt", "openllmetry").messages == [
        text("system", "Be terse."),
        text("user", "Warm?"),
        {"role": "assistant", "parts": [CALL]},
        {"role": "tool", "parts": [RESULT]},
    ]


def test_openllmetry_content_that_is_json_of_blocks_is_read() -> None:
    attributes = {
        "gen_ai.prompt.0.role": "assistant",
        "gen_ai.prompt.0.content": '[{"type":"tool_use","id":"c1","name":"weather","input":{"city":"Oslo"}}]',
        "gen_ai.prompt.1.role": "user",
        "gen_ai.prompt.1.content": '[{"type":"tool_result","tool_use_id":"c1","content":"-3 C"}]',
        "gen_ai.prompt.2.role": "user",
        "gen_ai.prompt.2.content": '[{"city": "Oslo"}]',
    }
    assert indexed_messages(attributes, "gen_ai.prompt", "openllmetry").messages == [
        {"role": "assistant", "parts": [CALL]},
        {"role": "user", "parts": [RESULT]},
        text("user", '[{"city": "Oslo"}]'),
    ]


def test_openllmetry_completions_have_finish_reasons() -> None:
    attributes = {
        "gen_ai.completion.0.role": "assistant",
        "gen_ai.completion.0.content": "No.",
        "gen_ai.completion.0.reasoning": "Hm.",
        "gen_ai.completion.0.finish_reason": "stop",
        "gen_ai.completion.1.content": "Yes.",
        "gen_ai.completion.1.finish_reason": "tool_calls",
    }
    assert indexed_messages(attributes, "gen_ai.completion", "openllmetry") == Conversation(
        [
            {
                "role": "assistant",
                "parts": [{"type": "reasoning", "content": "Hm."}, {"type": "text", "content": "No."}],
            },
            text("assistant", "Yes."),
        ],
        [],
        ["stop", "tool_call"],
    )


def test_a_call_without_id_is_a_call() -> None:
    attributes = {
        "gen_ai.completion.0.function_call.name": "weather",
        "gen_ai.completion.0.function_call.arguments": '{"city":"Oslo"}',
    }
    call = {"type": "tool_call", "name": "weather", "arguments": {"city": "Oslo"}}
    found = indexed_messages(attributes, "gen_ai.completion", "openllmetry").messages
    assert found == [{"role": "assistant", "parts": [call]}]


def test_openinference_messages() -> None:
    attributes = {
        "llm.input_messages.0.message.role": "user",
        "llm.input_messages.0.message.contents.0.message_content.type": "text",
        "llm.input_messages.0.message.contents.0.message_content.text": "Warm here?",
        "llm.input_messages.0.message.contents.1.message_content.type": "image",
        "llm.input_messages.0.message.contents.1.message_content.image.image.url": "data:image/png;base64,iVBORw==",
        "llm.input_messages.0.message.contents.2.message_content.image.image.url": "https://example.com/cat.png",
        "llm.input_messages.1.message.role": "assistant",
        "llm.input_messages.1.message.tool_calls.0.tool_call.id": "c1",
        "llm.input_messages.1.message.tool_calls.0.tool_call.function.name": "weather",
        "llm.input_messages.1.message.tool_calls.0.tool_call.function.arguments": '{"city":"Oslo"}',
        "llm.input_messages.2.message.role": "tool",
        "llm.input_messages.2.message.content": "-3 C",
        "llm.input_messages.2.message.tool_call_id": "c1",
    }
    assert indexed_messages(attributes, "llm.input_messages", "openinference").messages == [
        {
            "role": "user",
            "parts": [
                {"type": "text", "content": "Warm here?"},
                {"type": "blob", "mime_type": "image/png", "modality": "image", "content": "iVBORw=="},
                {"type": "uri", "modality": "image", "uri": "https://example.com/cat.png"},
            ],
        },
        {"role": "assistant", "parts": [CALL]},
        {"role": "tool", "parts": [RESULT]},
    ]


def test_openinference_calls_in_the_contents_keep_their_order_and_are_not_repeated() -> None:
    start = "llm.output_messages.0.message."
    attributes = {
        start + "role": "assistant",
        start + "contents.0.message_content.type": "reasoning",
        start + "contents.0.message_content.text": "Hm.",
        start + "contents.0.message_content.signature": "c2ln",
        start + "contents.1.message_content.type": "text",
        start + "contents.1.message_content.text": "Wait.",
        start + "contents.2.message_content.type": "tool_use",
        start + "contents.2.tool_call.id": "c1",
        start + "contents.2.tool_call.function.name": "weather",
        start + "contents.2.tool_call.function.arguments": '{"city": "Oslo"}',
        start + "tool_calls.0.tool_call.id": "c1",
        start + "tool_calls.0.tool_call.function.name": "weather",
        start + "tool_calls.0.tool_call.function.arguments": '{"city": "Oslo"}',
    }
    parts = [{"type": "reasoning", "content": "Hm."}, {"type": "text", "content": "Wait."}, CALL]
    found = indexed_messages(attributes, "llm.output_messages", "openinference").messages
    assert found == [{"role": "assistant", "parts": parts}]


def test_openinference_reasoning_in_a_message_of_its_own_joins_the_answer() -> None:
    attributes = {
        "llm.output_messages.0.message.role": "assistant",
        "llm.output_messages.0.message.contents.0.message_content.type": "reasoning",
        "llm.output_messages.0.message.contents.0.message_content.text": "Hm.",
        "llm.output_messages.1.message.role": "assistant",
        "llm.output_messages.1.message.content": "No.",
        "llm.output_messages.2.message.role": "assistant",
        "llm.output_messages.2.message.content": "Yes.",
    }
    assert indexed_messages(attributes, "llm.output_messages", "openinference").messages == [
        {"role": "assistant", "parts": [{"type": "reasoning", "content": "Hm."}, {"type": "text", "content": "No."}]},
        text("assistant", "Yes."),
    ]


def test_openinference_calls_that_lost_their_prefix_are_found() -> None:
    lost = {
        "message.tool_calls.0.tool_call.id": "c1",
        "message.tool_calls.0.tool_call.function.name": "weather",
        "message.tool_calls.0.tool_call.function.arguments": '{"city":"Oslo"}',
    }
    alone = indexed_messages(lost, "llm.output_messages", "openinference").messages
    assert alone == [{"role": "assistant", "parts": [CALL]}]
    answer = {"llm.output_messages.0.message.role": "model", "llm.output_messages.0.message.content": "Wait.", **lost}
    joined = indexed_messages(answer, "llm.output_messages", "openinference").messages
    assert joined == [{"role": "assistant", "parts": [{"type": "text", "content": "Wait."}, CALL]}]
    assert indexed_messages(lost, "llm.input_messages", "openinference").messages == []


def test_openinference_legacy_function_calls() -> None:
    attributes = {
        "llm.output_messages.0.message.function_call_name": "weather",
        "llm.output_messages.0.message.function_call_arguments_json": '{"city":"Oslo"}',
    }
    found: Any = indexed_messages(attributes, "llm.output_messages", "openinference").messages
    assert found[0]["parts"] == [{"type": "tool_call", "name": "weather", "arguments": {"city": "Oslo"}}]


def test_openinference_completions() -> None:
    prompts = indexed_messages({"llm.prompts.0.prompt.text": "Once"}, "llm.prompts", "openinference")
    choices = indexed_messages({"llm.choices.0.completion.text": "upon"}, "llm.choices", "openinference")
    assert prompts.messages + choices.messages == [text("user", "Once"), text("assistant", "upon")]


def test_tools_of_either_convention() -> None:
    schema = {"type": "object"}
    tool = {"type": "function", "name": "weather", "description": "Weather", "parameters": schema}
    openllmetry = {
        "llm.request.functions.0.name": "weather",
        "llm.request.functions.0.description": "Weather",
        "llm.request.functions.0.parameters": '{"type":"object"}',
        "llm.request.functions.1.name": "weather",
        "llm.request.functions.1.description": "Weather",
        "llm.request.functions.1.input_schema": '{"type":"object"}',
    }
    openinference = {
        "llm.tools.0.tool.json_schema": '{"type":"function","function":{"name":"weather","description":"Weather",'
        '"parameters":{"type":"object"}}}',
        "llm.tools.1.tool.json_schema": '{"name":"weather","description":"Weather","input_schema":{"type":"object"}}',
    }
    assert indexed_tools(openllmetry, "llm.request.functions") == [tool, tool]
    assert indexed_tools(openinference, "llm.tools") == [tool, tool]


def test_documents() -> None:
    attributes = {
        "retrieval.documents.0.document.id": "d1",
        "retrieval.documents.0.document.score": 0.9,
        "retrieval.documents.0.document.content": "Oslo is cold.",
        "retrieval.documents.1.document.content": "Rome is not.",
        "retrieval.documents.1.document.metadata": '{"source": "wiki", "score": 0.5}',
    }
    assert indexed_documents(attributes, "retrieval.documents") == [
        {"id": "d1", "score": 0.9, "content": "Oslo is cold."},
        {"score": 0.5, "content": "Rome is not.", "metadata": {"source": "wiki", "score": 0.5}},
    ]


def test_keys_that_are_no_numbers_or_absurd_ones_are_passed_over() -> None:
    attributes = {
        "gen_ai.prompt.-1.content": "a",
        "gen_ai.prompt.1e3.content": "b",
        "gen_ai.prompt.².content": "c",
        f"gen_ai.prompt.{'9' * 5000}.content": "d",
        "gen_ai.prompt.0": "e",
        "gen_ai.prompt.999999999.content": "kept",
    }
    assert indexed_messages(attributes, "gen_ai.prompt", "openllmetry").messages == [text("user", "kept")]
