"""Waiting for what an exporter notices by itself."""

from __future__ import annotations

from otel_llm.errors import RetryableError
from otel_llm.exporters.exporter import Exporter
from otel_llm.signals import Payload
from tests.receivers.recording import eventually


def eventually_exported(exporter: Exporter, payload: Payload) -> None:
    """Export again and again until it succeeds, as a delivery does."""

    def succeeds() -> bool:
        try:
            exporter.export(payload, 5)
        except RetryableError:
            return False
        return True

    eventually(succeeds)
