"""Secrets and the files they come in: never written into a configuration, never shown, read again when they change."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Final, TypeAlias

import msgspec

from otel_llm.errors import ConfigError

# A setting of this type must be `${env:NAME}` in a configuration: the text itself would be in version control next.
Secret: TypeAlias = Annotated[
    str, msgspec.Meta(extra={"secret": True}, extra_json_schema={"writeOnly": True, "pattern": r"\$\{.+\}"})
]

# A file is looked at no more often than this; whoever replaces one waits so long.
WATCH_SECONDS: Final = 1.0


def read_secret_file(path: str, setting: str) -> str:
    """The secret in a file, without the line end that editors leave.

    Raises:
        ConfigError: it cannot be read, or holds nothing or more than one line; `setting` starts the message.
    """
    try:
        text = Path(path).read_text(encoding="utf-8").strip()
    except OSError as error:
        raise ConfigError([f"{setting}: cannot read {path} ({error.strerror}); give a file with the secret"]) from None
    except UnicodeDecodeError:
        raise ConfigError([f"{setting}: {path} is not UTF-8 text; give a file with the secret"]) from None
    if not text or "\n" in text:
        raise ConfigError([f"{setting}: expected one line in {path}, got {'several' if text else 'nothing'}"])
    return text


class FileWatch:
    """Tells when one of some files has changed: replaced, written to, or come into being. Thread-safe.

    Args:
        paths: the files.
        monotonic: the clock.
        interval_seconds: how often they are looked at, at most.
    """

    __slots__ = ("_interval", "_lock", "_monotonic", "_next", "_paths", "_seen")

    def __init__(
        self, paths: Sequence[str], monotonic: Callable[[], float], interval_seconds: float = WATCH_SECONDS
    ) -> None:
        self._paths = tuple(paths)
        self._monotonic = monotonic
        self._interval = interval_seconds
        self._lock = threading.Lock()
        self._seen = self._look()
        self._next = monotonic() + interval_seconds

    def has_changed(self) -> bool:
        """Whether something changed since this was last asked; cheap when nobody would know yet."""
        if not self._paths or self._monotonic() < self._next:
            return False
        with self._lock:
            self._next = self._monotonic() + self._interval
            found = self._look()
            changed, self._seen = found != self._seen, found
            return changed

    def _look(self) -> list[tuple[int, int, int] | None]:
        return [_mark(path) for path in self._paths]


def _mark(path: str) -> tuple[int, int, int] | None:
    """What changes with a file: a secret mounted by Kubernetes is a link to another file then, hence its number."""
    try:
        found = os.stat(path)  # noqa: PTH116 - the same without making a Path each time
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
