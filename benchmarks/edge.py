"""What the edge costs: routing and splitting, tail sampling, keys, mending. CPU time, minimum of many.

    ./dev bench edge [--rounds 30]

In this process, on the requests of benchmarks/payloads.py (512 spans). The peer in each row group is what everybody
pays anyway: `decode` is the wire codec's walk (decode_traces, encode), `parse` is the generated classes reading the
request. Compare ratios to them within a run, not microseconds between machines.
"""

from __future__ import annotations

import argparse
import base64
import gc
import platform
import time
from collections.abc import Callable
from importlib.metadata import version
from tempfile import TemporaryDirectory

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from benchmarks.payloads import KINDS, SPANS, Kind
from benchmarks.payloads import request as make
from otel_llm.clock import SystemClock
from otel_llm.codecs.stamp import stamp_resources
from otel_llm.codecs.triage import keep_important
from otel_llm.codecs.wire import decode_traces
from otel_llm.components import Context
from otel_llm.connectors.routing import Config as RoutingConfig
from otel_llm.connectors.routing import RouteConfig, Routing
from otel_llm.connectors.tail_sampling import Config as SamplingConfig
from otel_llm.connectors.tail_sampling import TailSampling
from otel_llm.delivery.config import DiskConfig
from otel_llm.http.head import parse_head
from otel_llm.receivers.auth import AuthConfig, KeyConfig
from otel_llm.receivers.gatekeeper import Gatekeeper
from otel_llm.signals import Payload, Signal
from otel_llm.telemetry import Metrics

TENANTS = 20
TOKEN = "acme-0123456789abcdef0123456789"  # noqa: S105 - nobody's


def least_microseconds(run: Callable[[], object], rounds: int) -> float:
    """CPU time of one run, least of many."""
    best = float("inf")
    gc.collect()
    gc.disable()
    for _ in range(rounds):
        begin = time.process_time_ns()
        run()
        best = min(best, time.process_time_ns() - begin)
    gc.enable()
    return best / 1000


def with_tenants(body: bytes, *, on: str) -> bytes:
    """The request as of many tenants: a resource for each, or an attribute on each span."""
    message = ExportTraceServiceRequest.FromString(body)
    if on == "items":
        spans = [span for holder in message.resource_spans for group in holder.scope_spans for span in group.spans]
        for number, span in enumerate(spans):
            span.attributes.add(key="tenant.id").value.string_value = f"tenant-{number % TENANTS}"
        return message.SerializeToString()
    parts = ExportTraceServiceRequest()
    for number in range(TENANTS):
        for holder in message.resource_spans:
            mine = parts.resource_spans.add()
            mine.resource.CopyFrom(holder.resource)
            mine.resource.attributes.add(key="tenant.id").value.string_value = f"tenant-{number}"
            for group in holder.scope_spans:
                own = mine.scope_spans.add()
                own.scope.CopyFrom(group.scope)
                own.spans.extend(list(group.spans)[number::TENANTS])
    return parts.SerializeToString()


def in_traces(body: bytes, size: int) -> bytes:
    """The request with that many spans in each trace, the first one its root."""
    message = ExportTraceServiceRequest.FromString(body)
    spans = [span for holder in message.resource_spans for group in holder.scope_spans for span in group.spans]
    for number, span in enumerate(spans):
        span.trace_id = spans[number - number % size].trace_id
        span.parent_span_id = b"" if number % size == 0 else spans[number - number % size].span_id
    return message.SerializeToString()


def routing(attributes_of: str) -> Routing:
    rows = tuple(
        RouteConfig(when={"tenant.id": f"tenant-{number}"}, pipelines=(f"traces/{number}",))
        for number in range(TENANTS)
    )
    config = RoutingConfig(table=rows, default_pipelines=("traces/q",), attributes_of=attributes_of)  # type: ignore[arg-type] # one of two words
    made = Routing(config, "routing")
    outputs: dict[str, Signal] = dict.fromkeys(
        [*(f"traces/{number}" for number in range(TENANTS)), "traces/q"], "traces"
    )
    made.check(frozenset({"traces"}), outputs)
    return made


def sampling(percent: float, folder: str | None = None) -> TailSampling:
    disk = None if folder is None else DiskConfig(directory=folder)
    config = SamplingConfig(sampling_percentage=percent, keep_from_cost=1.0, keep_errors=False, disk=disk)
    made = TailSampling(config, Context("tail_sampling", Metrics(), SystemClock()))
    made._emit = lambda payload: None  # noqa: ARG005 - the signature of Emit
    if disk is not None:
        made._open_journal(disk)
    return made


