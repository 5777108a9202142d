"""Content by reference, with OpenTelemetry's own hook that uploads, and hooks that do not behave. Acceptance 22, 39."""

from __future__ import annotations

import json
import logging
from importlib.metadata import EntryPoint, EntryPoints
from pathlib import Path
from typing import Any

import pytest

from otel_llm.instrumentation import completion_hook
from otel_llm.instrumentation.completion_hook import CompletionHook, find
from otel_llm.instrumentation.provider import Content

types = pytest.importorskip("opentelemetry.util.genai.types")
upload = pytest.importorskip("opentelemetry.util.genai._upload.completion_hook")

HOOK = {"OTEL_INSTRUMENTATION_GENAI_COMPLETION_HOOK": "upload"}
TOOL = {
    "type": "function",
    "function": {"name": "weather", "description": "of a place", "parameters": {"type": "object", "properties": {}}},
}
ASKED: dict[str, Any] = {
    "model": "gpt-4o",
    "messages": [{"role": "system", "content": "Be terse."}, {"role": "user", "content": "canary-question"}],
    "extra_headers": {"x-loopback": "text=canary-answer"},
}
NAMES = (
    "gen_ai.input.messages_ref",
    "gen_ai.output.messages_ref",
    "gen_ai.tool.definitions_ref",
    "gen_ai.system_instructions_ref",
)


class Kept:
    """A hook that keeps what it is told."""

    def __init__(self) -> None:
        self.said: list[dict[str, Any]] = []

    def on_completion(self, **said: Any) -> None:
        self.said.append(said)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("OTEL_INSTRUMENTATION_GENAI_UPLOAD_BASE_PATH", tmp_path.as_uri())
    return tmp_path


def uploaded(hook: CompletionHook | None, references: dict[str, Any]) -> dict[str, Any]:
    """What stands behind each reference, once it is all there."""
    assert hook is not None
    hook._hook.shutdown()  # type: ignore[attr-defined] # of that hook: waits for what is on its way
    return {
        name: json.loads(Path(str(references[name]).removeprefix("file://")).read_text())
        for name in NAMES
        if name in references
    }


@pytest.mark.usefixtures("folder")
def test_content_is_uploaded_and_span_and_event_say_where(recording, openai_client):
    engine = recording.engine({**HOOK, "OTEL_INSTRUMENTATION_GENAI_EMIT_EVENT": "true"})
    with recording.hooked("openai", engine=engine):
        openai_client.chat.completions.create(**ASKED, tools=[TOOL])
    attributes = recording.attributes()
    found = uploaded(engine.hook, attributes)
    assert found["gen_ai.system_instructions_ref"] == [{"type": "text", "content": "Be terse."}]
    assert found[NAMES[0]][0]["parts"] == [{"type": "text", "content": "canary-question"}]
    assert found[NAMES[1]][0]["parts"][0] == {"type": "text", "content": "canary-answer"}
    assert [found[NAMES[1]][0]["finish_reason"]] == list(attributes["gen_ai.response.finish_reasons"])
    assert found[NAMES[2]][0]["name"] == "weather"
    [event] = recording.events()
    assert {name: event.attributes[name] for name in NAMES} == {name: attributes[name] for name in NAMES}
    assert "canary" not in repr((attributes, dict(event.attributes)))


def test_what_is_redacted_is_redacted_in_the_files_too_and_with_none_there_are_no_files(
    recording, openai_client, folder
):
    redacting = recording.engine({**HOOK, "OTEL_LLM_CONTENT": "redacted"})
    with recording.hooked("openai", engine=redacting):
        openai_client.chat.completions.create(**ASKED)
    found = uploaded(redacting.hook, recording.attributes())
    assert "canary" not in repr(found)
    assert found[NAMES[1]][0]["parts"][0]["content"] == "[redacted, 13 characters]"
    files = set(folder.iterdir())
    with recording.hooked("openai", engine=recording.engine({**HOOK, "OTEL_LLM_CONTENT": "none"})):
        openai_client.chat.completions.create(**ASKED)
    assert set(folder.iterdir()) == files


