"""Text that is not UTF-8, in any OTLP message: the bad bytes become U+FFFD, everything else stays as it is.

Protobuf refuses a whole request for one such byte, and so do strict backends. For messages that are read with the
generated classes; spans are mended where they are read, with less work.
"""

from __future__ import annotations

from typing import Final

from google.protobuf.descriptor import Descriptor, FieldDescriptor

from otel_llm.codecs import protobuf
from otel_llm.errors import MalformedError

_LENGTH_DELIMITED: Final = 2
# Protobuf's own limit is 100.
_DEEPEST: Final = 100


def mend(raw: bytes, descriptor: Descriptor, depth: int = 0) -> bytes:
    """A message with valid text.

    Args:
        raw: the message.
        descriptor: of its type.
        depth: how deep it is nested.

    Raises:
        MalformedError: the bytes are not fields, or nested too deeply.
    """
    if depth > _DEEPEST:
        raise MalformedError("protobuf: the message is nested too deeply")
    pieces = []
    for tag, start, payload, end in protobuf.fields(raw):
        field = descriptor.fields_by_number.get(tag >> 3)
        content = None if field is None or tag & 7 != _LENGTH_DELIMITED else _mended(raw[payload:end], field, depth)
        if content is None:
            pieces.append(raw[start:end])
        else:
            pieces += (protobuf.varint(tag), protobuf.varint(len(content)), content)
    return b"".join(pieces)


def _mended(content: bytes, field: FieldDescriptor, depth: int) -> bytes | None:
    """A field's content with valid text; None when it holds no text."""
    if field.type == FieldDescriptor.TYPE_STRING:
        return content.decode("utf-8", "replace").encode()
    if field.type == FieldDescriptor.TYPE_MESSAGE and field.message_type is not None:
        return mend(content, field.message_type, depth + 1)
    return None
