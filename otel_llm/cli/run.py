"""Take telemetry in, normalise and price it, send it on.

SIGTERM and Ctrl-C stop it: what was accepted is delivered first, for at most service.shutdown_timeout_seconds; a second
one stops it at once, and says what was not delivered. SIGHUP reads the configuration again; one that has problems is
refused and the old one goes on. With service.workers, all of that holds for the workers together.
"""

from __future__ import annotations

import argparse
import logging
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Final

import msgspec

from otel_llm.cli.options import add_config_options, load_settings
from otel_llm.config import Settings
from otel_llm.config.workers import part_of
from otel_llm.errors import ConfigError
from otel_llm.hosts.gateway import Gateway
from otel_llm.hosts.supervisor import Supervisor, leftover_workers
from otel_llm.hosts.tuning import tune_gc
from otel_llm.hosts.worker_channel import METRICS, STATUS, WorkerEnd
from otel_llm.receivers.grpc_log import hush_grpc_core

_logger = logging.getLogger(__name__)

_STOP: Final = (signal.SIGTERM, signal.SIGINT)
_RELOAD: Final = getattr(signal, "SIGHUP", None)  # Windows has none
_KILLED: Final = 130
# What the thread that shuts down puts into the queue of signals when it is done.
_DONE: Final = 0


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    add_config_options(parser)
    # For the supervisor, which starts workers with it: which one it is, and how to reach the supervisor.
    parser.add_argument("--worker", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--worker-channel", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--worker-leaving", action="store_true", help=argparse.SUPPRESS)


def run(options: argparse.Namespace) -> int:
    """Run until a signal says otherwise.

    Raises:
        ConfigError: it cannot start as configured.
    """
    hush_grpc_core()
    settings = load_settings(options)
    _set_up_logging(settings, options.worker)
    signals = _watch_signals()
    if options.worker is not None:
        return _run_worker(options, settings, signals)
    if settings.service.workers > 1 or leftover_workers(settings):
        return _supervise(options, settings, signals)
    gateway = Gateway(settings)
    gateway.start()
    tune_gc()
    _logger.info("running the configuration of %s; stop with Ctrl-C", settings.source)
    while signals.get() == _RELOAD:
        _reload(gateway, options)
    _logger.info("stopping; what was accepted is delivered first")
    return _shut_down(gateway, signals)


def _supervise(options: argparse.Namespace, settings: Settings, signals: SimpleQueue[int]) -> int:
    def command(number: int, is_leaving: bool, channel: int) -> list[str]:  # noqa: FBT001 - as the supervisor calls it
        line = [sys.executable, "-m", "otel_llm.cli.main", "run", "--worker", str(number)]
        line += ["--worker-channel", str(channel), *(["--worker-leaving"] if is_leaving else [])]
        line += [] if options.config is None else ["--config", options.config]
        return line + [word for override in options.overrides for word in ("--set", override)]

    supervisor = Supervisor(settings, command)
    supervisor.start()
    _logger.info("%d workers run the configuration of %s; stop with Ctrl-C", settings.service.workers, settings.source)
    while signals.get() == _RELOAD:
        supervisor.reload()
    _logger.info("stopping; what was accepted is delivered first")
    return _shut_down(supervisor, signals)


def _run_worker(options: argparse.Namespace, settings: Settings, signals: SimpleQueue[int]) -> int:
    """Be one of several workers, until told otherwise or until the supervisor is gone."""

    def part(whole: Settings) -> Settings:
        expected, workers = settings.service.workers, whole.service.workers
        if workers != expected:
            raise ConfigError([f"service.workers: expected {expected} as at the start, got {workers}; start anew"])
        return part_of(whole, options.worker, leaving=options.worker_leaving)

    gateway = Gateway(part(settings), instance=f"{socket.gethostname()}/{options.worker}")
    gateway.start()
    tune_gc()
    answers = {METRICS: gateway.metrics_text, STATUS: lambda: msgspec.json.encode(gateway.status())}
    WorkerEnd(socket.socket(fileno=options.worker_channel), answers, lambda: signals.put(_STOP[0])).start()
    if options.worker_leaving:
        threading.Thread(target=_stop_when_empty, args=(gateway, signals), name="otel-llm-leaving", daemon=True).start()
    while signals.get() == _RELOAD:
        _reload(gateway, options, part)
    return _shut_down(gateway, signals)


def _stop_when_empty(gateway: Gateway, signals: SimpleQueue[int]) -> None:
    gateway.wait_delivered()
    signals.put(_STOP[0])


def _shut_down(gateway: Gateway | Supervisor, signals: SimpleQueue[int]) -> int:
    """Shut down on another thread, so that this one can take a second signal."""

    def work() -> None:
        try:
            gateway.shutdown()
        finally:
            signals.put(_DONE)

    threading.Thread(target=work, name="otel-llm-shutting-down", daemon=True).start()
    while (number := signals.get()) != _DONE:
        if number in _STOP:
            gateway.abandon()
            logging.shutdown()
            os._exit(_KILLED)  # not sys.exit: that would wait for the threads that are to be stopped
    return 0


def _watch_signals() -> SimpleQueue[int]:
    """A queue that gets the number of each signal; a signal handler may do nothing that takes a lock."""
    signals: SimpleQueue[int] = SimpleQueue()
    for number in (*_STOP, _RELOAD):
        if number is not None:
            signal.signal(number, lambda received, _: signals.put(received))
    return signals


def _reload(
    gateway: Gateway, options: argparse.Namespace, part: Callable[[Settings], Settings] = lambda settings: settings
) -> None:
    try:
        settings = load_settings(options)
        gateway.reload(part(settings))
    except ConfigError as error:
        _logger.error("not reloaded, the configuration before goes on: %s", "; ".join(error.problems))  # noqa: TRY400 - the traceback says nothing
        return
    _set_up_logging(settings, options.worker)


def _set_up_logging(settings: Settings, worker: int | None) -> None:
    level = settings.service.telemetry.logs.level.upper()
    who = "" if worker is None else f" worker {worker}"
    logging.basicConfig(format=f"%(asctime)s{who} %(levelname)s %(name)s: %(message)s")
    logging.getLogger("otel_llm").setLevel(level)
    for warning in settings.warnings if worker is None else ():  # the supervisor has said them
        _logger.warning("%s", warning)
