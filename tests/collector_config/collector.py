"""The OpenTelemetry Collector of `collector-config/otelcol-builder.yaml`: built once, cached, and run for tests.

    pytestmark = COLLECTOR_MARKS                       # slow, with the time that a first build takes

    def test_something(tmp_path):
        with Collector(tmp_path, CONFIG, environment={"GATEWAY": "127.0.0.1:4317"}) as collector: ...

`binary()` is its path. The build (some minutes, once a machine) lies in the tool cache (tests/tool_cache.py), by the
manifest's content. Where there is no Go, or its modules cannot be had, tests skip and say so; what does not compile
fails. `python -m tests.collector_config.collector` builds it and prints its path.
"""

from __future__ import annotations

import fcntl
import functools
import hashlib
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import pytest

from tests.tool_cache import tool_cache, why_not_built

PROJECT = Path(__file__).resolve().parents[2]
MANIFEST = PROJECT / "collector-config" / "otelcol-builder.yaml"
# The first test of a machine waits for the build, or for another process that builds.
BUILD_SECONDS = 2400
COLLECTOR_MARKS = [pytest.mark.slow, pytest.mark.timeout(BUILD_SECONDS)]

_NAME = "otelcol-llm"
_START_SECONDS = 60
_STOP_SECONDS = 30
_READY = "Everything is ready. Begin running and processing data."


class NotToBeHad(Exception):  # noqa: N818 - not an error: a machine may be without
    """There is no Collector on this machine, and why."""


def builder_version(manifest: str) -> str:
    """Of the Collector's builder, as the manifest's comment says to install it."""
    found = re.search(r"collector/cmd/builder@(v[\d.]+)", manifest)
    assert found is not None, "the manifest says which builder it wants"
    return found[1]


def binary() -> Path:
    """The Collector; skips the test with a plain reason where it cannot be had."""
    try:
        return built()
    except NotToBeHad as reason:
        pytest.skip(str(reason))


@functools.cache
def _outcome() -> Path | NotToBeHad:
    try:
        return _build_once()
    except NotToBeHad as reason:
        return reason


def built() -> Path:
    """The Collector; asks for it once in a process, as a build that failed would fail again.

    Raises:
        NotToBeHad: no Go, or no modules.
    """
    outcome = _outcome()
    if isinstance(outcome, NotToBeHad):
        raise outcome
    return outcome


def _fingerprint(manifest: str) -> str:
    says = [builder_version(manifest), *(line for line in manifest.splitlines() if line and not line.startswith("#"))]
    return hashlib.sha256("\n".join(says).encode()).hexdigest()[:12]


def _build_once() -> Path:
    manifest = MANIFEST.read_text()
    folder = tool_cache() / "otelcol" / _fingerprint(manifest)
    ready = folder / _NAME
    if ready.exists():
        return ready
    if shutil.which("go") is None:
        raise NotToBeHad("go is not installed: CONTRIBUTING.md says what the tests with a Collector need")
    forbidden = why_not_built("otelcol")
    if forbidden is not None:
        raise NotToBeHad(forbidden)
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not ready.exists():
            _build(folder, manifest)
    return ready


def _build(folder: Path, manifest: str) -> None:
    version, source = builder_version(manifest), folder / "source"
    here = {"GOBIN": str(folder), "GOFLAGS": "-buildvcs=false"}
    _fetch(["go", "install", f"go.opentelemetry.io/collector/cmd/builder@{version}"], folder, here)
    shutil.rmtree(source, ignore_errors=True)
    source.mkdir()
    (source / "builder.yaml").write_text(re.sub(r"(?m)^  output_path: .*$", "  output_path: .", manifest))
    # Its last step is `go mod tidy`, which wants the modules of the components' tests too; the one after does without.
    subprocess.run(
        [folder / "builder", "--config", "builder.yaml", "--skip-compilation"],
        cwd=source, env={**os.environ, **here}, capture_output=True, check=False, timeout=BUILD_SECONDS,
    )  # fmt: skip
    _fetch(["go", "mod", "tidy", "-e"], source, here)
    _fetch(["go", "list", "-deps", "."], source, here)
    unfinished = folder / "unfinished"
    done = _go(["go", "build", "-ldflags=-s -w", "-o", str(unfinished), "."], source, here)
    assert done.returncode == 0, f"the Collector does not compile:\n{done.stderr[-4000:]}"
    unfinished.rename(folder / _NAME)
    shutil.rmtree(source)


