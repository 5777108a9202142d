"""Content as attributes: redacted, limited, media described; and what the environment says. Acceptance 22, 39, 40."""

from __future__ import annotations

import hashlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_llm.instrumentation.content import Capture, fit, placeholder
from otel_llm.instrumentation.provider import Content
from otel_llm.instrumentation.settings import Settings, settings_from

VALUES = st.recursive(
    st.text(max_size=200) | st.integers() | st.none(), lambda inner: st.lists(inner, max_size=3), max_leaves=5
)
ITEMS = st.lists(st.dictionaries(st.text(max_size=5), VALUES, max_size=4), max_size=6)
CAPTURE = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"


def message(role: str, *parts: dict[str, object]) -> dict[str, object]:
    return {"role": role, "parts": list(parts)}


def text(content: str) -> dict[str, object]:
    return {"type": "text", "content": content}


@given(items=ITEMS, limit=st.integers(2, 2000))
def test_what_was_cut_is_valid_json_within_its_size(items, limit):
    """Acceptance 39."""
    cut = fit(items, limit)
    assert isinstance(json.loads(cut), list)
    assert len(cut.encode()) <= limit


def test_long_texts_are_shortened_before_messages_are_left_out():
    said = json.loads(fit([message("user", text("x" * 50_000)), message("assistant", text("y"))], 20_000))
    assert [one["role"] for one in said] == ["user", "assistant"]
    assert said[0]["parts"][0]["content"].endswith("more characters]")
    assert said[1]["parts"][0]["content"] == "y"


def test_the_oldest_messages_are_left_out_first():
    said = json.loads(fit([message("user", text(f"{number} " + "x" * 60)) for number in range(100)], 1_000))
    assert said[-1]["parts"][0]["content"].startswith("99 ")
    assert 0 < len(said) < 100


def test_media_are_type_size_and_hash():
    """Acceptance 40."""
    data = "aGVsbG8gd29ybGQh"
    blob = {"type": "blob", "mime_type": "image/png", "modality": "image", "content": data}
    capture = Capture(None, 64_000)
    [said] = json.loads(capture.input(Content([message("user", text("what is this?"), blob)]))["gen_ai.input.messages"])
    assert said["parts"][0] == text("what is this?")
    assert said["parts"][1] == {
        "type": "blob",
        "mime_type": "image/png",
        "modality": "image",
        "content": "",
        "size_bytes": 12,
        "sha256_of_base64": hashlib.sha256(data.encode()).hexdigest(),
    }


def test_redaction_reaches_tool_arguments_results_and_definitions_and_leaves_names_of_tools():
    content = Content(
        [
            message(
                "assistant", {"type": "tool_call", "id": "c1", "name": "find", "arguments": {"name": "Ada", "n": 1}}
            ),
            message("tool", {"type": "tool_call_response", "id": "c1", "response": [{"who": "Ada"}]}),
        ],
        [text("You serve Ada.")],
        [{"type": "function", "name": "find", "description": "Finds Ada", "parameters": {"enum": ["Ada"]}}],
    )
    found = Capture(lambda said: said.replace("Ada", "[PERSON]"), 64_000).input(content)
    assert "Ada" not in str(found)
    assert json.loads(found["gen_ai.tool.definitions"])[0]["name"] == "find"
    [call, _] = json.loads(found["gen_ai.input.messages"])
    assert call["parts"][0]["arguments"] == {"name": "[PERSON]", "n": 1}


def test_without_a_redactor_only_lengths_are_kept():
    assert placeholder("secret") == "[redacted, 6 characters]"
    assert placeholder("") == ""


def test_half_a_character_is_no_reason_to_lose_the_rest():
    found = Capture(None, 64_000).output(Content([message("assistant", text("half \ud83d done"))]))
    [said] = json.loads(found["gen_ai.output.messages"])
    assert said["parts"][0]["content"].endswith(" done")


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, Settings()),
        ({CAPTURE: "NO_CONTENT"}, Settings()),
        ({CAPTURE: "span_only"}, Settings("full", content_on_spans=True)),
        ({CAPTURE: "EVENT_ONLY"}, Settings("full", content_on_events=True, emit_events=True)),
        (
            {CAPTURE: "SPAN_AND_EVENT", "OTEL_INSTRUMENTATION_GENAI_EMIT_EVENT": "false"},
            Settings("full", content_on_spans=True, content_on_events=True),
        ),
        ({CAPTURE: "SPAN_ONLY", "OTEL_LLM_CONTENT": "redacted"}, Settings("redacted", content_on_spans=True)),
        ({"OTEL_LLM_CONTENT": "full"}, Settings()),
        ({"OTEL_LLM_CONTENT_LIMIT_BYTES": "100"}, Settings(content_limit_bytes=100)),
    ],
)
def test_the_environment_says_what_is_captured_and_where(environment, expected):
    assert settings_from(environment) == expected


def test_what_cannot_be_understood_captures_nothing_and_is_said(caplog):
    """Acceptance 48."""
    assert settings_from({CAPTURE: "everything"}).capture == "none"
    assert "SPAN_ONLY" in caplog.text.upper()


def test_an_unknown_depth_is_redacted_rather_than_full(caplog):
    found = settings_from({CAPTURE: "SPAN_ONLY", "OTEL_LLM_CONTENT": "reducted"})
    assert found.capture == "redacted"
    assert "OTEL_LLM_CONTENT" in caplog.text
