"""Reading text that may be JSON, and writing JSON that is always valid UTF-8.

The law of this module: nothing here raises on any input. Telemetry carries JSON, JSON in JSON, Python's `json.dumps`
with its NaN, Python reprs, and plain text that merely begins with a bracket.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Final, TypeAlias

import msgspec

JsonObject: TypeAlias = dict[str, object]

# Deeper values are cut when written: msgspec and Python give up at the interpreter's recursion limit, which is the
# app's to set; no message of a model is nested that deep.
MAX_DEPTH: Final = 100

# Reprs are read only when they are short: they hold arguments of a tool call, not documents.
_MAX_REPR_CHARS: Final = 65_536

_REPR_TOKEN: Final = re.compile(r"""'((?:[^'\\]|\\.)*)'|"((?:[^"\\]|\\.)*)"|([A-Za-z_]+)|([^'"A-Za-z_]+)""", re.DOTALL)
_REPR_WORDS: Final = {"True": "true", "False": "false", "None": "null", "e": "e", "E": "E"}
_ESCAPE: Final = re.compile(r"\\(.)", re.DOTALL)
_ESCAPED: Final = {"n": "\n", "t": "\t", "r": "\r", "'": "'", '"': '"', "\\": "\\"}


def parse_json(text: str) -> object:
    """The value of a JSON text; None when it is not JSON (and for `null`, which holds nothing either)."""
    try:
        return msgspec.json.decode(text)
    except (msgspec.MsgspecError, UnicodeError, ValueError, RecursionError):
        pass
    try:
        # What msgspec refuses and Python writes: NaN, Infinity, lone surrogates.
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def parse_container(text: str) -> JsonObject | list[object] | None:
    """The object or array that a JSON text holds, None when the text is anything else."""
    if text.lstrip()[:1] not in ("{", "["):
        return None
    value = parse_json(text)
    return value if isinstance(value, dict | list) else None


def parse_repr(text: str) -> JsonObject | list[object] | None:
    """The dict or list that a Python repr holds, None when the text is anything else.

    Understands what `repr` writes for JSON-like values; tuples, sets and objects are not read. Linear in the text.
    """
    if len(text) > _MAX_REPR_CHARS or text.lstrip()[:1] not in ("{", "["):
        return None
    tokens: list[str] = []
    for match in _REPR_TOKEN.finditer(text):
        single, double, word, rest = match.groups()
        string = single if single is not None else double
        if string is not None:
            tokens.append(dump(_ESCAPE.sub(lambda m: _ESCAPED.get(m[1], m[0]), string)))
        else:
            tokens.append(rest if rest is not None else _REPR_WORDS.get(word, word))
    return parse_container("".join(tokens))


def as_object(value: object) -> Mapping[str, object] | None:
    """The value when it is a mapping, else None."""
    return value if isinstance(value, Mapping) else None


def as_list(value: object) -> Sequence[object] | None:
    """The value when it is a list or tuple, else None."""
    return value if isinstance(value, list | tuple) else None


def as_text(value: object) -> str | None:
    """The value when it is a text with at least one character, else None."""
    return value if isinstance(value, str) and value else None


def first(source: Mapping[str, object], *keys: str) -> object:
    """The value of the first key that has one; None when none has."""
    for key in keys:
        value = source.get(key)
        if value is not None:
            return value
    return None


def without_nulls(source: Mapping[str, object]) -> JsonObject:
    """The same object without keys whose value is None; the very same when there are none and it is a dict."""
    if isinstance(source, dict) and None not in source.values():
        return source
    return {key: value for key, value in source.items() if value is not None}


def dump(value: object) -> str:
    """Compact JSON: non-ASCII kept, valid UTF-8 whatever the value.

    Lone surrogates become U+FFFD, numbers that JSON has no word for become null, bytes become base64, objects JSON
    does not know become their text, and what is nested deeper than MAX_DEPTH becomes null.
    """
    try:
        return msgspec.json.encode(value).decode()
    except (msgspec.MsgspecError, UnicodeError, TypeError, ValueError, OverflowError, RecursionError):
        return msgspec.json.encode(_clean(value, MAX_DEPTH)).decode()


def _clean(value: object, depth: int) -> object:
    """A copy of the value that JSON can hold."""
    if isinstance(value, str):
        return _clean_text(value)
    if value is None or isinstance(value, bool | int | float | bytes):
        return value
    if depth == 0:
        return None
    if isinstance(value, Mapping):
        return {_clean_text(str(key)): _clean(item, depth - 1) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_clean(item, depth - 1) for item in value]
    return _clean_text(f"<{type(value).__name__}>")


def _clean_text(text: str) -> str:
    if text.isascii():
        return text
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")  # joins the halves of a pair
