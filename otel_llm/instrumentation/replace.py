"""Putting changed texts back into a request, whatever else the provider's own messages hold.

An admission sees messages in the conventions' shape and may change their texts. Here the changed texts take the place
of the old ones, one by one; everything else of the request stays as the app wrote it. What does not fit is refused:
a redaction that could not be carried out must not let the original pass.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import msgspec

from otel_llm.dialects.messages import canonical_messages, lift_system
from otel_llm.instrumentation.provider import Body, plain

Messages = Sequence[Mapping[str, object]]


def replace_texts(key: str) -> Callable[[Body, Messages], Body]:
    """What puts changed messages into a body whose messages stand under `key`."""

    def replace(body: Body, messages: Messages) -> Body:
        return {**body, key: _with_texts(body.get(key), messages)}

    return replace


def _with_texts(value: object, messages: Messages) -> object:
    """A request's messages with the texts of `messages`.

    Raises:
        ValueError: there are not as many texts in one as in the other.
    """
    value = [plain(item) for item in value] if isinstance(value, list | tuple) else value
    before = _texts(lift_system(canonical_messages(value)).messages)
    after = _texts(messages)
    if len(before) != len(after):
        raise ValueError(f"{len(before)} texts cannot be replaced by {len(after)}")
    changes = {old: new for old, new in zip(before, after, strict=True) if old != new}
    replaced = _replaced(value, changes)
    if _texts(lift_system(canonical_messages(replaced)).messages) != after:
        raise ValueError("the changed texts do not fit into the request")
    return replaced


def _texts(value: object) -> list[str]:
    """Every text of messages or parts, in order; tool arguments and results included."""
    if isinstance(value, str):
        return [value]
    if isinstance(value, Mapping):
        return [text for key, item in value.items() if key not in _FIXED for text in _texts(item)]
    return [text for item in value for text in _texts(item)] if isinstance(value, list | tuple) else []


_FIXED = frozenset({"type", "role", "id", "name", "mime_type", "modality", "tool_call_id"})


def _replaced(value: object, changes: Mapping[str, str]) -> object:
    """The same with every text that is to be changed changed."""
    if isinstance(value, str):
        return changes[value] if value in changes else _replaced_in_json(value, changes)
    if isinstance(value, Mapping):
        return {key: item if key in _FIXED else _replaced(item, changes) for key, item in value.items()}
    return [_replaced(item, changes) for item in value] if isinstance(value, list | tuple) else value


def _replaced_in_json(value: str, changes: Mapping[str, str]) -> str:
    """Tool arguments and results, which stand in requests as JSON text."""
    if value[:1] not in ("{", "["):
        return value
    try:
        parsed = msgspec.json.decode(value)
    except msgspec.MsgspecError:
        return value
    replaced = _replaced(parsed, changes)
    return value if replaced == parsed else msgspec.json.encode(replaced).decode()
