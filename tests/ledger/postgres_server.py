"""A PostgreSQL of one's own in a temporary folder, on a Unix socket only, as a user who is not root."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Self

import pytest

_DEADLINE_SECONDS = 50.0
# Debian keeps the programs of each version out of the PATH.
_FOLDERS = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)


def _find(name: str) -> Path | None:
    found = shutil.which(name)
    if found is not None:
        return Path(found)
    return next((folder / name for folder in _FOLDERS if (folder / name).exists()), None)


INITDB, CONTROL = _find("initdb"), _find("pg_ctl")


def _account() -> pwd.struct_passwd | None:
    """Whom the server runs as: initdb refuses root. None when there is nobody."""
    if os.geteuid() != 0:
        return pwd.getpwuid(os.geteuid())
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    return None


MISSING = (
    "initdb and pg_ctl of PostgreSQL are not installed"
    if INITDB is None or CONTROL is None
    else "root cannot run PostgreSQL, and there is nobody else"
    if _account() is None
    else None
)
needs_postgres = pytest.mark.skipif(MISSING is not None, reason=str(MISSING))


class PostgresServer:
    """A server that can be stopped and started again. Not in pytest's folders: the server's user may not read those."""

    def __init__(self) -> None:
        account = _account()
        assert account is not None
        self._account = account
        self.folder = Path(tempfile.mkdtemp(prefix="pg-"))
        os.chown(self.folder, account.pw_uid, account.pw_gid)
        self._databases = 0
        assert INITDB is not None
        self._run(
            INITDB, "-D", str(self.folder / "data"), "-U", "app", "-A", "trust", "-E", "UTF8", "--no-sync", "--locale=C"
        )

    def url(self, database: str = "postgres") -> str:
        return f"postgresql://app@/{database}?host={self.folder}"

    def new_database(self) -> str:
        """The URL of an empty database."""
        import psycopg  # noqa: PLC0415 - an extra

        self._databases += 1
        name = f"test{self._databases}"
        with psycopg.connect(self.url(), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}")
        return self.url(name)

    def start(self) -> None:
        settings = f"-c listen_addresses= -c unix_socket_directories={self.folder} -c fsync=off -c shared_buffers=16MB"
        self._control("start", "-o", settings, "-l", str(self.folder / "log"))

    def stop(self) -> None:
        self._control("stop", "-m", "immediate")

    def close(self) -> None:
        """Stop it and remove everything."""
        if (self.folder / "data" / "postmaster.pid").exists():
            self.stop()
        shutil.rmtree(self.folder)

    def _control(self, command: str, *arguments: str) -> None:
        assert CONTROL is not None
        self._run(CONTROL, command, "-w", "-D", str(self.folder / "data"), *arguments)

    def _run(self, program: Path, *arguments: str) -> None:
        account = self._account
        as_another = {} if os.geteuid() != 0 else {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}
        result = subprocess.run(
            [program, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,  # a server that inherits a pipe would keep it open
            stderr=subprocess.PIPE if program == INITDB else subprocess.DEVNULL,
            timeout=_DEADLINE_SECONDS,
            cwd=self.folder,
            env={"PATH": os.environ.get("PATH", ""), "LC_ALL": "C"},
            check=False,
            **as_another,  # type: ignore[arg-type] # keywords of Popen
        )
        assert result.returncode == 0, f"{program.name} {arguments[0]}: {(result.stderr or b'').decode()}"

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()
