"""A JSON file that a processor keeps what it has learnt in, between runs."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec

from otel_llm.errors import ConfigError

_logger = logging.getLogger(__name__)
_MOST_BYTES: Final = 256 * 1024 * 1024


class StateFile:
    """Writes a state from time to time, and when it is closed. One process at a time may have a file.

    Args:
        path: the file; `~` is the home folder.
        interval_seconds: how often it is written.
        state: gives the state, as JSON values.
        owner: whose it is, for messages.

    Raises:
        ConfigError: the folder is not there.
    """

    def __init__(self, path: str, interval_seconds: float, state: Callable[[], object], owner: str) -> None:
        self._path = Path(path).expanduser()
        self._interval = interval_seconds
        self._state = state
        self._owner = owner
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="otel-llm-state", daemon=True)
        if not self._path.parent.is_dir():
            raise ConfigError([f"processors.{owner}.state_file: there is no folder {self._path.parent}; make it"])

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
        """Begin to write."""
        self._thread.start()

    def close(self) -> None:
        """Write once more, and stop. Idempotent, and safe without `start`."""
        was_stopped = self._stopped.is_set()
        self._stopped.set()
        if self._thread.ident is not None and not was_stopped:
            self._thread.join()
            self._write()

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
