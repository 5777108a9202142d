"""Look into queues on disk, and at what destinations refused for good.

    inspect    what waits and what was refused; changes nothing, also while the gateway runs
    replay     put what was refused into the queue again, for the next start of the gateway
    purge      delete what was refused; with --queued also what waits

The queues are those of --config, or with --directory all that are found there. replay and purge need the gateway to be
stopped. Content is never shown.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import msgspec

from otel_llm.cli.options import add_config_options, load_settings
from otel_llm.cli.tables import Column, is_rich, render_table
from otel_llm.clock import SystemClock
from otel_llm.config.workers import worker_folders
from otel_llm.delivery.config import DiskConfig, QueueConfig
from otel_llm.delivery.disk_queue import DiskQueue
from otel_llm.delivery.storage import Storage, exporter_folder
from otel_llm.delivery.survey import LogSurvey, dead_letters, exporters_in, survey
from otel_llm.errors import ConfigError, RefusedError
from otel_llm.signals import Payload
from otel_llm.telemetry import Metrics

_LOG_COLUMNS: Final[tuple[Column, ...]] = (
    Column("exporter"),
    Column("log"),
    Column("items", "right"),
    Column("bytes on disk", "right"),
    Column("files", "right"),
    Column("damaged bytes", "right"),
    Column("oldest"),
    Column("in use"),
)
_LETTER_COLUMNS: Final[tuple[Column, ...]] = (
    Column("exporter"),
    Column("when"),
    Column("signal"),
    Column("items", "right"),
    Column("bytes", "right"),
    Column("why", width=100),
)


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("action", choices=("inspect", "replay", "purge"))
    add_config_options(parser)
    parser.add_argument("--directory", metavar="DIR", help="look here instead of where the configuration says")
    parser.add_argument("--exporter", metavar="NAME", help="this exporter's queue only")
    parser.add_argument("--letters", action="store_true", help="inspect: every item that was refused, with the reason")
    parser.add_argument("--json", action="store_true", help="inspect: one JSON object a line")
    parser.add_argument("--queued", action="store_true", help="purge: also what waits and was not refused")


def run(options: argparse.Namespace) -> int:
    """Do what the action says.

    Raises:
        ConfigError: the configuration is wrong, has no such queue, or a process uses it.
    """
    queues = _queues(options)
    if options.action == "inspect":
        _inspect(queues, letters=options.letters, as_json=options.json)
    else:
        for one in queues:
            queue = Storage(Metrics(), SystemClock()).open(one.exporter, QueueConfig(), one.disk)
            try:
                if options.action == "replay":
                    _replay(one.name, queue)
                else:
                    _purge(one.name, queue, queued=options.queued)
            finally:
                queue.release()
    return 0


@dataclass(frozen=True, slots=True)
class _Place:
    """A queue on disk. The `name` is that of its exporter, and of the worker when it is not the first one's."""

    name: str
    exporter: str
    disk: DiskConfig


def _queues(options: argparse.Namespace) -> list[_Place]:
    """Which queues are meant."""
    if options.directory:
        folders = [options.directory, *worker_folders(options.directory).values()]
        exporters = {name for folder in folders for name in exporters_in(Path(folder))}
        disks = {name: DiskConfig(directory=options.directory) for name in sorted(exporters)}
    else:
        settings = load_settings(options)
        configured = {one.id: one.delivery.sending_queue.disk for one in settings.exporters}
        configured |= {one.id: getattr(one.config, "disk", None) for one in settings.connectors}
        disks = {name: disk for name, disk in configured.items() if disk is not None}
    found = [
        place
        for exporter, disk in disks.items()
        if options.exporter in (None, exporter)
        for place in _places(exporter, disk)
    ]
    if not found:
        where = options.directory or options.config or "the defaults"
        what = f"exporter {options.exporter}" if options.exporter else "any exporter"
        raise ConfigError([f"{where}: no queue on disk of {what}; see sending_queue.disk in docs/configuration.md"])
    return found


def _places(exporter: str, disk: DiskConfig) -> Iterator[_Place]:
    """The queue of an exporter, and those of further workers."""
    yield _Place(exporter, exporter, disk)
    for number, folder in worker_folders(disk.directory).items():
        if exporter_folder(folder, exporter).is_dir():
            name = f"{exporter} (worker {number})"
            yield _Place(name, exporter, msgspec.structs.replace(disk, directory=folder))


def _inspect(queues: list[_Place], *, letters: bool, as_json: bool) -> None:
    folders = {one.name: exporter_folder(one.disk.directory, one.exporter) for one in queues}
    if letters:
        rows = [row for name, folder in folders.items() for row in _letters(name, folder)]
        columns = _LETTER_COLUMNS
        objects = [dict(zip((column.heading for column in columns), row, strict=True)) for row in rows]
    else:
        logs = [log for name, folder in folders.items() for log in survey(folder, name)]
        rows = [_log_row(log) for log in logs]
        columns = _LOG_COLUMNS
        objects = [asdict(log) for log in logs]
    if as_json:
        for one in objects:
            print(json.dumps(one))
    else:
        print(render_table(columns, rows, bold=is_rich()), end="")


def _letters(exporter: str, folder: Path) -> Iterator[list[str]]:
    for record in dead_letters(folder):
        payload = record.payload
        when = _time(record.accepted_unix_nano)
        yield [exporter, when, payload.signal, str(payload.items), str(payload.size_bytes), record.note]


def _log_row(log: LogSurvey) -> list[str]:
    oldest = "-" if log.oldest_unix_nano is None else _time(log.oldest_unix_nano)
    figures = [str(number) for number in (log.items, log.disk_bytes, log.segments, log.damaged_bytes)]
    return [log.exporter, log.name, *figures, oldest, "yes" if log.is_in_use else "no"]


def _time(unix_nano: int) -> str:
    try:
        return datetime.fromtimestamp(unix_nano // 10**9, UTC).strftime("%Y-%m-%d %H:%M:%SZ")
    except (ValueError, OverflowError):  # the clock was wrong
        return "-"


def _replay(exporter: str, queue: DiskQueue) -> None:
    """Each goes into the queue before it leaves the dead letters: stopped half-way, one may be in both."""
    letters = queue.shelf.dead_letters
    items = 0
    while (record := letters.read()) is not None:
        try:
            _put(queue, record.payload)
        except RefusedError as error:
            sys.stderr.write(f"{exporter}: stopped: {error}; start the gateway, and replay the rest later\n")
            break
        letters.settle(record)
        items += record.payload.items
    print(f"{exporter}: {items} items are queued again, {letters.items()} left")


def _put(queue: DiskQueue, payload: Payload) -> None:
    if not queue.reserve(payload):
        raise RefusedError(queue.problem() or "the queue is full")
    queue.secure(payload.signal, queue.put(payload))


def _purge(exporter: str, queue: DiskQueue, *, queued: bool) -> None:
    letters = queue.shelf.dead_letters
    items = letters.items()
    while (record := letters.read()) is not None:
        letters.settle(record)
    print(f"{exporter}: {items} refused items deleted")
    if queued:
        waiting = queue.shelf.account.balance().queued
        queue.close()
        while (batch := queue.take()) is not None:
            queue.settle(batch)
        print(f"{exporter}: {waiting} waiting items deleted")
