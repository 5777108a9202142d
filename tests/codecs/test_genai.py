"""Which scopes are those of GenAI libraries."""

from __future__ import annotations

import pytest

from otel_llm._generated import attributes as names
from otel_llm.codecs.genai import is_genai_scope
from otel_llm.dialects import Normalizer
from tests.spans import SpanSpec, operations

DATABASES = ("chromadb", "lancedb", "marqo", "milvus", "pinecone", "qdrant", "weaviate")


@pytest.mark.parametrize("database", DATABASES)
def test_a_vector_search_of_openllmetry_is_a_retrieval_although_it_has_no_genai_key(database: str) -> None:
    found = ("db.query.result", {"db.query.result.id": "a", "db.query.result.document": "text"})
    attributes = {"db.system": database, "db.operation": "query", "db.vector.query.top_k": 3}
    spec = SpanSpec(attributes, scope=f"opentelemetry.instrumentation.{database}", name="query", events=(found,))
    (operation,) = operations(spec)
    Normalizer().normalize(operation)
    assert operation.operation_name == "retrieval"
    assert operation.get(names.GEN_AI_RETRIEVAL_TOP_K) == 3
    assert operation.get(names.GEN_AI_RETRIEVAL_DOCUMENTS) == '[{"id":"a","content":"text"}]'


@pytest.mark.parametrize(
    "scope", ["opentelemetry.instrumentation.redis", "opentelemetry.instrumentation.psycopg", "qdrant_client", ""]
)
def test_searches_in_other_databases_pass_unread(scope: str) -> None:
    assert not is_genai_scope(scope)
    assert operations(SpanSpec({"db.system": "redis", "db.operation": "query"}, scope=scope)) == []


def test_claude_codes_spans_are_known_by_their_scope() -> None:
    attributes = {"span.type": "llm_request", "model": "claude-haiku-4-5", "input_tokens": 7, "output_tokens": 9}
    (operation,) = operations(SpanSpec(attributes, scope="com.anthropic.claude_code.tracing"))
    Normalizer().normalize(operation)
    assert (operation.operation_name, operation.input_tokens) == ("chat", 7)
