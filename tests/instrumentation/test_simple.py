"""The quick reading of plain messages is the careful one of dialects."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from otel_llm.dialects.messages import canonical_messages, canonical_tool_definitions, lift_system
from otel_llm.instrumentation.providers.openai_chat import chat_input
from otel_llm.instrumentation.simple import read_messages, read_tools

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


@given(tools=TOOLS)
def test_tools_read_one_by_one_are_the_tools_read_together(tools: list[dict[str, Any]]) -> None:
    assert read_tools(tools) == canonical_tool_definitions(tools)
