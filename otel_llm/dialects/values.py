"""Values as the conventions type them: numbers sent as text, JSON in quotes, NaN, lists sent as one string.

The law of this module: a value that cannot be what the key means is None, never 0 and never an empty text.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Final, cast
from urllib.parse import urlsplit

from otel_llm._generated.attributes import ATTRIBUTE_TYPES
from otel_llm.dialects.messages_json import as_list, parse_json
from otel_llm.operation import AttributeValue

# An OTLP integer has 64 bits.
_MAX_INT: Final = 2**63 - 1
_USAGE_PREFIXES: Final = ("gen_ai.usage.", "otel_llm.usage.")

Coercion = Callable[[AttributeValue], AttributeValue]


def count(value: object) -> int | None:
    """A number of tokens or the like: a whole number from 0 up, also as text or double. None for anything else."""
    if value is None:
        return None
    number = integer(value)
    return number if number is not None and number >= 0 else None


def integer(value: object) -> int | None:
    """A whole number, also as text or double; None for anything else."""
    if type(value) is int:
        return value if -_MAX_INT <= value <= _MAX_INT else None
    number = double(value)
    if number is None or not number.is_integer() or abs(number) > _MAX_INT:
        return None
    digits = value.strip(' "') if isinstance(value, str) else ""
    return int(digits) if digits.isdecimal() else int(number)  # a text of many digits would lose some as a double


def double(value: object) -> float | None:
    """A finite number, also as text; None for anything else, NaN and infinities included."""
    if isinstance(value, str):
        text = value.strip(' "')
        if len(text) > 40:  # noqa: PLR2004 - longer than any number anybody writes
            return None
        try:
            value = float(text)
        except ValueError:
            return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def boolean(value: object) -> bool | None:
    """True or false, also as text; None for anything else."""
    if isinstance(value, str):
        return {"true": True, "false": False}.get(value.strip(' "').lower())
    return value if isinstance(value, bool) else None


def text(value: object) -> str | None:
    """A text; a number as its text; None for anything else."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return str(value)


def texts(value: object) -> Sequence[str] | None:
    """A list of texts, the very same when it is one; also as JSON text or as a single text; None for anything else."""
    if isinstance(value, str):
        parsed = parse_json(value) if value[:1] == "[" else None
        value = parsed if isinstance(parsed, list) else [value]
    items = as_list(value)
    if items is None or not all(isinstance(item, str) for item in items):
        return None
    return cast("Sequence[str]", items)


def _any(value: AttributeValue) -> AttributeValue:
    return value


_BY_TYPE: Final[Mapping[str, Coercion]] = {
    "string": text,
    "int": integer,
    "double": double,
    "boolean": boolean,
    "string[]": texts,
}


def coercion(key: str) -> Coercion:
    """The function that makes a value of a canonical key what the conventions say, or None."""
    kind = ATTRIBUTE_TYPES.get(key, "any")
    if kind == "int" and key.startswith(_USAGE_PREFIXES):
        return count
    return _BY_TYPE.get(kind, _any)


def host_and_port(address: str) -> tuple[str, int | None] | None:
    """The host and port of a URL, None when the address is not a URL or names no host."""
    if "://" not in address:
        return None
    try:
        parts = urlsplit(address)
        host, port = parts.hostname, parts.port
    except ValueError:
        return None
    return (host, port) if host else None
