"""The edges where telemetry comes in. Each module has a `Config` and a `create`; importing this loads none of them."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from otel_llm.delivery.status import ReceiverStatus
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


@runtime_checkable
class Fetching(Protocol):
    """A receiver that fetches what it receives, and so can say how far it is behind."""

    def status(self) -> ReceiverStatus:
        """What there is to say about it now."""
        ...
