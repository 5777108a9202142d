"""What a span costs in the pipeline: wire codec, normalize and cost, against parsing with the generated classes.

    python -m benchmarks.codec

CPU time of this process per span, the least of several runs, each on a request of its own: spans that were seen before
are settled quicker. The peers run in between, in the same process, on the same bytes; each variant runs once more
before it is measured, so that none of them pays for what the one before has left in the processor's caches.

The peers do what a straightforward processor does: parse the request with the generated classes, put the attributes of
each span into a dict, append as many attributes as we do, serialise. `naive` appends to every span, `careful` to GenAI
spans only; neither normalises or prices anything.
"""

from __future__ import annotations

import gc
import platform
import time
from collections.abc import Callable
from functools import partial
from itertools import pairwise

import google.protobuf
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue

from benchmarks.payloads import KINDS, SPANS, request
from otel_llm.clock import SystemClock
from otel_llm.codecs.readers import READERS, Reader
from otel_llm.codecs.wire import decode_traces
from otel_llm.components import Context
from otel_llm.hosts.tuning import tune_gc
from otel_llm.pipeline import Pipeline
from otel_llm.processors import cost, normalize
from otel_llm.telemetry import Metrics

RUNS = 25
ADDED = {
    "otel_llm.cost.total": 0.0031,
    "otel_llm.cost.input": 0.0017,
    "otel_llm.cost.output": 0.001,
    "otel_llm.cost.cache_read": 0.0004,
    "otel_llm.cost.currency": "USD",
    "otel_llm.cost.status": "priced",
    "otel_llm.cost.source": "catalogue",
    "otel_llm.cost.model_matched": "gpt-4o",
    "otel_llm.cost.model_rule": "exact",
    "otel_llm.cost.price_version": "2026-11-21-0",
    "otel_llm.usage.source": "provider",
}


def pipeline() -> Pipeline:
    metrics, clock = Metrics(), SystemClock()

    def context(name: str) -> Context:
        return Context(name, metrics, clock)

    processors = [
        normalize.Normalize(),
        # A memory that is full after a few requests, as it is in a gateway that has run for a while.
        cost.create(cost.Config(existing="replace", remembered_calls=4096), context("cost")),
    ]
    return Pipeline(processors, metrics, clock)


def ours(steps: Pipeline, read: Reader, body: bytes) -> int:
    batch = decode_traces(body, read)
    steps.process(batch.operations)
    return batch.encode().size_bytes


def codec_only(body: bytes) -> int:
    return decode_traces(body).encode().size_bytes


def generated_classes(body: bytes, *, every_span: bool) -> int:
    message = ExportTraceServiceRequest.FromString(body)
    for holder in message.resource_spans:
        for group in holder.scope_spans:
            for span in group.spans:
                attributes = {item.key: plain(item.value) for item in span.attributes}
                if not every_span and "gen_ai.operation.name" not in attributes:
                    continue
                for key, value in ADDED.items():
                    attribute = span.attributes.add(key=key)
                    if isinstance(value, float):
                        attribute.value.double_value = value
                    else:
                        attribute.value.string_value = value
    return len(message.SerializeToString())


def plain(value: AnyValue) -> object:
    which = value.WhichOneof("value")
    if which == "array_value":
        return [plain(item) for item in value.array_value.values]
    return None if which is None else getattr(value, which)


def microseconds(work: Callable[[bytes], object], before: bytes, body: bytes) -> float:
    work(before)
    started = time.process_time_ns()
    work(body)
    return (time.process_time_ns() - started) / 1000 / SPANS


def variants() -> dict[str, Callable[[bytes], object]]:
    """By name: ours with each reader there is, and the peers."""
    return {name: partial(ours, pipeline(), read) for name, read in READERS.items()} | {
        "codec only": codec_only,
        "naive": lambda body: generated_classes(body, every_span=True),
        "careful": lambda body: generated_classes(body, every_span=False),
    }


def main() -> None:
    tune_gc()
    gc.collect()
    work = variants()
    best = next(iter(work))
    print(f"Python {platform.python_version()}, protobuf {google.protobuf.__version__}, {SPANS} spans a request")
    print(f"us CPU a span, least of {RUNS}; ours is the first column")
    print(f"{'payload':9}" + "".join(f"{name:>12}" for name in work) + f"{'ours/naive':>12}")
    for kind in KINDS:
        least = dict.fromkeys(work, float("inf"))
        bodies = [request(kind, seed=run) for run in range(RUNS + 1)]
        for before, body in pairwise(bodies):
            for name, one in work.items():
                least[name] = min(least[name], microseconds(one, before, body))
        row = "".join(f"{least[name]:12.2f}" for name in work)
        print(f"{kind:9}{row}{least[best] / least['naive']:12.3f}")


if __name__ == "__main__":
    main()
