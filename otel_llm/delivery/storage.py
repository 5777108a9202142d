"""The queues on disk of one process: each folder is opened once, whoever uses it."""

from __future__ import annotations

import threading
from pathlib import Path
from urllib.parse import quote

from otel_llm.clock import Clock
from otel_llm.delivery.account import Account
from otel_llm.delivery.config import DiskConfig, QueueConfig
from otel_llm.delivery.disk_queue import DiskQueue, Shelf
from otel_llm.errors import ConfigError
from otel_llm.telemetry import Metrics


def exporter_folder(directory: str, exporter: str) -> Path:
    """Where the queue of an exporter is kept; a name of the configuration may hold a slash."""
    return Path(directory) / quote(exporter, safe="")


class Storage:
    """Opens queues on disk; thread-safe.

    Args:
        metrics: where their accounts are shown.
        clock: for times.
    """

    def __init__(self, metrics: Metrics, clock: Clock) -> None:
        self._metrics = metrics
        self._clock = clock
        self._lock = threading.Lock()
        self._shelves: dict[Path, Shelf] = {}

    def open(self, exporter: str, config: QueueConfig, disk: DiskConfig) -> DiskQueue:
        """The queue of an exporter; further ones of the same folder take over when those before them leave.

        Raises:
            ConfigError: the folder cannot be used, or is in use with other settings.
        """
        folder = exporter_folder(disk.directory, exporter)
        with self._lock:
            shelf = self._shelves.get(folder)
            if shelf is None:
                shelf = self._shelves[folder] = self._open(exporter, folder, disk)
            elif problems := _changed(f"exporters.{exporter}.sending_queue.disk", shelf.config, disk):
                raise ConfigError(problems)
            return DiskQueue(shelf, config, disk, self._released)

    def _open(self, exporter: str, folder: Path, disk: DiskConfig) -> Shelf:
        setting = f"exporters.{exporter}.sending_queue.disk.directory"
        account = Account(exporter, self._metrics, self._clock)
        try:
            return Shelf(folder, disk, account, self._clock)
        except BlockingIOError as error:
            account.retire()
            problem = f"{setting}: {folder} is used by another process; stop that, or choose another directory"
            raise ConfigError([problem]) from error
        except OSError as error:
            account.retire()
            problem = f"{setting}: cannot use {folder}: {error.strerror or error}; give a folder that can be written"
            raise ConfigError([problem]) from error

    def _released(self, shelf: Shelf) -> None:
        with self._lock:
            if shelf.users or self._shelves.get(shelf.folder) is not shelf:
                return
            del self._shelves[shelf.folder]
            shelf.account.retire()
            shelf.close()


def _changed(setting: str, before: DiskConfig, after: DiskConfig) -> list[str]:
    """What cannot change while the files are open; one problem each."""
    return [
        f"{setting}.{field}: is {was} while the gateway runs and cannot become {becomes} by a reload; restart it"
        for field in ("sync", "sync_interval_seconds", "dead_letters_size_bytes")
        if (was := getattr(before, field)) != (becomes := getattr(after, field))
    ]
