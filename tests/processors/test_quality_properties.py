"""Whatever stands in a span's content, the processor looks at it or leaves it, and never fails."""

from __future__ import annotations

import json

from hypothesis import given, settings
from hypothesis import strategies as st

from otel_llm.components import Context
from otel_llm.operation import AttributeValue
from otel_llm.processors import quality
from otel_llm.telemetry import Metrics
from otel_llm.testing import FakeClock
from tests.spans import SpanSpec, operations

_WORDS = st.sampled_from(
    ["text", "tool_call", "tool_call_response", "user", "assistant", "f", "object", "string", "", "#", "a b"]
)
_KEYS = st.sampled_from(
    ["role", "parts", "type", "content", "name", "arguments", "id", "response", "finish_reason", "parameters",
     "function", "properties", "required", "$ref", "enum", "items", "anyOf", "metadata", "date", "score", "error"]
)  # fmt: skip
_JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False)
    | _WORDS
    | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_KEYS, inner, max_size=5),
    max_leaves=20,
)
_PART = st.fixed_dictionaries(
    {"type": _WORDS}, optional={"content": _JSON, "name": _JSON, "arguments": _JSON, "id": _JSON, "response": _JSON}
)
_MESSAGES = st.lists(st.fixed_dictionaries({"role": _WORDS, "parts": st.lists(_PART, max_size=4) | _JSON}), max_size=5)
_CONTENT = (
    (_MESSAGES | _JSON).map(json.dumps)
    | st.text(max_size=50)
    | st.integers(-5, 5)
    | st.booleans()
    | st.just(("a", "b"))
)
_STRUCTURED = st.sampled_from(
    ["gen_ai.input.messages", "gen_ai.output.messages", "gen_ai.system_instructions", "gen_ai.tool.definitions",
     "gen_ai.tool.call.arguments", "gen_ai.tool.call.result", "gen_ai.retrieval.documents",
     "gen_ai.retrieval.query.text",
     "otel_llm.request.output_schema", "gen_ai.response.finish_reasons", "gen_ai.output.type", "gen_ai.tool.name",
     "gen_ai.usage.output_tokens", "gen_ai.response.time_to_first_chunk", "gen_ai.prompt.name", "error.type"]
)  # fmt: skip
_SPAN = st.tuples(
    st.sampled_from(["chat", "text_completion", "execute_tool", "retrieval", "invoke_agent", "embeddings", "other", 7]),
    st.dictionaries(_STRUCTURED, _CONTENT, max_size=8),
    st.integers(0, 2),
    st.integers(-1, 3),
)


@settings(max_examples=50)
@given(st.lists(_SPAN, max_size=6))
def test_no_content_makes_it_fail_and_what_is_raised_was_checked(
    spans: list[tuple[object, dict[str, AttributeValue], int, int]],
) -> None:
    one = quality.create(quality.Config(stale_after_days=1), Context("quality", Metrics(), FakeClock()))
    found = operations(
        *(
            SpanSpec({"gen_ai.operation.name": name, **attributes}, span=n, status=status, seconds=seconds)  # type: ignore[dict-item] # on purpose
            for n, (name, attributes, status, seconds) in enumerate(spans, 1)
        )
    )
    one.process(found)
    for operation in found:
        checks, flags = operation.get("otel_llm.quality.checks") or (), operation.get("otel_llm.quality.flags") or ()
        assert isinstance(checks, tuple)
        assert isinstance(flags, tuple)
        assert set(flags) <= set(checks)
        assert {key for key in operation.keys() if operation.was_set(key)} <= one.writes  # noqa: SIM118 - not a mapping
