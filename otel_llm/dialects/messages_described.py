"""Media as what they are: their type, their size and the SHA-256 of their base64 text, in place of the bytes."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from typing import Final

from otel_llm.dialects.messages_json import dump

_MEDIA: Final = "blob"
_TOOL_RESULT: Final = "tool_call_response"
# Keys that say of the base64 text beside them what it is, in the shapes of providers and of MCP; and those it is under.
_MEDIA_TYPES: Final = ("mime_type", "media_type", "mimeType", "format")
_MEDIA_DATA: Final = ("data", "blob", "content")
_DATA_MARK: Final = ";base64,"
_MEDIA_MARKS: Final = (_DATA_MARK, *(f'"{name}":' for name in _MEDIA_TYPES))
_WITH_MEDIA: Final = frozenset({_MEDIA, _TOOL_RESULT})
_BASE64: Final = re.compile(r"[A-Za-z0-9+/_-]{256,}={0,2}\s?")
_DATA_URI: Final = re.compile(
    r"(data:[\w.+-]{1,60}/[\w.+-]{1,100}(?:;[\w.=+-]{1,100})?;base64,)([A-Za-z0-9+/=_-]{256,})"
)


def have_media(items: Sequence[Mapping[str, object]]) -> bool:
    """Whether there may be media in them."""
    for item in items:
        parts = item.get("parts")
        if type(parts) is list:
            for part in parts:
                # Asking whether something is a Mapping takes as long as all the rest.
                kind = part.get("type") if type(part) is dict else _MEDIA if _is_media(part) else None
                if (kind == _MEDIA and part.get("content")) or (
                    kind == _TOOL_RESULT and may_hold_media(part.get("response"))
                ):
                    return True
    return False


def may_hold_media(value: object) -> bool:
    """Whether a tool's result, of whatever shape, says of something in it that it is media."""
    if isinstance(value, str):
        return _DATA_MARK in value
    encoded = dump(value)  # quicker than a walk
    return any(mark in encoded for mark in _MEDIA_MARKS)


def described(item: Mapping[str, object]) -> object:
    """A message whose media are described; the very same when it has none."""
    parts = item.get("parts")
    if not isinstance(parts, list) or not any(_is_media(part) for part in parts):
        return item
    return {**item, "parts": [_described_part(part) if _is_media(part) else part for part in parts]}


def _is_media(part: object) -> bool:
    return isinstance(part, Mapping) and part.get("type") in _WITH_MEDIA


def _described_part(part: Mapping[str, object]) -> dict[str, object]:
    if part.get("type") == _TOOL_RESULT:
        return {**part, "response": without_media(part.get("response"))}
    return _measured(part, "content")


def _measured(holder: Mapping[str, object], key: str) -> dict[str, object]:
    """What holds base64 text, with its size and hash in its place; what does so already stays as it is."""
    content = holder.get(key)
    data = content.encode("utf-8", "replace") if isinstance(content, str) else content
    if not data or not isinstance(data, bytes):
        return dict(holder)
    return {**holder, key: "", "size_bytes": _size_bytes(data), "sha256_of_base64": hashlib.sha256(data).hexdigest()}


def _size_bytes(data: bytes) -> int:
    return len(data) * 3 // 4 - data[-2:].count(b"=")


def without_media(value: object) -> object:
    """A value of the app's own, of whatever shape, with its media described: a screenshot that a tool has made."""
    if isinstance(value, str):
        return _DATA_URI.sub(_measured_uri, value) if _DATA_MARK in value else value
    if isinstance(value, Mapping):
        if any(isinstance(value.get(name), str) for name in _MEDIA_TYPES):
            for key in _MEDIA_DATA:
                if _is_base64(value.get(key)):
                    return _measured(value, key)
        return {key: without_media(item) for key, item in value.items()}
    return [without_media(item) for item in value] if isinstance(value, list | tuple) else value


def _is_base64(value: object) -> bool:
    return isinstance(value, str) and _BASE64.fullmatch(value) is not None


def _measured_uri(match: re.Match[str]) -> str:
    data = match[2].encode()
    return f"{match[1]}[{_size_bytes(data)} bytes, sha256 of base64 {hashlib.sha256(data).hexdigest()}]"
