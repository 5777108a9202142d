from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_llm.dialects.providers import provider
from otel_llm.dialects.values import boolean, coercion, count, double, host_and_port, integer, text, texts

_ANYTHING = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(),
    st.binary(),
    st.lists(st.text(max_size=3) | st.integers(), max_size=3),
    st.dictionaries(st.text(max_size=3), st.integers(), max_size=2),
)


@given(_ANYTHING)
def test_a_coerced_value_has_its_type_or_is_none(value):
    assert type(integer(value)) in (int, type(None))
    assert type(boolean(value)) in (bool, type(None))
    assert type(text(value)) in (str, type(None))
    number = double(value)
    assert number is None or (type(number) is float and math.isfinite(number))
    counted = count(value)
    assert counted is None or counted >= 0
    items = texts(value)
    assert items is None or all(type(item) is str for item in items)


@given(st.integers(-(2**63) + 1, 2**63 - 1))
def test_an_integer_survives_as_it_is_and_as_text(number):
    assert integer(number) == number
    assert integer(str(number)) == number or abs(number) > 2**53  # a sign sends the text through a double


@pytest.mark.parametrize(
    ("value", "expected"),
    [(["a"], ["a"]), (("a", "b"), ("a", "b")), ('["a", "b"]', ["a", "b"]), ("a", ["a"]), ([1], None), ({}, None)],
)
def test_lists_of_texts_come_in_many_shapes(value, expected):
    assert texts(value) == expected


def test_the_type_of_a_canonical_key_decides():
    assert coercion("gen_ai.request.temperature")("0.5") == 0.5
    assert coercion("gen_ai.request.seed")(-3) == -3
    assert coercion("gen_ai.usage.input_tokens")(-3) is None
    assert coercion("gen_ai.request.stream")("true") is True
    assert coercion("gen_ai.input.messages")([1]) == [1]


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("https://api.openai.com/v1/", ("api.openai.com", None)),
        ("http://127.0.0.1:18555/v1", ("127.0.0.1", 18555)),
        ("api.openai.com", None),
        ("https://", None),
        ("https://[::1", None),
        ("http://x:99999", None),
    ],
)
def test_an_address_that_is_a_url(address, expected):
    assert host_and_port(address) == expected


@pytest.mark.parametrize(
    ("name", "host", "model", "expected"),
    [
        ("openai", None, None, "openai"),
        ("OpenAI", None, None, "openai"),
        ("openai.chat", None, None, "openai"),
        ("openai", "mine.openai.azure.com", None, "azure.ai.openai"),
        ("az.ai.openai", None, None, "azure.ai.openai"),
        ("gemini", None, None, "gcp.gemini"),
        ("google", "europe-west1-aiplatform.googleapis.com", None, "gcp.vertex_ai"),
        ("google.vertex.chat", None, None, "gcp.vertex_ai"),
        ("vertex_ai", None, None, "gcp.vertex_ai"),
        ("AWS", None, None, "aws.bedrock"),
        ("amazon-bedrock", None, None, "aws.bedrock"),
        ("xai", None, None, "x_ai"),
        ("mistralai", None, None, "mistral_ai"),
        ("Ollama", None, None, "ollama"),
        ("my-own-server", None, None, "my-own-server"),
        ("langchain", None, "claude-sonnet-4-5", "anthropic"),
        ("strands-agents", None, "us.anthropic.claude-sonnet-4", "aws.bedrock"),
        ("langgraph", None, None, None),
        (None, "api.anthropic.com", None, "anthropic"),
        (None, "https://bedrock-runtime.us-east-1.amazonaws.com", None, "aws.bedrock"),
        (None, None, "gpt-4.1", "openai"),
        (None, None, "publishers/google/models/gemini-2.5-pro", "gcp.vertex_ai"),
        (None, None, "llama-3", None),
        (None, None, None, None),
    ],
)
def test_what_a_span_says_about_its_provider(name, host, model, expected):
    assert provider(name, host, model) == expected


@given(st.text(), st.text() | st.none(), st.text() | st.none())
def test_a_provider_found_once_is_found_again(name, host, model):
    found = provider(name, host, model)
    assert provider(found, host, model) == found
