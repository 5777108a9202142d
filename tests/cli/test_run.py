"""`otel-llm run` as a process, told what to do by signals."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path
from queue import Empty, Queue
from typing import IO

import pytest

from otel_llm.testing import unused_port
from tests.delivery.requests import traces

THREE_SPANS = traces(1, 3).SerializeToString()
CONFIGURATION = """\
receivers: {otlp: {protocols: {http: {endpoint: "127.0.0.1:0"}}}}
exporters: {file: {path: FOLDER/out.jsonl}}
service:
  admin: {endpoint: "127.0.0.1:PORT"}
  pipelines: {traces: {receivers: [otlp], exporters: [file]}}
"""


class Gateway:
    """A running process and the lines it writes to standard error."""

    def __init__(self, file: Path) -> None:
        command = [sys.executable, "-m", "otel_llm.cli.main", "run", "--config", str(file)]
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        self._lines: Queue[str] = Queue()
        assert self.process.stderr is not None
        threading.Thread(target=self._read, args=(self.process.stderr,), daemon=True).start()

    def _read(self, stream: IO[str]) -> None:
        for line in stream:
            self._lines.put(line)

    def wait_for(self, text: str, seconds: float = 30.0) -> str:
        """The next line that contains the text."""
        end = time.monotonic() + seconds
        seen = []
        while True:
            try:
                seen.append(self._lines.get(timeout=max(0.0, end - time.monotonic())))
            except Empty:
                pytest.fail(f"no line with {text!r} in {seconds} s, only {seen}")
            if text in seen[-1]:
                return seen[-1]

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        return self.process.wait(30)


@pytest.fixture
def port() -> int:
    """A port of this machine that nothing listens on."""
    return unused_port()


@pytest.fixture
def file(tmp_path: Path, port: int) -> Path:
    path = tmp_path / "gateway.yaml"
    path.write_text(CONFIGURATION.replace("FOLDER", str(tmp_path)).replace("PORT", str(port)))
    return path


@pytest.fixture
def gateway(file: Path) -> Iterator[Gateway]:
    running = Gateway(file)
    yield running
    if running.process.poll() is None:
        running.process.kill()
    running.process.wait(30)
    if running.process.stderr is not None:
        running.process.stderr.close()


def status_of(port: int, path: str) -> int:
    connection = HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", path)
        return connection.getresponse().status
    finally:
        connection.close()


@pytest.mark.skipif(os.name == "nt", reason="signals are sent to processes on POSIX only")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_runs_until_a_signal_and_ends_with_0(gateway: Gateway, port: int, number: signal.Signals):
    gateway.wait_for("running the configuration of")
    assert status_of(port, "/readyz") == 200
    assert gateway.stop(number) == 0
    gateway.wait_for("stopping")


@pytest.mark.skipif(os.name == "nt", reason="signals are sent to processes on POSIX only")
def test_a_second_signal_stops_it_at_once_and_says_what_was_not_delivered(file: Path):
    otlp = unused_port()
    dead = f"otlp_http: {{endpoint: 'http://127.0.0.1:{unused_port()}'}}"
    text = file.read_text().replace("127.0.0.1:0", f"127.0.0.1:{otlp}").replace("[file]", "[otlp_http]")
    file.write_text(re.sub(r"file: {path: [^}]*}", dead, text))
    running = Gateway(file)
    try:
        running.wait_for("running the configuration of")
        connection = HTTPConnection("127.0.0.1", otlp, timeout=10)
        connection.request("POST", "/v1/traces", THREE_SPANS, {"content-type": "application/x-protobuf"})
        assert connection.getresponse().status == 200
        connection.close()
        running.process.send_signal(signal.SIGTERM)
        running.wait_for("stopping")
        assert running.stop() == 130
        assert "3 items were not delivered before" in running.wait_for("told to stop at once")
    finally:
        running.process.kill()
        running.process.wait(30)
        assert running.process.stderr is not None
        running.process.stderr.close()


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="there is no SIGHUP here")
def test_a_reload_is_refused_with_its_reason_and_the_old_configuration_goes_on(gateway: Gateway, file: Path, port: int):
    gateway.wait_for("running the configuration of")
    right = file.read_text()
    file.write_text(right.replace("[otlp]", "[oltp]"))
    gateway.process.send_signal(signal.SIGHUP)
    assert "no receiver 'oltp' in receivers; did you mean 'otlp'?" in gateway.wait_for("not reloaded")
    assert status_of(port, "/readyz") == 200
    file.write_text(right)
    gateway.process.send_signal(signal.SIGHUP)
    gateway.wait_for("configuration reloaded")
    assert status_of(port, "/readyz") == 200
    assert gateway.stop() == 0


def test_a_wrong_configuration_does_not_start(file: Path):
    file.write_text(file.read_text().replace("[otlp]", "[oltp]"))
    command = [sys.executable, "-m", "otel_llm.cli.main", "run", "--config", str(file)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 1
    assert done.stderr.startswith("otel-llm: a problem:\n  service.pipelines.traces.receivers[0]: no receiver 'oltp'")


def test_a_port_that_is_taken_is_named_with_its_setting(file: Path, port: int):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", port))
        taken.listen()
        command = [sys.executable, "-m", "otel_llm.cli.main", "run", "--config", str(file)]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 1
    assert f"service.admin.endpoint: cannot listen on 127.0.0.1:{port}" in done.stderr
