"""The scalars of OTLP/JSON: a reader and a writer for each kind of protobuf field.

A reader takes a value as JSON has it and gives what protobuf's constructors take, or raises WrongError; a writer does
the reverse and cannot fail.
Source: protobuf's ProtoJSON format; OTLP specification, JSON Protobuf Encoding, for ids and enums.
"""

from __future__ import annotations

import binascii
import math
import re
from base64 import b64decode, b64encode
from collections.abc import Callable, Mapping
from typing import Final, TypeAlias

from google.protobuf.descriptor import EnumDescriptor, FieldDescriptor

# A reader's second argument is how many messages are around the value.
Read: TypeAlias = Callable[[object, int], object]
Write: TypeAlias = Callable[[object], object]

_HEX_FIELDS: Final = frozenset({"trace_id", "span_id", "parent_span_id"})
# More digits than any 64-bit integer has: what is longer is not worth converting.
_MAX_DIGITS: Final = 24
_MAX_DOUBLE_CHARS: Final = 400
_DOUBLE: Final = re.compile(r"NaN|-?Infinity|-?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?")


# Long enough for the path of any attribute; only nested arrays have longer ones.
_MAX_PATH_CHARS: Final = 200


class WrongError(Exception):
    """A value that is not what its field takes.

    Attributes:
        expected: what would have been right, and the kind of what was found; never the value.
        path: names and indexes from the value outwards.
    """

    def __init__(self, expected: str) -> None:
        super().__init__(expected)
        self.expected = expected
        self.path: list[str] = []

    def __str__(self) -> str:
        path = "".join(reversed(self.path)).lstrip(".")
        path = path if len(path) <= _MAX_PATH_CHARS else f"{path[:_MAX_PATH_CHARS]}..."
        return f"{path}: {self.expected}" if path else self.expected


def wrong_value(expected: str, value: object) -> WrongError:
    """What to raise for a value of the wrong kind."""
    return WrongError(f"expected {expected}, got {_KINDS.get(type(value), 'something else')}")


_KINDS: Final[Mapping[type, str]] = {
    str: "a text",
    bool: "true or false",
    int: "a number out of range",
    float: "a fraction or a number out of range",
    dict: "an object",
    list: "an array",
    type(None): "null",
}


def _same(value: object) -> object:
    return value


def _read_integer(low: int, high: int, expected: str) -> Read:
    def read(value: object, _depth: int) -> int:
        if type(value) is int:
            number = value
        elif (
            type(value) is str and value.isascii() and value.removeprefix("-").isdigit() and len(value) <= _MAX_DIGITS
        ) or (type(value) is float and value.is_integer()):
            number = int(value)
        else:
            raise wrong_value(expected, value)
        if not low <= number <= high:
            raise wrong_value(expected, number)
        return number

    return read


def _read_double(value: object, _depth: int) -> float:
    if type(value) is float or type(value) is int:
        return _to_float(value)
    if type(value) is str and len(value) <= _MAX_DOUBLE_CHARS and _DOUBLE.fullmatch(value):
        return float(value)
    raise wrong_value('a number, "NaN", "Infinity" or "-Infinity"', value)


def _to_float(value: float) -> float:
    try:
        return float(value)
    except OverflowError:  # an integer of hundreds of digits
        raise wrong_value("a number that fits a double", value) from None


def _write_double(value: object) -> object:
    if not isinstance(value, float) or math.isfinite(value):
        return value
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


def _read_bool(value: object, _depth: int) -> bool:
    if not isinstance(value, bool):
        raise wrong_value("true or false", value)
    return value


def _read_text(value: object, _depth: int) -> str:
    if not isinstance(value, str):
        raise wrong_value("a text", value)
    return value


def _read_enum(descriptor: EnumDescriptor) -> Read:
    numbers = {value.name: value.number for value in descriptor.values}
    read_number = _read_integer(-(1 << 31), (1 << 31) - 1, f"a number of {descriptor.name}")

    def read(value: object, depth: int) -> object:
        return numbers[value] if isinstance(value, str) and value in numbers else read_number(value, depth)

    return read


def _read_hex(value: object, _depth: int) -> bytes:
    # bytes.fromhex passes over spaces; unhexlify does not.
    try:
        return binascii.unhexlify(value) if isinstance(value, str) else _read_text(value, 0).encode()
    except ValueError:
        raise wrong_value("an id in hex (OTLP/JSON does not use base64 for ids)", value) from None


def _write_hex(value: object) -> str:
    return value.hex() if isinstance(value, bytes) else ""


def _read_base64(value: object, _depth: int) -> bytes:
    if not isinstance(value, str):
        raise wrong_value("a text", value)
    try:
        padded = value.rstrip("=")
        return b64decode(padded.replace("-", "+").replace("_", "/") + "=" * (-len(padded) % 4), validate=True)
    except ValueError:
        raise wrong_value("base64", value) from None


def _write_base64(value: object) -> str:
    return b64encode(value).decode() if isinstance(value, bytes) else ""


def _integer(bits: int, *, signed: bool) -> tuple[Read, Write]:
    low = -(1 << (bits - 1)) if signed else 0
    high = (1 << (bits - signed)) - 1
    expected = f"{'a' if signed else 'an unsigned'} {bits}-bit integer, as a number or a decimal text"
    return _read_integer(low, high, expected), str if bits == 64 else _same


_SCALARS: Final[Mapping[int, tuple[Read, Write]]] = {
    **dict.fromkeys(
        (FieldDescriptor.TYPE_INT32, FieldDescriptor.TYPE_SINT32, FieldDescriptor.TYPE_SFIXED32),
        _integer(32, signed=True),
    ),
    **dict.fromkeys((FieldDescriptor.TYPE_UINT32, FieldDescriptor.TYPE_FIXED32), _integer(32, signed=False)),
    **dict.fromkeys(
        (FieldDescriptor.TYPE_INT64, FieldDescriptor.TYPE_SINT64, FieldDescriptor.TYPE_SFIXED64),
        _integer(64, signed=True),
    ),
    **dict.fromkeys((FieldDescriptor.TYPE_UINT64, FieldDescriptor.TYPE_FIXED64), _integer(64, signed=False)),
    FieldDescriptor.TYPE_DOUBLE: (_read_double, _write_double),
    FieldDescriptor.TYPE_FLOAT: (_read_double, _write_double),
    FieldDescriptor.TYPE_BOOL: (_read_bool, _same),
    FieldDescriptor.TYPE_STRING: (_read_text, _same),
}


def converters(descriptor: FieldDescriptor) -> tuple[Read, Write]:
    """The reader and the writer for one value of a field that is not a message."""
    if descriptor.enum_type is not None:
        return _read_enum(descriptor.enum_type), _same
    if descriptor.type == FieldDescriptor.TYPE_BYTES:
        return (_read_hex, _write_hex) if descriptor.name in _HEX_FIELDS else (_read_base64, _write_base64)
    return _SCALARS[descriptor.type]
