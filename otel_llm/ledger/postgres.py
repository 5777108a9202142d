"""The ledger in PostgreSQL, for gateways on several machines.

Connects when it is first used, and again when the connection was lost. The schema is that of SQLite in PostgreSQL's
words; its types are as wide. PostgreSQL's texts cannot hold the character NUL, which a name from telemetry may have: it
becomes U+FFFD.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import SplitResult, urlsplit, urlunsplit

from otel_llm.clock import Clock
from otel_llm.errors import ConfigError, LedgerError
from otel_llm.ledger.database import Dialect, Rows, Statements
from otel_llm.ledger.schema import migrate

if TYPE_CHECKING:
    import psycopg

SCHEMES: Final = ("postgresql://", "postgres://")
_DIALECT: Final = Dialect(
    row_id="ctid",
    # An ordinary join, or one without OFFSET 0, would read all operations into a hash table.
    join="LEFT JOIN LATERAL (SELECT * FROM operations WHERE ctid = {row} OFFSET 0) o ON TRUE",
    day="to_char(to_timestamp(start_unix_nano / 1000000000) AT TIME ZONE 'UTC', 'YYYY-MM-DD')",
)
# Of all that work on one ledger, one migrates, or looks whether a result is new, at a time. Any number will do.
_LOCK: Final = 0x6F74656C6C6C6D
_CONNECT_SECONDS: Final = 5
_OPTIONS: Final = "-c statement_timeout=20000 -c lock_timeout=10000 -c idle_in_transaction_session_timeout=60000"


class PostgresDatabase:
    """The database.

    Args:
        url: `postgresql://user@host:port/database`, with parameters of libpq such as `?sslmode=verify-full`.
        password: None for what PGPASSWORD, or the password file of libpq, say.
        clock: dates migrations.

    Raises:
        ConfigError: the package `psycopg` is not installed, or the URL holds a password.
    """

    dialect = _DIALECT

    def __init__(self, url: str, password: str | None, clock: Clock) -> None:
        _check_installed()
        parts = urlsplit(url)
        if parts.password is not None:
            raise ConfigError([f"ledger {_place(parts)}: expected no password in the URL; use password, or PGPASSWORD"])
        self.place = _place(parts)
        self._url = url
        self._password = password
        self._clock = clock
        self._connection: psycopg.Connection[Any] | None = None
        self._is_migrated = False

    def execute(self, statement: str, values: Sequence[object] = ()) -> Rows:
        """Execute a statement."""
        return self._connected().execute(_translated(statement), [_value(one) for one in values])

    def executemany(self, statement: str, rows: Iterable[Sequence[object]]) -> None:
        """Execute a statement for each of these rows, without waiting for each."""
        with self._connected().cursor() as cursor:
            cursor.executemany(_translated(statement), [[_value(one) for one in row] for row in rows])

    @contextmanager
    def reading(self) -> Iterator[Statements]:
        """Statements that change nothing, of one moment each."""
        with self._transaction():
            yield self

    @contextmanager
    def writing(self, *, alone: bool = False) -> Iterator[Statements]:
        """Statements that are carried out all or none."""
        with self._transaction():
            if alone:
                self._lock()
            yield self

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        import psycopg  # noqa: PLC0415 - an extra

        try:
            connection = self._connected()
            if not self._is_migrated:
                with connection.transaction():
                    self._lock()
                    migrate(self, self.place, self._clock, _ddl)
                self._is_migrated = True
            with connection.transaction():
                yield
        except ConfigError as error:  # found only now, when nobody starts any more
            raise LedgerError(str(error), may_pass=False) from error
        except psycopg.Error as error:
            if self._connection is not None and self._connection.broken:
                self.close()
            raise self._failure(error) from error

    def _lock(self) -> None:
        self.execute("SELECT pg_advisory_xact_lock(?)", (_LOCK,))

    def _connected(self) -> psycopg.Connection[Any]:
        import psycopg  # noqa: PLC0415 - an extra

        if self._connection is None or self._connection.closed:
            # TCP that nobody answers is given up as everything else is.
            self._connection = psycopg.connect(
                self._url,
                password=self._password,
                autocommit=True,
                connect_timeout=_CONNECT_SECONDS,
                options=_OPTIONS,
                keepalives_idle=30,
                tcp_user_timeout=20_000,
                application_name="otel-llm",
            )
        return self._connection

    def close(self) -> None:
        """Close the connection."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _failure(self, error: psycopg.Error) -> LedgerError:
        import psycopg  # noqa: PLC0415 - an extra

        # Deadlocks, shutdowns, full disks, lost and refused connections are all of this class. Of others, the message
        # may hold values of a row.
        may_pass = isinstance(error, psycopg.OperationalError | psycopg.InterfaceError)
        text = str(error).strip().splitlines()[0] if may_pass and str(error).strip() else ""
        said = f"{type(error).__name__} {error.sqlstate or ''}".strip()
        return LedgerError(f"ledger {self.place}: {text or said}", may_pass=may_pass)


def _check_installed() -> None:
    try:
        import psycopg  # noqa: F401, PLC0415 - an extra
    except ImportError:
        problem = "PostgreSQL needs the package psycopg, which is not installed; pip install 'otel-llm[postgres]'"
        raise ConfigError([problem]) from None


def _place(parts: SplitResult) -> str:
    """The URL without what is nobody's business: password and parameters."""
    host = parts.netloc.rpartition("@")[2]
    user = f"{parts.username}@" if parts.username else ""
    return urlunsplit((parts.scheme, f"{user}{host}", parts.path, "", ""))


@lru_cache(maxsize=256)
def _translated(statement: str) -> bytes:
    """A statement in psycopg's words, where `%` begins a placeholder."""
    return statement.replace("%", "%%").replace("?", "%s").encode()


def _value(value: object) -> object:
    return value.replace("\0", "\ufffd") if isinstance(value, str) and "\0" in value else value


def _ddl(statement: str) -> str:
    """A statement of the schema in PostgreSQL's types."""
    for word, theirs in ((" BLOB", " BYTEA"), (" INTEGER", " BIGINT"), (" REAL", " DOUBLE PRECISION")):
        statement = statement.replace(word, theirs)
    return statement.replace("        user TEXT", '        "user" TEXT')
