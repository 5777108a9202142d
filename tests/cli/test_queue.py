"""`otel-llm queue` on real queues."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from otel_llm.cli.main import main
from otel_llm.clock import SystemClock
from otel_llm.delivery.config import BatchConfig, Config, DiskConfig, QueueConfig
from otel_llm.delivery.delivery import Delivery
from otel_llm.telemetry import Metrics
from otel_llm.testing import Destination, InMemoryExporter
from tests.delivery.requests import numbers, payload

BAD = {3, 7}


@pytest.fixture
def settings(tmp_path: Path) -> Config:
    disk = DiskConfig(directory=str(tmp_path / "queues"))
    return Config(sending_queue=QueueConfig(disk=disk, batch=BatchConfig(flush_timeout_seconds=0.01)))


@pytest.fixture
def file(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "gateway.yaml"
    path.write_text(f"""
receivers: {{otlp: }}
exporters:
  otlp_http/main:
    endpoint: http://127.0.0.1:9
    sending_queue: {{disk: {{directory: {tmp_path / "queues"}}}}}
service: {{pipelines: {{traces: {{receivers: [otlp], exporters: [otlp_http/main]}}}}}}
""")
    return path


def deliver(settings: Config, destination: Destination, *offers: int) -> Delivery:
    made = Delivery("otlp_http/main", InMemoryExporter(destination), settings, Metrics(), clock=SystemClock())
    for number in offers:
        made.offer(payload(number, 1))
    made.start()
    assert made.force_flush(5)
    return made


def refuse_some(settings: Config) -> None:
    """Leaves two spans refused and two that were never tried."""
    picky = Destination(refuses=lambda signal, body: bool(BAD & set(numbers(signal, body))))
    made = deliver(settings, picky, *range(1, 11))
    made.shutdown(5)
    made = Delivery("otlp_http/main", InMemoryExporter(), settings, Metrics())
    made.offer(payload(20, 2))
    made.shutdown(0)


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, object]]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_inspect_shows_what_waits_and_what_was_refused(
    settings: Config, file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    refuse_some(settings)
    assert main(["queue", "inspect", "--config", str(file), "--json"]) == 0
    found = {str(one["name"]): one for one in lines(capsys)}
    assert found["traces"]["items"] == 2
    assert found["dead_letters"]["items"] == 2
    assert {one["exporter"] for one in found.values()} == {"otlp_http/main"}
    assert {one["is_in_use"] for one in found.values()} == {False}
    assert main(["queue", "inspect", "--config", str(file)]) == 0
    assert "dead_letters" in capsys.readouterr().out


def test_inspect_tells_why_each_was_refused_and_never_what_it_holds(
    settings: Config, file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    refuse_some(settings)
    assert main(["queue", "inspect", "--letters", "--config", str(file)]) == 0
    out = capsys.readouterr().out
    assert out.count("permanent_error: something in it is invalid") == 2
    assert "xxxx" not in out


def test_inspect_works_while_a_process_uses_the_queue_and_changes_nothing(
    settings: Config, file: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    made = deliver(settings, Destination(), 1)
    while made._queue.sizes():  # the worker notes what it has settled just after it was counted
        threading.Event().wait(0.001)
    before = sorted((str(path), path.stat().st_mtime_ns) for path in tmp_path.rglob("*"))
    assert main(["queue", "inspect", "--directory", str(tmp_path / "queues"), "--json"]) == 0
    assert {one["is_in_use"] for one in lines(capsys)} == {True}
    assert sorted((str(path), path.stat().st_mtime_ns) for path in tmp_path.rglob("*")) == before
    assert main(["queue", "replay", "--config", str(file)]) == 1
    assert "is used by another process" in capsys.readouterr().err
    made.shutdown(5)


def test_replay_puts_what_was_refused_into_the_queue_again(
    settings: Config, file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    refuse_some(settings)
    assert main(["queue", "replay", "--config", str(file)]) == 0
    assert capsys.readouterr().out == "otlp_http/main: 2 items are queued again, 0 left\n"
    destination = Destination()
    deliver(settings, destination).shutdown(5)
    assert sorted(number for r in destination.accepted for number in numbers(r.signal, r.body)) == [3, 7, 20, 21]
    assert main(["queue", "replay", "--config", str(file)]) == 0
    assert capsys.readouterr().out == "otlp_http/main: 0 items are queued again, 0 left\n"


def test_purge_deletes_what_was_refused_and_what_waits_only_when_told_to(
    settings: Config, file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    refuse_some(settings)
    assert main(["queue", "purge", "--config", str(file)]) == 0
    assert capsys.readouterr().out == "otlp_http/main: 2 refused items deleted\n"
    assert main(["queue", "purge", "--queued", "--config", str(file)]) == 0
    assert "otlp_http/main: 2 waiting items deleted" in capsys.readouterr().out
    destination = Destination()
    deliver(settings, destination).shutdown(5)
    assert destination.received == []


def test_a_configuration_without_such_a_queue_is_a_problem(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["queue", "inspect", "--exporter", "other", "--config", str(file)]) == 1
    assert "no queue on disk of exporter other" in capsys.readouterr().err
