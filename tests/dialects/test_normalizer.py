"""The engine: bounded, cheap on current spans, and what its settings do."""

from __future__ import annotations

import msgspec
import pytest

from otel_llm._generated import attributes as names
from otel_llm.dialects import TWINS, Normalizer, normalize
from otel_llm.dialects.normalizer import _MAX_SCOPES, _MAX_SHAPES
from otel_llm.operation import AttributeValue, Event, Operation
from otel_llm.processors.normalize import Config, Normalize
from tests.dialects.spans import FakeSource, again, attributes_of, operation

_CHAT = {"gen_ai.operation.name": "chat", "gen_ai.provider.name": "openai", "gen_ai.request.model": "gpt-4.1"}
_CURRENT = "opentelemetry.instrumentation.genai.openai"


def test_content_of_a_current_span_is_never_read():
    asked: set[str] = set()

    class Source(FakeSource):
        def get(self, key: str) -> AttributeValue:
            asked.add(key)
            return self.attributes.get(key)

    content = {key: "[" for key, kind in names.ATTRIBUTE_TYPES.items() if kind == "any"}
    span = Operation(Source({**_CHAT, **content, "gen_ai.response.finish_reasons": ["stop"]}, _CURRENT))
    normalize(span)
    assert asked.isdisjoint(content)
    assert not span.is_changed


def test_a_current_span_is_not_changed_at_all():
    span = operation(
        {**_CHAT, "gen_ai.response.finish_reasons": ("stop",), "gen_ai.usage.input_tokens": 5, "my.own": [1, "x"]},
        _CURRENT,
    )
    normalize(span)
    assert not span.is_changed


def test_foreign_attributes_nobody_knows_stay():
    span = operation({"openinference.span.kind": "LLM", "my.own": "x", "llm.system": "openai"})
    normalize(span)
    assert span.get("my.own") == "x"


def test_memory_is_bounded_whatever_shapes_and_scopes_arrive():
    normalizer = Normalizer()
    for number in range(2 * _MAX_SHAPES + 10):
        normalizer.normalize(operation({f"gen_ai.prompt.{number}.role": "user"}, f"scope-{number % (2 * _MAX_SCOPES)}"))
    assert len(normalizer._plans) <= _MAX_SHAPES
    assert len(normalizer._old) <= _MAX_SHAPES
    assert len(normalizer._recent) <= _MAX_SCOPES


def test_shapes_too_large_to_remember_are_normalised_all_the_same():
    normalizer = Normalizer()
    attributes = {f"gen_ai.prompt.{number}.content": "x" for number in range(2_000)}
    span = operation({**attributes, "gen_ai.system": "openai", "llm.request.type": "chat"}, "traceloop.tracer")
    normalizer.normalize(span)
    assert len(span.input_messages) == 2_000
    assert not normalizer._plans


def test_a_shape_is_told_apart_by_its_scope():
    attributes = {"gen_ai.operation.name": "chat", "gen_ai.system": "openai", "gen_ai.request.temperature": 1.0}
    normalizer = Normalizer()
    for scope, kept in (("openlit.instrumentation.openai", None), ("pydantic-ai", 1.0)) * 2:
        span = operation(attributes, scope)
        normalizer.normalize(span)
        assert span.get("gen_ai.request.temperature") == kept


def test_a_shape_seen_before_is_found_again_after_others():
    normalizer = Normalizer()
    for _ in range(3):
        for attributes in ({"gen_ai.system": "xai"}, {"gen_ai.system": "xai", "gen_ai.usage.prompt_tokens": 3}):
            span = operation({"gen_ai.operation.name": "chat", **attributes}, "my.app")
            normalizer.normalize(span)
            assert span.provider_name == "x_ai"
            assert span.input_tokens == attributes.get("gen_ai.usage.prompt_tokens")


@pytest.mark.parametrize("scope", [_CURRENT, "ai", "langsmith", ""])
def test_secrets_are_removed_on_sight(scope):
    secrets = {
        "ai.request.headers.authorization": "Bearer x",
        "gen_ai.headers": "{'authorization': 'Bearer x'}",
        "langsmith.metadata.LANGSMITH_API_KEY": "x",
        "http.request.header.authorization": ["Bearer x"],
    }
    for normalizer in (Normalizer(), Normalizer(keep_originals=True)):
        span = operation({**_CHAT, **secrets}, scope)
        normalizer.normalize(span)
        assert span.keys().isdisjoint(secrets)


@pytest.mark.parametrize("keep_originals", [False, True])
def test_headers_among_a_calls_parameters_are_removed_too(keep_originals):
    parameters = (
        '{"model":"gpt-4.1","extra_headers":{"Authorization":"Bearer x"},"OPENAI_API_KEY":"x","tool_choice":"auto"}'
    )
    span = operation({"openinference.span.kind": "LLM", "llm.invocation_parameters": parameters})
    Normalizer(keep_originals=keep_originals).normalize(span)
    left = msgspec.json.decode(str(span.get("llm.invocation_parameters")))
    assert left == {"tool_choice": "auto"} | ({"model": "gpt-4.1"} if keep_originals else {})


