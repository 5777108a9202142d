"""How far past their deadlines flush and shutdown return when the destination is dead, and how much is logged.

    python -m benchmarks.dead_destinations

For each way to be dead (see tests/delivery/test_dead_destinations.py), with the queue in memory and on disk: 1,000
spans are offered, then `force_flush(0.3)` and `shutdown(0.3)`; milliseconds past the deadline, the least and the most
of five rounds, and log lines in a round. Wall time: on a busy machine the most says more about the machine.
"""

from __future__ import annotations

import logging
import tempfile
import time
from pathlib import Path

from otel_llm.delivery.config import Config, DiskConfig, QueueConfig, RetryConfig
from otel_llm.delivery.delivery import Delivery
from otel_llm.telemetry import Metrics
from tests.delivery.requests import payload
from tests.delivery.test_dead_destinations import KINDS, dead

ROUNDS = 5
SECONDS = 0.3


class Lines(logging.Handler):
    """Counts log lines and keeps them quiet."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def emit(self, record: logging.LogRecord) -> None:  # noqa: ARG002 - its signature
        self.count += 1


def once(kind: str, folder: Path, *, on_disk: bool) -> tuple[float, float]:
    """Milliseconds past the deadlines of flush and shutdown."""
    disk = DiskConfig(directory=str(folder / "queue"), sync="never") if on_disk else None
    retry = RetryConfig(initial_interval_seconds=0.01, max_interval_seconds=0.02)
    with dead(kind, folder) as exporter:
        config = Config(sending_queue=QueueConfig(disk=disk), retry_on_failure=retry)
        delivery = Delivery("benchmark", exporter, config, Metrics())
        delivery.start()
        for number in range(1, 1001):
            delivery.offer(payload(number, 1))
        start = time.monotonic()
        delivery.force_flush(SECONDS)
        flushed = time.monotonic()
        delivery.shutdown(SECONDS)
        stopped = time.monotonic()
    return (flushed - start - SECONDS) * 1000, (stopped - flushed - SECONDS) * 1000


def main() -> None:
    lines = Lines()
    logger = logging.getLogger("otel_llm")
    logger.addHandler(lines)
    logger.propagate = False
    print(f"{'destination':18}{'queue':8}{'flush + ms':>16}{'shutdown + ms':>16}{'log lines':>11}")
    for kind in KINDS:
        for on_disk in (False, True):
            lines.count = 0
            found = []
            for _ in range(ROUNDS):
                with tempfile.TemporaryDirectory() as folder:
                    found.append(once(kind, Path(folder), on_disk=on_disk))
            flush, shutdown = (sorted(values) for values in zip(*found, strict=True))
            spans = (f"{flush[0]:.1f}-{flush[-1]:.1f}", f"{shutdown[0]:.1f}-{shutdown[-1]:.1f}")
            each = lines.count / ROUNDS
            print(f"{kind:18}{'disk' if on_disk else 'memory':8}{spans[0]:>16}{spans[1]:>16}{each:11.1f}", flush=True)


if __name__ == "__main__":
    main()
