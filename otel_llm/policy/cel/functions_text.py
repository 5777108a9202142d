"""The extensions for strings and encoders. Source: cel-go, ext/strings.go and ext/encoders.go (their documentation)."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from typing import Final

from otel_llm.policy.cel.errors import CelError
from otel_llm.policy.cel.format import formatted, quoted
from otel_llm.policy.cel.functions_core import check_size
from otel_llm.policy.cel.overloads import Overload
from otel_llm.policy.cel.types import BYTES, DYN, INT, STRING, Type, list_of

# Unicode's White_Space; Python's str.strip takes four separators more (U+001C to U+001F).
_SPACE: Final = (
    "\t\n\v\f\r \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u2028\u2029\u202f"
    "\u205f\u3000"
)
_LOWER: Final = {code: code + 32 for code in range(ord("A"), ord("Z") + 1)}
_UPPER: Final = {code: code - 32 for code in range(ord("a"), ord("z") + 1)}


def _char_at(text: str, position: int) -> str:
    if not 0 <= position <= len(text):
        raise CelError("index out of range")
    return text[position : position + 1]


def _index_of(text: str, part: str, start: int = 0) -> int:
    if not 0 <= start <= len(text):
        raise CelError("index out of range")
    return text.find(part, start)


def _last_index_of(text: str, part: str, last: int | None = None) -> int:
    if last is None:
        last = len(text)
    elif not 0 <= last <= len(text):
        raise CelError("index out of range")
    looked_at = text[: last + len(part)]
    # Backwards, for str.rfind() is quadratic where str.find() is linear.
    found = looked_at[::-1].find(part[::-1])
    return -1 if found < 0 else len(looked_at) - found - len(part)


def _substring(text: str, start: int, end: int | None = None) -> str:
    stop = len(text) if end is None else end
    if not 0 <= start <= len(text) or not 0 <= stop <= len(text):
        raise CelError("index out of range")
    if start > stop:
        raise CelError("substring() that ends before it starts")
    return text[start:stop]


def _replace(text: str, old: str, new: str, limit: int = -1) -> str:
    occurrences = text.count(old)
    count = occurrences if limit < 0 else min(limit, occurrences)
    check_size(len(text) + count * max(0, len(new) - len(old)))
    return text.replace(old, new, count)


def _split(text: str, separator: str, limit: int = -1) -> list[str]:
    if limit == 0:
        return []
    if not separator:
        characters = list(text)
        return characters if limit < 0 or len(characters) <= limit else [*characters[: limit - 1], text[limit - 1 :]]
    return text.split(separator, limit - 1 if limit > 0 else -1)


def _join(parts: Sequence[object], separator: str = "") -> str:
    texts = [part for part in parts if isinstance(part, str)]
    if len(texts) < len(parts):
        raise CelError("no such overload: join() of a list that holds more than strings")
    check_size(sum(map(len, texts)) + len(separator) * len(texts))
    return separator.join(texts)


def _encode(value: bytes) -> str:
    return base64.b64encode(value).decode()


def _decode(text: str) -> bytes:
    try:
        return base64.b64decode(text.rstrip("=") + "=" * (-len(text.rstrip("=")) % 4), validate=True)
    except (binascii.Error, ValueError):
        raise CelError("base64.decode() of a string that is not base64") from None


def _method(name: str, parameters: tuple[Type, ...], result: Type, implementation: object) -> Overload:
    return Overload(name, parameters, result, implementation, is_method=True, is_linear=True)  # type: ignore[arg-type] # a function


_S: Final = STRING
_TEXTS: Final = list_of(STRING)

TEXT: Final = (
    _method("charAt", (_S, INT), _S, _char_at),
    _method("indexOf", (_S, _S), INT, _index_of),
    _method("indexOf", (_S, _S, INT), INT, _index_of),
    _method("lastIndexOf", (_S, _S), INT, _last_index_of),
    _method("lastIndexOf", (_S, _S, INT), INT, _last_index_of),
    _method("substring", (_S, INT), _S, _substring),
    _method("substring", (_S, INT, INT), _S, _substring),
    _method("replace", (_S, _S, _S), _S, _replace),
    _method("replace", (_S, _S, _S, INT), _S, _replace),
    _method("split", (_S, _S), _TEXTS, _split),
    _method("split", (_S, _S, INT), _TEXTS, _split),
    _method("join", (_TEXTS,), _S, _join),
    _method("join", (_TEXTS, _S), _S, _join),
    _method("lowerAscii", (_S,), _S, lambda text: text.translate(_LOWER)),
    _method("upperAscii", (_S,), _S, lambda text: text.translate(_UPPER)),
    _method("trim", (_S,), _S, lambda text: text.strip(_SPACE)),
    _method("reverse", (_S,), _S, lambda text: text[::-1]),
    _method("format", (_S, list_of(DYN)), _S, formatted),
    Overload("strings.quote", (_S,), _S, quoted, is_linear=True),
    Overload("base64.encode", (BYTES,), _S, _encode, is_linear=True),
    Overload("base64.decode", (_S,), BYTES, _decode, is_linear=True),
)
