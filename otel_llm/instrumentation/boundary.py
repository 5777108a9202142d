"""The boundary between our code and the instrumented call: whatever fails on our side ends here.

The law of this module: the caller gets what an uninstrumented call returns or raises. So every step a hook takes runs
through `Boundary.run`, which counts what it raises by site, logs one line per site and minute, and goes on. Only what a
person or the operating system asked for (KeyboardInterrupt, SystemExit) passes, and a DeniedError, which is meant for
the app.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable
from typing import Final, NamedTuple, ParamSpec, TypeVar

from otel_llm._generated import metrics as definitions
from otel_llm._generated.attributes import ERROR_TYPE, OTEL_LLM_INSTRUMENTATION_SITE
from otel_llm.clock import Clock, SystemClock
from otel_llm.errors import DeniedError
from otel_llm.telemetry import LogLimiter, Metrics, Series

_logger = logging.getLogger(__name__)
_PASSES: Final = (KeyboardInterrupt, SystemExit, DeniedError)

P = ParamSpec("P")
T = TypeVar("T")


class Sites(NamedTuple):
    """What steps of a call of one endpoint are named in counts and in the log."""

    call: str
    request: str
    begin: str
    start: str
    attempt: str
    answer: str
    chunks: str
    pending: str
    response: str
    output: str
    estimate: str
    span: str
    end: str


@functools.lru_cache(maxsize=1024)
def sites_of(provider: str, endpoint: str) -> Sites:
    """The names for an endpoint of a provider; made once, as a call has ten of them."""
    call = f"{provider}.{endpoint}"
    return Sites(call, *(f"{call}.{step}" for step in Sites._fields[1:]))


class Boundary:
    """Runs our steps within somebody else's call. Thread-safe.

    Args:
        metrics: where failures are counted, by site and type.
        clock: for the rate of log lines.
    """

    __slots__ = ("_failed", "_limiter")

    def __init__(self, metrics: Metrics | None = None, clock: Clock | None = None) -> None:
        clock = clock or SystemClock()
        keys = (OTEL_LLM_INSTRUMENTATION_SITE, ERROR_TYPE)
        self._failed = (metrics or Metrics()).counter(definitions.OTEL_LLM_INSTRUMENTATION_ERRORS, keys)
        self._limiter = LogLimiter(_logger, clock.monotonic)

    @property
    def failures(self) -> int:
        """How many steps have failed."""
        return int(self._failed.total())

    def errors(self) -> tuple[Series, ...]:
        """The failures so far, by site and type."""
        return self._failed.collect().series

    def run(self, site: str, step: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T | None:
        """What the step returns; None when it raises.

        Args:
            site: what failed, for counts and the log: a name of low cardinality, e.g. `openai.chat.request`.
            step: the step.
            args: its arguments.
            kwargs: its keyword arguments.
        """
        try:
            return step(*args, **kwargs)
        except _PASSES:
            raise
        except BaseException as error:  # noqa: BLE001 - the instrumentation boundary; counted and logged
            self.failed(site, error)
            return None

    def failed(self, site: str, error: BaseException) -> None:
        """Count and log a failure; never raises."""
        kind = type(error).__name__
        try:
            self._failed.add(1, site, kind)
            # The type only: an exception's text may hold content.
            self._limiter.warning(
                site, "instrumentation step %s failed with %s; the call goes on without it", site, kind
            )
        except _PASSES:
            raise
        except BaseException:  # noqa: BLE001 - the app's own logging handlers and filters run here
            return