def sample(connector: TailSampling, payload: Payload) -> None:
    """Take the spans, decide on them, let go, and forget."""
    connector.export(payload, 1.0)
    with connector._lock:
        for trace_id, trace in list(connector._traces.items()):
            connector._decide(trace_id, trace)
        connector._let_go()
        connector._decided.clear()
        connector._deadlines.clear()


def rows(kind: Kind, rounds: int, folder: str) -> None:
    body = make(kind)
    by_resource, by_item = with_tenants(body, on="resource"), with_tenants(body, on="items")
    one_tenant = stamp_resources(body, "tenant.id", "tenant-1")
    of_resource, of_items = routing("resource"), routing("items")
    all_kept, few_kept, journaled = sampling(100.0), sampling(5.0), sampling(100.0, folder)
    whole = Payload.of("traces", (body,), SPANS)
    traces = Payload.of("traces", (in_traces(body, 16),), SPANS)
    measured: list[tuple[str, Callable[[], object]]] = [
        ("parse (generated classes)", lambda: ExportTraceServiceRequest.FromString(body)),
        ("decode and encode, nothing changed", lambda: decode_traces(body).encode()),
        ("stamp a tenant", lambda: stamp_resources(body, "tenant.id", "acme")),
        ("route, one tenant", lambda: of_resource.split(Payload.of("traces", (one_tenant,), SPANS))),
        (f"route, {TENANTS} resources", lambda: of_resource.split(Payload.of("traces", (by_resource,), SPANS))),
        (f"route, {TENANTS} tenants on spans", lambda: of_items.split(Payload.of("traces", (by_item,), SPANS))),
        ("tail sampling, traces of 16, 5 % kept", lambda: sample(few_kept, traces)),
        ("tail sampling, traces of 16, all kept", lambda: sample(all_kept, traces)),
        ("the same, with a journal on disk, `always`", lambda: sample(journaled, traces)),
        ("tail sampling, traces of 1, all kept", lambda: sample(all_kept, whole)),
        ("give up what matters least", lambda: keep_important(whole)),
    ]
    found = {name: least_microseconds(run, rounds) for name, run in measured}
    base = found["decode and encode, nothing changed"]
    for name, microseconds in found.items():
        print(f"| {kind} | {name} | {microseconds / SPANS:.2f} | {microseconds / base:.2f} |")


def auth(rounds: int) -> None:
    basic = base64.b64encode(b"acme:correct horse").decode()
    keys = AuthConfig(
        keys=(
            KeyConfig(token=TOKEN, tenant="acme"),
            KeyConfig(username="acme", password="correct horse", tenant="acme"),  # noqa: S106 - nobody's
        )
    )
    gatekeeper = Gatekeeper(keys, "auth")
    nobody = Gatekeeper(None, "auth")
    head = (
        b"POST /v1/traces HTTP/1.1\r\nHost: gateway:4318\r\nUser-Agent: OTel-OTLP-Exporter-Python/1.45\r\n"
        b"Content-Type: application/x-protobuf\r\nContent-Length: 8700\r\n"
    )
    number = 1000
    measured: list[tuple[str, Callable[[], object]]] = [
        ("parse a head (the peer)", lambda: parse_head(head)),
        ("no keys", lambda: nobody.admit(None)),
        ("bearer token", lambda: gatekeeper.admit(f"Bearer {TOKEN}")),
        ("basic", lambda: gatekeeper.admit(f"Basic {basic}")),
    ]
    for name, run in measured:

        def many(run: Callable[[], object] = run) -> None:
            for _ in range(number):
                run()

        print(f"| {name} | {least_microseconds(many, rounds) / number:.2f} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=30)
    rounds = parser.parse_args().rounds
    print(f"Python {platform.python_version()}, protobuf {version('protobuf')}, {platform.machine()}\n")
    print("| payload | what | us/span | x decode |\n| --- | --- | --- | --- |")
    for kind in KINDS:
        with TemporaryDirectory() as folder:
            rows(kind, rounds, folder)
    print("\n| a request's key | us/request |\n| --- | --- |")
    auth(rounds)


if __name__ == "__main__":
    main()
