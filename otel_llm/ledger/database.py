"""What the ledger needs of a database, and the few words in which SQLite and PostgreSQL differ.

Statements are written once, in what both understand: `?` for values, `FILTER` for sums with a condition, `ON CONFLICT`
for rows that are there. What differs stands in a Dialect.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

Value: TypeAlias = str | int | float | bytes | None


@dataclass(frozen=True, slots=True)
class Dialect:
    """Where two databases differ.

    Attributes:
        row_id: what tells two rows of a table apart, within one statement.
        join: joins the one row `o` of operations, or none, whose row_id is `{row}`; by looking it up.
        day: the day, UTC, of `start_unix_nano`, as YYYY-MM-DD.
    """

    row_id: str
    join: str
    day: str


class Rows(Protocol):
    """What a statement gave."""

    @property
    def rowcount(self) -> int:
        """How many rows were changed."""
        ...

    def fetchone(self) -> Any:  # noqa: ANN401 - a row of any columns
        """The next row, None when there is none."""
        ...

    def __iter__(self) -> Iterator[Any]:
        """All rows that are left."""
        ...


class Statements(Protocol):
    """A connection within a transaction.

    Attributes:
        dialect: the words to use.
    """

    dialect: Dialect

    def execute(self, statement: str, values: Sequence[object] = ()) -> Rows:
        """Execute a statement; `?` stands for a value."""
        ...

    def executemany(self, statement: str, rows: Iterable[Sequence[object]]) -> None:
        """Execute a statement for each of these rows."""
        ...


class Database(Protocol):
    """A database with the ledger's tables. One thread at a time.

    Attributes:
        place: where it is, for messages; without credentials.
    """

    place: str

    def reading(self) -> AbstractContextManager[Statements]:
        """Statements that change nothing.

        Raises:
            LedgerError: see there; by whatever is done within.
        """
        ...

    def writing(self, *, alone: bool = False) -> AbstractContextManager[Statements]:
        """Statements that are carried out all or none.

        Args:
            alone: nobody else may do the same meanwhile; with SQLite, nobody may anyway.

        Raises:
            LedgerError: see there; nothing was changed.
        """
        ...

    def close(self) -> None:
        """Let go of it. Idempotent."""
        ...