def test_of_a_stream_that_was_left_the_hook_gets_what_came(recording, openai_client):
    engine, kept = recording.engine(HOOK | {"OTEL_INSTRUMENTATION_GENAI_UPLOAD_BASE_PATH": "memory://"}), Kept()
    engine.hook = CompletionHook(kept, types)
    engine.redact_with(str)
    asked = {**ASKED, "extra_headers": {"x-loopback": "text=one two three four five six"}}
    with recording.hooked("openai", engine=engine):
        stream = openai_client.chat.completions.create(**asked, stream=True)
        for chunk in stream:
            if chunk.choices and chunk.choices[0].delta.content:
                break
        stream.close()
    [said] = kept.said
    assert isinstance(said["inputs"][0], types.InputMessage)
    [answer] = said["outputs"]
    assert answer.parts[0].content
    assert "six" not in answer.parts[0].content
    assert said["tool_definitions"] is None


def test_a_hook_that_raises_changes_nothing_but_a_count(recording, openai_client):
    class Broken:
        def on_completion(self, **said: Any) -> None:
            raise RuntimeError(repr(said))

    engine = recording.engine()
    engine.hook = CompletionHook(Broken(), types)
    object.__setattr__(engine.settings, "capture", "full")
    engine.redact_with(str)
    with recording.hooked("openai", engine=engine):
        answer = openai_client.chat.completions.create(**ASKED)
    assert answer.choices[0].message.content == "canary-answer"
    assert recording.attributes()["gen_ai.usage.input_tokens"] > 0
    assert [dict(one.attributes)["otel_llm.instrumentation.site"] for one in engine.boundary.errors()] == [
        "completion_hook"
    ]


def test_every_part_of_ours_has_a_type_of_theirs_and_nothing_it_says_is_lost():
    parts: list[dict[str, object]] = [
        {"type": "text", "content": "a"},
        {"type": "reasoning", "content": "b"},
        {"type": "tool_call", "name": "weather", "arguments": {"place": "Ulm"}},
        {"type": "tool_call_response", "id": "1", "response": {"degrees": 3}},
        {"type": "file", "modality": "document", "file_id": "f"},
        {"type": "uri", "modality": "image", "uri": "https://example.com/a.png"},
        {"type": "blob", "modality": "image", "mime_type": "image/png", "content": "aGVsbG8="},
        {"type": "never heard of", "content": "c"},
    ]
    kept = Kept()
    asked = Content([{"role": "user", "parts": parts, "name": "ada"}], system=[{"type": "text", "content": "s"}])
    CompletionHook(kept, types).tell(asked, None)
    [said] = kept.said
    [message] = said["inputs"]
    assert [type(part).__name__ for part in message.parts] == [
        "TextPart",
        "ReasoningPart",
        "ToolCallRequestPart",
        "ToolCallResponsePart",
        "FilePart",
        "UriPart",
        "BlobPart",
        "GenericPart",
    ]
    assert (message.role, message.name, message.parts[2].arguments, message.parts[2].id) == (
        "user",
        "ada",
        {"place": "Ulm"},
        None,
    )
    assert message.parts[6].content == b"hello"
    assert (said["outputs"], said["system_instruction"]) == ([], [types.TextPart("s")])


def test_a_hook_that_is_not_there_or_cannot_be_made_is_said_and_there_is_none(monkeypatch, caplog):
    def points(group: str) -> EntryPoints:
        made = {"broken": "os:fspath", "none": "builtins:dict", "raising": "nothing.of.the.kind:x"}
        return EntryPoints(EntryPoint(name, value, group) for name, value in made.items())

    monkeypatch.setattr(completion_hook, "entry_points", points)
    with caplog.at_level(logging.WARNING):
        assert [find(name) for name in ("", "uplaod", "broken", "none", "raising")] == [None] * 5
    said = [record.getMessage() for record in caplog.records]
    assert len(said) == 4
    assert all("OTEL_INSTRUMENTATION_GENAI_COMPLETION_HOOK" in one for one in said)
    assert "'uplaod' is installed; there is: broken, none, raising" in said[0]
