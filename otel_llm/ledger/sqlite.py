"""The ledger in a SQLite file.

One file may be used by several processes and threads: SQLite's write-ahead log lets readers read while one writes, and
a writer waits for another.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from otel_llm.clock import Clock
from otel_llm.errors import ConfigError, LedgerError
from otel_llm.ledger.database import Dialect, Rows, Statements
from otel_llm.ledger.schema import migrate

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
_DIALECT: Final = Dialect(
    row_id="rowid",
    join="LEFT JOIN operations o ON o.rowid = {row}",
    day="date(start_unix_nano / 1000000000, 'unixepoch')",
)


def _may_pass(error: sqlite3.Error) -> bool:
    """Whether trying again later can succeed: the file is locked, the disk full, ..."""
    # The low byte is the condition, the rest says where it arose.
    code: int | None = getattr(error, "sqlite_errorcode", None)
    return code is not None and code & 0xFF in _PASSING


class SqliteDatabase:
    """The file; it and its folder are made when they are not there.

    Args:
        path: where it is; `:memory:` keeps it in memory.
        busy_timeout_seconds: how long to wait for another process that writes.
        clock: dates migrations.

    Raises:
        ConfigError: the file cannot be opened, is no ledger, or is of a newer version.
    """

    dialect = _DIALECT

    def __init__(self, path: str, busy_timeout_seconds: float, clock: Clock) -> None:
        self.place = path
        if path != ":memory:":
            self.place = str(Path(path).expanduser())
            _make_folder(self.place)
        self._connection = self._open(busy_timeout_seconds, clock)

    def _open(self, busy_timeout_seconds: float, clock: Clock) -> sqlite3.Connection:
        try:
            # Without an isolation level, the module begins no transactions of its own.
            connection = sqlite3.connect(
                self.place, busy_timeout_seconds, isolation_level=None, check_same_thread=False
            )
        except sqlite3.Error as error:
            raise self._unusable(error) from error
        self._connection = connection
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            # A crash of the machine may lose the last transactions, never the file.
            connection.execute("PRAGMA synchronous = NORMAL")
            connection.execute("BEGIN IMMEDIATE")
            with connection:
                migrate(self, self.place, clock)
        except sqlite3.Error as error:
            connection.close()
            raise self._unusable(error) from error
        except ConfigError:
            connection.close()
            raise
        return connection

    def execute(self, statement: str, values: Sequence[object] = ()) -> Rows:
        """Execute a statement."""
        return self._connection.execute(statement, values)

    def executemany(self, statement: str, rows: Iterable[Sequence[object]]) -> None:
        """Execute a statement for each of these rows."""
        self._connection.executemany(statement, rows)

    @contextmanager
    def reading(self) -> Iterator[Statements]:
        """Statements that change nothing: they see the file as it was when each began."""
        try:
            yield self
        except sqlite3.Error as error:
            raise self._failure(error) from error

    @contextmanager
    def writing(self, *, alone: bool = False) -> Iterator[Statements]:
        """Statements that are carried out all or none."""
        del alone  # one writes at a time
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            with self._connection:
                yield self
        except sqlite3.Error as error:
            raise self._failure(error) from error

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def _failure(self, error: sqlite3.Error) -> LedgerError:
        may_pass = _may_pass(error)
        hint = "" if may_pass else "; move the file away to begin a new one"
        return LedgerError(f"ledger {self.place}: {error}{hint}", may_pass=may_pass)

    def _unusable(self, error: sqlite3.Error) -> ConfigError:
        hint = "check space, permissions and who uses it" if _may_pass(error) else "move it away to begin a new one"
        return ConfigError([f"ledger {self.place}: cannot be used ({error}); {hint}"])


def _make_folder(path: str) -> None:
    folder = Path(path).parent
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        problem = f"ledger {path}: cannot make the folder {folder} ({reason}); choose another path"
        raise ConfigError([problem]) from error
