"""What a receiver counts about requests; items are counted by the pipeline, which is the first to look into them."""

from __future__ import annotations

import logging
import time
from typing import Final

from otel_llm._generated.attributes import (
    OTEL_LLM_COMPONENT_NAME,
    OTEL_LLM_REFUSAL_REASON,
    OTEL_LLM_SIGNAL,
    OtelLlmRefusalReason,
)
from otel_llm._generated.metrics import (
    OTEL_LLM_RECEIVER_IO,
    OTEL_LLM_RECEIVER_REQUEST_DURATION,
    OTEL_LLM_RECEIVER_REQUESTS_REFUSED,
)
from otel_llm.http.defects import describe
from otel_llm.signals import Signal
from otel_llm.telemetry import LogLimiter, Metrics

_LOGGER: Final = logging.getLogger(__name__)

# The signal of requests that never said which one they were of: no attribute.
_NO_SIGNAL: Final = ""


class Accounts:
    """The counts of one receiver. Thread-safe.

    Args:
        metrics: where they are registered.
        name: of the receiver in the configuration.
    """

    __slots__ = ("_bytes", "_duration", "_log", "_name", "_refused")

    def __init__(self, metrics: Metrics, name: str) -> None:
        self._name = name
        keys = (OTEL_LLM_COMPONENT_NAME, OTEL_LLM_SIGNAL)
        self._duration = metrics.histogram(OTEL_LLM_RECEIVER_REQUEST_DURATION, keys)
        self._bytes = metrics.counter(OTEL_LLM_RECEIVER_IO, keys)
        self._refused = metrics.counter(OTEL_LLM_RECEIVER_REQUESTS_REFUSED, (*keys, OTEL_LLM_REFUSAL_REASON))
        self._log = LogLimiter(_LOGGER, time.monotonic)

    def answered(self, signal: Signal | None, seconds: float, body_bytes: int) -> None:
        """A request was answered, whatever the answer."""
        self._duration.record(seconds, self._name, signal or _NO_SIGNAL)
        self._bytes.add(body_bytes, self._name, signal or _NO_SIGNAL)

    def refused(self, signal: Signal | None, reason: OtelLlmRefusalReason, message: str) -> None:
        """A request was turned away; one line a minute tells why, since many senders do not show the answer."""
        self._refused.add(1, self._name, signal or _NO_SIGNAL, reason)
        self._log.warning(reason, "%s: refused a request (%s): %s", self._name, reason, message)

    def failed(self, error: BaseException) -> None:
        """A request met a defect of ours."""
        text = describe(error)
        self._log.warning(text, "%s: a request failed: %s", self._name, text)
