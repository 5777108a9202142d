"""Where a process writes its chain: one folder for each process that writes at a time, and a lock on it.

    audit/         the first
    audit/@2/      a second one that writes at the same time: a worker of a gateway, or a forked one of an app

Whichever is free is taken, and its chain goes on, whoever wrote it before; a lock ends with its process, however that
ends.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from otel_llm.audit.files import LOCK
from otel_llm.errors import AuditError

MOST_PROCESSES: Final = 256
_MARK: Final = "@"


def claim(folder: Path, processes: int) -> tuple[Path, int]:
    """A folder that nobody writes, and the descriptor of its lock; made when it is not there.

    Args:
        folder: as configured.
        processes: how many may write at a time.

    Raises:
        AuditError: all are taken.
        OSError: a folder cannot be made or written.
    """
    for number in range(1, processes + 1):
        place = folder if number == 1 else folder / f"{_MARK}{number}"
        place.mkdir(parents=True, exist_ok=True, mode=0o700)
        lock = _locked(place / LOCK, is_needed=processes > 1)
        if lock is not None:
            return place, lock
    if processes == 1:
        raise AuditError(f"audit log {folder}: another process writes it; give each its own folder, or set processes")
    raise AuditError(f"audit log {folder}: {processes} processes write it already; set processes to more")


def further(folder: Path) -> list[Path]:
    """The folders of processes beside the first that were ever there, by their numbers."""
    found = (path for path in folder.glob(f"{_MARK}*") if path.name[1:].isdigit() and path.is_dir())
    return sorted(found, key=lambda path: int(path.name[1:]))


def log_name(place: Path) -> str:
    """What anchors call the log in a folder: `audit`, or `audit/@2`."""
    place = place.absolute()
    is_further = place.name.startswith(_MARK) and place.name[1:].isdigit()
    return f"{place.parent.name}/{place.name}" if is_further else place.name


def _locked(path: Path, *, is_needed: bool) -> int | None:
    """The descriptor of a lock; None when somebody else has it."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        import fcntl  # noqa: PLC0415 - there is none on Windows, where nothing keeps a second process out
    except ImportError:
        if is_needed:
            os.close(descriptor)
            raise AuditError(f"audit log {path.parent}: processes: expected 1, for this system has no locks") from None
        return descriptor
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    except OSError:
        os.close(descriptor)
        raise
    return descriptor
