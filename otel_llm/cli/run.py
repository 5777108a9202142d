"""Take telemetry in, normalise and price it, send it on.

SIGTERM and Ctrl-C stop it: what was accepted is delivered first, for at most service.shutdown_timeout_seconds; a second
one stops it at once, and says what was not delivered. SIGHUP reads the configuration again; one that has problems is
refused and the old one goes on.
"""

from __future__ import annotations

import argparse
import logging
import os
import signal
import threading
from queue import SimpleQueue
from typing import Final

from otel_llm.cli.options import add_config_options, load_settings
from otel_llm.config import Settings
from otel_llm.errors import ConfigError
from otel_llm.hosts.gateway import Gateway
from otel_llm.hosts.tuning import tune_gc
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


def run(options: argparse.Namespace) -> int:
    """Run until a signal says otherwise.

    Raises:
        ConfigError: it cannot start as configured.
    """
    hush_grpc_core()
    settings = load_settings(options)
    _set_up_logging(settings)
    signals = _watch_signals()
    gateway = Gateway(settings)
    gateway.start()
    tune_gc()
    _logger.info("running the configuration of %s; stop with Ctrl-C", settings.source)
    while signals.get() == _RELOAD:
        _reload(gateway, options)
    _logger.info("stopping; what was accepted is delivered first")
    return _shut_down(gateway, signals)


def _shut_down(gateway: Gateway, signals: SimpleQueue[int]) -> int:
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


def _reload(gateway: Gateway, options: argparse.Namespace) -> None:
    try:
        settings = load_settings(options)
        gateway.reload(settings)
    except ConfigError as error:
        _logger.error("not reloaded, the configuration before goes on: %s", "; ".join(error.problems))  # noqa: TRY400 - the traceback says nothing
        return
    _set_up_logging(settings)


def _set_up_logging(settings: Settings) -> None:
    level = settings.service.telemetry.logs.level.upper()
    logging.basicConfig(format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("otel_llm").setLevel(level)
    for warning in settings.warnings:
        _logger.warning("%s", warning)
