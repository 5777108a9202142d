"""Whether the files that components will open can be opened, without opening, making or changing any.

For `otel-llm validate`: a start makes the files, and says the same by failing.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from otel_llm.config.settings import Component, Settings

_STANDARD_OUTPUT: Final = "-"
_SQLITE: Final = b"SQLite format 3\0"


def path_problems(settings: Settings) -> Iterator[str]:
    """A line for each file, ledger, store of counters or folder of a queue that could not be used."""
    for receiver in settings.receivers:
        path = _path(receiver, "file")
        if path is not None and not getattr(receiver.config, "follow", False) and not os.access(path, os.R_OK):
            yield f"{receiver.path}.path: cannot read {path}; give a file, or set follow"
    for processor in settings.processors:
        path = _path(processor, "budget") if getattr(processor.config, "redis", None) is None else None
        problem = None if path is None else _cannot_write(path) or _not_of_sqlite(path)
        if problem is not None:
            yield f"{processor.path}.path: {problem}"
    for exporter in settings.exporters:
        path = _path(exporter, "file") or _path(exporter, "ledger")
        problem = None if path is None else _cannot_write(path)
        if problem is None and path is not None and exporter.type.name == "ledger":
            problem = _not_of_sqlite(path)
        if problem is not None:
            yield f"{exporter.path}.path: {problem}"
        disk = exporter.delivery.sending_queue.disk
        problem = None if disk is None else _cannot_write(Path(disk.directory).expanduser() / "queue")
        if problem is not None:
            yield f"{exporter.path}.sending_queue.disk.directory: {problem}"


def _path(component: Component, type_: str) -> Path | None:
    path: object = getattr(component.config, "path", None) if component.type.name == type_ else None
    is_a_file = isinstance(path, str) and path != _STANDARD_OUTPUT and "://" not in path
    return Path(str(path)).expanduser() if is_a_file else None


def _cannot_write(path: Path) -> str | None:
    """Why a file could not be written to, or made with the folders it is in."""
    if path.is_dir():
        return f"{path} is a folder; give a file in it"
    if path.exists():
        return None if os.access(path, os.W_OK) else f"cannot write to {path}; check its permissions"
    folder = next((parent for parent in path.absolute().parents if parent.exists()), Path("/"))
    if not folder.is_dir():
        return f"{folder} is a file, so {path} cannot be in it; choose another path"
    return None if os.access(folder, os.W_OK | os.X_OK) else f"cannot make {path} in {folder}; check its permissions"


def _not_of_sqlite(path: Path) -> str | None:
    """Why an existing file is no ledger and no store of counters, as far as its beginning shows."""
    try:
        with path.open("rb") as file:
            beginning = file.read(len(_SQLITE))
    except FileNotFoundError:
        return None
    except OSError as error:
        return f"cannot read {path} ({error.strerror}); check its permissions"
    return None if beginning in (b"", _SQLITE) else f"{path} is no SQLite file; move it away, or choose another path"
