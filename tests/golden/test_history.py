"""What real emitters send: an answer is known again as the message that the next call sends back."""

from __future__ import annotations

import pytest

from otel_llm._generated import attributes as names
from otel_llm.history.references import as_input, split
from tests.golden.recorded import RECORDINGS, Recording, processed


def _messages(recording: Recording, key: str) -> list[bytes]:
    """Those of all calls of a recording, as they leave."""
    assert recording in RECORDINGS
    operations, _ = processed(recording.traces)
    return [piece for operation in operations for piece in split(operation.text(key) or "") or ()]


@pytest.mark.parametrize("emitter", ["genai-openai", "openinference", "openllmetry"])
def test_an_answer_comes_back_as_the_same_message(emitter: str) -> None:
    answer = _messages(Recording(emitter, "openai_chat_stream_tools"), names.GEN_AI_OUTPUT_MESSAGES)
    sent_back = _messages(Recording(emitter, "openai_chat_tool_result"), names.GEN_AI_INPUT_MESSAGES)
    assert as_input(answer)[0] in sent_back
