"""Content capture: messages as attributes, redacted when asked for, within a size, and valid JSON whatever was cut.

The law of this module: what cannot be redacted is left out (the boundary catches the redactor's exception and the
attribute is gone), media are never captured but described by type, size and hash, and a limit shortens texts instead of
JSON.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias, cast

import msgspec

from otel_llm._generated import attributes as names
from otel_llm.dialects.messages import dump
from otel_llm.instrumentation.provider import Content

Json: TypeAlias = "dict[str, object]"
# A text and nothing else; what it returns takes the text's place.
Redact: TypeAlias = "Callable[[str], str]"

_encoder: Final = msgspec.json.Encoder(enc_hook=str)
_MEDIA: Final = "blob"
_TOOL_RESULT: Final = "tool_call_response"
# Keys that say of the base64 text beside them what it is, in the shapes of providers and of MCP; and those it is under.
_MEDIA_TYPES: Final = ("mime_type", "media_type", "mimeType", "format")
_MEDIA_DATA: Final = ("data", "blob", "content")
_DATA_MARK: Final = ";base64,"
_MEDIA_MARKS: Final = (_DATA_MARK.encode(), *(f'"{name}":'.encode() for name in _MEDIA_TYPES))
_WITH_MEDIA: Final = frozenset({_MEDIA, _TOOL_RESULT})
_DIGEST_DIGITS: Final = 16
_BASE64: Final = re.compile(r"[A-Za-z0-9+/_-]{256,}={0,2}\s?")
_DATA_URI: Final = re.compile(
    r"(data:[\w.+-]{1,60}/[\w.+-]{1,100}(?:;[\w.=+-]{1,100})?;base64,)([A-Za-z0-9+/=_-]{256,})"
)
_KEPT_OF_A_TEXT: Final = (16_384, 4_096, 1_024, 256, 64)
# Keys of parts whose values name things instead of saying them.
_STRUCTURE: Final = frozenset(
    {"type", "role", "id", "name", "mime_type", "modality", "file_id", "finish_reason", "sha256_of_base64"}
)
# What stands below these is the app's own data, where a `name` may be a person's.
_FREE: Final = frozenset({"arguments", "response", "parameters"})


def _encode(value: object) -> bytes:
    """JSON; half a character, which models can answer with, becomes what stands for no character."""
    try:
        return _encoder.encode(value)
    except UnicodeEncodeError:
        return dump(value).encode()


def placeholder(text: str) -> str:
    """The redaction of last resort: how long a text was, and nothing of it."""
    return f"[redacted, {len(text)} characters]" if text else text


@dataclass(frozen=True, slots=True)
class Capture:
    """Makes attributes of content.

    Attributes:
        redact: applied to every text; None when content is captured in full.
        limit_bytes: how many bytes of JSON one attribute may have.
    """

    redact: Redact | None
    limit_bytes: int

    def input(self, content: Content) -> dict[str, str]:
        """Attributes of what was asked."""
        found: dict[str, str] = {}
        if content.messages:
            found[names.GEN_AI_INPUT_MESSAGES] = self._json(content.messages)
        if content.system:
            found[names.GEN_AI_SYSTEM_INSTRUCTIONS] = self._json(content.system)
        if content.tools:
            found[names.GEN_AI_TOOL_DEFINITIONS] = self._json(content.tools)
        return found

    def output(self, content: Content) -> dict[str, str]:
        """Attributes of what was answered."""
        return {names.GEN_AI_OUTPUT_MESSAGES: self._json(content.messages)} if content.messages else {}

    def value(self, value: object) -> str:
        """JSON of a value of the app's own, such as a tool's arguments or result."""
        value = _without_media(value)
        if self.redact is not None:
            value = _redacted(value, self.redact, is_part=False)
        return fit_value(value, self.limit_bytes)

    def text(self, text: str) -> str:
        """A text that stands alone."""
        said = text if self.redact is None else self.redact(text)
        return said.encode("utf-8", "replace")[: self.limit_bytes].decode("utf-8", "ignore")

    def whole(self, content: Content) -> Content:
        """Content for somebody who keeps it whole; media only where nothing is redacted."""
        redact = self.redact
        if redact is None:
            return content

        def redacted(items: Sequence[Mapping[str, object]]) -> list[Json]:
            return [cast("Json", _redacted(_describe_media(item), redact)) for item in items]

        return Content(redacted(content.messages), redacted(content.system), redacted(content.tools))

    def _json(self, items: Sequence[Mapping[str, object]]) -> str:
        described: Sequence[object] = [_describe_media(item) for item in items] if _have_media(items) else items
        if self.redact is not None:
            described = [_redacted(item, self.redact) for item in described]
        return fit(described, self.limit_bytes)


def fit(items: Sequence[object], limit_bytes: int) -> str:
    """JSON of the items within a size: long texts are shortened first, then the oldest items but the first left out.

    Returns:
        Valid JSON; more than the limit only when one empty list is.
    """
    encoded = _encode(items)
    if len(encoded) <= limit_bytes:
        return encoded.decode()
    shorter: Sequence[object] = items
    for keep in _KEPT_OF_A_TEXT:
        shorter = [_shortened(item, keep) for item in items]
        encoded = _encode(shorter)
        if len(encoded) <= limit_bytes:
            return encoded.decode()
    return _outermost(shorter, limit_bytes)


def fit_value(value: object, limit_bytes: int) -> str:
    """JSON of a value within a size: long texts are shortened; what is too large all the same is told by its size."""
    encoded = _encode(value)
    for keep in _KEPT_OF_A_TEXT:
        if len(encoded) <= limit_bytes:
            return encoded.decode()
        encoded = _encode(_shortened(value, keep))
    return encoded.decode() if len(encoded) <= limit_bytes else f'"[{len(encoded)} bytes]"'


def _outermost(items: Sequence[object], limit_bytes: int) -> str:
    """The first item where half of the room takes it, and as many of the last as fit, in order."""
    first = [one for one in map(_encode, items[:1]) if len(one) <= limit_bytes // 2]
    kept: list[bytes] = []
    size = 2 + sum(len(one) + 1 for one in first)
    for item in reversed(items[len(first) :]):
        encoded = _encode(item)
        size += len(encoded) + 1
        if size > limit_bytes:
            break
        kept.append(encoded)
    return (b"[" + b",".join([*first, *reversed(kept)]) + b"]").decode()


def _shortened(value: object, keep: int) -> object:
    if isinstance(value, str):
        cut = len(value) - keep
        return value if cut <= 0 else f"{value[:keep]}… [{cut} more characters, sha256 of all {_digest(value)}]"
    if isinstance(value, Mapping):
        return {key: item if key in _STRUCTURE else _shortened(item, keep) for key, item in value.items()}
    return [_shortened(item, keep) for item in value] if isinstance(value, list | tuple) else value


def _redacted(value: object, redact: Redact, *, is_part: bool = True) -> object:
    """The same with every text redacted, tool arguments and results included; the names and ids of parts stay."""
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, Mapping):
        return {
            name: item
            if is_part and name in _STRUCTURE and isinstance(item, str)
            else _redacted(item, redact, is_part=is_part and name not in _FREE)
            for name, item in value.items()
        }
    return [_redacted(item, redact, is_part=is_part) for item in value] if isinstance(value, list | tuple) else value


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:_DIGEST_DIGITS]


def _have_media(items: Sequence[Mapping[str, object]]) -> bool:
    """Whether there may be media in them."""
    for item in items:
        parts = item.get("parts")
        if type(parts) is list:
            for part in parts:
                # Asking whether something is a Mapping takes as long as all the rest.
                kind = part.get("type") if type(part) is dict else _MEDIA if _is_media(part) else None
                if kind == _MEDIA or (kind == _TOOL_RESULT and _may_hold_media(part.get("response"))):
                    return True
    return False


def _may_hold_media(value: object) -> bool:
    """Whether a tool's result, of whatever shape, says of something in it that it is media."""
    if isinstance(value, str):
        return _DATA_MARK in value
    encoded = _encode(value)  # quicker than a walk
    return any(mark in encoded for mark in _MEDIA_MARKS)


