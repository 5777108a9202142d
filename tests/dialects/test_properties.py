"""Whatever a span holds: normalising never raises, ends, and a second time changes nothing."""

from __future__ import annotations

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from otel_llm._generated import attributes as names
from otel_llm.dialects import Normalizer, detect, normalize
from otel_llm.dialects.tables import common, tables
from otel_llm.operation import Event
from tests.dialects.spans import again, attributes_of, operation

_KNOWN_KEYS = sorted(
    {key for table in tables() for keys in table.attributes.values() for key in keys}
    | {key for keys in common().attributes.values() for key in keys}
    | {key for table in tables() for key in (*table.detection.keys, *(rule.key for rule in table.operations))}
    | {key for table in tables() for key in table.detection.values}
    | {key for key in names.ATTRIBUTE_TYPES if key.startswith(("gen_ai.", "openai.", "otel_llm.usage."))}
    | set(common().totals)
    | {
        "input.value",
        "output.value",
        "llm.invocation_parameters",
        "llm.input_messages.0.message.content",
        "llm.output_messages.0.message.tool_calls.0.tool_call.function.arguments",
        "llm.tools.0.tool.json_schema",
        "gen_ai.prompt.0.content",
        "gen_ai.completion.0.tool_calls.0.name",
        "gen_ai.completion.0.function_call.name",
        "llm.request.functions.0.parameters",
        "retrieval.documents.0.document.metadata",
        "embedding.embeddings.0.embedding.text",
        "traceloop.entity.input",
        "traceloop.entity.output",
        "traceloop.prompt.template_variables",
        "ai.prompt",
        "ai.prompt.messages",
        "ai.prompt.tools",
        "ai.response.text",
        "ai.response.toolCalls",
        "ai.response.providerMetadata",
        "ai.values",
        "langfuse.observation.input",
        "langfuse.observation.output",
        "langfuse.observation.usage_details",
        "langfuse.observation.model.parameters",
        "langfuse.observation.completion_start_time",
        "mlflow.spanInputs",
        "mlflow.spanOutputs",
        "mlflow.chat.tokenUsage",
        "gen_ai.usage.raw",
        "request_data",
        "response_data",
        "events",
        "pydantic_ai.all_messages",
        "gcp.vertex.agent.llm_request",
        "gcp.vertex.agent.llm_response",
        "metadata.usage_object",
        "gen_ai.response.tool_calls",
    }
)
_KINDS = sorted(
    {value for table in tables() for rule in table.operations for value in (*rule.values, *rule.root)}
    | {value for table in tables() for values in table.detection.values.values() for value in values}
)
_SCOPES = sorted(
    {scope for table in tables() for scope in table.detection.scopes}
    | {f"{prefix}openai" for table in tables() for prefix in table.detection.scope_prefixes}
)
_TEXTS = st.sampled_from(
    [
        "",
        "null",
        "NaN",
        '"NaN"',
        "-1",
        "7",
        '"12"',
        "1e999",
        "[]",
        "{}",
        "[[]]",
        "[1]",
        '["stop"]',
        '{"messages":[{"role":"user","content":"x"}],"model":"m","stop":["END"]}',
        '{"id":"r","usage":{"input_tokens":7,"cache_read_input_tokens":"9","output_tokens":NaN},"choices":[{}]}',
        '{"generations":[[{"message":{"kwargs":{"usage_metadata":{"input_tokens":-4}}}}]]}',
        '{"input":5,"output":1e400,"input_cached_tokens":true}',
        '[{"role":"assistant","parts":[{"type":"tool_call"}]}]',
        '[{"role":"assistant","content":[{"type":"text"}],"tool_calls":[null,{}]}]',
        '{"query":{}}',
        "\ud800",
        "https://[::1",
        "http://127.0.0.1:99999/v1",
        "2026-11-21T05:01:17Z",
    ]
)
_SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**64),
    st.floats(allow_nan=True, allow_infinity=True),
    st.text(max_size=20),
    st.binary(max_size=8),
    st.sampled_from(_KINDS),
    _TEXTS,
)
_VALUES = st.recursive(
    _SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=6,
)
_ATTRIBUTES = st.dictionaries(st.sampled_from(_KNOWN_KEYS) | st.text(max_size=30), _VALUES, max_size=14)
_EVENT_NAMES = ["gen_ai.user.message", "gen_ai.choice", "gen_ai.content.prompt", "exception", "db.query.result"]
_EVENT_KEYS = ["content", "message", "gen_ai.prompt", "exception.type"]
_EVENTS = st.lists(
    st.builds(
        Event,
        st.sampled_from(_EVENT_NAMES),
        st.just(0),
        st.dictionaries(st.sampled_from(_EVENT_KEYS), _VALUES, max_size=3),
    ),
    max_size=3,
)


@settings(max_examples=400, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(
    attributes=_ATTRIBUTES,
    events=_EVENTS,
    scope=st.sampled_from(["", *_SCOPES]),
    version=st.sampled_from(["", "0.62.4", "2.13.0"]),
    name=st.sampled_from(["span", "call_llm", "litellm_request", "raw_gen_ai_request", "chat m", "running tool: x"]),
    status=st.sampled_from([0, 1, 2]),
    parent=st.sampled_from([b"", b"p" * 8]),
)
@example(
    attributes={"gen_ai.usage.input_tokens": float("nan")},
    events=[],
    scope="opentelemetry.instrumentation.genai.openai",
    version="",
    name="span",
    status=0,
    parent=b"",
)
def test_any_span_is_normalised_without_raising_and_once_is_enough(  # noqa: PLR0913, PLR0917 - all that is a span
    attributes, events, scope, version, name, status, parent
):
    first = operation(
        attributes,
        scope,
        scope_version=version,
        name=name,
        status_code=status,
        parent_span_id=parent,
        events=tuple(events),
    )
    assert detect(first) in {table.id for table in tables()}
    normalize(first)
    for key, value in attributes_of(first).items():
        if key.startswith("gen_ai.usage.") and key in names.ATTRIBUTE_TYPES:
            assert value is None or (type(value) is int and value >= 0)
    second = again(first)
    normalize(second)
    assert not second.changes.set
    assert not second.changes.removed
    assert not second.changes.removed_events


@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(attributes=_ATTRIBUTES, scope=st.sampled_from(_SCOPES))
def test_with_twins_and_originals_kept_once_is_enough_too(attributes, scope):
    normalizer = Normalizer(["gen_ai.system", "gen_ai.usage.cache_creation.input_tokens"], keep_originals=True)
    first = operation(attributes, scope)
    normalizer.normalize(first)
    second = again(first)
    normalizer.normalize(second)
    assert not second.changes.set
    assert not second.changes.removed
