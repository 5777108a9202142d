"""The edges where telemetry comes in. Each module has a `Config` and a `create`; importing this loads none of them."""

from __future__ import annotations

from typing import Protocol

from otel_llm.signals import Consumer


class Receiver(Protocol):
    """Takes telemetry in and hands it to a consumer."""

    def start(self, consumer: Consumer) -> None:
        """Begin to receive; returns when it does.

        Raises:
            ConfigError: what the configuration names cannot be had, such as a port that is taken.
        """
        ...

    def shutdown(self, deadline_seconds: float) -> None:
        """Stop receiving; what is in flight is finished within the deadline. Idempotent, and safe without `start`."""
        ...
