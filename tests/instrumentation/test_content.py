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
    digest = hashlib.sha256(b"x" * 50_000).hexdigest()[:16]
    assert said[0]["parts"][0]["content"] == "x" * 16_384 + f"… [33616 more characters, sha256 of all {digest}]"
    assert said[1]["parts"][0]["content"] == "y"


def test_what_is_cut_to_little_still_says_how_long_it_was():
    """Acceptance 39."""
    said = json.loads(fit([message("user", text("漢" * 50_000))], 1_000))
    assert "[49744 more characters, sha256 of all " in said[0]["parts"][0]["content"]


def test_the_oldest_messages_but_the_first_are_left_out_first():
    said = json.loads(fit([message("user", text(f"{number} " + "x" * 60)) for number in range(100)], 1_000))
    numbers = [int(one["parts"][0]["content"].split()[0]) for one in said]
    assert numbers == [0, *range(100 - len(said) + 1, 100)]
    assert len(said) > 3


def test_a_first_message_that_leaves_no_room_for_others_is_left_out():
    items = [message("user", *[text("x" * 60)] * 20), *(message("user", text(str(number))) for number in range(9))]
    said = json.loads(fit(items, 1_000))
    assert [one["parts"][0]["content"] for one in said] == [str(number) for number in range(9)]


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


SCREENSHOT = "iVBORw0KGgo" * 100


@pytest.mark.parametrize(
    "result",
    [
        {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{SCREENSHOT}"}},
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": SCREENSHOT}},
        {"type": "image", "data": SCREENSHOT, "mimeType": "image/png"},
        {"type": "resource", "resource": {"uri": "file:///a.png", "mimeType": "image/png", "blob": SCREENSHOT}},
        json.dumps({"screen": f"data:image/png;base64,{SCREENSHOT}"}),
    ],
)
def test_a_screenshot_in_what_a_tool_has_answered_is_told_by_size_and_hash(result):
    """Acceptance 40."""
    answered = {"type": "tool_call_response", "id": "c1", "response": ["see", result]}
    said = Capture(None, 64_000).input(Content([message("tool", answered)]))["gen_ai.input.messages"]
    digest = hashlib.sha256(SCREENSHOT.encode()).hexdigest()
    for told in (said, Capture(None, 64_000).value(["see", result])):
        assert SCREENSHOT[:64] not in told
        assert digest in told
        assert "825" in told
        assert "see" in told
    redacted = Capture(placeholder, 64_000).input(Content([message("tool", answered)]))["gen_ai.input.messages"]
    assert SCREENSHOT[:64] not in redacted


def test_the_hash_of_media_stays_where_texts_are_redacted():
    blob = {"type": "blob", "mime_type": "image/png", "modality": "image", "content": SCREENSHOT}
    said = Capture(placeholder, 64_000).input(Content([message("user", blob)]))["gen_ai.input.messages"]
    assert hashlib.sha256(SCREENSHOT.encode()).hexdigest() in said


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
        ({"OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT": "300"}, Settings(content_limit_bytes=300)),
        (
            {"OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT": "200", "OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT": "300"},
            Settings(content_limit_bytes=200),
        ),
        (
            {"OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT": "200", "OTEL_LLM_CONTENT_LIMIT_BYTES": "100"},
            Settings(content_limit_bytes=100),
        ),
        ({"OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT": "no"}, Settings()),
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
