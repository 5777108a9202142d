"""The quick reading of plain messages is the careful one of dialects."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from otel_llm.dialects.messages import canonical_messages, canonical_tool_definitions, lift_system
from otel_llm.instrumentation.provider import View
from otel_llm.instrumentation.providers.openai_chat import chat_input
from otel_llm.instrumentation.simple import read_choice, read_messages, read_tools, simple_message

TEXTS = st.text(max_size=20) | st.sampled_from(["", "[1]", '{"a": 1}', ' {"role": "user"}', '"quoted"', "null", "tool"])
ROLES = st.sampled_from(["user", "assistant", "system", "developer", "tool", "function", "User"])
PARTS = st.lists(st.builds(lambda text: {"type": "text", "text": text}, TEXTS), max_size=2)
MESSAGES = st.lists(
    st.fixed_dictionaries(
        {"role": ROLES, "content": TEXTS | PARTS | st.none()},
        optional={"name": st.just("ada"), "tool_call_id": st.just("c1"), "refusal": TEXTS},
    ),
    max_size=4,
)
TOOLS = st.lists(
    st.fixed_dictionaries(
        {
            "type": st.sampled_from(["function", "web_search"]),
            "function": st.fixed_dictionaries(
                {"name": st.sampled_from(["f", "g"])},
                optional={"description": TEXTS, "parameters": st.just({"type": "object"}), "strict": st.booleans()},
            ),
        }
    ),
    max_size=3,
)


@given(messages=MESSAGES)
def test_messages_read_one_by_one_are_the_messages_read_together(messages: list[dict[str, Any]]) -> None:
    assert read_messages(messages) == canonical_messages(messages).messages


@given(messages=MESSAGES)
def test_leading_system_messages_are_instructions(messages: list[dict[str, Any]]) -> None:
    said = lift_system(canonical_messages(messages))
    content = chat_input({"messages": messages})
    assert (content.messages, content.system) == (said.messages, said.system)


ANSWERED = st.fixed_dictionaries(
    {"role": st.sampled_from(["assistant", "user", "tool"]), "content": TEXTS | PARTS | st.none()},
    optional={
        "refusal": TEXTS | st.none(),
        "reasoning_content": TEXTS,
        "annotations": st.just([]),
        "tool_calls": st.none()
        | st.just([{"id": "c", "type": "function", "function": {"name": "f", "arguments": ""}}]),
    },
)
BLOCKS = st.lists(
    st.fixed_dictionaries(
        {"type": st.just("text"), "text": TEXTS}, optional={"citations": st.none() | st.just([{"type": "page"}])}
    )
    | st.fixed_dictionaries({"type": st.just("thinking"), "thinking": TEXTS}),
    max_size=3,
)


@given(message=ANSWERED)
def test_a_choice_that_is_a_text_is_read_as_the_whole_answer_is(message: dict[str, Any]) -> None:
    careful = canonical_messages({"choices": [{"message": message, "finish_reason": "stop"}]}, "assistant").messages
    assert read_choice(message) in (None, *careful)
    assert read_choice(View(message)) == read_choice(message)


@given(blocks=BLOCKS)
def test_a_message_of_texts_is_read_as_the_whole_message_is(blocks: list[dict[str, Any]]) -> None:
    careful = canonical_messages([{"role": "assistant", "content": blocks}], "assistant").messages
    assert simple_message("assistant", blocks) in (None, *careful)


def test_the_plainest_answers_are_read_quickly() -> None:
    said = [{"type": "text", "content": "Hello"}]
    assert read_choice({"role": "assistant", "content": "Hello", "refusal": None}) == {
        "role": "assistant",
        "parts": said,
    }
    blocks = [{"type": "text", "text": "Hello", "citations": None}]
    assert simple_message("assistant", blocks) == {"role": "assistant", "parts": said}


@given(tools=TOOLS)
def test_tools_read_one_by_one_are_the_tools_read_together(tools: list[dict[str, Any]]) -> None:
    assert read_tools(tools) == canonical_tool_definitions(tools)
