"""What a receiver counts about requests; items are counted by the pipeline, which is the first to look into them."""

from __future__ import annotations

import logging
import time
from typing import Final, Literal

from otel_llm._generated.metrics import (
    OTEL_LLM_RECEIVER_REQUEST_DURATION,
    OTEL_LLM_RECEIVER_REQUESTS_REFUSED,
    Metric,
)
from otel_llm.http.defects import describe
from otel_llm.signals import Signal
from otel_llm.telemetry import LogLimiter, Metrics

_LOGGER: Final = logging.getLogger(__name__)

RefusalReason = Literal[
    "queue_full", "malformed", "unsupported", "too_large", "unauthorized", "shutting_down", "timeout"
]
# Stands for the signal of requests that never said which one they were of.
UNKNOWN_SIGNAL: Final = "unknown"


_RECEIVED_BYTES: Final = Metric(
    name="otel_llm.receiver.io",
    instrument="counter",
    unit="By",
    value_type="int",
    description="Bytes of request bodies received, as they were sent.",
    attributes=("otel_llm.component.name", "otel_llm.signal"),
)


class Accounts:
    """The counts of one receiver. Thread-safe.

    Args:
        metrics: where they are registered.
        name: of the receiver in the configuration.
    """

    __slots__ = ("_bytes", "_duration", "_log", "_name", "_refused")

    def __init__(self, metrics: Metrics, name: str) -> None:
        self._name = name
        keys = ("otel_llm.component.name", "otel_llm.signal")
        self._duration = metrics.histogram(OTEL_LLM_RECEIVER_REQUEST_DURATION, keys)
        self._bytes = metrics.counter(_RECEIVED_BYTES, keys)
        self._refused = metrics.counter(OTEL_LLM_RECEIVER_REQUESTS_REFUSED, (*keys, "otel_llm.refusal.reason"))
        self._log = LogLimiter(_LOGGER, time.monotonic)

    def answered(self, signal: Signal | None, seconds: float, body_bytes: int) -> None:
        """A request was answered, whatever the answer."""
        self._duration.record(seconds, self._name, signal or UNKNOWN_SIGNAL)
        self._bytes.add(body_bytes, self._name, signal or UNKNOWN_SIGNAL)

    def refused(self, signal: Signal | None, reason: RefusalReason, message: str) -> None:
        """A request was turned away; one line a minute tells why, since many senders do not show the answer."""
        self._refused.add(1, self._name, signal or UNKNOWN_SIGNAL, reason)
        self._log.warning(reason, "%s: refused a request (%s): %s", self._name, reason, message)

    def failed(self, error: BaseException) -> None:
        """A request met a defect of ours."""
        text = describe(error)
        self._log.warning(text, "%s: a request failed: %s", self._name, text)
