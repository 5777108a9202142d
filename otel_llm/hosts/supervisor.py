"""Several workers on one port, and the process that looks after them.

The supervisor takes no telemetry. It starts the workers, new processes with the same configuration each, and starts
one again that ends unasked; its queue on disk is found by the one that takes its place. It answers the admin endpoint
for all of them, and passes on what it is told by signals.

    SIGTERM    all workers deliver what they have, within service.shutdown_timeout_seconds; what is left then is killed
    SIGHUP     all workers read the configuration again

When the supervisor itself is killed, the workers notice and stop in order.
"""

from __future__ import annotations

import logging
import signal
import socket
import subprocess
import threading
from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from otel_llm import __version__
from otel_llm._generated import attributes as names
from otel_llm._generated import metrics as definitions
from otel_llm.clock import Clock, SystemClock
from otel_llm.codecs.metrics import prometheus_text
from otel_llm.config.settings import Settings
from otel_llm.config.workers import shared_addresses, worker_folders
from otel_llm.delivery.status import DeliveryStatus, HostStatus, ReceiverStatus
from otel_llm.delivery.storage import exporter_folder
from otel_llm.delivery.survey import survey
from otel_llm.errors import ConfigError
from otel_llm.hosts.admin import admin_server
from otel_llm.hosts.worker_channel import METRICS, STATUS, SupervisorEnd
from otel_llm.hosts.worker_metrics import merged_text
from otel_llm.http.server import HttpServer
from otel_llm.telemetry import Metrics

_logger = logging.getLogger(__name__)

# Imports and opening queues; a large queue that was not closed in order is read from end to end.
_START_SECONDS: Final = 120.0
_ANSWER_SECONDS: Final = 2.0
_LONGEST_PAUSE_SECONDS: Final = 30.0
# After that long, the next end of a worker counts as the first.
_STEADY_SECONDS: Final = 60.0
# What stopping takes in a worker beyond its deadline.
_GRACE_SECONDS: Final = 5.0

# Makes the command line of a worker: its number, whether it is leaving, the descriptor of its end of the channel.
Command = Callable[[int, bool, int], Sequence[str]]


def leftover_workers(settings: Settings) -> list[int]:
    """Numbers beyond `service.workers` whose queues on disk still hold something: there were more workers once."""
    found = set()
    for exporter in settings.exporters:
        disk = exporter.delivery.sending_queue.disk
        if disk is None:
            continue
        for number, folder in worker_folders(disk.directory).items():
            if number > settings.service.workers and any(
                log.items
                for log in survey(exporter_folder(folder, exporter.id), exporter.id)
                if log.name != "dead_letters"
            ):
                found.add(number)
    return sorted(found)


class _Worker:
    """One worker, whichever process it is at the moment.

    Args:
        number: from 1 on.
        is_leaving: it only delivers what is left, and then ends.
        command: see `Command`.
    """

    def __init__(self, number: int, command: Command, *, is_leaving: bool) -> None:
        self.number = number
        self.is_leaving = is_leaving
        self._command = command
        self.process: subprocess.Popen[bytes] | None = None
        self.channel: SupervisorEnd | None = None
        self.thread: threading.Thread | None = None

    @property
    def is_ready(self) -> bool:
        return self.channel is not None and self.channel.is_ready

    def start(self) -> None:
        """Start a process."""
        ours, theirs = socket.socketpair()
        with theirs:
            # A session of its own: Ctrl-C comes to the supervisor only, which tells the workers.
            self.process = subprocess.Popen(  # noqa: S603 - our own command line
                list(self._command(self.number, self.is_leaving, theirs.fileno())),
                stdin=subprocess.DEVNULL,
                pass_fds=(theirs.fileno(),),
                start_new_session=True,
            )
        self.channel = SupervisorEnd(ours)

    def wait(self) -> int:
        """Its exit code, once it has ended."""
        process, channel = self.process, self.channel
        if process is None or channel is None:
            return 0
        code = process.wait()
        channel.close()
        return code

    def runs(self) -> bool:
        """Whether its process has not ended."""
        return self.process is not None and self.process.poll() is None

    def was_killed(self) -> bool:
        """Whether a signal has ended it, which says nothing about the next one; else its configuration is at fault."""
        try:
            return self.process is not None and self.process.wait(_GRACE_SECONDS) < 0
        except subprocess.TimeoutExpired:
            return False

    def signal(self, number: int) -> None:
        """Send it a signal; nothing when it has ended."""
        if self.process is not None:
            self.process.send_signal(number)

    def ask(self, kind: bytes) -> bytes | None:
        """What it answers."""
        return None if self.channel is None else self.channel.ask(kind, _ANSWER_SECONDS)


