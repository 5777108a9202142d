"""Retrieved documents of any framework as the conventions' documents.

Source: semconv gen-ai-retrieval-documents.json: `{id?, score?}`; `content` and `metadata` are our reading of what its
additional properties are for, and what every source has. A distance is not a score: it stays in the metadata.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Final

from otel_llm.dialects.messages_json import JsonObject, as_list, as_object, as_text, dump, first, parse_container

_ID: Final = ("id", "_id", "doc_id", "document_id", "documentId", "id_", "node_id")
_SCORE: Final = ("score", "relevance_score", "relevanceScore", "similarity", "similarity_score")
_CONTENT: Final = ("content", "page_content", "pageContent", "text", "document", "contents", "body")
_LISTS: Final = (
    "documents",
    "retrievalResults",
    "results",
    "matches",
    "source_documents",
    "nodes",
    "output",
    "outputs",
)
_MAX_NESTING: Final = 4


def canonical_documents(value: object) -> list[JsonObject]:
    """The documents that a value means: `{id?, score?, content?, metadata?}` each.

    Args:
        value: a list of documents, or JSON of one, in the shape of LangChain, LlamaIndex, Bedrock, MLflow, a vector
            database; or an object that holds such a list.
    """
    return _documents(value, 0)


def _documents(value: object, depth: int) -> list[JsonObject]:
    if depth > _MAX_NESTING:
        return []
    if isinstance(value, str) and depth == 0:
        value = parse_container(value) or [value]
    items = as_list(value)
    if items is not None:
        return [document for item in items for document in _documents(item, depth + 1)]
    if isinstance(value, str):
        return [{"content": value}] if value else []
    source = as_object(value)
    if source is None:
        return []
    for key in _LISTS:
        if as_list(source.get(key)) is not None:
            return _documents(source[key], depth + 1)
    return document(source)


def document(source: Mapping[str, object]) -> list[JsonObject]:
    """One document of any shape, in a list; an empty one when there is nothing in it."""
    source = _unwrapped(source)
    metadata = _metadata(source)
    found: JsonObject = {}
    # LangChain and OpenInference keep id and score in the metadata.
    identifier = first(source, *_ID)
    identifier = first(metadata, "id", "_id", "doc_id", "document_id") if identifier is None else identifier
    if isinstance(identifier, str | int) and identifier != "":
        found["id"] = str(identifier)
    score = _score(first(source, *_SCORE))
    score = _score(first(metadata, *_SCORE)) if score is None else score
    if score is not None:
        found["score"] = score
    content = _content(first(source, *_CONTENT))
    if content is not None:
        found["content"] = content
    if metadata:
        found["metadata"] = metadata
    return [found] if found else []


def _unwrapped(source: Mapping[str, object]) -> Mapping[str, object]:
    """The document inside a LangChain constructor, or a LlamaIndex node that carries it with a score."""
    kwargs = as_object(source.get("kwargs"))
    if kwargs is not None and "lc" in source:
        return kwargs
    node = as_object(source.get("node")) or as_object(source.get("document"))
    return source if node is None else {**source, **node}


def _metadata(source: Mapping[str, object]) -> Mapping[str, object]:
    value = source.get("metadata")
    parsed = as_object(parse_container(value) if isinstance(value, str) else value) or {}
    distance = source.get("distance")
    if isinstance(distance, int | float) and "distance" not in parsed:
        return {**parsed, "distance": distance}
    return parsed


def _score(value: object) -> float | int | None:
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return value if isinstance(value, int) or math.isfinite(value) else None


def _content(value: object) -> str | None:
    source = as_object(value)
    if source is not None:
        return as_text(source.get("text")) or as_text(source.get("content")) or dump(source)
    return as_text(value) if isinstance(value, str) or value is None else dump(value)
