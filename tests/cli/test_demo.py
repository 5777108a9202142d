"""`otel-llm demo` as a process: what it prints is what the provider served, and nothing leaves the machine."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from http.client import HTTPConnection
from pathlib import Path
from queue import Empty, Queue
from typing import IO

import pytest

from otel_llm.cli import demo
from otel_llm.demo.report import Call, State
from otel_llm.testing import Destination, OtlpHttpSink

ROOT = Path(__file__).resolve().parents[2]
COMMAND = [sys.executable, "-m", "otel_llm.cli.main", "demo"]
# Loaded by every Python process below it, the application's included; writes down each address spoken to.
SPY = """\
import os, sys
with open(os.environ["SPY_FILE"] + ".pids", "a") as file:
    file.write(f"{os.getpid()}\\n")
def audit(event, arguments):
    if event in ("socket.connect", "socket.getaddrinfo", "socket.sendto"):
        where = arguments[1] if event != "socket.getaddrinfo" else arguments[:2]
        with open(os.environ["SPY_FILE"], "a") as file:
            file.write(f"{os.getpid()} {where[0] if isinstance(where, tuple) else where}\\n")
sys.addaudithook(audit)
"""


def environment(folder: Path, **more: str) -> dict[str, str]:
    """A bare one, with the spy and with proxies that are not there."""
    spy = folder / "spy"
    spy.mkdir()
    (spy / "sitecustomize.py").write_text(SPY)
    proxies = dict.fromkeys(("http_proxy", "HTTPS_PROXY", "ALL_PROXY"), "http://192.0.2.1:9")
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "SYSTEMROOT") if name in os.environ}
    return {
        **kept,
        **proxies,
        "PYTHONPATH": f"{spy}{os.pathsep}{ROOT}",
        "SPY_FILE": str(folder / "spoken-to"),
        "TMPDIR": str(folder),
        "PYTHONUTF8": "1",
        **more,
    }


@dataclass(frozen=True, slots=True)
class Table:
    """The printed table: a dict by heading for each call, and one for the line of totals."""

    calls: list[dict[str, str]]
    total: dict[str, str]


def read_table(text: str) -> Table:
    """Cells stand below their headings; two spaces or more part them, and numbers end where their heading ends."""
    lines = text.splitlines()
    first = next(number for number, line in enumerate(lines) if line.startswith("time UTC"))
    rule = next(number for number, line in enumerate(lines) if line.startswith("──"))
    block = lines[first : rule + 2]
    width = max(map(len, block))
    padded = [line.ljust(width) for line in block]
    blank = [all(line[at] == " " for line in padded if not line.startswith("──")) for at in range(width)]
    columns = [
        match.span() for match in re.finditer(r"(?:0|10(?!1))+", "".join("1" if empty else "0" for empty in blank))
    ]
    cells = [[line[start:end].strip() for start, end in columns] for line in padded]
    return Table(
        [dict(zip(cells[0], row, strict=True)) for row in cells[1:-2]], dict(zip(cells[0], cells[-1], strict=True))
    )


def number(cell: str) -> int:
    return 0 if cell == "-" else int(cell.replace(",", ""))


def money(cell: str) -> Decimal:
    return Decimal(cell.lstrip("~$"))


class Kept:
    """`demo --keep`, and what it has printed so far."""

    def __init__(self, folder: Path) -> None:
        if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
            # A shell starts what is to run in the background so, and children would inherit it.
            signal.signal(signal.SIGINT, signal.default_int_handler)
        self.process = subprocess.Popen(
            [*COMMAND, "--keep"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            env=environment(folder),
        )
        self.lines: Queue[str] = Queue()
        self.text = ""
        assert self.process.stdout is not None
        assert self.process.stderr is not None
        self._readers = [
            threading.Thread(target=self._read, args=(stream,), daemon=True)
            for stream in (self.process.stdout, self.process.stderr)
        ]
        for reader in self._readers:
            reader.start()

    def _read(self, stream: IO[str]) -> None:
        with stream:
            for line in stream:
                self.lines.put(line)

    def wait_for(self, text: str, seconds: float = 50.0) -> None:
        end = time.monotonic() + seconds
        while text not in self.text:
            try:
                self.text += self.lines.get(timeout=max(0.0, end - time.monotonic()))
            except Empty:
                pytest.fail(f"no {text!r} in {seconds} s, only:\n{self.text}")

    def address(self, name: str) -> str:
        found = re.search(rf"^  {name} +(http://\S+)", self.text, re.MULTILINE)
        assert found is not None
        return found[1]

    def close(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            self.process.kill()
        self.process.wait(30)
        for reader in self._readers:
            reader.join(10)


def wait_for_processes(file: Path, wanted: int, seconds: float = 30.0) -> list[int]:
    """The ids of the processes that the spy was loaded by, once there are this many."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found = file.read_text().split()
        if len(found) >= wanted:
            return [int(process) for process in found]
        threading.Event().wait(0.02)
    pytest.fail(f"fewer than {wanted} processes in {seconds} s")


