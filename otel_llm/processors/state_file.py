"""A JSON file that a processor keeps what it has learnt in, between runs.

Several processes of one configuration have a file each: the first one takes `drift.json`, others `drift.1.json`,
`drift.2.json` and so on, whichever is free. A process holds its file by a lock that ends with it, however it ends, and
a later one goes on with whatever file it gets: what they hold is of the same traffic.
"""

from __future__ import annotations

import errno
import logging
import os
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from otel_llm.delivery.folder_lock import FolderLock
from otel_llm.errors import ConfigError

_logger = logging.getLogger(__name__)
_MOST_BYTES: Final = 256 * 1024 * 1024
_MOST_PROCESSES: Final = 256


@dataclass(slots=True)
class _Claim:
    """A file that this process has.

    Attributes:
        path: the file.
        owner: the component it is for.
        lock: what keeps other processes off; None where the system has no such locks.
        users: how many of us: a reload has two for a while.
    """

    path: Path
    owner: str
    lock: FolderLock | None
    users: int = 1


# By the path that was configured, guarded by the lock.
_claims: Final[dict[Path, _Claim]] = {}
_claims_lock: Final = threading.Lock()


def _claim(configured: Path, owner: str) -> _Claim:
    """The file to use; `_release` gives it back.

    Raises:
        ConfigError: another component of this process has it, or no file can be had.
    """
    with _claims_lock:
        held = _claims.get(configured)
        if held is None:
            held = _claims[configured] = _free_one(configured, owner)
        elif held.owner != owner:
            problem = f"{configured} is that of processors.{held.owner}, too; give each a file of its own"
            raise ConfigError([f"processors.{owner}.state_file: {problem}"])
        else:
            held.users += 1
        return held


def _free_one(configured: Path, owner: str) -> _Claim:
    for number in range(_MOST_PROCESSES):
        name = f"{configured.stem}.{number}{configured.suffix}" if number else configured.name
        path = configured.with_name(name)
        try:
            return _Claim(path, owner, FolderLock(path.with_name(f"{name}.lock")))
        except BlockingIOError:
            continue
        except OSError as error:
            if error.errno == errno.ENOSYS:
                return _Claim(path, owner, None)
            problem = f"{path}.lock cannot be made ({error.strerror}); make the folder writable"
            raise ConfigError([f"processors.{owner}.state_file: {problem}"]) from error
    problem = f"{_MOST_PROCESSES} processes have a file of {configured} each; name another one for more"
    raise ConfigError([f"processors.{owner}.state_file: {problem}"])


def _release(configured: Path, claim: _Claim) -> None:
    with _claims_lock:
        claim.users -= 1
        if claim.users == 0:
            _claims.pop(configured, None)
            if claim.lock is not None:
                claim.lock.release()


class StateFile:
    """Writes a state from time to time, and when it is closed.

    Args:
        path: the file; `~` is the home folder.
        interval_seconds: how often it is written.
        state: gives the state, as JSON values.
        owner: whose it is, for messages.

    Raises:
        ConfigError: the folder is not there.
    """

    def __init__(self, path: str, interval_seconds: float, state: Callable[[], object], owner: str) -> None:
        self._configured = self._path = Path(path).expanduser().absolute()
        self._held: _Claim | None = None
        self._interval = interval_seconds
        self._state = state
        self._owner = owner
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="otel-llm-state", daemon=True)
        if not self._path.parent.is_dir():
            raise ConfigError([f"processors.{owner}.state_file: there is no folder {self._path.parent}; make it"])

    def claim(self) -> None:
        """Take a file for this process, before it is read.

        Raises:
            ConfigError: there is none to be had.
        """
        if self._held is None:
            self._held = _claim(self._configured, self._owner)
            self._path = self._held.path

    def read(self) -> dict[str, object] | None:
        """What was written last; None when there is nothing, or nothing that can be read."""
        try:
            if self._path.stat().st_size > _MOST_BYTES:
                raise ValueError("it is too large")  # noqa: TRY301 - one way to tell about all of them
            return msgspec.json.decode(self._path.read_bytes(), type=dict[str, object])
        except FileNotFoundError:
            return None
        except (OSError, ValueError, RecursionError, msgspec.MsgspecError) as error:
            self.set_aside(f"{type(error).__name__}: {error}")
            return None

    def set_aside(self, why: str) -> None:
        """Keep a file that is of no use under another name, and begin anew."""
        aside = self._path.with_name(f"{self._path.name}.unreadable")
        _logger.warning("%s: the state in %s is of no use (%s); it begins anew", self._owner, self._path, why)
        try:
            self._path.replace(aside)
        except OSError as error:
            _logger.warning("%s: %s cannot be renamed: %s", self._owner, self._path, error)

    def start(self) -> None:
        """Begin to write, into a file that was claimed."""
        self._thread.start()

    def close(self) -> None:
        """Write once more, and stop. Idempotent, and safe without `start`."""
        was_stopped = self._stopped.is_set()
        self._stopped.set()
        if self._thread.ident is not None and not was_stopped:
            self._thread.join()
            self._write()
        if self._held is not None:
            _release(self._configured, self._held)
            self._held = None

    def _run(self) -> None:
        while not self._stopped.wait(self._interval):
            self._write()

    def _write(self) -> None:
        # A name of our own: while a reload has two of us, both may write.
        beside = self._path.with_name(f"{self._path.name}.{id(self):x}.new")
        try:
            with beside.open("wb") as file:
                file.write(msgspec.json.encode(self._state()))
                file.flush()
                os.fsync(file.fileno())
            beside.replace(self._path)
        except OSError as error:
            _logger.warning("%s: the state cannot be written to %s: %s", self._owner, self._path, error)
