"""Content capture: messages as attributes, redacted when asked for, within a size, and valid JSON whatever was cut.

The law of this module: what cannot be redacted is left out (the boundary catches the redactor's exception and the
attribute is gone), media are never captured but described by type, size and hash, and a limit shortens texts instead of
JSON.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias, cast

import msgspec

from otel_llm._generated import attributes as names
from otel_llm.dialects.messages import dump
from otel_llm.dialects.messages_described import described, have_media, without_media
from otel_llm.instrumentation.provider import Content

Json: TypeAlias = "dict[str, object]"
# A text and nothing else; what it returns takes the text's place.
Redact: TypeAlias = "Callable[[str], str]"

_encoder: Final = msgspec.json.Encoder(enc_hook=str)
_DIGEST_DIGITS: Final = 16
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
        value = without_media(value)
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
            return [cast("Json", _redacted(described(item), redact)) for item in items]

        return Content(redacted(content.messages), redacted(content.system), redacted(content.tools))

    def _json(self, items: Sequence[Mapping[str, object]]) -> str:
        shown: Sequence[object] = [described(item) for item in items] if have_media(items) else items
        if self.redact is not None:
            shown = [_redacted(item, self.redact) for item in shown]
        return fit(shown, self.limit_bytes)


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
