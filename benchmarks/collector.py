"""Beside the OpenTelemetry Collector's own processors, on the same spans: what each costs, normalises and redacts.

    ./dev bench collector [--seconds 3] [--rounds 5] [--only cpu|normalise|redact] [--pii FILE]

CPU seconds of the process (user and system, all threads) for a span, the least of the rounds, from the same sender to
the same sink, over OTLP/HTTP without compression, in turns. `nothing` is receiving and sending alone: the difference to
it is what the processors cost. Normalising is measured on the golden cases of all source conventions
(tests/golden/dialects): how many of the attributes that should come out do. Redaction on one address, put into every
place that OTLP has for text, and on labelled texts (`--pii`, as presidio-research has them: synth_dataset_v2.json).

The Collector is collector-config/otelcol-builder.yaml's, built once; it needs Go.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from google.protobuf.json_format import MessageToJson
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from benchmarks import collector_peers as peers
from benchmarks.payloads import Kind, request
from benchmarks.processes import cpu_seconds, forget_peak, free_port, peak_memory_mb, process, send
from otel_llm.testing import Destination, OtlpHttpSink
from tests.collector_config.collector import built
from tests.collector_config.telemetry import golden_cases
from tests.collector_config.topology import Sender, wait_for_items
from tests.shared_data import SHARED_DATA
from tests.spans import SpanSpec, attributes_of, spans_of
from tests.spans import request as spans_request

# Few, for the dearest row takes 100 times what the cheapest does.
_SPANS = 64
KINDS: tuple[Kind, ...] = ("content", "genai", "plain", "mix")
ROWS: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    ("gateway", "nothing", ()),
    ("gateway", "normalize", ("normalize",)),
    ("gateway", "normalize, cost", ("normalize", "cost")),
    ("gateway", "normalize, cost, quality, metrics", ("normalize", "cost", "quality", "metrics")),
    ("gateway", "redact", ("redact",)),
    ("Collector", "nothing", ()),
    ("Collector", "transform", ("transform",)),
    ("Collector", "redaction", ("redaction",)),
    ("Collector", "transform, redaction", ("transform", "redaction")),
)


@contextmanager
def running(server: str, names: Sequence[str], sink: str, folder: Path) -> Iterator[tuple[int, int]]:
    """Its port and its process."""
    port = free_port()
    make = peers.gateway if server == "gateway" else peers.collector
    config = folder / f"{port}.yaml"
    config.write_text(make(port, sink, *names))
    ours = [sys.executable, "-c", "import sys; from otel_llm.cli.main import main; sys.exit(main())", "run"]
    command = [*ours, "--config", str(config)] if server == "gateway" else [str(built()), f"--config={config}"]
    with process(command, port) as pid:
        yield port, pid


def cpu(seconds: float, rounds: int) -> None:
    print(f"| server | processors | {' | '.join(KINDS)} | peak MB |\n| --- | --- |{' --- |' * (len(KINDS) + 1)}")
    bodies = {kind: request(kind, spans=_SPANS) for kind in KINDS}
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        sink = free_port()
        stack.enter_context(process([sys.executable, "-m", "benchmarks.processes", str(sink)], sink))
        address = f"http://127.0.0.1:{sink}"
        servers = [stack.enter_context(running(server, names, address, folder)) for server, _, names in ROWS]
        least = [dict.fromkeys(KINDS, float("inf")) for _ in ROWS]
        for kind, body in bodies.items():
            for port, pid in servers:
                send(port, body, 0.5)  # warm
                forget_peak(pid)
            for _ in range(rounds):
                for (port, pid), row in zip(servers, least, strict=True):
                    before = cpu_seconds(pid)
                    load = send(port, body, seconds)
                    # What is accepted is sent on a little later.
                    stop_when_idle(pid)
                    row[kind] = min(row[kind], (cpu_seconds(pid) - before) / (load.ok * _SPANS) * 1e6)
        for (server, what, _), row, (_, pid) in zip(ROWS, least, servers, strict=True):
            figures = " | ".join(f"{row[kind]:.2f}" for kind in KINDS)
            print(f"| {server} | {what} | {figures} | {peak_memory_mb(pid):.0f} |", flush=True)


def stop_when_idle(pid: int) -> None:
    """Wait until the process has not used a tick for 0.3 s, for 10 s at most."""
    used, still = cpu_seconds(pid), 0
    for _ in range(100):
        time.sleep(0.1)
        now = cpu_seconds(pid)
        still = still + 1 if now - used < 0.011 else 0  # one tick
        used = now
        if still >= 3:
            return


def through(server: str, names: Sequence[str], requests: Sequence[tuple[str, bytes]], items: int) -> Destination:
    """What comes out of it."""
    with OtlpHttpSink() as sink, tempfile.TemporaryDirectory() as folder:
        with running(server, names, sink.endpoint, Path(folder)) as (port, _):
            sender = Sender(port)
            for signal, body in requests:
                assert sender.send(body, signal) == 200
            sender.close()
            wait_for_items(sink.destination, items)
        return sink.destination


def normalise() -> None:
    print("| server | right | wrong or missing | of | cases all right |\n| --- | --- | --- | --- | --- |")
    cases = [(spec_id, expected) for spec_id, _, expected in golden_cases()]
    body = b"".join(one for _, one, _ in golden_cases())  # concatenated messages merge
    for server, names in (("gateway", ("normalize",)), ("Collector", ("transform",)), ("Collector", ())):
        came = through(server, names, [("traces", body)], len(cases)).accepted
        found = {span.span_id: attributes_of(span) for got in came for span in spans_of(got.body)}
        right = wrong = whole = 0
        for number, all_expected in cases:
            # Ours (otel_llm.*) are not what a peer could be asked for.
            expected = {key: value for key, value in all_expected.items() if not key.startswith("otel_llm.")}
            span = found[number.to_bytes(8, "big")]
            hits = sum(same(span.get(key), value) for key, value in expected.items())
            right += hits
            wrong += len(expected) - hits
            whole += hits == len(expected)
        label = f"{server}: {names[0] if names else 'nothing'}"
        print(f"| {label} | {right} | {wrong} | {right + wrong} | {whole} of {len(cases)} |", flush=True)


def same(found: object, wanted: object) -> bool:
    if isinstance(wanted, list) and isinstance(found, (list, tuple)):
        return list(found) == wanted
    return found == wanted


_CANARY = "jane.doe@example.com"
_PART_OF_IT = "jane"


def places() -> dict[str, tuple[str, bytes]]:
    """A request for each place of OTLP where text may stand, with an address in it."""
    made: dict[str, tuple[str, bytes]] = {}
    text = f"write to {_CANARY} today"
    in_json = json.dumps({"to": [{"address": _CANARY}]})
    for name, value in {
        "attribute, text": text,
        "attribute, JSON in a text": in_json,
        "attribute, JSON with \\u0040": in_json.replace("@", "\\u0040"),
        "attribute, %40": text.replace("@", "%40"),
        "attribute, zero-width space inside": text.replace("doe", "d\u200boe"),
    }.items():
        message, span = empty()
        put(span.attributes, value)
        made[name] = ("traces", message.SerializeToString())
    for name, setter in _SETTERS.items():
        message, span = empty()
        setter(message, span, text)
        made[name] = ("traces", message.SerializeToString())
    for name in ("log body, text", "log body, map", "log's attribute"):
        logs = ExportLogsServiceRequest()
        record = logs.resource_logs.add().scope_logs.add().log_records.add()
        if name == "log body, text":
            record.body.string_value = text
        elif name == "log body, map":
            record.body.kvlist_value.values.add(key="content").value.string_value = text
        else:
            put(record.attributes, text)
        made[name] = ("logs", logs.SerializeToString())
    return made


def put(attributes: Any, text: str) -> None:
    attributes.add(key="k").value.string_value = text


def empty() -> tuple[ExportTraceServiceRequest, Span]:
    message = ExportTraceServiceRequest()
    group = message.resource_spans.add().scope_spans.add()
    group.scope.name = "app"
    return message, group.spans.add(trace_id=b"t" * 16, span_id=b"s" * 8, name="chat")


_SETTERS: Mapping[str, Callable[[ExportTraceServiceRequest, Span, str], object]] = {
    "attribute, list": lambda _, s, text: s.attributes.add(key="k").value.array_value.values.add(string_value=text),
    "attribute, map": lambda _, s, text: put(s.attributes.add(key="k").value.kvlist_value.values, text),
    "attribute, bytes": lambda _, s, text: setattr(s.attributes.add(key="k").value, "bytes_value", text.encode()),
    "attribute's key": lambda _, s, text: setattr(s.attributes.add(key=text).value, "bool_value", True),
    "span's name": lambda _, s, text: setattr(s, "name", text),
    "status message": lambda _, s, text: setattr(s.status, "message", text),
    "event's name": lambda _, s, text: s.events.add(name=text),
    "event's attribute": lambda _, s, text: put(s.events.add(name="e").attributes, text),
    "link's attribute": lambda _, s, text: put(s.links.add(trace_id=b"l" * 16, span_id=b"m" * 8).attributes, text),
    "trace state": lambda _, s, text: setattr(s, "trace_state", f"user={text.split()[2]}"),
    "resource's attribute": lambda m, _, text: put(m.resource_spans[0].resource.attributes, text),
    "scope's attribute": lambda m, _, text: put(m.resource_spans[0].scope_spans[0].scope.attributes, text),
}


def leaks(destination: Destination) -> bool:
    for got in destination.accepted:
        message = (ExportTraceServiceRequest if got.signal == "traces" else ExportLogsServiceRequest).FromString(
            got.body
        )
        shown = MessageToJson(message) + got.body.decode("utf-8", "ignore")
        plain = shown.replace("\\\\u0040", "@").replace("\\u0040", "@").replace("%40", "@").replace("\u200b", "")
        if _PART_OF_IT in plain.replace("\\u200b", ""):
            return True
    return False


def redact(labelled: Path) -> None:
    servers = (("gateway", ("redact",)), ("Collector", ("redaction",)))
    print("| where an address stands | gateway: redact | Collector: redaction |\n| --- | --- | --- |")
    for name, one in places().items():
        outcome = ["stays" if leaks(through(server, names, [one], 1)) else "gone" for server, names in servers]
        print(f"| {name} | {' | '.join(outcome)} |", flush=True)
    if not labelled.exists():
        print("\nno labelled texts beside the project: recall not measured")
        return
    print("\n| labelled values that are gone | number | gateway: redact | Collector: redaction |")
    print("| --- | --- | --- | --- |")
    kinds = ("CREDIT_CARD", "EMAIL_ADDRESS", "IBAN_CODE", "IP_ADDRESS", "PHONE_NUMBER", "US_SSN")
    cases = json.loads(labelled.read_text())
    body = spans_request([SpanSpec(attributes={"text": c["full_text"]}, span=n) for n, c in enumerate(cases, 1)])
    texts = []
    for server, names in servers:
        came = through(server, names, [("traces", body)], len(cases)).accepted
        texts.append(
            {int.from_bytes(s.span_id, "big"): str(attributes_of(s)["text"]) for g in came for s in spans_of(g.body)}
        )
    for kind in kinds:
        wanted = [
            (n, s["entity_value"]) for n, c in enumerate(cases, 1) for s in c["spans"] if s["entity_type"] == kind
        ]
        gone = [sum(value not in found[n] for n, value in wanted) for found in texts]
        print(f"| {kind} | {len(wanted)} | {' | '.join(f'{g / len(wanted):.3f}' for g in gone)} |", flush=True)
    clean = [
        n for n, c in enumerate(cases, 1) if not any(s["entity_type"] in (*kinds, "DOMAIN_NAME") for s in c["spans"])
    ]
    touched = [sum(found[n] != cases[n - 1]["full_text"] for n in clean) for found in texts]
    print(f"| texts without any of these that were changed | {len(clean)} | {touched[0]} | {touched[1]} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--pii", type=Path, default=SHARED_DATA / "policy" / "pii" / "synth_dataset_v2.json")
    parser.add_argument("--only", choices=("cpu", "normalise", "redact"))
    options = parser.parse_args()
    version = subprocess.run([built(), "--version"], capture_output=True, text=True, check=True).stdout.strip()
    print(f"{version}; Python {sys.version.split()[0]}\n")
    if options.only in (None, "normalise"):
        normalise()
        print()
    if options.only in (None, "redact"):
        redact(options.pii)
        print()
    if options.only in (None, "cpu"):
        cpu(options.seconds, options.rounds)


if __name__ == "__main__":
    main()
