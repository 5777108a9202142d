"""OTLP from a file, as the Collector's file exporter writes it: one JSON request a line, or length-prefixed protobuf.

Source: opentelemetry-collector-contrib, exporter/fileexporter; OTLP specification, OTLP/JSON file format.
"""

from __future__ import annotations

import logging
import os
import re
import threading
import time
from pathlib import Path
from typing import Annotated, BinaryIO, Final, Literal

import msgspec

from otel_llm._generated.attributes import OtelLlmRefusalReason
from otel_llm.components import Context
from otel_llm.errors import ConfigError, MalformedError, RefusedError
from otel_llm.receivers.accounts import Accounts
from otel_llm.receivers.records import Splitter
from otel_llm.signals import Consumer, Signal

_LOGGER: Final = logging.getLogger(__name__)
_READ_BYTES: Final = 1024 * 1024
_SIGNAL_OF_KEY: Final[dict[bytes, Signal]] = {b"Spans": "traces", b"Metrics": "metrics", b"Logs": "logs"}
_FIRST_KEY: Final = re.compile(rb'\s*\{\s*"resource(Spans|Metrics|Logs)"')
# A consumer that asks for a longer pause is asked again after this time all the same.
_MAX_PAUSE_SECONDS: Final = 30.0


class Config(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """OTLP from a file."""

    path: str
    """The file to read."""
    format: Literal["json", "proto"] = "json"
    """`json` for one request a line, `proto` for serialized requests, each after its length in four bytes."""
    signal: Signal | None = None
    """What a `proto` file holds, which cannot be seen from outside; JSON lines say it themselves."""
    follow: bool = False
    """Go on when the end is reached: wait for more, and for the next file when this one is rotated or truncated."""
    start_at: Literal["beginning", "end"] = "beginning"
    """Where to begin. `end` skips what is in the file at the start, and makes sense only with `follow`."""
    poll_interval_seconds: Annotated[float, msgspec.Meta(gt=0)] = 0.25
    """How often to look for more."""
    max_record_size: Annotated[int, msgspec.Meta(ge=1)] = 64 * 1024 * 1024
    """Bytes of the longest record taken; longer ones are skipped and counted."""


class FileReceiver:
    """The receiver; see `create`. Reads on one thread; what the consumer refuses is offered again until it is taken."""

    def __init__(self, config: Config, accounts: Accounts, setting: str) -> None:
        if config.format == "proto" and config.signal is None:
            raise ConfigError([f"{setting}.signal: expected traces, metrics or logs with format proto, got nothing"])
        self._config = config
        self._accounts = accounts
        self._setting = setting
        # Records of the file that is read now, and those of all files that were bad.
        self._records = 0
        self._bad = 0
        self._stop = threading.Event()
        self._finished = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self, consumer: Consumer) -> None:
        """Begin to read.

        Raises:
            ConfigError: the file cannot be opened; with `follow`, it may appear later.
        """
        path = Path(self._config.path)
        file: BinaryIO | None = None
        try:
            file = path.open("rb")
        except OSError as error:
            if not (self._config.follow and isinstance(error, FileNotFoundError)):
                problem = f"{self._setting}.path: cannot read {path} ({error.strerror}); give a file, or set follow"
                raise ConfigError([problem]) from error
        self._thread = threading.Thread(target=self._run, args=(file, consumer), name="file-receiver", daemon=True)
        self._thread.start()

    def wait(self, timeout_seconds: float | None = None) -> bool:
        """Wait until the file was read to its end and all of it was taken; never with `follow`. Whether it was."""
        return self._finished.wait(timeout_seconds)

    def shutdown(self, deadline_seconds: float) -> None:
        """Stop reading."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(deadline_seconds)

    def _run(self, file: BinaryIO | None, consumer: Consumer) -> None:
        splitter = Splitter(self._config.max_record_size, prefixed=self._config.format == "proto")
        if file is not None and self._config.start_at == "end":
            file.seek(0, 2)
        try:
            while not self._stop.is_set():
                data = b"" if file is None else file.read(_READ_BYTES)
                if data:
                    for record in splitter.feed(data):
                        self._records += 1
                        self._take(record, consumer)
                elif self._config.follow:
                    file = self._next_file(file, splitter, consumer)
                else:
                    self._take_last(splitter, consumer)
                    self._end()
                    return
        except OSError as error:
            _LOGGER.warning("%s: stopped reading %s: %s", self._setting, self._config.path, error.strerror)
        finally:
            if file is not None:
                file.close()

    def _take_last(self, splitter: Splitter, consumer: Consumer) -> None:
        """What is left at the end of a file."""
        rest = splitter.end()
        if rest:
            self._records += 1
            self._take(rest, consumer)

    def _end(self) -> None:
        if not self._stop.is_set():
            path, unit = self._config.path, self._unit
            _LOGGER.info("%s: read %s to its end: %d %ss, %d bad", self._setting, path, self._records, unit, self._bad)
            self._finished.set()

    @property
    def _unit(self) -> str:
        return "line" if self._config.format == "json" else "record"

    def _refuse(self, signal: Signal | None, reason: OtelLlmRefusalReason, message: str) -> None:
        """Count a bad record and say where it is."""
        self._bad += 1
        where = f"{self._config.path}, {self._unit} {self._records}"
        if self._config.start_at == "end":
            where += " after the start"
        self._accounts.refused(signal, reason, f"{where}: {message}")

    def _next_file(self, file: BinaryIO | None, splitter: Splitter, consumer: Consumer) -> BinaryIO | None:
        """At the end of the file: wait for more of it, or go on with the file that has taken its place."""
        self._stop.wait(self._config.poll_interval_seconds)
        path = Path(self._config.path)
        try:
            now = path.stat()
        except FileNotFoundError:
            return file
        if file is None:
            return path.open("rb")
        here = os.fstat(file.fileno())
        if (now.st_ino, now.st_dev) != (here.st_ino, here.st_dev):
            if here.st_size > file.tell():
                return file
            self._take_last(splitter, consumer)
            file.close()
            self._records = 0
            return path.open("rb")
        if now.st_size < file.tell():
            splitter.end()
            file.seek(0)
            self._records = 0
        return file

    def _take(self, record: bytes | None, consumer: Consumer) -> None:
        """Hand a record on; count it when it is bad; wait when there is no room."""
        if record is None:
            self._refuse(self._config.signal, "too_large", f"it is longer than {self._config.max_record_size} bytes")
        elif record.strip() or (record and self._config.format == "proto"):
            start = time.perf_counter()
            signal = self._config.signal
            try:
                signal, body = self._decode(record)
                self._offer(signal, body, consumer)
            except MalformedError as error:
                self._refuse(signal, "malformed", str(error))
            self._accounts.answered(signal, time.perf_counter() - start, len(record))

    def _decode(self, record: bytes) -> tuple[Signal, bytes]:
        if self._config.format == "proto" and self._config.signal is not None:
            return self._config.signal, record
        # Imported when the first line comes, like the JSON of the HTTP receiver.
        from otel_llm.codecs.json import to_protobuf  # noqa: PLC0415

        signal = _signal_of_line(record)
        return signal, to_protobuf(signal, record)

    def _offer(self, signal: Signal, body: bytes, consumer: Consumer) -> None:
        while not self._stop.is_set():
            try:
                consumer.consume(signal, body)
            except RefusedError as error:
                self._accounts.refused(signal, "queue_full", str(error))
                self._stop.wait(min(error.retry_after_seconds, _MAX_PAUSE_SECONDS))
            else:
                return


def _signal_of_line(line: bytes) -> Signal:
    match = _FIRST_KEY.match(line)
    if match is not None:
        return _SIGNAL_OF_KEY[match[1]]
    try:
        keys = msgspec.json.decode(line, type=dict[str, msgspec.Raw])
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise MalformedError("the line is not a JSON object") from error
    for key, signal in _SIGNAL_OF_KEY.items():
        if f"resource{key.decode()}" in keys:
            return signal
    raise MalformedError("the line has none of resourceSpans, resourceMetrics and resourceLogs")


def create(config: Config, context: Context) -> FileReceiver:
    """A receiver.

    Raises:
        ConfigError: format `proto` without a signal.
    """
    return FileReceiver(config, Accounts(context.metrics, context.name), f"receivers.{context.name}")
