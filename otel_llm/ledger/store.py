"""The ledger: rows in, rows and totals out, old rows away. In a SQLite file, or in PostgreSQL."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final, get_args

from otel_llm.clock import Clock, SystemClock
from otel_llm.ledger.database import Database
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
from otel_llm.ledger.postgres import SCHEMES, PostgresDatabase
from otel_llm.ledger.row import COLUMNS, NAMES, Row
from otel_llm.ledger.sqlite import SqliteDatabase
from otel_llm.ledger.totals import Dimension, Totals, read_totals
from otel_llm.quality.results import Evaluation, Target

_INT64_MAX: Final = 2**63 - 1
_DAY_NANO: Final = 86_400 * 10**9
# Rows deleted in one transaction: other processes that write should not have to wait long.
_DELETE_ROWS: Final = 5000

_INSERT: Final = (
    f"INSERT INTO operations VALUES ({', '.join('?' * len(COLUMNS))}) "  # noqa: S608 - constants
    f"ON CONFLICT (trace_id, span_id) DO UPDATE SET {', '.join(f'{name} = excluded.{name}' for name in NAMES[2:])}"
)
_SELECT: Final = f"SELECT {', '.join(NAMES)} FROM operations WHERE start_unix_nano >= ? ORDER BY start_unix_nano"  # noqa: S608 - constants
_DELETE: Final = "DELETE FROM {table} WHERE {row_id} IN (SELECT {row_id} FROM {table} WHERE {time} < ? LIMIT ?)"


def is_on_a_server(place: str | Path) -> bool:
    """Whether a ledger's place is the URL of a server, and not the path of a file."""
    return isinstance(place, str) and place.startswith(SCHEMES)


class Ledger:
    """One row for each GenAI operation; thread-safe, and safe with several processes on one ledger.

    Args:
        place: the path of a SQLite file, made when it is not there, or `postgresql://user@host/database`. `:memory:`
            keeps it in memory.
        clock: for retention.
        busy_timeout_seconds: with a file, how long to wait for another process that writes.
        password: with a server; None for what libpq finds.

    Raises:
        ConfigError: the file cannot be opened, is no ledger, or is of a newer version. A server is connected to when
            the ledger is first used.
    """

    def __init__(
        self,
        place: str | Path,
        *,
        clock: Clock | None = None,
        busy_timeout_seconds: float = 5.0,
        password: str | None = None,
    ) -> None:
        self._clock = clock or SystemClock()
        self._lock = threading.Lock()
        self._database: Database = (
            PostgresDatabase(str(place), password, self._clock)
            if is_on_a_server(place)
            else SqliteDatabase(str(place), busy_timeout_seconds, self._clock)
        )

    @property
    def place(self) -> str:
        """Where it is, for messages; without credentials."""
        return self._database.place

    def record(self, rows: Iterable[Row]) -> None:
        """Write rows in one transaction: all or none. A row whose span is there already takes its place.

        Raises:
            LedgerError: see there.
        """
        # In one order, so that two processes that write the same rows do not wait for each other.
        ordered = sorted(rows, key=lambda row: (row.trace_id, row.span_id))
        with self._lock, self._database.writing() as statements:
            statements.executemany(_INSERT, ordered)

    def rows(self, since_unix_nano: int = 0, limit: int = 1000, *, newest_first: bool = False) -> list[Row]:
        """Operations that started at or after a time, in the order of their start."""
        statement = f"{_SELECT}{' DESC' if newest_first else ''} LIMIT ?"
        with self._lock, self._database.reading() as statements:
            return [Row._make(values) for values in statements.execute(statement, (since_unix_nano, limit))]

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
        with self._lock, self._database.reading() as statements:
            return read_totals(statements, by, since_unix_nano, until_unix_nano)

    def record_evaluations(self, evaluations: Sequence[Evaluation]) -> list[Recorded]:
        """Write results of evaluations in one transaction; one that came before is replaced unless it is newer.

        Raises:
            LedgerError: see there.
        """
        with self._lock, self._database.writing(alone=True) as statements:
            return record_evaluations(statements, evaluations)

    def evaluations(self, since_unix_nano: int = 0, limit: int = 1000) -> list[StoredEvaluation]:
        """Results that came at or after a time, the newest first."""
        with self._lock, self._database.reading() as statements:
            return read_evaluations(statements, since_unix_nano, limit)

    def find_evaluation(self, evaluation_id: str) -> Evaluation | None:
        """The result of this id, without an explanation; None when there is none.

        Raises:
            LedgerError: the database is locked, away or broken.
        """
        with self._lock, self._database.reading() as statements:
            return find_evaluation(statements, evaluation_id)

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
        with self._lock, self._database.reading() as statements:
            return read_evaluation_totals(statements, by, since_unix_nano)

    def find(self, target: Target) -> Row | None:
        """The operation that a target means; of a whole trace, the call that answered last.

        Raises:
            LedgerError: see there.
        """
        with self._lock, self._database.reading() as statements:
            return find_operation(statements, target)

    def forget(self, older_than_days: float) -> int:
        """Delete rows that started, and results that came, longer ago than this; returns how many rows.

        Their space is used again.
        """
        limit = self._clock.unix_nano() - int(older_than_days * _DAY_NANO)
        self._delete("evaluations", "time_unix_nano", limit)
        return self._delete("operations", "start_unix_nano", limit)

    def _delete(self, table: str, time: str, limit: int) -> int:
        total = 0
        while True:
            with self._lock, self._database.writing() as statements:
                statement = _DELETE.format(table=table, time=time, row_id=statements.dialect.row_id)
                deleted = statements.execute(statement, (limit, _DELETE_ROWS)).rowcount
            total += deleted
            if deleted < _DELETE_ROWS:
                return total

    def close(self) -> None:
        """Let go of it. Idempotent; nothing else may be called afterwards."""
        with self._lock:
            self._database.close()