def _go(command: Sequence[str], folder: Path, environment: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, cwd=folder, env={**os.environ, **environment}, capture_output=True, text=True, check=False,
        timeout=BUILD_SECONDS,
    )  # fmt: skip


def _fetch(command: Sequence[str], folder: Path, environment: Mapping[str, str]) -> None:
    done = _go(command, folder, environment)
    if done.returncode != 0:
        said = done.stderr.strip().splitlines() or ["nothing"]
        raise NotToBeHad(f"the Collector's modules cannot be had here: {' '.join(command[:3])} said {said[-1]}")


def validate(*configs: Path | str, environment: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """What the Collector's own `validate` says of configurations."""
    return subprocess.run(
        [binary(), "validate", *(f"--config={config}" for config in configs)],
        env={"PATH": "/usr/bin:/bin", **(environment or {})}, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip


class Collector:
    """A Collector that runs; its own metrics are switched off, as they want a port of their own.

    Args:
        folder: where it works.
        configs: files, or YAML text; each is laid over those before it.
        environment: the variables that they name.
    """

    def __init__(self, folder: Path, *configs: Path | str, environment: Mapping[str, str] | None = None) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._command = [str(binary()), "--set=service.telemetry.metrics.level=none"]
        for number, config in enumerate(configs):
            path = folder / f"collector{number}.yaml" if isinstance(config, str) else config
            if isinstance(config, str):
                path.write_text(config)
            self._command.append(f"--config={path}")
        self._environment = {"PATH": "/usr/bin:/bin", **(environment or {})}
        self._folder = folder
        self._process: subprocess.Popen[str] | None = None
        self._lines: list[str] = []
        self._ended = False
        self._said = threading.Condition()
        self._reader: threading.Thread | None = None

    @property
    def log(self) -> str:
        """What it has logged, of all its processes."""
        with self._said:
            return "".join(self._lines)

    @property
    def process(self) -> subprocess.Popen[str]:
        """The process that runs."""
        assert self._process is not None, "the Collector was not started"
        return self._process

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()

    def start(self) -> None:
        """Start it, and wait until it takes telemetry."""
        before = self.log.count(_READY)
        self._ended = False
        self._process = subprocess.Popen(
            self._command, cwd=self._folder, env=self._environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
            text=True,
        )  # fmt: skip
        self._reader = threading.Thread(target=self._read, args=(self._process,), daemon=True)
        self._reader.start()
        self.wait_for_log(lambda log: log.count(_READY) > before, _START_SECONDS)

    def _read(self, process: subprocess.Popen[str]) -> None:
        assert process.stderr is not None
        for line in process.stderr:
            with self._said:
                self._lines.append(line)
                self._said.notify_all()
        with self._said:
            self._ended = True
            self._said.notify_all()

    def wait_for_log(self, condition: Callable[[str], bool], seconds: float = 20) -> None:
        """Wait until the log is so."""
        with self._said:
            self._said.wait_for(lambda: self._ended or condition("".join(self._lines)), seconds)
            found = condition("".join(self._lines))
        assert found, f"the Collector did not say it in {seconds} s:\n{self.log[-4000:]}"

    def kill(self) -> None:
        """As kill -9."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """Let it end; what it holds in memory is sent if it can be."""
        self._end(signal.SIGTERM)

    def _end(self, how: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.send_signal(how)
        try:
            process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        assert self._reader is not None
        self._reader.join(_STOP_SECONDS)
        assert process.stderr is not None
        process.stderr.close()


if __name__ == "__main__":
    sys.stdout.write(f"{built()}\n")
