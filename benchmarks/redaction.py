"""What it costs to redact a request, per span: new content every time, and requests that come again.

    python -m benchmarks.redaction

CPU time of this process, the least of several runs, on the payloads of the codec's benchmark. `new` forgets everything
before each run; `again` remembers texts and attributes, as a gateway does whose spans repeat methods and history.
"""

from __future__ import annotations

import gc
import platform
import time

from benchmarks.payloads import KINDS, SPANS, request
from otel_llm.clock import SystemClock
from otel_llm.components import Context
from otel_llm.processors.redact import Config, Redact, create
from otel_llm.signals import Payload
from otel_llm.telemetry import Metrics

RUNS = 7


def processor() -> Redact:
    return create(Config(), Context("redact", Metrics(), SystemClock()))


def seconds(redact: Redact, payload: Payload) -> float:
    gc.collect()
    started = time.process_time()
    redact.rewrite(payload)
    return time.process_time() - started


def main() -> None:
    print(f"Python {platform.python_version()}; us CPU a span")
    print("| payload | KB a span | new | again |\n|---|---|---|---|")
    for kind in KINDS:
        body = request(kind)
        payload = Payload.of("traces", (body,), SPANS)
        new = min(seconds(processor(), payload) for _ in range(RUNS))
        warm = processor()
        again = min(seconds(warm, payload) for _ in range(RUNS))
        size = len(body) / SPANS / 1000
        print(f"| {kind} | {size:.1f} | {new / SPANS * 1e6:.0f} | {again / SPANS * 1e6:.0f} |", flush=True)


if __name__ == "__main__":
    main()