class Supervisor:
    """Starts workers and looks after them.

    Args:
        settings: of all of them together.
        command: how a worker is started.
        clock: for times and deadlines.
    """

    def __init__(self, settings: Settings, command: Command, clock: Clock | None = None) -> None:
        self._settings = settings
        self._clock = clock or SystemClock()
        self._started = self._clock.monotonic()
        self._metrics = Metrics()
        self._starts = self._metrics.counter(definitions.OTEL_LLM_WORKER_STARTS, (names.OTEL_LLM_WORKER_ID,))
        self._metrics.gauge(definitions.OTEL_LLM_WORKER_READY, (names.OTEL_LLM_WORKER_ID,), self._readiness)
        staying = [_Worker(number, command, is_leaving=False) for number in range(1, settings.service.workers + 1)]
        leaving = [_Worker(number, command, is_leaving=True) for number in leftover_workers(settings)]
        self._workers = [*staying, *leaving]
        self._starting = threading.Lock()
        self._stopping = threading.Event()
        self._admin: HttpServer | None = None

    @property
    def admin_port(self) -> int | None:
        """The port of the admin endpoint, None when there is none."""
        return None if self._admin is None else self._admin.port

    def process_ids(self) -> dict[int, int]:
        """Those of the workers, by number."""
        return {one.number: one.process.pid for one in self._workers if one.process is not None}

    def _readiness(self) -> dict[tuple[str, ...], float]:
        return {(str(one.number),): float(one.is_ready) for one in self._workers if not one.is_leaving}

    def start(self) -> None:
        """Start all workers; returns when they take telemetry.

        Raises:
            ConfigError: a port is taken, or a worker does not start. What was started is stopped again.
        """
        _check_free(self._settings)
        self._start_admin()
        for worker in self._workers:
            self._start_worker(worker)
        end = self._clock.monotonic() + _START_SECONDS
        failed = [one for one in self._workers if not self._wait_ready(one, end) and not one.was_killed()]
        if failed:
            self.shutdown(0.0)
            numbers = ", ".join(str(one.number) for one in failed)
            raise ConfigError([f"service.workers: worker {numbers} did not start; what it said stands above"])
        for worker in self._workers:
            worker.thread = threading.Thread(target=self._keep, args=(worker,), name="otel-llm-worker", daemon=True)
            worker.thread.start()

    def _wait_ready(self, worker: _Worker, end: float) -> bool:
        channel = worker.channel
        return channel is not None and channel.wait_ready(max(end - self._clock.monotonic(), 0.1))

    def _start_admin(self) -> None:
        config = self._settings.service.admin
        if config.endpoint is None:
            return
        admin = admin_server(config, self.metrics_text, self._not_ready, self.status)
        try:
            admin.start()
        except OSError as error:
            problem = f"cannot listen on {config.endpoint}: {error.strerror or error}; choose another port, or null"
            raise ConfigError([f"service.admin.endpoint: {problem}"]) from error
        self._admin = admin

    def _start_worker(self, worker: _Worker) -> bool:
        with self._starting:
            if self._stopping.is_set():
                return False
            worker.start()
        self._starts.add(1, str(worker.number))
        return True

    def _keep(self, worker: _Worker) -> None:
        """Wait for the end of a worker and start another one in its place, with longer pauses when it ends again."""
        failures = 0
        while True:
            since = self._clock.monotonic()
            code = worker.wait()
            if self._stopping.is_set() or (worker.is_leaving and code == 0):
                return
            failures = 1 if self._clock.monotonic() - since > _STEADY_SECONDS else failures + 1
            pause = 0.0 if failures == 1 else min(2.0 ** (failures - 2), _LONGEST_PAUSE_SECONDS)
            _logger.error("worker %d ended with %d; another one starts in %g s", worker.number, code, pause)
            if self._stopping.wait(pause) or not self._start_worker(worker):
                return
            while not self._wait_ready(worker, self._clock.monotonic() + _START_SECONDS) and worker.runs():
                _logger.warning("worker %d does not take telemetry yet", worker.number)

    def _not_ready(self) -> str | None:
        if self._stopping.is_set():
            return "shutting down"
        # One that is being started again is no reason to send nothing to the others.
        return None if any(one.is_ready and not one.is_leaving for one in self._workers) else "starting"

    def metrics_text(self) -> bytes:
        """Everything that it and all workers count, in the Prometheus text format."""
        said = {str(one.number): one.ask(METRICS) for one in self._workers}
        own = prometheus_text(self._metrics.collect()).decode()
        return merged_text(own, {number: text.decode() for number, text in said.items() if text is not None}).encode()

    def status(self) -> HostStatus:
        """What there is to say about all workers now; one that gives no answer is left out."""
        exporters: list[DeliveryStatus] = []
        receivers: list[ReceiverStatus] = []
        for worker in self._workers:
            body = worker.ask(STATUS)
            if body is not None:
                said = msgspec.json.decode(body, type=HostStatus)
                exporters += [msgspec.structs.replace(one, worker=worker.number) for one in said.exporters]
                receivers += [msgspec.structs.replace(one, worker=worker.number) for one in said.receivers]
        exporters.sort(key=lambda one: one.name)
        receivers.sort(key=lambda one: one.name)
        up_seconds = self._clock.monotonic() - self._started
        return HostStatus(__version__, up_seconds, self._not_ready(), exporters, receivers)

    def reload(self) -> None:
        """Let all workers read the configuration again; each refuses one that has problems, and goes on."""
        for worker in self._workers:
            if worker.is_ready:
                worker.signal(signal.SIGHUP)

    def abandon(self) -> None:
        """Let all workers stop at once; each says what it did not deliver."""
        self._stopping.set()
        for worker in self._workers:
            worker.signal(signal.SIGTERM)

    def shutdown(self, deadline_seconds: float | None = None) -> None:
        """Let all workers deliver what they have, at the same time; kill what does not end in time. Idempotent.

        Args:
            deadline_seconds: `service.shutdown_timeout_seconds` by default, which is what the workers keep to.
        """
        if self._stopping.is_set():
            return
        with self._starting:
            self._stopping.set()
        seconds = self._settings.service.shutdown_timeout_seconds if deadline_seconds is None else deadline_seconds
        for worker in self._workers:
            worker.signal(signal.SIGTERM)
        end = self._clock.monotonic() + seconds + _GRACE_SECONDS
        for worker in self._workers:
            self._end(worker, end)
        if self._admin is not None:
            self._admin.shutdown(1.0)

    def _end(self, worker: _Worker, end: float) -> None:
        process = worker.process
        if process is None:
            return
        try:
            process.wait(max(end - self._clock.monotonic(), 0.1))
        except subprocess.TimeoutExpired:
            _logger.error("worker %d did not stop in time and is killed; its queues on disk are kept", worker.number)  # noqa: TRY400 - the traceback says nothing
            process.kill()
        worker.wait()


def _check_free(settings: Settings) -> None:
    """See to it that nobody else listens where the workers will: they would share the port, and the telemetry.

    Raises:
        ConfigError: somebody does.
    """
    problems = []
    for setting, host, port in shared_addresses(settings):
        try:
            family, *_, address = socket.getaddrinfo(
                host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
            )[0]
            with socket.socket(family, socket.SOCK_STREAM) as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind(address)
        except OSError as error:
            problems.append(f"{setting}: cannot listen on {host}:{port}: {error.strerror or error}")
    if problems:
        raise ConfigError(problems)
