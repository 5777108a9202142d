"""An application with a delivery in it, as a process: `python -m tests.delivery.app ENDPOINT MODE [NUMBER]`.

It offers spans with numbers of their own and ends in the way that MODE says.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading

from otel_llm.clock import SystemClock
from otel_llm.components import Context
from otel_llm.delivery.config import BatchConfig, Config, QueueConfig, RetryConfig
from otel_llm.delivery.delivery import Delivery
from otel_llm.delivery.in_app import AppDelivery
from otel_llm.exporters import otlp_http
from otel_llm.telemetry import Metrics
from tests.delivery.requests import payload

CHILDREN = 4


def make(endpoint: str, metrics: Metrics) -> Delivery:
    exporter = otlp_http.create(otlp_http.Config(endpoint=endpoint), Context("app", metrics, SystemClock()))
    batch = BatchConfig(flush_timeout_seconds=0.5)
    queue = QueueConfig(size_bytes=1_000_000, on_full="drop", batch=batch)
    retry = RetryConfig(initial_interval_seconds=0.05, max_interval_seconds=0.1)
    return Delivery("app", exporter, Config(sending_queue=queue, retry_on_failure=retry), metrics)


class App:
    def __init__(self, endpoint: str) -> None:
        self.metrics = Metrics()
        self.delivery = AppDelivery(lambda: make(endpoint, self.metrics), self.metrics, exit_seconds=1.0)

    def call(self, number: int) -> None:
        assert self.delivery.offer(payload(number, 1))

    def counted(self) -> dict[str, float]:
        """What this process says it accepted and exported."""
        families = {family.definition.name: family for family in self.metrics.collect()}
        names = ("accepted", "exported")
        series = {name: families[f"otel_llm.delivery.items.{name}"].series for name in names}
        return {name: sum(one.value for one in found) for name, found in series.items()}


app: App


def child(number: int) -> None:
    """What runs in a child of a fork: three calls."""
    for offset in range(3):
        app.call(number * 1000 + offset)


def fresh_child(endpoint: str, number: int) -> None:
    """What runs in a child that shares nothing with its parent."""
    global app  # noqa: PLW0603 - an application has one
    app = App(endpoint)
    child(number)


def fork_children(count: int) -> None:
    """Forks while another thread offers without a pause, so that locks are held at the moment of the fork."""
    stop = threading.Event()
    busy = threading.Thread(target=lambda: [app.call(number) for number in iter(_counter(stop), 0)])
    busy.start()
    for number in range(1, count + 1):
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                child(number)
                code = 3
                if app.delivery.force_flush(10):
                    code = 0 if app.counted() == {"accepted": 3, "exported": 3} else 4  # nothing of the parent's
            finally:
                os._exit(code)
        _, status = os.waitpid(pid, 0)
        assert status == 0, status
    stop.set()
    busy.join()


def _counter(stop: threading.Event):
    state = {"next": 10_000_000}

    def following() -> int:
        if stop.is_set():
            return 0
        state["next"] += 1
        stop.wait(0.0002)
        return state["next"]

    return following


def use_pool(method: str, endpoint: str) -> None:
    context = multiprocessing.get_context(method)
    target, arguments = (child, ()) if method == "fork" else (fresh_child, (endpoint,))
    processes = [context.Process(target=target, args=(*arguments, number)) for number in range(1, CHILDREN + 1)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(30)
        assert process.exitcode == 0, process.exitcode


def end(mode: str) -> None:
    if mode == "sys.exit":
        sys.exit(0)
    if mode == "exception":
        raise RuntimeError("as applications do")
    if mode == "sigterm":
        os.kill(os.getpid(), signal.SIGTERM)
        threading.Event().wait(30)


def main() -> None:
    global app  # noqa: PLW0603 - an application has one
    endpoint, mode = sys.argv[1:3]
    app = App(endpoint)
    app.call(1)
    if mode == "forks":
        fork_children(int(sys.argv[3]))
    elif mode in ("fork", "spawn", "forkserver"):
        use_pool(mode, endpoint)
    app.call(2)
    end(mode)


if __name__ == "__main__":
    main()
