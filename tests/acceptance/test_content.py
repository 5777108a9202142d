"""Content: long, odd and binary parts of messages come out as they went in, and as valid JSON."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from hashlib import sha256
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from otel_llm._generated import attributes as names
from otel_llm.operation import AttributeValue
from tests.acceptance.through import Attributes, Through, started
from tests.golden.recorded import processed
from tests.spans import SpanSpec, attributes_of, chat, request, spans_of

_ODD = 'emoji 👩‍👩‍👧‍👦, 漢字, Привет, "quotes" \\ backslash \t tab \u2028 line \u0000 null \U0010ffff last'


def _current(text: str) -> dict[str, AttributeValue]:
    message = [{"role": "user", "parts": [{"type": "text", "content": text}]}]
    return chat(gen_ai__input__messages=json.dumps(message, ensure_ascii=False))


def _openinference(text: str) -> dict[str, AttributeValue]:
    return {
        "openinference.span.kind": "LLM",
        "llm.system": "openai",
        "llm.model_name": "gpt-4o",
        "llm.input_messages.0.message.role": "user",
        "llm.input_messages.0.message.content": text,
        "llm.token_count.prompt": 1000,
        "llm.token_count.completion": 100,
    }


def _openllmetry(text: str) -> dict[str, AttributeValue]:
    return {
        "gen_ai.system": "OpenAI",
        "llm.request.type": "chat",
        "gen_ai.request.model": "gpt-4o",
        "gen_ai.response.model": "gpt-4o",
        "gen_ai.prompt.0.role": "user",
        "gen_ai.prompt.0.content": text,
        "gen_ai.usage.prompt_tokens": 1000,
        "gen_ai.usage.completion_tokens": 100,
    }


_SHAPES = {
    "opentelemetry.instrumentation.genai.openai": _current,
    "openinference.instrumentation.openai": _openinference,
    "opentelemetry.instrumentation.openai": _openllmetry,
}


def _messages(attributes: Attributes) -> list[dict[str, Any]]:
    value = attributes[names.GEN_AI_INPUT_MESSAGES]
    assert isinstance(value, str)
    found: list[dict[str, Any]] = json.loads(value)
    return found


@pytest.mark.parametrize("scope", _SHAPES)
@pytest.mark.parametrize("text", [_ODD, "漢👍" * 100_000], ids=["odd", "long"])
def test_39_long_and_odd_text_passes_whole_as_valid_json(through: Through, scope: str, text: str) -> None:
    """Given a prompt of emoji, Chinese and control characters, or of 700 kB, then the message that leaves is valid JSON
    with the role and the same text, nothing is cut, printable text is not escaped, and usage and cost are there.
    The gateway cuts nothing but what a destination finds too large (tests/delivery); an app's SDK has limits, for which
    see test_hooks.py."""
    span = through.call(_SHAPES[scope](text), scope)
    assert _messages(span) == [{"role": "user", "parts": [{"type": "text", "content": text}]}]
    assert "\\u6f22" not in str(span[names.GEN_AI_INPUT_MESSAGES])
    assert span[names.OTEL_LLM_COST_TOTAL] == 0.0035
    assert "gpt-4o" in (span.get(names.GEN_AI_REQUEST_MODEL), span.get(names.GEN_AI_RESPONSE_MODEL))


@pytest.mark.parametrize("scope", _SHAPES)
@settings(max_examples=40, deadline=None)
@given(text=st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=60))
def test_39_any_text_comes_out_as_it_went_in(scope: str, text: str) -> None:
    """Given any text at all, the same."""
    _, body = processed(request([SpanSpec(_SHAPES[scope](text), scope=scope)]))
    (span,) = map(attributes_of, spans_of(body))
    assert _messages(span)[0]["parts"] == [{"type": "text", "content": text}]


def test_39_json_that_an_emitter_has_cut_off_is_kept_and_harms_nothing(through: Through) -> None:
    """Given messages that were cut in the middle by their emitter, then what is left of them passes on, and usage,
    model and cost are as good as ever."""
    cut = json.dumps([{"role": "user", "parts": [{"type": "text", "content": "漢" * 100}]}])[:57]
    span = through.call(chat(gen_ai__input__messages=cut), "opentelemetry.instrumentation.genai.openai")
    assert cut in str(span[names.GEN_AI_INPUT_MESSAGES]) or "漢" in str(span[names.GEN_AI_INPUT_MESSAGES])
    assert span[names.OTEL_LLM_COST_TOTAL] == 0.0035


_BYTES = bytes(range(256)) * 64
_BASE64 = base64.b64encode(_BYTES).decode()
_BEFORE, _AFTER = {"type": "text", "text": "What is this?"}, {"type": "text", "text": "Be brief."}
# What providers' requests look like, in an attribute that holds messages; and the part it must become.
_MEDIA: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "an OpenAI image as a data URI": (
        {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{_BASE64}"}},
        {"type": "blob", "modality": "image", "mime_type": "image/png", "content": _BASE64},
    ),
    "an OpenAI image by its address": (
        {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}},
        {"type": "uri", "modality": "image", "uri": "https://example.com/a.png"},
    ),
    "Anthropic base64": (
        {"type": "image", "source": {"type": "base64", "media_type": "image/jpeg", "data": _BASE64}},
        {"type": "blob", "modality": "image", "mime_type": "image/jpeg", "content": _BASE64},
    ),
    "an Anthropic PDF": (
        {"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": _BASE64}},
        {"type": "blob", "mime_type": "application/pdf", "content": _BASE64},
    ),
    "Gemini inline data": (
        {"inline_data": {"mime_type": "image/webp", "data": _BASE64}},
        {"type": "blob", "modality": "image", "mime_type": "image/webp", "content": _BASE64},
    ),
    "OpenAI audio": (
        {"type": "input_audio", "input_audio": {"data": _BASE64, "format": "wav"}},
        {"type": "blob", "modality": "audio", "mime_type": "audio/wav", "content": _BASE64},
    ),
}


@pytest.mark.parametrize("case", _MEDIA)
def test_40_media_keep_their_type_and_the_text_around_them(through: Through, case: str) -> None:
    """Given an image, a document or a recording between two texts, then its part says what it is, the bytes are the
    same, and both texts are there."""
    given_part, expected = _MEDIA[case]
    message = [{"role": "user", "content": [_BEFORE, given_part, _AFTER]}]
    span = through.call(
        {
            "langfuse.observation.type": "generation",
            "langfuse.observation.model.name": "gpt-4o",
            "langfuse.observation.input": json.dumps(message),
        },
        "langfuse-sdk",
    )
    (found,) = _messages(span)
    first, media, last = found["parts"]
    assert [first, last] == [{"type": "text", "content": part["text"]} for part in (_BEFORE, _AFTER)]
    assert {key: media.get(key) for key in expected} == expected


@pytest.fixture(scope="module")
def describing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Through]:
    with started(tmp_path_factory.mktemp("describing"), media="describe") as gateway:
        yield gateway


_MEGABYTE = base64.b64encode(bytes(range(256)) * 4096).decode()
_IN_A_TOOLS_ANSWER = {
    "type": "tool_result",
    "tool_use_id": "c",
    "content": [
        {"type": "text", "text": "A screen."},
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": _BASE64}},
    ],
}


@pytest.mark.parametrize("case", [*(case for case in _MEDIA if "address" not in case), "a screenshot of a tool's"])
def test_40_media_are_type_size_and_hash_where_a_gateway_is_asked_to_describe_them(
    describing: Through, case: str
) -> None:
    """Given a megabyte of an image, a document or a recording between two texts, or in what a tool has answered, and
    `media: describe`, then the span has its type, its size and its hash, the texts are there, and the span is small;
    through a second gateway it is the same."""
    part, expected = _MEDIA.get(case, (_IN_A_TOOLS_ANSWER, {"mime_type": "image/png"}))
    large = json.loads(json.dumps(part).replace(_BASE64, _MEGABYTE))
    attributes: dict[str, AttributeValue] = {
        "langfuse.observation.type": "generation",
        "langfuse.observation.model.name": "gpt-4o",
        "langfuse.observation.input": json.dumps([{"role": "user", "content": [_BEFORE, large, _AFTER]}]),
    }
    span = describing.call(attributes, "langfuse-sdk")
    told = str(span[names.GEN_AI_INPUT_MESSAGES])
    texts = [str(one["text"]) for one in (_BEFORE, _AFTER)]
    for wanted in (expected["mime_type"], "1048576", sha256(_MEGABYTE.encode()).hexdigest(), *texts):
        assert wanted in told
    assert sum(len(str(value)) for value in span.values()) < 4_000
    assert describing.call(span, "langfuse-sdk")[names.GEN_AI_INPUT_MESSAGES] == told


def test_40_what_a_tool_has_shown_is_described_on_its_own_span_too(describing: Through) -> None:
    """Given the span of a tool that has answered with a screenshot, the same."""
    shown = {"content": [{"type": "image", "mimeType": "image/png", "data": _MEGABYTE}, {"type": "text", "text": "ok"}]}
    span = describing.call(
        {
            "gen_ai.operation.name": "execute_tool",
            "gen_ai.tool.name": "look",
            "gen_ai.tool.call.result": json.dumps(shown),
        }
    )
    told = json.loads(str(span[names.GEN_AI_TOOL_CALL_RESULT]))
    assert told["content"][1] == {"type": "text", "text": "ok"}
    assert told["content"][0]["size_bytes"] == 1_048_576


def test_40_the_vectors_of_embeddings_do_not_stay_on_the_span(through: Through) -> None:
    """Given an embedding whose emitter wrote the vector of 3,072 numbers on the span, then the vector is gone, the text
    that was embedded is there, and the span is small."""
    vector = [0.123456789] * 3_072
    span = through.call(
        {
            "openinference.span.kind": "EMBEDDING",
            "llm.system": "openai",
            "embedding.model_name": "text-embedding-3-large",
            "embedding.embeddings.0.embedding.text": "The capital of France",
            "embedding.embeddings.0.embedding.vector": vector,
            "llm.token_count.prompt": 4,
        },
        "openinference.instrumentation.openai",
    )
    assert "The capital of France" in str(span[names.GEN_AI_INPUT_MESSAGES])
    assert sum(len(str(value)) for value in span.values()) < 2_000
