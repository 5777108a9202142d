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

from otel_llm.policy.detectors.credential_names import credential_kind, is_name_key, is_paired_name, is_value_key

# From a text and the key it stands under to what stands in its place; the same object when it stays.
Rewrite: TypeAlias = Callable[[str, str | None], str]

# A string, with the colon that makes it a key; or a number of as many digits as a card or an account has.
_STRING: Final = r'"[^"\\]*+(?:\\.[^"\\]*+)*+"(?P<colon>\s*:)?'
_BRACKET: Final = r"(?P<open>[\[{])|(?P<close>[\]}])"
_TOKEN: Final = re.compile(rf'{_STRING}|(?<![\w.\-"])(?P<number>\d{{9,20}})(?![\w.])|{_BRACKET}', re.DOTALL)
# The same with every number, for what stands under the name of a credential.
_ANY_TOKEN: Final = re.compile(rf"{_STRING}|(?P<number>-?\d[\d.eE+\-]*)|{_BRACKET}", re.DOTALL)
_decode: Final = msgspec.json.Decoder(str).decode
_check: Final = msgspec.json.Decoder(msgspec.Raw).decode
# With what parsers take and the standard does not have: NaN, line breaks in strings, half of a surrogate pair.
_load: Final = json.JSONDecoder(strict=False, parse_int=str, parse_float=str).decode


def may_be_json(text: str) -> bool:
    """Whether a text begins and ends as a JSON object, array or string does; cheap."""
    stripped = text.strip()
    return len(stripped) > 1 and (stripped[0], stripped[-1]) in _BORDERS


_BORDERS: Final = frozenset({("{", "}"), ("[", "]"), ('"', '"')})


def is_json(text: str) -> bool:
    """Whether a text is a JSON document, as lenient parsers read it.

    Raises:
        RecursionError: it is nested so deep that nobody can say.
    """
    if not may_be_json(text):
        return False
    try:
        if '"' in text:
            _check(text)
            return True
    except (ValueError, RecursionError, UnicodeEncodeError):
        pass
    try:
        _load(text)
    except ValueError:
        return False
    return True


def rewrite_json(text: str, rewrite: Rewrite) -> str:
    """A JSON document with its strings, keys and large numbers rewritten; the same object when none changed.

    What stands under the name of a credential is given with that name, whether it is a key or the name beside a value
    (`{"name": "password", "value": 1234}`), and there with every number.
    """
    pieces: list[str] = []
    after = 0
    pairs = _pairs(text) if _VALUE_KEY.search(text) else {}
    names: list[str | None] = [None]
    name: str | None = None
    pattern = _TOKEN
    position = 0
    while (match := pattern.search(text, position)) is not None:
        position = match.end()
        if match["open"]:
            name = pairs.get(match.start(), name)
            names.append(name)
            continue
        if match["close"]:
            if len(names) > 1:
                names.pop()
            name = names[-1]
        else:
            token = match.group()
            literal = token if match["number"] else token[: token.rindex('"') + 1]
            old = literal if match["number"] else literal[1:-1] if "\\" not in literal else _unescaped(literal)
            is_key = match["colon"] is not None
            new = rewrite(old, None if is_key else name)
            if is_key:
                name = names[-1] if is_value_key(old) and _is_secret(names[-1]) else old
            if new is not old:
                pieces += (text[after : match.start()], _quoted(new), match["colon"] or "")
                after = position
        pattern = _ANY_TOKEN if _is_secret(name) else _TOKEN
    return "".join((*pieces, text[after:])) if pieces else text


def _is_secret(name: str | None) -> bool:
    return name is not None and credential_kind(name) is not None


_VALUE_KEY: Final = re.compile(r'"[Vv](?:alue|ALUE)s?"\s*:')


def _pairs(text: str) -> dict[int, str]:
    """Where objects begin that have the name of a credential and a value side by side, with that name."""
    found: dict[int, str] = {}
    starts: list[int] = []
    key: str | None = None
    for match in _TOKEN.finditer(text):
        if match["open"]:
            starts.append(match.start())
        elif match["close"]:
            if starts:
                starts.pop()
        elif match["number"] is None:
            token = match.group()
            literal = token[: token.rindex('"') + 1]
            plain = literal[1:-1] if "\\" not in literal else _unescaped(literal)
            if match["colon"] is None and starts and key is not None and is_name_key(key) and is_paired_name(plain):
                found.setdefault(starts[-1], plain)
            key = plain if match["colon"] is not None else None
            continue
        key = None
    return found


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
