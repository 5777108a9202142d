"""The ledger's file: rows in, rows and totals out, old rows away.

One file may be used by several processes and threads: SQLite's write-ahead log lets readers read while one writes, and
a writer waits for another. Errors of SQLite (`sqlite3.Error`) come out as they are; `may_pass` tells which are worth
waiting for.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final, get_args

from otel_llm.clock import Clock, SystemClock
from otel_llm.errors import ConfigError
from otel_llm.ledger.evaluations import (
    EvaluationDimension,
    EvaluationTotals,
    Recorded,
    StoredEvaluation,
    find_evaluation,
    find_operation,
    read_evaluation_totals,
    read_evaluations,
    record_evaluations,
)
from otel_llm.ledger.row import COLUMNS, Row
from otel_llm.ledger.schema import migrate
from otel_llm.ledger.totals import Dimension, Totals, read_totals
from otel_llm.quality.results import Evaluation, Target

_INT64_MAX: Final = 2**63 - 1
_DAY_NANO: Final = 86_400 * 10**9
# Rows deleted in one transaction: other processes that write should not have to wait long.
_DELETE_ROWS: Final = 5000

_INSERT: Final = f"INSERT OR REPLACE INTO operations VALUES ({', '.join('?' * len(COLUMNS))})"  # noqa: S608 - constants
_SELECT: Final = f"SELECT {', '.join(COLUMNS)} FROM operations WHERE start_unix_nano >= ? ORDER BY start_unix_nano"  # noqa: S608 - constants
_DELETE: Final = (
    "DELETE FROM operations WHERE rowid IN (SELECT rowid FROM operations WHERE start_unix_nano < ? LIMIT ?)"
)
_DELETE_EVALUATIONS: Final = (
    "DELETE FROM evaluations WHERE rowid IN (SELECT rowid FROM evaluations WHERE time_unix_nano < ? LIMIT ?)"
)

# Conditions that can end by themselves or by a person's hand, after which the same rows are taken.
_PASSING: Final = frozenset(
    {
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_NOMEM,
    }
)


def may_pass(error: sqlite3.Error) -> bool:
    """Whether trying again later can succeed: the file is locked, the disk full, ..."""
    # The low byte is the condition, the rest says where it arose.
    code: int | None = getattr(error, "sqlite_errorcode", None)
    return code is not None and code & 0xFF in _PASSING


class Ledger:
    """One row for each GenAI operation; thread-safe, and safe with several processes on one file.

    Args:
        path: the file; it and its folder are made when they are not there. `:memory:` keeps it in memory.
        clock: for retention.
        busy_timeout_seconds: how long to wait for another process that writes.

    Raises:
        ConfigError: the file cannot be opened, is no ledger, or is of a newer version.
    """

    def __init__(self, path: str | Path, *, clock: Clock | None = None, busy_timeout_seconds: float = 5.0) -> None:
        self.path = str(path)
        self._clock = clock or SystemClock()
        self._lock = threading.Lock()
        if self.path != ":memory:":
            self.path = str(Path(path).expanduser())
            _make_folder(self.path)
        self._connection = _open(self.path, busy_timeout_seconds, self._clock)

    def record(self, rows: Iterable[Row]) -> None:
        """Write rows in one transaction: all or none. A row whose span is there already takes its place.

        Raises:
            sqlite3.Error: see `may_pass`.
        """
        with self._lock:
            self._connection.execute("BEGIN IMMEDIATE")
            with self._connection:
                self._connection.executemany(_INSERT, rows)

    def rows(self, since_unix_nano: int = 0, limit: int = 1000, *, newest_first: bool = False) -> list[Row]:
        """Operations that started at or after a time, in the order of their start."""
        statement = f"{_SELECT}{' DESC' if newest_first else ''} LIMIT ?"
        with self._lock:
            return [Row._make(values) for values in self._connection.execute(statement, (since_unix_nano, limit))]

    def totals(
        self, by: Sequence[Dimension] = (), since_unix_nano: int = 0, until_unix_nano: int = _INT64_MAX
    ) -> list[Totals]:
        """Sums of the operations that started in a span of time, for each combination of the dimensions' values.

        Raises:
            ValueError: a dimension that does not exist.
        """
        unknown = [name for name in by if name not in get_args(Dimension)]
        if unknown:
            raise ValueError(f"by: expected some of {', '.join(get_args(Dimension))}; got {', '.join(unknown)}")
        with self._lock:
            return read_totals(self._connection, by, since_unix_nano, until_unix_nano)

    def record_evaluations(self, evaluations: Sequence[Evaluation]) -> list[Recorded]:
        """Write results of evaluations in one transaction; one that came before is replaced unless it is newer.

        Raises:
            sqlite3.Error: see `may_pass`.
        """
        with self._lock:
            self._connection.execute("BEGIN IMMEDIATE")
            with self._connection:
                return record_evaluations(self._connection, evaluations)

    def evaluations(self, since_unix_nano: int = 0, limit: int = 1000) -> list[StoredEvaluation]:
        """Results that came at or after a time, the newest first."""
        with self._lock:
            return read_evaluations(self._connection, since_unix_nano, limit)

    def find_evaluation(self, evaluation_id: str) -> Evaluation | None:
        """The result of this id, without an explanation; None when there is none.

        Raises:
            sqlite3.Error: see `may_pass`.
        """
        with self._lock:
            return find_evaluation(self._connection, evaluation_id)

    def evaluation_totals(
        self, by: Sequence[EvaluationDimension] = (), since_unix_nano: int = 0
    ) -> list[EvaluationTotals]:
        """Sums of the results since a time, for each combination of the dimensions' values.

        Raises:
            ValueError: a dimension that does not exist.
        """
        unknown = [name for name in by if name not in get_args(EvaluationDimension)]
        if unknown:
            raise ValueError(
                f"by: expected some of {', '.join(get_args(EvaluationDimension))}; got {', '.join(unknown)}"
            )
        with self._lock:
            return read_evaluation_totals(self._connection, by, since_unix_nano)

    def find(self, target: Target) -> Row | None:
        """The operation that a target means; of a whole trace, the call that answered last.

        Raises:
            sqlite3.Error: see `may_pass`.
        """
        with self._lock:
            return find_operation(self._connection, target)

    def forget(self, older_than_days: float) -> int:
        """Delete rows that started, and results that came, longer ago than this; returns how many rows.

        Their space is used again.
        """
        limit = self._clock.unix_nano() - int(older_than_days * _DAY_NANO)
        self._delete(_DELETE_EVALUATIONS, limit)
        return self._delete(_DELETE, limit)

    def _delete(self, statement: str, limit: int) -> int:
        total = 0
        while True:
            with self._lock:
                self._connection.execute("BEGIN IMMEDIATE")
                with self._connection:
                    deleted = self._connection.execute(statement, (limit, _DELETE_ROWS)).rowcount
            total += deleted
            if deleted < _DELETE_ROWS:
                return total

    def close(self) -> None:
        """Close the file. Idempotent; nothing else may be called afterwards."""
        with self._lock:
            self._connection.close()


def _make_folder(path: str) -> None:
    folder = Path(path).parent
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        problem = f"ledger {path}: cannot make the folder {folder} ({reason}); choose another path"
        raise ConfigError([problem]) from error


def _open(path: str, busy_timeout_seconds: float, clock: Clock) -> sqlite3.Connection:
    try:
        # Without an isolation level, the module begins no transactions of its own.
        connection = sqlite3.connect(path, busy_timeout_seconds, isolation_level=None, check_same_thread=False)
    except sqlite3.Error as error:
        raise _unusable(path, error) from error
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        # A crash of the machine may lose the last transactions, never the file.
        connection.execute("PRAGMA synchronous = NORMAL")
        migrate(connection, path, clock)
    except sqlite3.Error as error:
        connection.close()
        raise _unusable(path, error) from error
    except ConfigError:
        connection.close()
        raise
    return connection


def _unusable(path: str, error: sqlite3.Error) -> ConfigError:
    hint = "check space, permissions and who uses it" if may_pass(error) else "move it away to begin a new one"
    return ConfigError([f"ledger {path}: cannot be used ({error}); {hint}"])
