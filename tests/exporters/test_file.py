from __future__ import annotations

import json
import resource
import signal as signals
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from otel_llm.codecs.json import to_protobuf
from otel_llm.components import Context
from otel_llm.errors import ConfigError, PermanentError, RetryableError
from otel_llm.exporters.file import Config, FileExporter, RotationConfig, create
from otel_llm.signals import SIGNALS, Payload
from tests.delivery.requests import numbers, payload


@contextmanager
def exporting(context: Context, path: Path | str, **config: object) -> Iterator[FileExporter]:
    exporter = create(Config(path=str(path), **config), context)  # type: ignore[arg-type] # fields of Config
    try:
        yield exporter
    finally:
        exporter.shutdown()


def test_each_payload_is_one_line_that_reads_back_as_it_was(context: Context, tmp_path: Path) -> None:
    path = tmp_path / "made" / "out.jsonl"
    with exporting(context, path, fsync=True) as exporter:
        for signal in SIGNALS:
            exporter.export(payload(1, 4, signal=signal), 1)
    lines = path.read_bytes().splitlines()
    assert [next(iter(json.loads(line))) for line in lines] == ["resourceSpans", "resourceMetrics", "resourceLogs"]
    for signal, line in zip(SIGNALS, lines, strict=True):
        assert numbers(signal, to_protobuf(signal, line)) == [1, 2, 3, 4]


def test_lines_are_appended_to_what_is_there(context: Context, tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    for number in (1, 2):
        with exporting(context, path) as exporter:
            exporter.export(payload(number, 1), 1)
    assert len(path.read_bytes().splitlines()) == 2


def test_a_full_file_is_renamed_and_only_so_many_are_kept(context: Context, tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    rotation = RotationConfig(max_size_mib=0.001, max_backups=2)
    with exporting(context, path, rotation=rotation) as exporter:
        for number in range(1, 21):
            exporter.export(payload(number, 1), 1)
    files = [path, tmp_path / "out.jsonl.1", tmp_path / "out.jsonl.2"]
    assert sorted(tmp_path.iterdir()) == files
    assert all(file.stat().st_size <= 0.001 * 1024 * 1024 for file in files)
    lines = [line for file in reversed(files) for line in file.read_bytes().splitlines()]
    kept = [numbers("traces", to_protobuf("traces", line))[0] for line in lines]
    assert kept == list(range(21 - len(kept), 21))


@contextmanager
def disk_of(size_bytes: int) -> Iterator[None]:
    """No file of this process may grow beyond this size."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signals.signal(signals.SIGXFSZ, signals.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signals.signal(signals.SIGXFSZ, handler)


def test_a_line_that_does_not_fit_on_the_disk_leaves_nothing_behind_and_is_retryable(
    context: Context, tmp_path: Path
) -> None:
    path = tmp_path / "out.jsonl"
    with exporting(context, path) as exporter:
        exporter.export(payload(1, 1), 1)
        size = path.stat().st_size
        with disk_of(size + 100), pytest.raises(RetryableError, match="cannot be written"):
            exporter.export(payload(2, 50), 1)
        assert path.stat().st_size == size
        exporter.export(payload(2, 50), 1)
    assert len([json.loads(line) for line in path.read_bytes().splitlines()]) == 2


def test_standard_output_is_a_dash(context: Context, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    with exporting(context, "-") as exporter:
        exporter.export(payload(1, 1), 1)
    assert json.loads(capfdbinary.readouterr().out)["resourceSpans"]


def test_a_payload_that_is_none_is_permanent(context: Context, tmp_path: Path) -> None:
    with exporting(context, tmp_path / "out.jsonl") as exporter, pytest.raises(PermanentError, match="protobuf"):
        exporter.export(Payload.of("traces", (b"\x0a\xff",), 1), 1)


def test_a_path_that_cannot_be_a_file_is_said_at_start_up(context: Context, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        create(Config(path=str(tmp_path)), context)
    assert caught.value.problems == (
        f"exporters.test.path: expected a file to append to, got {tmp_path} (Is a directory); choose another",
    )


def test_shutdown_may_come_twice(context: Context, tmp_path: Path) -> None:
    with exporting(context, tmp_path / "out.jsonl") as exporter:
        exporter.shutdown()
