"""What vector databases and frameworks return from a search, as plain documents.

Chroma returns lists by field, Qdrant points with a payload, LangChain and LlamaIndex objects, SQL rows tuples or
mappings. A distance is not a score: it stays in the metadata. Vectors are left out.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

_VECTORS: Final = frozenset({"embedding", "embeddings", "vector", "vectors"})
_TEXTS: Final = ("text", "content", "page_content", "document")


def documents_of(found: Any) -> list[dict[str, Any]]:  # noqa: ANN401 - what any search returns
    """The documents of a result; those of a shape that nobody knows as they are."""
    if isinstance(found, Mapping) and isinstance(found.get("ids"), Sequence):
        return list(_of_chroma(found))
    points = getattr(found, "points", None)
    items = points if isinstance(points, list) else found
    if isinstance(items, Mapping) or not isinstance(items, Iterable) or isinstance(items, str | bytes):
        items = [items]
    return [document for item in items if (document := _document(item))]


def _of_chroma(found: Mapping[str, Any]) -> Iterable[dict[str, Any]]:
    """`query` returns a list for each query text, `get` one list; fields that were not included are None."""
    ids = found["ids"]
    is_query = bool(ids) and isinstance(ids[0], list)
    for position, group in enumerate(ids if is_query else [ids]):
        for place, document_id in enumerate(group):
            columns = {}
            for name in ("documents", "distances", "metadatas"):
                column = found.get(name)
                column = column[position] if column and is_query else column
                columns[name] = column[place] if column else None
            metadata = dict(columns["metadatas"] or {})
            if columns["distances"] is not None:
                metadata["distance"] = columns["distances"]
            yield _made(document_id, None, columns["documents"], metadata)


def _document(item: Any) -> dict[str, Any]:  # noqa: ANN401 - as above
    if isinstance(item, tuple) and hasattr(item, "_asdict"):
        item = item._asdict()
    if isinstance(item, tuple):  # a row without names, or LangChain's document with its score
        inner = _document(item[0])
        if len(item) == 2 and inner and isinstance(item[1], int | float):  # noqa: PLR2004 - a pair
            return {**inner, "score": item[1]}
        return _made(item[0], None, next((one for one in item[1:] if isinstance(one, str)), None), {})
    if isinstance(item, Mapping):
        return {key: value for key, value in item.items() if key not in _VECTORS}
    node = getattr(item, "node", None)  # LlamaIndex
    source = item if node is None else node
    payload = getattr(item, "payload", None)  # Qdrant
    metadata = dict(payload or getattr(source, "metadata", None) or {})
    text = next((metadata[key] for key in _TEXTS if payload and isinstance(metadata.get(key), str)), None)
    for name in ("page_content", "text"):
        said = getattr(source, name, None)
        text = said if text is None and isinstance(said, str) else text
    document_id = getattr(source, "node_id", None) or getattr(source, "id", None)
    return _made(document_id, getattr(item, "score", None), text, metadata)


def _made(document_id: Any, score: Any, text: Any, metadata: Mapping[str, Any]) -> dict[str, Any]:  # noqa: ANN401 - as above
    found: dict[str, Any] = {}
    if isinstance(document_id, str | int):
        found["id"] = str(document_id)
    if isinstance(score, int | float):
        found["score"] = score
    if isinstance(text, str):
        found["content"] = text
    if metadata:
        found["metadata"] = dict(metadata)
    return found