def _describe_media(item: Mapping[str, object]) -> object:
    """A message whose media are described; the very same when it has none."""
    parts = item.get("parts")
    if not isinstance(parts, list) or not any(_is_media(part) for part in parts):
        return item
    return {**item, "parts": [_described(part) if _is_media(part) else part for part in parts]}


def _is_media(part: object) -> bool:
    return isinstance(part, Mapping) and part.get("type") in _WITH_MEDIA


def _described(part: Mapping[str, object]) -> Json:
    if part.get("type") == _TOOL_RESULT:
        return {**part, "response": _without_media(part.get("response"))}
    return _measured(part, "content")


def _measured(holder: Mapping[str, object], key: str) -> Json:
    """What holds base64 text, with its size and hash in its place."""
    content = holder.get(key)
    data = content.encode("utf-8", "replace") if isinstance(content, str) else content
    data = data if isinstance(data, bytes) else b""
    return {**holder, key: "", "size_bytes": _size_bytes(data), "sha256_of_base64": hashlib.sha256(data).hexdigest()}


def _size_bytes(data: bytes) -> int:
    return len(data) * 3 // 4 - data[-2:].count(b"=")


def _without_media(value: object) -> object:
    """A value of the app's own, of whatever shape, with its media described: a screenshot that a tool has made."""
    if isinstance(value, str):
        return _DATA_URI.sub(_measured_uri, value) if _DATA_MARK in value else value
    if isinstance(value, Mapping):
        if any(isinstance(value.get(name), str) for name in _MEDIA_TYPES):
            for key in _MEDIA_DATA:
                if _is_base64(value.get(key)):
                    return _measured(value, key)
        return {key: _without_media(item) for key, item in value.items()}
    return [_without_media(item) for item in value] if isinstance(value, list | tuple) else value


def _is_base64(value: object) -> bool:
    return isinstance(value, str) and _BASE64.fullmatch(value) is not None


def _measured_uri(match: re.Match[str]) -> str:
    data = match[2].encode()
    return f"{match[1]}[{_size_bytes(data)} bytes, sha256 of base64 {hashlib.sha256(data).hexdigest()}]"