def get(url: str) -> str:
    host, _, path = url.removeprefix("http://").partition("/")
    connection = HTTPConnection(host, timeout=10)
    try:
        connection.request("GET", f"/{path}")
        return connection.getresponse().read().decode()
    finally:
        connection.close()


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kept]:
    """A running demo, shared by the tests that only look at it."""
    running = Kept(tmp_path_factory.mktemp("kept"))
    try:
        running.wait_for("/metrics\n")
        yield running
    finally:
        running.close()


def test_the_table_says_what_the_provider_served(kept: Kept):
    served = json.loads(get(f"{kept.address('provider')}/ledger"))["served"]
    calls = read_table(kept.text).calls
    assert (len(calls), len(served)) == (12, 12 + 36)
    # The application makes one call after the other, and then those of the batch job.
    for call, truth in zip(calls, served, strict=False):
        assert call["model"] == (truth["response_model"] or truth["request_model"])
        assert call["provider"] == ("anthropic" if truth["api"] == "messages" else "openai")
        usage = truth["usage"] if truth["usage_reported"] else None
        assert number(call["in"]) == (usage["input_tokens"] if usage else 0)
        assert number(call["cached"]) == (usage["cache_read_tokens"] if usage else 0)
        assert number(call["out"]) == (usage["output_tokens"] if usage else 0)


def test_each_call_is_priced_or_says_why_not(kept: Kept):
    calls = read_table(kept.text).calls
    assert [call["status"] for call in calls[:9]] == ["priced"] * 9
    assert all(money(call["cost"]) > 0 for call in calls[:9])
    assert [(call["status"], call["cost"]) for call in calls[9:]] == [
        ("unpriced: no_usage", "-"),
        ("unpriced: unknown_model", "-"),
        ("failed: RateLimitError", "-"),
    ]
    assert {call["model"]: call["convention"] for call in calls}["claude-opus-5"] == "anthropic_sdk"


def test_totals_are_the_sums_of_what_is_shown_and_say_that_they_are_partial(kept: Kept):
    table = read_table(kept.text)
    assert money(table.total["cost"]) == sum(money(call["cost"]) for call in table.calls if call["cost"] != "-")
    for heading in ("in", "cached", "out"):
        assert number(table.total[heading]) == sum(number(call[heading]) for call in table.calls)
    assert table.total["status"] == "PARTIAL: 2 without a price"
    assert "provider's own count: 46 of 46 calls agree" in kept.text


def test_what_was_noticed_about_answers_is_said(kept: Kept):
    assert "policy (in shadow): warn on acme-support-7b" in kept.text
    assert "signal   refusal on 12 of 36 calls" in kept.text
    assert re.search(r"drift    refusal went up from 2.00% to \d+.\d+% since .*ticket-summaries", kept.text)
    assert re.search(r"judge    faithful-summary: pass; \d+ judged \(by the provider's stand-in", kept.text)


def test_kept_it_takes_telemetry_and_shows_what_it_counts(kept: Kept):
    assert get(kept.address("metrics").replace("/metrics", "/readyz")) == "ready\n"
    assert "otel_llm_" in get(kept.address("metrics"))


