"""The seam between a delivery and a destination."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from otel_llm.signals import Payload, Signal


@dataclass(frozen=True, slots=True)
class ExportResult:
    """How a destination took a payload that it did not refuse as a whole: OTLP's partial success.

    Attributes:
        rejected: items it turned away for good, 0 when it took all.
        message: what it said, bounded; empty when it said nothing.
    """

    rejected: int = 0
    message: str = ""


class Exporter(Protocol):
    """One destination.

    Attributes:
        signals: what it takes.
    """

    signals: frozenset[Signal]

    def export(self, payload: Payload, timeout_seconds: float) -> ExportResult:
        """Send a payload once. Called from one thread at a time.

        Args:
            payload: what to send; its signal is one of `signals`.
            timeout_seconds: how long it may take at most; the exporter's own limit may be shorter.

        Raises:
            RetryableError: it may succeed later.
            TooLargeError: it may succeed in smaller pieces.
            PermanentError: it will not succeed.
        """
        ...

    def shutdown(self) -> None:
        """Give back what is held. May be called from another thread while an export is on, which then fails soon.

        Idempotent.
        """
        ...
