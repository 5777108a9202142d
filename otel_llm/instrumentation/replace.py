"""Putting changed texts back into a request, whatever else the provider's own messages hold.

An admission sees messages in the conventions' shape and may change their texts. Here the changed texts take the place
of the old ones, one by one; everything else of the request stays as the app wrote it. What does not fit is refused:
a redaction that could not be carried out must not let the original pass.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

import msgspec

from otel_llm.instrumentation.provider import Body, Content, plain

# Names and ids of messages and parts; a text that is the same as one of these is not to be replaced there.
_FIXED: Final = frozenset({"type", "role", "id", "name", "mime_type", "modality", "tool_call_id", "call_id", "format"})
# What stands below these is the app's own data, where a `name` may be a person's.
_FREE: Final = frozenset({"arguments", "response", "parameters", "input", "output"})


def replace_texts(read: Callable[[Body], Content], *keys: str) -> Callable[[Body, Content], Body]:
    """What puts changed content into a request.

    Args:
        read: the endpoint's `input`.
        keys: where in the body content stands.
    """

    def replace(body: Body, content: Content) -> Body:
        before, after = _texts_of(read(body)), _texts_of(content)
        if len(before) != len(after):
            raise ValueError(f"{len(before)} texts cannot be replaced by {len(after)}")
        changes = {old: new for old, new in zip(before, after, strict=True) if old != new}
        replaced = {key: _replaced(body[key], changes) for key in keys if key in body}
        changed = {**body, **replaced}
        if _json(read(changed)) != _json(content):
            raise ValueError("what was changed cannot be put into the request")
        return changed

    return replace


def _texts_of(content: Content) -> list[str]:
    return _texts(content.system) + _texts(content.messages)


def _json(content: Content) -> bytes:
    """Everything an admission may have changed, for comparison."""
    return msgspec.json.encode((content.system or (), content.messages), enc_hook=dict)


def _texts(value: object, fixed: frozenset[str] = _FIXED) -> list[str]:
    """Every text of messages or parts, in order; tool arguments and results included."""
    if isinstance(value, str):
        return [value]
    if isinstance(value, Mapping):
        items = ((item, _NONE if key in _FREE else fixed) for key, item in value.items() if key not in fixed)
        return [text for item, below in items for text in _texts(item, below)]
    return [text for item in value for text in _texts(item, fixed)] if isinstance(value, list | tuple) else []


_NONE: Final[frozenset[str]] = frozenset()


def _replaced(value: object, changes: Mapping[str, str], fixed: frozenset[str] = _FIXED) -> object:
    """The same with every text that is to be changed changed; SDK models become plain data."""
    value = plain(value)
    if isinstance(value, str):
        return changes[value] if value in changes else _replaced_in_json(value, changes)
    if isinstance(value, Mapping):
        return {
            key: item if key in fixed else _replaced(item, changes, _NONE if key in _FREE else fixed)
            for key, item in value.items()
        }
    return [_replaced(item, changes, fixed) for item in value] if isinstance(value, list | tuple) else value


def _replaced_in_json(value: str, changes: Mapping[str, str]) -> str:
    """Tool arguments and results, which stand in requests as JSON text."""
    if value[:1] not in ("{", "["):
        return value
    try:
        parsed = msgspec.json.decode(value)
    except msgspec.MsgspecError:
        return value
    replaced = _replaced(parsed, changes, _NONE)
    return value if replaced == parsed else msgspec.json.encode(replaced).decode()
