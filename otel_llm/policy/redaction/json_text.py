"""JSON inside of strings, rewritten in place: only the strings that change are touched.

Parsing and writing again would change what nobody asked to change: large numbers, doubled keys, the order and the
spaces of a document that somebody has signed or counted. So the text is checked to be JSON, and then its tokens are
looked at one by one; a string becomes another string, and so the document stays valid and in its schema.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Final, TypeAlias

import msgspec

# From a text and the key it stands under to what stands in its place; the same object when it stays.
Rewrite: TypeAlias = Callable[[str, str | None], str]

# A string, with the colon that makes it a key; or a number of as many digits as a card or an account has.
_TOKEN: Final = re.compile(
    r'"[^"\\]*+(?:\\.[^"\\]*+)*+"(?P<colon>\s*:)?|(?<![\w.\-"])(?P<number>\d{9,20})(?![\w.])|(?P<open>[\[{])|(?P<close>[\]}])',
    re.DOTALL,
)
_decode: Final = msgspec.json.Decoder(str).decode
_check: Final = msgspec.json.Decoder(msgspec.Raw).decode


def may_be_json(text: str) -> bool:
    """Whether a text begins and ends as a JSON object, array or string does; cheap."""
    stripped = text.strip()
    return len(stripped) > 1 and (stripped[0], stripped[-1]) in _BORDERS


_BORDERS: Final = frozenset({("{", "}"), ("[", "]"), ('"', '"')})


def is_json(text: str) -> bool:
    """Whether a text is a JSON document."""
    if not may_be_json(text):
        return False
    try:
        json.loads(text) if '"' not in text else _check(text)
    except (ValueError, RecursionError, UnicodeEncodeError):
        return False
    return True


def rewrite_json(text: str, rewrite: Rewrite) -> str:
    """A JSON document with its strings, keys and large numbers rewritten; the same object when none changed."""
    pieces: list[str] = []
    after = 0
    keys: list[str | None] = [None]
    key: str | None = None
    for match in _TOKEN.finditer(text):
        token = match.group()
        if match["open"]:
            keys.append(key)
            continue
        if match["close"]:
            if len(keys) > 1:
                keys.pop()
            key = keys[-1]
            continue
        if match["number"]:
            old = token
        else:
            literal = token[: token.rindex('"') + 1]
            old = literal[1:-1] if "\\" not in literal else _unescaped(literal)
        is_key = match["colon"] is not None
        new = rewrite(old, None if is_key else key)
        if is_key:
            key = old
        if new is not old:
            pieces += (text[after : match.start()], _quoted(new), match["colon"] or "")
            after = match.end()
    return "".join((*pieces, text[after:])) if pieces else text


def _unescaped(literal: str) -> str:
    try:
        return _decode(literal)
    except (msgspec.DecodeError, UnicodeEncodeError):  # half of a surrogate pair, which json takes
        loaded: str = json.loads(literal, strict=False)
        return loaded


def _quoted(text: str) -> str:
    try:
        return msgspec.json.encode(text).decode()
    except UnicodeEncodeError:
        return json.dumps(text)
