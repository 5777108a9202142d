"""What a user sets for an audit log, and the logs that are open: one for each folder, however many write to it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Final

import msgspec

from otel_llm.audit.chain import SHORTEST_KEY
from otel_llm.audit.log import AuditLog, Limits
from otel_llm.audit.places import MOST_PROCESSES
from otel_llm.clock import Clock
from otel_llm.credentials import Secret
from otel_llm.errors import AuditError, ConfigError


class AuditConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where verdicts and actions are recorded, so that nobody can change them unnoticed."""

    path: str
    """The folder of the log; made when it is not there. One process at a time writes it, or so many as `processes`
    says."""

    key: Secret | None = None
    """The key of the chain, at least 16 bytes, as `${env:NAME}`. Whoever has it can write a log anew, so keep it away
    from whoever can write the folder, and keep anchors elsewhere."""

    key_file: str | None = None
    """Or the file that the key is in; one line break at its end is not part of it."""

    retention_days: Annotated[int, msgspec.Meta(ge=1)] | None = None
    """How long records are kept, in days; without it for ever. Whole files go, and the log records it."""

    segment_size_bytes: Annotated[int, msgspec.Meta(ge=4096)] = 67_108_864
    """A file that is this large is followed by the next."""

    sync_interval_seconds: Annotated[float, msgspec.Meta(ge=0)] = 1.0
    """How much may be lost when the power goes, in seconds; 0 syncs each record. A killed process loses nothing."""

    anchor_records: Annotated[int, msgspec.Meta(ge=1)] = 1000
    """An anchor goes to the logs pipelines after so many records."""

    anchor_interval_seconds: Annotated[float, msgspec.Meta(ge=1)] = 60.0
    """And after so many seconds, when there were any."""

    processes: Annotated[int, msgspec.Meta(ge=1, le=MOST_PROCESSES)] = 1
    """How many processes may write at a time: workers of a gateway, forked workers of an app. Each writes a chain of
    its own, the first in the folder itself, others in `@2`, `@3` … in it, whichever is free."""


_OPEN: Final[dict[Path, AuditLog]] = {}
_LOCK: Final = threading.Lock()


def open_log(config: AuditConfig, clock: Clock, setting: str) -> AuditLog:
    """The log of that folder; the one that is open already when there is one, for a reload has two of everything.

    Args:
        config: the settings.
        clock: for its times.
        setting: where the settings stand, for messages.

    Raises:
        ConfigError: the key or the folder cannot be used.
    """
    key = read_key(config.key, config.key_file, setting)
    folder = Path(config.path).absolute()
    limits = Limits(
        config.segment_size_bytes,
        config.retention_days,
        config.sync_interval_seconds,
        config.anchor_records,
        config.anchor_interval_seconds,
        config.processes,
    )
    with _LOCK:
        known = _OPEN.get(folder)
        if known is not None:
            with _told(setting):
                known.begin_anew_after_fork()
        if known is not None and not known.is_closed:
            if known.key != key:
                raise ConfigError([f"{setting}.key: {config.path} is being written with another key"])
            return known
        with _told(setting):
            _OPEN[folder] = AuditLog(folder, key, limits, clock)
        return _OPEN[folder]


@contextmanager
def _told(setting: str) -> Iterator[None]:
    """What is wrong with a log, as a problem of its settings."""
    try:
        yield
    except AuditError as error:
        raise ConfigError([f"{setting}.path: {error}"]) from error


def open_logs() -> tuple[AuditLog, ...]:
    """The logs that are open in this process."""
    # Without the lock: this is asked whenever telemetry leaves, and a fork meanwhile would leave it locked for ever.
    return tuple(log for log in list(_OPEN.values()) if not log.is_closed)


def read_key(key: str | None, key_file: str | None, setting: str) -> bytes:
    """A key from a setting or a file.

    Raises:
        ConfigError: there is none, there are two, or it is too short.
    """
    if (key is None) == (key_file is None):
        raise ConfigError([f"{setting}: expected a key, in key or in key_file, and in one of them"])
    if key_file is None:
        found = (key or "").encode()
    else:
        try:
            found = Path(key_file).read_bytes().removesuffix(b"\n").removesuffix(b"\r")
        except OSError as error:
            raise ConfigError([f"{setting}.key_file: cannot be read: {error.strerror}"]) from error
    if len(found) < SHORTEST_KEY:
        raise ConfigError([f"{setting}: expected a key of at least {SHORTEST_KEY} bytes, got {len(found)}"])
    return found
