"""`text.format([…])` and `strings.quote(text)`. Source: cel-go, ext/strings.go (its documentation of format)."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from typing import Final

from otel_llm.policy.cel import times
from otel_llm.policy.cel.errors import CelError
from otel_llm.policy.cel.functions_core import check_size, double_text
from otel_llm.policy.cel.values import Duration, Timestamp, TypeValue, Uint, plain_key, type_name

_CLAUSE: Final = re.compile(r"%(?:%|(?:\.([0-9]{1,3}))?([a-zA-Z])|)")
_DEFAULT_DIGITS: Final = 6
_MOST_DIGITS: Final = 100
_QUOTED: Final = {
    "\a": "\\a",
    "\b": "\\b",
    "\f": "\\f",
    "\n": "\\n",
    "\r": "\\r",
    "\t": "\\t",
    "\v": "\\v",
    "\\": "\\\\",
    '"': '\\"',
}


def quoted(text: str) -> str:
    """The text as a literal in double quotes."""
    return f'"{"".join(_QUOTED.get(character, character) for character in text)}"'


def formatted(text: str, arguments: Sequence[object]) -> str:
    """The text with its clauses replaced.

    Raises:
        CelError: a clause is unknown, or its argument is missing or of the wrong type.
    """
    remaining = iter(arguments)
    size = 0

    def clause(match: re.Match[str]) -> str:
        nonlocal size
        if match.group() == "%%":
            return "%"
        digits, letter = match.groups()
        if letter not in _CLAUSES or (digits and letter not in "ef"):
            raise CelError("format() with an unknown clause")
        try:
            argument = next(remaining)
        except StopIteration:
            raise CelError("format() with more clauses than arguments") from None
        made = _CLAUSES[letter](argument, int(digits) if digits else _DEFAULT_DIGITS)
        size += len(made)
        check_size(size)
        return made

    return _CLAUSE.sub(clause, text)


def _wrong(value: object, clause: str) -> CelError:
    return CelError(f"format() of {type_name(value)} as {clause}")


def _string(value: object, digits: int) -> str:
    del digits
    return _text(value)


def _text(value: object) -> str:
    match value:
        case str():
            return value
        case bool():
            return "true" if value else "false"
        case int():
            return str(int(value))
        case float():
            return double_text(value)
        case bytes():
            return value.decode(errors="replace")
        case None:
            return "null"
        case Timestamp():
            return times.timestamp_text(value)
        case Duration():
            return times.duration_text(value)
        case TypeValue():
            return value.name
        case list() | tuple():
            return f"[{', '.join(map(_text, value))}]"
        case dict():
            entries = sorted((_text(plain_key(key)), _text(one)) for key, one in value.items())
            return f"{{{', '.join(f'{key}: {one}' for key, one in entries)}}}"
    raise _wrong(value, "a string")


def _is_integer(value: object) -> bool:
    return type(value) is int or type(value) is Uint


def _decimal(value: object, digits: int) -> str:
    del digits
    if _is_integer(value):
        return str(int(value))  # type: ignore[call-overload] # an integer
    if isinstance(value, float) and not math.isfinite(value):
        return double_text(value)
    raise _wrong(value, "an integer")


def _float(value: object) -> float:
    if type(value) is float:
        return value
    if _is_integer(value):
        return float(value)  # type: ignore[arg-type] # an integer
    raise _wrong(value, "a number")


def _fixed(value: object, digits: int) -> str:
    number = _float(value)
    return f"{number:.{min(digits, _MOST_DIGITS)}f}" if math.isfinite(number) else double_text(number)


def _scientific(value: object, digits: int) -> str:
    number = _float(value)
    return f"{number:.{min(digits, _MOST_DIGITS)}e}" if math.isfinite(number) else double_text(number)


def _binary(value: object, digits: int) -> str:
    del digits
    if isinstance(value, bool):
        return "1" if value else "0"
    if _is_integer(value):
        return f"{value:b}"
    raise _wrong(value, "binary")


def _octal(value: object, digits: int) -> str:
    del digits
    if _is_integer(value):
        return f"{value:o}"
    raise _wrong(value, "octal")


def _hexadecimal(value: object, digits: int) -> str:
    del digits
    if _is_integer(value):
        return f"{value:x}"
    if isinstance(value, str):
        return value.encode("utf-8", "surrogatepass").hex()
    if isinstance(value, bytes):
        return value.hex()
    raise _wrong(value, "hexadecimal")


_CLAUSES: Final[dict[str, Callable[[object, int], str]]] = {
    "s": _string,
    "d": _decimal,
    "f": _fixed,
    "e": _scientific,
    "b": _binary,
    "o": _octal,
    "x": _hexadecimal,
    "X": lambda value, digits: _hexadecimal(value, digits).upper(),
}
