"""Content: long, odd and binary parts of messages come out as they went in, and as valid JSON."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from otel_llm._generated import attributes as names
from otel_llm.operation import AttributeValue
from tests.acceptance.through import Attributes, Through
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
    same, and both texts are there. In an app a hash takes the place of the bytes: test_hooks.py."""
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
