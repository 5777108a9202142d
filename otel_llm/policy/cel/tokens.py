"""The lexer: text to tokens, literals decoded. Source: cel-spec, doc/langdef.md, "Syntax"."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal

from otel_llm.policy.cel.errors import ExpressionError, Problem
from otel_llm.policy.cel.values import Uint

Kind = Literal["int", "uint", "double", "string", "bytes", "name", "quoted", "operator", "end"]

_TOKEN: Final = re.compile(
    r"""
    (?P<space>[ \t\n\f\r]+|//[^\n]*)
    |(?P<double>(?:[0-9]+\.[0-9]+|\.[0-9]+)(?:[eE][+-]?[0-9]+)?|[0-9]+[eE][+-]?[0-9]+)
    |(?P<uint>(?:0[xX][0-9a-fA-F]+|[0-9]+)[uU])
    |(?P<int>0[xX][0-9a-fA-F]+|[0-9]+)
    |(?P<raw>(?:[rR][bB]?|[bB][rR])(?:\"\"\"(?s:.*?)\"\"\"|'''(?s:.*?)'''|"[^"\r\n]*"|'[^'\r\n]*'))
    |(?P<text>[bB]?(?:\"\"\"(?:\\(?s:.)|[^\\])*?\"\"\"|'''(?:\\(?s:.)|[^\\])*?'''
                |"(?:\\.|[^\\"\r\n])*"|'(?:\\.|[^\\'\r\n])*'))
    |(?P<name>[A-Za-z_][A-Za-z0-9_]*)
    |(?P<quoted>`[A-Za-z0-9_.\-/ ]+`)
    |(?P<operator>&&|\|\||[=!<>]=|[-+*/%!<>?:.,()\[\]{}])
    """,
    re.VERBOSE,
)
_ESCAPE: Final = re.compile(
    r"\\(?:[xX](?P<hex>[0-9a-fA-F]{2})|u(?P<short>[0-9a-fA-F]{4})|U(?P<long>[0-9a-fA-F]{8})"
    r"|(?P<octal>[0-3][0-7]{2})|(?P<simple>[abfnrtv\\?\"'`])|(?P<bad>.|$))",
    re.DOTALL,
)
_SIMPLE: Final = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}
_MOST_UINT: Final = 2**64 - 1
# One more than an int can hold: `-9223372036854775808` is a literal, its sign a token of its own.
_MOST_INT: Final = 2**63
_SURROGATES: Final = range(0xD800, 0xE000)
_MOST_CODE_POINT: Final = 0x10FFFF


@dataclass(frozen=True, slots=True)
class Token:
    """One token.

    Attributes:
        kind: what it is.
        text: as it stands in the source; of a quoted name, what stands between the quotes.
        value: of a literal.
        position: offset of its first character.
    """

    kind: Kind
    text: str
    value: object
    position: int


def tokenize(source: str) -> list[Token]:
    """All tokens, ending with one of kind `end`.

    Raises:
        ExpressionError: something is no token of CEL.
    """
    return list(_tokens(source))


def _tokens(source: str) -> Iterator[Token]:
    position = 0
    while position < len(source):
        match = _TOKEN.match(source, position)
        if match is None or match.lastgroup is None:
            raise _error(source, position, f"unexpected {source[position]!r}")
        text = match.group()
        if match.lastgroup != "space":
            yield _token(source, match.lastgroup, text, position)
        position = match.end()
    yield Token("end", "", None, position)


def _token(source: str, group: str, text: str, position: int) -> Token:
    match group:
        case "double":
            return Token("double", text, float(text), position)
        case "int":
            return Token("int", text, _integer(source, text, position, _MOST_INT), position)
        case "uint":
            return Token("uint", text, Uint(_integer(source, text[:-1], position, _MOST_UINT)), position)
        case "raw" | "text":
            value = _decoded(source, text, position, is_raw=group == "raw")
            return Token("bytes" if isinstance(value, bytes) else "string", text, value, position)
        case "quoted":
            return Token("quoted", text[1:-1], None, position)
        case "name":
            return Token("name", text, None, position)
        case _:
            return Token("operator", text, None, position)


def _integer(source: str, text: str, position: int, most: int) -> int:
    # Python refuses very long digits itself, with an error of its own; no integer of CEL needs more than twenty.
    if len(text) > 100:  # noqa: PLR2004 - any length beyond all legal ones
        raise _error(source, position, "this integer is out of range")
    value = int(text, 16) if text[:2] in ("0x", "0X") else int(text)
    if value > most:
        raise _error(source, position, "this integer is out of range")
    return value


def _decoded(source: str, text: str, position: int, *, is_raw: bool) -> str | bytes:
    start = 0
    while text[start] not in "'\"":
        start += 1
    prefix = text[:start].lower()
    quotes = 3 if text[start : start + 3] in ("'''", '"""') and len(text) - start >= 6 else 1  # noqa: PLR2004 - two times three quotes
    body = text[start + quotes : len(text) - quotes]
    if "b" in prefix:
        return body.encode() if is_raw else _unescaped_bytes(source, body, position)
    return body if is_raw else _unescaped(source, body, position)


def _unescaped(source: str, body: str, position: int) -> str:
    def character(match: re.Match[str]) -> str:
        kind, text = match.lastgroup, match[match.lastgroup or 0]
        if kind == "simple":
            return _SIMPLE.get(text, text)
        if kind == "bad":
            raise _error(source, position, f"unknown escape \\{text} in a string")
        code = int(text, 8 if kind == "octal" else 16)
        if code in _SURROGATES or code > _MOST_CODE_POINT:
            raise _error(source, position, "an escape in this string is no Unicode character")
        return chr(code)

    return _ESCAPE.sub(character, body)


def _unescaped_bytes(source: str, body: str, position: int) -> bytes:
    out = bytearray()
    end = 0
    for match in _ESCAPE.finditer(body):
        out += body[end : match.start()].encode()
        end = match.end()
        kind, text = match.lastgroup, match[match.lastgroup or 0]
        if kind == "simple":
            out += _SIMPLE.get(text, text).encode()
        elif kind in ("hex", "octal"):
            out.append(int(text, 8 if kind == "octal" else 16))
        else:
            raise _error(source, position, f"the escape {match.group()[:2]} is not for bytes")
    return bytes(out + body[end:].encode())


def _error(source: str, position: int, message: str) -> ExpressionError:
    return ExpressionError(source, [Problem(position, message)])
