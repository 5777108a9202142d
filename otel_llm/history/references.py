"""How a reference is written, and messages as pieces of JSON text that nobody has to understand.

Messages are compared and restored as the bytes they are without white space: numbers, escapes, keys that we know
nothing about and their order come back as they were. White space goes, since some instrumentations write an answer
compact and send it back spaced.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

import msgspec

ID_BYTES: Final = 24
_TRACE_ID_BYTES: Final = 16
_TYPE: Final = "reference"
# No role of the conventions' list, which is open: what stands here was said by several.
_ROLE: Final = "history"
_PIECES: Final = msgspec.json.Decoder(list[msgspec.Raw])
# A message of the output ends in it, and none of the input has it; behind it, some write a name.
_STRING: Final = rb'(?:"(?:[^"\\]|\\.)*"|null)'
_FINISH_REASON: Final = re.compile(rb',"finish_reason":' + _STRING + rb'((?:,"name":' + _STRING + rb")?\})\Z")


class _Part(msgspec.Struct, omit_defaults=True):
    """A reference as JSON; a part of a message, and of instructions."""

    trace_id: str
    span_id: str
    messages: int | None = None
    type: str = ""
    name: str | None = None


class _Message(msgspec.Struct):
    role: str
    parts: tuple[_Part]


_MESSAGE: Final = msgspec.json.Decoder(_Message)
_PARTS: Final = msgspec.json.Decoder(tuple[_Part])


@dataclass(frozen=True, slots=True)
class Reference:
    """What another span holds.

    Attributes:
        span: its trace id and span id, 24 bytes.
        messages: how many of its first messages, None for a value that is no list of messages.
    """

    span: bytes
    messages: int | None = None

    def as_message(self) -> bytes:
        """The JSON of a message that stands for others. Valid as the conventions' schema of messages has it."""
        return msgspec.json.encode(_Message(_ROLE, (self._part(),)))

    def as_value(self) -> str:
        """The JSON that stands for instructions or definitions of tools; a definition has to have a name."""
        part = self._part()
        part.name = _ROLE
        return msgspec.json.encode((part,)).decode()

    def _part(self) -> _Part:
        trace_id, span_id = self.span[:_TRACE_ID_BYTES].hex(), self.span[_TRACE_ID_BYTES:].hex()
        return _Part(trace_id, span_id, self.messages, _TYPE)


def read_message(piece: bytes) -> Reference | None:
    """The reference that a message is; None when it is none."""
    try:
        return _read(_MESSAGE.decode(piece).parts[0])
    except (msgspec.MsgspecError, UnicodeError):
        return None


def read_value(text: str) -> Reference | None:
    """The reference that a value is; None when it is none."""
    try:
        return _read(_PARTS.decode(text)[0])
    except (msgspec.MsgspecError, UnicodeError):
        return None


def _read(part: _Part) -> Reference | None:
    try:
        span = bytes.fromhex(part.trace_id) + bytes.fromhex(part.span_id)
    except ValueError:
        return None
    return Reference(span, part.messages) if part.type == _TYPE and len(span) == ID_BYTES else None


def split(text: str) -> list[bytes] | None:
    """The messages of a JSON array, each as the bytes it is without white space; None when it is no such array."""
    try:
        return [bytes(piece) for piece in _PIECES.decode(msgspec.json.format(text.encode(), indent=-1))]
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return None


def join(pieces: list[bytes]) -> str:
    """The JSON array of messages."""
    return (b"[" + b",".join(pieces) + b"]").decode()


def as_input(output: list[bytes]) -> list[bytes]:
    """The answer of a call as the next call sends it; nothing when there is not one, but several to choose from."""
    return [_FINISH_REASON.sub(rb"\1", output[0])] if len(output) == 1 else []
