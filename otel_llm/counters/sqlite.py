"""Counters in a SQLite file, for the processes of one machine."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from otel_llm.budget.batch import Answer, Batch, Wish
from otel_llm.clock import Clock
from otel_llm.errors import StoreError

_NANO: Final = 10**9
_CLEAN_UP_SECONDS: Final = 3600
_SCHEMA: Final = (
    """
    CREATE TABLE IF NOT EXISTS counters (
        key TEXT PRIMARY KEY, value INTEGER NOT NULL, expires INTEGER NOT NULL
    ) WITHOUT ROWID
    """,
    """
    CREATE TABLE IF NOT EXISTS writers (
        writer TEXT PRIMARY KEY, sequence INTEGER NOT NULL, expires INTEGER NOT NULL
    ) WITHOUT ROWID
    """,
    """
    CREATE TABLE IF NOT EXISTS leases (
        pool TEXT NOT NULL, holder TEXT NOT NULL, amount INTEGER NOT NULL, expires_unix_nano INTEGER NOT NULL,
        PRIMARY KEY (pool, holder)
    ) WITHOUT ROWID
    """,
)
_ADD: Final = (
    "INSERT INTO counters VALUES (?, ?, ?) ON CONFLICT (key) DO UPDATE SET value = value + excluded.value, "
    "expires = max(expires, excluded.expires)"
)
_SEQUENCE: Final = (
    "INSERT INTO writers VALUES (?, ?, ?) ON CONFLICT (writer) DO UPDATE SET sequence = excluded.sequence, "
    "expires = excluded.expires"
)
_WRITER_SECONDS: Final = 7 * 86_400


class SqliteCounters:
    """The file; made when it is not there.

    Args:
        path: where it is; `~` is the home folder.
        clock: for leases, and for what may be forgotten.
        busy_timeout_seconds: how long to wait for another process that writes.

    Raises:
        StoreError: it cannot be opened.
    """

    def __init__(self, path: str, clock: Clock, busy_timeout_seconds: float = 2.0) -> None:
        self.place = f"the file {path}"
        self._clock = clock
        self._next_clean_up = 0
        try:
            self._connection = sqlite3.connect(
                Path(path).expanduser(), busy_timeout_seconds, isolation_level=None, check_same_thread=False
            )
        except sqlite3.Error as error:
            raise self._failure(error) from error
        try:
            self._connection.execute("PRAGMA journal_mode = WAL")
            # A crash of the machine may lose the last transactions, never the file.
            self._connection.execute("PRAGMA synchronous = NORMAL")
            for statement in _SCHEMA:
                self._connection.execute(statement)
        except sqlite3.Error as error:
            self._connection.close()
            raise self._failure(error) from error

    def apply(self, batch: Batch) -> Answer:
        """Write a batch in one transaction, and read.

        Raises:
            StoreError: the file is locked, the disk full, the file no store of ours.
        """
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            with self._connection:
                return self._apply(batch, self._clock.unix_nano())
        except sqlite3.Error as error:
            raise self._failure(error) from error

    def _apply(self, batch: Batch, now_unix_nano: int) -> Answer:
        execute = self._connection.execute
        now = now_unix_nano // _NANO
        found = execute("SELECT sequence FROM writers WHERE writer = ?", (batch.writer,)).fetchone()
        if found is None or found[0] < batch.sequence:
            rows = [(key, delta, batch.expires[key]) for key, delta in batch.deltas.items()]
            self._connection.executemany(_ADD, rows)
            execute(_SEQUENCE, (batch.writer, batch.sequence, now + _WRITER_SECONDS))
        keys = batch.keys
        values = dict.fromkeys(keys, 0)
        # At most 500 at a time: SQLite had a limit of 999 parameters for long.
        for start in range(0, len(keys), 500):
            some = keys[start : start + 500]
            places = ", ".join("?" * len(some))
            values.update(execute(f"SELECT key, value FROM counters WHERE key IN ({places})", some).fetchall())  # noqa: S608 - question marks
        granted = {wish.pool: self._lease(batch, wish, values, now_unix_nano) for wish in batch.wishes}
        self._clean_up(now)
        return Answer(values, granted)

    def _lease(self, batch: Batch, wish: Wish, values: Mapping[str, int], now_unix_nano: int) -> int:
        execute = self._connection.execute
        execute("DELETE FROM leases WHERE pool = ? AND expires_unix_nano <= ?", (wish.pool, now_unix_nano))
        ((others,),) = execute(
            "SELECT coalesce(sum(amount), 0) FROM leases WHERE pool = ? AND holder <> ?", (wish.pool, batch.writer)
        )
        left = wish.limit - sum(values[key] for key in wish.spent) - others
        granted: int = max(min(wish.want, left), wish.floor, 0)
        expires = now_unix_nano + batch.lease_seconds * _NANO
        execute("INSERT OR REPLACE INTO leases VALUES (?, ?, ?, ?)", (wish.pool, batch.writer, granted, expires))
        return granted

    def _clean_up(self, now: int) -> None:
        """Forget what is over, once an hour."""
        if now >= self._next_clean_up:
            self._next_clean_up = now + _CLEAN_UP_SECONDS
            self._connection.execute("DELETE FROM counters WHERE expires < ?", (now,))
            self._connection.execute("DELETE FROM writers WHERE expires < ?", (now,))
            self._connection.execute("DELETE FROM leases WHERE expires_unix_nano < ?", (now * _NANO,))

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def _failure(self, error: sqlite3.Error) -> StoreError:
        return StoreError(f"{self.place}: {error}")
