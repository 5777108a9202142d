"""OTLP JSON lines in a file: one export request a line, as the Collector's file exporter writes them.

A line is whole or not there: what was written of a line that did not fit is cut off again, so that a retry cannot leave
half a line behind.
"""

from __future__ import annotations

import contextlib
import errno
import os
import sys
from pathlib import Path
from typing import Annotated, Protocol

import msgspec

from otel_llm.codecs.json import to_json
from otel_llm.components import Context
from otel_llm.errors import ConfigError, MalformedError, PermanentError, RetryableError
from otel_llm.exporters.exporter import ExportResult
from otel_llm.signals import SIGNALS, Payload, Signal

_MIB = 1024 * 1024
_STDOUT = "-"


class RotationConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """When to begin a new file. The full one is renamed to `<path>.1`, that one to `<path>.2`, and so on."""

    max_size_mib: Annotated[float, msgspec.Meta(gt=0)] = 100.0
    """Size at which a file is full, in MiB."""

    max_backups: Annotated[int, msgspec.Meta(ge=1)] = 10
    """How many full files to keep; the oldest is deleted."""


class Config(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """OTLP JSON lines in a file."""

    path: str
    """The file; lines are appended. `-` is standard output, `~` the home folder."""

    rotation: RotationConfig | None = None
    """When to begin a new file; never without it."""

    fsync: bool = False
    """Wait for the disk after each line, so that a crash of the machine loses nothing that counts as exported."""


class _Output(Protocol):
    """Where lines go."""

    def write_line(self, line: bytes) -> None:
        """Write a line, its end included, whole or not at all."""
        ...

    def close(self) -> None:
        """Give back what is held. Idempotent."""
        ...


class _StandardOutput:
    def write_line(self, line: bytes) -> None:
        sys.stdout.buffer.write(line)
        sys.stdout.buffer.flush()

    def close(self) -> None:
        """Standard output is not ours to close."""


class _RotatedFile:
    """A file that is appended to, and renamed when it is full."""

    def __init__(self, path: Path, rotation: RotationConfig | None, *, fsync: bool) -> None:
        self._path = path
        self._rotation = rotation
        self._fsync = fsync
        self._file: int | None = None
        self._size = 0
        self._open()

    def write_line(self, line: bytes) -> None:
        rotation = self._rotation
        if rotation is not None and self._size and self._size + len(line) > rotation.max_size_mib * _MIB:
            self._rotate(rotation)
        file = self._open()
        # Another process may append to the same file.
        start = os.lseek(file, 0, os.SEEK_END)
        try:
            _write_all(file, line)
            if self._fsync:
                os.fsync(file)
        except OSError:
            with contextlib.suppress(OSError):
                os.ftruncate(file, start)
            raise
        self._size = start + len(line)

    def close(self) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _open(self) -> int:
        if self._file is None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._file = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o640)
            self._size = os.fstat(self._file).st_size
        return self._file

    def _rotate(self, rotation: RotationConfig) -> None:
        self.close()
        for number in range(rotation.max_backups - 1, 0, -1):
            with contextlib.suppress(FileNotFoundError):
                self._backup(number).replace(self._backup(number + 1))
        self._path.replace(self._backup(1))

    def _backup(self, number: int) -> Path:
        return self._path.with_name(f"{self._path.name}.{number}")


def _write_all(file: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(file, view) :]


class FileExporter:
    """The exporter; see `create`."""

    signals: frozenset[Signal] = frozenset(SIGNALS)

    def __init__(self, output: _Output, label: str) -> None:
        self._output = output
        self._label = label

    def export(self, payload: Payload, timeout_seconds: float) -> ExportResult:  # noqa: ARG002 - files do not time out
        """Append one line.

        Raises:
            RetryableError: it cannot be written now; the disk may be full.
            PermanentError: the payload is not a request, or nobody reads standard output any more.
        """
        try:
            self._output.write_line(to_json(payload.signal, payload.join()) + b"\n")
        except MalformedError as error:
            raise PermanentError(f"{self._label}: {error}") from None
        except OSError as error:
            problem = f"{self._label}: cannot be written ({error.strerror or type(error).__name__})"
            if error.errno == errno.EPIPE:
                raise PermanentError(problem) from error
            raise RetryableError(problem) from error
        return ExportResult()

    def shutdown(self) -> None:
        """Close the file."""
        self._output.close()


def create(config: Config, context: Context) -> FileExporter:
    """Make the exporter and open the file.

    Raises:
        ConfigError: the file cannot be opened.
    """
    if config.path == _STDOUT:
        return FileExporter(_StandardOutput(), "standard output")
    path = Path(config.path).expanduser()
    try:
        output = _RotatedFile(path, config.rotation, fsync=config.fsync)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        problem = f"exporters.{context.name}.path: expected a file to append to, got {path} ({reason}); choose another"
        raise ConfigError([problem]) from error
    return FileExporter(output, f"file {path}")
