"""Backends as programs: what is installed by `python -m tests.backends_real.run`, and what runs for a test.

Everything lies in `backends` in the tool cache (tests/tool_cache.py), a folder by name and version. A test of a
backend that is not there skips and says with which command it comes: nobody is surprised by half a gigabyte.
"""

from __future__ import annotations

import http.client
import json
import os
import shutil
import subprocess
import threading
import time
import venv
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.tool_cache import tool_cache

START_SECONDS = 240
# For a test that starts a backend on a machine that is busy with others.
BACKEND_MARKS = [pytest.mark.slow, pytest.mark.timeout(600)]
# Python packages with the versions that docs/backends/ tells of.
PACKAGES = {"phoenix": "arize-phoenix==20.26.1", "mlflow": "mlflow==3.17.2"}
MODULES = {
    "jaeger": "github.com/jaegertracing/jaeger/cmd/jaeger@v1.76.0",
    "victorialogs": "github.com/VictoriaMetrics/VictoriaLogs/app/victoria-logs@v1.52.1",
}
BACKENDS = (*PACKAGES, *MODULES)
_DONE = "whole"


def folder_of(name: str) -> Path:
    """Where a backend is, or would be."""
    wanted = {**PACKAGES, **MODULES}[name]
    return tool_cache() / "backends" / wanted.rpartition("/")[2].replace("==", "-").replace("@", "-")


def prepare(name: str) -> None:
    """Install a backend, once.

    Raises:
        subprocess.CalledProcessError: it cannot be had here.
    """
    folder = folder_of(name)
    if (folder / _DONE).exists():
        return
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "bin").mkdir(parents=True)
    if name in PACKAGES:
        venv.create(folder, with_pip=True)
        python = folder / "bin" / "python"
        # uv, as pip takes minutes to unpack and compile what uv has in seconds.
        subprocess.run([python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "uv"], check=True)
        install = [python, "-m", "uv", "pip", "install", "--quiet", "--python", python, PACKAGES[name]]
        subprocess.run(install, check=True)
    else:
        for command in (
            ["go", "mod", "init", "backend"],
            ["go", "get", "-tool", MODULES[name]],
            ["go", "build", "-o", f"bin/{name}", MODULES[name].partition("@")[0]],
        ):
            subprocess.run(command, cwd=folder, check=True)
    (folder / _DONE).touch()


def program(name: str, command: str | None = None) -> Path:
    """The path of one of its programs; skips the test where it is not."""
    folder = folder_of(name)
    if not (folder / _DONE).exists():
        pytest.skip(f"{folder.name} is not installed: python -m tests.backends_real.run {name}")
    return folder / "bin" / (command or name)


@dataclass(frozen=True, slots=True)
class Backend:
    """One that runs; asked over its own HTTP interface."""

    port: int

    @property
    def endpoint(self) -> str:
        """Where it is."""
        return f"http://127.0.0.1:{self.port}"

    def ask(self, path: str, body: object = None) -> tuple[int, bytes]:
        """Status and body of the answer to a GET, or to a POST of JSON."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            if body is None:
                connection.request("GET", path)
            else:
                connection.request("POST", path, json.dumps(body), {"content-type": "application/json"})
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def json(self, path: str, body: object = None) -> Any:
        """A successful answer."""
        status, answer = self.ask(path, body)
        assert status == 200, f"{path}: {status} {answer[:500]!r}"
        return json.loads(answer)

    def wait_for(self, what: Callable[[], object], seconds: float = 60) -> None:
        """Wait until something is so; backends store what they have taken in their own time."""
        deadline = time.monotonic() + seconds
        while not what():
            assert time.monotonic() < deadline, f"not within {seconds} s"
            threading.Event().wait(0.2)


@contextmanager
def started(
    command: Sequence[str | Path], backend: Backend, ready: str, folder: Path, environment: Mapping[str, str]
) -> Iterator[Backend]:
    """A backend as a process, until it answers 200 at the path `ready`; its log is in the folder."""
    own = {"PATH": os.environ["PATH"], "HOME": str(folder), **environment}
    with (folder / "backend.log").open("wb") as log:
        process = subprocess.Popen(
            list(map(str, command)), cwd=folder, env=own, stdout=log, stderr=log, start_new_session=True
        )
        try:
            backend.wait_for(lambda: _answers(backend, ready, process, folder), START_SECONDS)
            yield backend
        finally:
            _end(process)


def _answers(backend: Backend, ready: str, process: subprocess.Popen[bytes], folder: Path) -> bool:
    log = folder / "backend.log"
    assert process.poll() is None, f"it ended:\n{log.read_text(errors='replace')[-3000:]}"
    try:
        return backend.ask(ready)[0] == 200
    except OSError:
        return False


def _end(process: subprocess.Popen[bytes]) -> None:
    """Its workers as well: they are of its session."""
    if process.poll() is None:
        os.killpg(process.pid, 15)
    try:
        process.wait(30)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, 9)
        process.wait()
