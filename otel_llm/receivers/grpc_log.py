"""Keeps gRPC's own log from quoting what clients send, line after line, as fast as they send it.

Its Python layer logs bytes of a request it cannot decode, with a traceback each; its C core writes to standard error
on its own. Found by fuzzing. Both say that somebody sent nonsense, which is worth one line a minute and no quotation.
"""

from __future__ import annotations

import logging
import os
import time
from typing import Final

from otel_llm.telemetry import LogLimiter

_LOGGER: Final = logging.getLogger(__name__)
_PYTHON_LOGGERS: Final = ("grpc._cython.cygrpc", "grpc._server")


class _Quiet(logging.Filter):
    """Swallows records, and tells of them without their content."""

    def __init__(self) -> None:
        super().__init__()
        self._log = LogLimiter(_LOGGER, time.monotonic)

    def filter(self, record: logging.LogRecord) -> bool:
        kind = record.exc_info[0] if record.exc_info else None
        name = kind.__name__ if kind is not None else record.levelname
        self._log.warning(name, "gRPC could not handle what a client sent (%s)", name)
        return False


def hush_grpc() -> None:
    """Quiet the Python layer's loggers. May be called again."""
    for name in _PYTHON_LOGGERS:
        logger = logging.getLogger(name)
        if not any(isinstance(one, _Quiet) for one in logger.filters):
            logger.addFilter(_Quiet())


def hush_grpc_core() -> None:
    """Quiet the C core, which has no logger; before anything imports grpc. A user's own GRPC_VERBOSITY counts."""
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
