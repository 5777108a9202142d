"""A folder that one process uses at a time; the lock ends with the process, however it ends."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Final

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

_NAME: Final = "lock"


class FolderLock:
    """The lock, held from the start.

    Args:
        folder: made when it is not there.

    Raises:
        BlockingIOError: somebody else holds it.
        OSError: the folder cannot be made or written, or this system has no such locks.
    """

    def __init__(self, folder: Path) -> None:
        if fcntl is None:
            raise OSError(errno.ENOSYS, "this system has no file locks of the POSIX kind")
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._file = os.open(folder / _NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(self._file)
            raise

    def release(self) -> None:
        """Give it back. Idempotent."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1


def is_locked(folder: Path) -> bool:
    """Whether a process uses the folder; changes nothing."""
    try:
        file = os.open(folder / _NAME, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(file)
    return False