def test_twins_are_written_beside_the_current_names():
    normalizer = Normalizer(TWINS)
    span = operation({**_CHAT, "gen_ai.usage.input_tokens": 5, "gen_ai.usage.cache_creation.input_tokens": 3}, _CURRENT)
    normalizer.normalize(span)
    for twin, key in TWINS.items():
        assert span.get(twin) == span.get(key)
    assert span.get("gen_ai.usage.cache_write.input_tokens") == 3


@pytest.mark.parametrize("scope", [_CURRENT, "app"])
def test_twins_that_are_right_are_not_touched(scope):
    span = operation({**_CHAT, "gen_ai.usage.input_tokens": 5}, scope)
    normalizer = Normalizer(TWINS)
    normalizer.normalize(span)
    second = again(span)
    normalizer.normalize(second)
    assert second.get("gen_ai.system") == "openai"
    assert not second.changes.set
    assert not second.changes.removed


def test_twins_that_are_wrong_are_set_right():
    span = operation({**_CHAT, "gen_ai.usage.input_tokens": 5, "gen_ai.usage.prompt_tokens": 7}, _CURRENT)
    Normalizer(TWINS).normalize(span)
    assert span.get("gen_ai.usage.prompt_tokens") == span.get("gen_ai.usage.input_tokens") == 5


def test_a_twin_without_a_value_to_repeat_goes():
    span = operation({**_CHAT, "gen_ai.usage.prompt_tokens": -1}, _CURRENT)
    Normalizer(TWINS).normalize(span)
    assert span.get("gen_ai.usage.input_tokens") is None
    assert span.get("gen_ai.usage.prompt_tokens") is None


def test_twins_of_one_gateway_do_not_trouble_the_next():
    first = operation(
        {**_CHAT, "gen_ai.usage.input_tokens": 5, "gen_ai.usage.cache_creation.input_tokens": 3}, _CURRENT
    )
    normalizer = Normalizer(TWINS)
    normalizer.normalize(first)
    second = again(first)
    normalizer.normalize(second)
    assert attributes_of(second) == attributes_of(first)


def test_kept_originals_stay_beside_what_became_of_them():
    attributes = {"llm.request.type": "chat", "gen_ai.system": "OpenAI", "gen_ai.usage.prompt_tokens": 5}
    messages = {"gen_ai.prompt.0.role": "user", "gen_ai.prompt.0.content": "Hi"}
    span = operation({**attributes, **messages}, "traceloop.tracer")
    Normalizer(keep_originals=True).normalize(span)
    assert span.input_tokens == 5
    assert span.provider_name == "openai"
    assert span.input_messages
    for key, value in (*attributes.items(), *messages.items()):
        assert span.get(key) == value


def test_after_the_collectors_normaliser_the_result_is_the_same():
    """It copies OpenInference's keys to gen_ai.* and may leave the originals."""
    originals = {
        "openinference.span.kind": "LLM",
        "llm.system": "openai",
        "llm.model_name": "gpt-4.1",
        "llm.token_count.prompt": 50,
        "llm.token_count.completion": 9,
        "llm.token_count.prompt_details.cache_read": 32,
    }
    copies = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.response.model": "gpt-4.1",
        "gen_ai.usage.input_tokens": 50,
        "gen_ai.usage.output_tokens": 9,
        "gen_ai.usage.cache_read.input_tokens": 32,
    }
    results = []
    for attributes in (originals, {**originals, **copies}, copies):
        span = operation(attributes, "openinference.instrumentation.openai")
        normalize(span)
        results.append(attributes_of(span))
    assert results[0] == results[1] == results[2]


def test_a_processor_normalises_each_operation():
    spans = [operation({"gen_ai.system": "openai"}, "my.app"), operation(_CHAT, _CURRENT)]
    Normalize(Config(compatibility=("gen_ai.system",))).process(spans)
    assert [span.get("gen_ai.system") for span in spans] == ["openai", "openai"]
    assert [span.get("otel_llm.dialect") for span in spans] == ["otel_legacy", None]


def test_the_processor_declares_what_it_writes():
    for source in (
        {"gen_ai.system": "openai", "gen_ai.usage.prompt_tokens": 4},
        {"anthropic.message.stop_reason": "x"},
    ):
        span = operation(source, "my.app", status_code=2, events=(Event("exception", 0, {}),))
        Normalize().process([span])
        assert set(span.changes.set) <= Normalize.writes


@pytest.mark.parametrize("wrong", [{"compatibility": ["gen_ai.nothing"]}, {"keep_original": True}])
def test_settings_that_do_not_exist_are_refused(wrong):
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(wrong, Config)


def test_a_value_that_means_nothing_was_given_is_so_as_a_tuple_too():
    span = operation({"gen_ai.operation.name": "chat", "gen_ai.request.stop_sequences": ()}, "openlit.x")
    normalize(span)
    assert span.get("gen_ai.request.stop_sequences") is None