@pytest.mark.skipif(os.name == "nt", reason="signals are sent to processes on POSIX only")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_what_was_kept(tmp_path: Path, number: signal.Signals):
    running = Kept(tmp_path)
    try:
        running.wait_for("/metrics\n")
        running.process.send_signal(number)
        assert running.process.wait(30) == 0
        running.wait_for("stopping")
    finally:
        running.close()


@pytest.mark.skipif(os.name == "nt", reason="signals are sent to processes on POSIX only")
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_on_the_way_stops_the_application_as_well(tmp_path: Path, number: signal.Signals, code: int):
    running = Kept(tmp_path)
    try:
        running.wait_for("application ")
        processes = wait_for_processes(tmp_path / "spoken-to.pids", 2)
        running.process.send_signal(number)
        assert running.process.wait(30) == code
    finally:
        running.close()
    for process in processes:
        with pytest.raises(ProcessLookupError):
            os.kill(process, 0)


def test_it_stops_by_itself_sends_on_what_it_took_and_speaks_to_this_machine_only(tmp_path: Path):
    destination = Destination()
    with OtlpHttpSink(destination) as sink:
        settings = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": sink.endpoint,
            "OTEL_EXPORTER_OTLP_HEADERS": "authorization=Bearer%20s3cret",
        }
        done = subprocess.run(
            COMMAND,
            capture_output=True,
            encoding="utf-8",
            env=environment(tmp_path, **settings),
            check=False,
            timeout=55,
        )
    assert done.returncode == 0, done.stderr
    assert "46 of 46 calls agree" in done.stdout
    assert f"sent on to {sink.endpoint}: 58 spans\n" in done.stdout
    assert any(b"acme-support-7b" in received.body for received in destination.accepted)
    assert {received.headers["authorization"] for received in destination.accepted} == {"Bearer s3cret"}
    processes, addresses = zip(*map(str.split, (tmp_path / "spoken-to").read_text().splitlines()), strict=True)
    assert set(addresses) <= {"127.0.0.1", "localhost"}
    assert len(set(processes)) == 2  # the gateway's and the application's
    assert "s3cret" not in done.stdout + done.stderr
    assert "WARNING" not in done.stderr


def test_what_is_missing_is_named_with_what_to_do(tmp_path: Path):
    (tmp_path / "run.py").write_text(
        "import sys\n"
        "sys.modules['openai'] = None\n"  # as if it were not installed
        "from otel_llm.cli.main import main\n"
        "sys.exit(main(['demo']))\n"
    )
    done = subprocess.run(
        [sys.executable, str(tmp_path / "run.py")],
        capture_output=True,
        encoding="utf-8",
        env=environment(tmp_path),
        check=False,
        timeout=55,
    )
    assert done.returncode == 1
    assert done.stderr == ("otel-llm: a problem:\n  demo: openai not installed; run: pip install 'otel-llm[demo]'\n")


def call(**other: str) -> Call:
    cells = {
        "time": "12:00:00",
        "service": "support-assistant",
        "operation": "embeddings",
        "provider": "anthropic",
        "model": "claude-haiku-4-5-20251001",
        "requested": "claude-haiku-4-5",
        "input": "1,643",
        "cached": "1,635",
        "output": "26",
        "cost": "$0.00218175",
        "status": "unpriced: unknown_model",
        "latency": "458 ms",
        "convention": "anthropic_sdk",
    }
    return Call(state=State.UNPRICED, **{**cells, **other})


@pytest.mark.parametrize("width", [90, 100, 120, 130, 145, 160, 200])
def test_the_table_is_no_wider_than_the_terminal_and_keeps_its_figures(width: int):
    text = demo._table([call()], call(status="PARTIAL: 2 without a price"), width)
    assert max(map(len, text.splitlines())) <= width
    for figure in ("1,643", "1,635", "26", "$0.00218175", "458 ms", "unpriced", "PARTIAL"):
        assert figure in text


def test_a_wide_terminal_shows_everything():
    text = demo._table([call()], None, 200)
    assert {"support-assistant", "claude-haiku-4-5-20251001", "anthropic_sdk", "unknown_model"} <= set(
        re.split(r"[ \n]+", text)
    )
