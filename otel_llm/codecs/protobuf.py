"""The protobuf wire format by hand: varints, fields, and one attribute to and from its bytes.

Only what the wire codec needs: reading is bounds-checked and raises MalformedError; writing makes minimal varints.
Source: protobuf encoding guide; field numbers from opentelemetry-proto 1.x (trace.proto, common.proto).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from google.protobuf.message import DecodeError
from opentelemetry.proto.common.v1.common_pb2 import AnyValue

from otel_llm.errors import MalformedError
from otel_llm.operation import AttributeValue
from otel_llm.signals import Buffer

# A message nested deeper than this is refused by protobuf too (its default recursion limit is 100).
_MAX_DEPTH: Final = 64
_VARINT_BITS: Final = 64
_INT64_SIGN: Final = 1 << 63
_TWO_TO_64: Final = 1 << 64

_LENGTH_DELIMITED: Final = 2

# Tags within AnyValue.
_STRING, _BOOL, _INT, _DOUBLE = 10, 16, 24, 33

_pack_double = struct.Struct("<d").pack
_unpack_double = struct.Struct("<d").unpack_from


def read_varint(data: Buffer, index: int) -> tuple[int, int]:
    """The varint at `index`, and the index after it. Reading past the end raises IndexError, for the caller to turn."""
    byte = data[index]
    index += 1
    if byte < 128:
        return byte, index
    value = byte & 127
    shift = 7
    while shift < _VARINT_BITS + 6:
        byte = data[index]
        index += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value & (_TWO_TO_64 - 1), index
        shift += 7
    raise MalformedError("protobuf: a varint is longer than 10 bytes")


def read_tag(data: Buffer, index: int) -> tuple[int, int]:
    """The field tag at `index` (field number and wire type), and the index after it."""
    tag, index = read_varint(data, index)
    if tag >> 3 == 0 or tag >> 32:
        raise MalformedError("protobuf: a field number is out of range")
    return tag, index


def skip_field(data: Buffer, index: int, tag: int, depth: int = 0) -> int:
    """The index after the value of a field whose tag was just read. May lie past the end; the caller checks."""
    wire_type = tag & 7
    if wire_type == _LENGTH_DELIMITED:
        size, index = read_varint(data, index)
        return index + size
    if wire_type == 0:
        return read_varint(data, index)[1]
    if wire_type == 1:
        return index + 8
    if wire_type == 5:
        return index + 4
    if wire_type == 3 and depth < _MAX_DEPTH:
        return _skip_group(data, index, tag, depth + 1)
    raise MalformedError(f"protobuf: wire type {wire_type} is not valid here")


def _skip_group(data: Buffer, index: int, start_tag: int, depth: int) -> int:
    """The index after a group: groups are obsolete, but legal as unknown fields."""
    while True:
        tag, index = read_tag(data, index)
        if tag & 7 == 4:
            if tag >> 3 != start_tag >> 3:
                raise MalformedError("protobuf: a group ends with another field number than it began with")
            return index
        index = skip_field(data, index, tag, depth)


def fields(data: bytes, index: int = 0, end: int | None = None) -> Iterator[tuple[int, int, int, int]]:
    """The fields of a message, in order; the message is `data`, or the part of it from `index` to `end`.

    Yields:
        tag, index of the tag, index of the payload (after the length if there is one), index after the field.

    Raises:
        MalformedError: the bytes are not a sequence of fields.
    """
    end = len(data) if end is None else end
    try:
        while index < end:
            start = index
            tag, index = read_tag(data, index)
            if tag & 7 == _LENGTH_DELIMITED:
                size, index = read_varint(data, index)
                after = index + size
            else:
                after = skip_field(data, index, tag)
            if after > end:
                raise MalformedError("protobuf: a field is longer than the message it is in")
            yield tag, start, index, after
            index = after
    except IndexError:
        raise MalformedError("protobuf: the message ends within a field") from None


def varint(value: int) -> bytes:
    """A non-negative integer below 2**64 as a varint."""
    if value < 128:
        return _SMALL_VARINTS[value]
    if value < 16384:
        return bytes((value & 127 | 128, value >> 7))
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)


_SMALL_VARINTS: Final = tuple(bytes((value,)) for value in range(128))


def decode_value(data: bytes) -> AttributeValue:
    """An AnyValue from its bytes.

    The common encodings (one field, as every library writes it) are read by hand; everything else that is legal goes
    through the generated class, so that odd encodings cannot hide a value. Invalid UTF-8 is replaced, never refused.

    Raises:
        MalformedError: the bytes are not an AnyValue.
    """
    size = len(data)
    if size > 1:
        tag = data[0]
        first = data[1]
        if tag == _STRING:
            if first < 128:
                if first + 2 == size:
                    return data[2:].decode("utf-8", "replace")
            else:
                try:
                    length, start = read_varint(data, 1)
                except IndexError:
                    raise MalformedError("protobuf: an attribute value ends within its length") from None
                if start + length == size:
                    return data[start:].decode("utf-8", "replace")
        elif tag == _INT:
            if size == 2 and first < 128:
                return first
            if size == 3 and data[2] < 128 <= first:
                return first & 127 | data[2] << 7
        elif tag == _DOUBLE and size == 9:
            return float(_unpack_double(data, 1)[0])
        elif tag == _BOOL and size == 2 and first < 2:
            return first == 1
    return _decode_any(data)


def _decode_any(data: bytes) -> AttributeValue:
    try:
        return from_any_value(AnyValue.FromString(data))
    except DecodeError:
        return _decode_lenient(data)


def _decode_lenient(data: bytes) -> AttributeValue:
    """A value that protobuf refuses: text that is not UTF-8 is replaced, also when nested is given up as text."""
    value: AttributeValue = None
    for tag, _, start, end in fields(data):
        if tag == _STRING:
            value = data[start:end].decode("utf-8", "replace")
        elif tag & 7 == _LENGTH_DELIMITED:
            value = data[start:end]
    if value is None:
        raise MalformedError("protobuf: an attribute value is not an AnyValue")
    return value


def from_any_value(value: AnyValue) -> AttributeValue:
    """An AnyValue message as a Python value: arrays become tuples, key-value lists dictionaries, nothing None."""
    which = value.WhichOneof("value")
    if which is None:
        return None
    if which == "array_value":
        return tuple(from_any_value(item) for item in value.array_value.values)
    if which == "kvlist_value":
        return {item.key: from_any_value(item.value) for item in value.kvlist_value.values}
    result: str | bool | float | bytes = getattr(value, which)
    return result


def encode_value(value: AttributeValue) -> bytes:
    """A Python value as the bytes of an AnyValue; integers outside of int64 become text, lone surrogates `?`."""
    if type(value) is str:
        text = value.encode("utf-8", "replace")
        return b"\x0a" + varint(len(text)) + text
    if type(value) is bool:
        return b"\x10\x01" if value else b"\x10\x00"
    if type(value) is int:
        if -_INT64_SIGN <= value < _INT64_SIGN:
            return b"\x18" + varint(value % _TWO_TO_64)
        return encode_value(str(value))
    if type(value) is float:
        return b"\x21" + _pack_double(value)
    return _encode_other(value)


def _encode_other(value: AttributeValue) -> bytes:
    if value is None:
        return b""
    if isinstance(value, bytes | bytearray | memoryview):
        return b"\x3a" + varint(len(value)) + bytes(value)
    if isinstance(value, Mapping):
        pairs = [_encode_pair(str(key), item) for key, item in value.items()]
        return _nested(b"\x32", pairs)
    if isinstance(value, str):  # a subclass, such as a str Enum: its text, not its repr
        return encode_value(str.__str__(value))
    if isinstance(value, bool | int | float):
        return encode_value(float(value) if isinstance(value, float) else int(value))
    if isinstance(value, Sequence):
        return _nested(b"\x2a", [encode_value(item) for item in value])
    raise TypeError(
        f"an attribute value must be text, bool, int, float, bytes, a sequence or a mapping, not {type(value)}"
    )


def _encode_pair(key: str, value: AttributeValue) -> bytes:
    key_bytes = key.encode("utf-8", "replace")
    encoded = encode_value(value)
    return b"\x0a" + varint(len(key_bytes)) + key_bytes + b"\x12" + varint(len(encoded)) + encoded


def _nested(tag: bytes, items: Sequence[bytes]) -> bytes:
    """ArrayValue and KeyValueList have the same shape: field 1, repeated."""
    body = b"".join(b"\x0a" + varint(len(item)) + item for item in items)
    return tag + varint(len(body)) + body


class AttributeEncoder:
    """Encodes `repeated KeyValue` entries of one field, remembering what recurs.

    Most attributes added to spans have one of few keys and, if text, one of few values, so whole entries are kept: at
    most `limit` of them, text of at most 64 characters. Safe to use from several threads.

    Args:
        tag: the field's tag in its message, one byte (0x4a for Span.attributes).
        limit: how many entries to remember.

    Attributes:
        texts: whole entries by key and text.
        doubles: entries by key, without the eight bytes of the value.
    """

    __slots__ = ("_keys", "_limit", "_size", "_tag", "doubles", "texts")

    def __init__(self, tag: int, limit: int = 4096) -> None:
        self._tag = bytes((tag,))
        self._limit = limit
        self._keys: dict[str, bytes] = {}
        self.doubles: dict[str, bytes] = {}
        self.texts: dict[str, dict[str, bytes]] = {}
        self._size = 0

    def encode(self, key: str, value: AttributeValue) -> bytes:
        """One entry, tag included."""
        if type(value) is str:
            texts = self.texts.get(key)
            if texts is not None and value in texts:
                return texts[value]
            return self._text(key, value)
        if type(value) is float:
            prefix = self.doubles.get(key)
            if prefix is None:
                prefix = self._double_prefix(key)
            return prefix + _pack_double(value)
        return self.encode_raw(key, encode_value(value))

    def encode_raw(self, key: str, value: bytes) -> bytes:
        """One entry whose value is an encoded AnyValue already."""
        head = self._keys.get(key)
        if head is None:
            head = self._remember_key(key)
        size = len(value)
        if size < 128:
            body = len(head) + 2 + size
            return self._tag + varint(body) + head + b"\x12" + _SMALL_VARINTS[size] + value
        length = varint(size)
        return self._tag + varint(len(head) + 1 + len(length) + size) + head + b"\x12" + length + value

    def _remember_key(self, key: str) -> bytes:
        key_bytes = key.encode("utf-8", "replace")
        head = b"\x0a" + varint(len(key_bytes)) + key_bytes
        if len(key) <= 64 and len(self._keys) < self._limit:
            self._keys[key] = head
        return head

    def _double_prefix(self, key: str) -> bytes:
        prefix = self.encode_raw(key, b"\x21" + bytes(8))[:-8]
        if len(key) <= 64 and len(self.doubles) < self._limit:
            self.doubles[key] = prefix
        return prefix

    def _text(self, key: str, value: str) -> bytes:
        entry = self.encode_raw(key, encode_value(value))
        if len(value) <= 64 and len(key) <= 64 and self._size < self._limit:
            self._size += 1
            self.texts.setdefault(key, {})[value] = entry
        return entry
