"""The files of an audit log: their names, the head, and reading lines from the end."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final

import msgspec

HEAD: Final = "head.json"
LOCK: Final = "lock"
_PREFIX: Final = "audit-"
_SUFFIX: Final = ".jsonl"


class Head(msgspec.Struct, frozen=True, kw_only=True):
    """How far a log had come when it was last synced.

    Attributes:
        seq: the last record.
        mac: its code, in hex.
        tag: the code of the head itself.
    """

    seq: Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
    mac: str
    tag: str


@dataclass(frozen=True, slots=True)
class Segment:
    """A file of records.

    Attributes:
        path: where it is.
        first_seq: the number of its first record, as its name says.
    """

    path: Path
    first_seq: int


def segment_path(folder: Path, first_seq: int) -> Path:
    """The file that begins with this record."""
    return folder / f"{_PREFIX}{first_seq:012d}{_SUFFIX}"


def segments(folder: Path) -> list[Segment]:
    """The files of records, oldest first."""
    found = []
    for path in folder.iterdir():
        number = path.name.removeprefix(_PREFIX).removesuffix(_SUFFIX)
        if path.name == f"{_PREFIX}{number}{_SUFFIX}" and number.isdecimal() and number.isascii() and path.is_file():
            found.append(Segment(path, int(number)))
    return sorted(found, key=lambda one: one.first_seq)


def lines(path: Path) -> Iterator[tuple[bytes, bool]]:
    """Each line without its line break, and whether it had one."""
    with path.open("rb") as file:
        for line in file:
            yield line.rstrip(b"\n"), line.endswith(b"\n")


def read_head(folder: Path) -> Head | None:
    """The head; None when there is none, or it is none."""
    try:
        return msgspec.json.decode((folder / HEAD).read_bytes(), type=Head)
    except (OSError, msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        return None


def write_head(folder: Path, head: Head) -> None:
    """Put a head in place of the one before, at once or not at all."""
    temporary = folder / f"{HEAD}.new"
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        os.write(descriptor, msgspec.json.encode(head))
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    temporary.replace(folder / HEAD)
