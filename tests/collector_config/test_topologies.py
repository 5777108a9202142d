"""Real spans through a real Collector, the gateway and another Collector, with the files of collector-config."""

from __future__ import annotations

import sqlite3
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord
from opentelemetry.proto.metrics.v1.metrics_pb2 import Metric
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from otel_llm.delivery.split import count_items
from otel_llm.signals import Signal
from otel_llm.testing import ACCEPT, Answer, Destination, OtlpHttpSink, unused_port
from tests.collector_config.collector import COLLECTOR_MARKS, validate
from tests.collector_config.telemetry import everything, golden, recorded, with_canary
from tests.collector_config.test_collector_files import CONFIGURATIONS
from tests.collector_config.topology import FOLDER, PATIENCE_SECONDS, OfApps, Sender, collector, gateway, wait_for_items
from tests.delivery.requests import logs, metrics, numbers, traces
from tests.golden.recorded import processed_logs
from tests.spans import SpanSpec, attributes_of, chat, request, spans_of

pytestmark = COLLECTOR_MARKS

_MESSAGES = {
    "traces": ExportTraceServiceRequest,
    "metrics": ExportMetricsServiceRequest,
    "logs": ExportLogsServiceRequest,
}


@pytest.fixture
def backend() -> Iterator[OtlpHttpSink]:
    with OtlpHttpSink(OfApps()) as sink:
        yield sink


def items(destination: Destination) -> Counter[tuple[str, bytes, bytes, bytes]]:
    """Each span, record and metric that came, whole, with its scope and resource, however they were grouped.

    Left open is what OTLP leaves open: the order of attributes, and whether an empty message is written or not.
    """
    found: Counter[tuple[str, bytes, bytes, bytes]] = Counter()
    for got in destination.accepted:
        message = _MESSAGES[got.signal].FromString(got.body)
        kind, field = {
            "traces": ("spans", "spans"),
            "metrics": ("metrics", "metrics"),
            "logs": ("logs", "log_records"),
        }[got.signal]
        for holder in getattr(message, f"resource_{kind}"):
            for group in getattr(holder, f"scope_{kind}"):
                resource = holder.resource.SerializeToString(deterministic=True) + holder.schema_url.encode()
                scope = group.scope.SerializeToString(deterministic=True) + group.schema_url.encode()
                for one in getattr(group, field):
                    found[got.signal, resource, scope, _plain(one)] += 1
    return found


def _plain(one: Any) -> bytes:
    if isinstance(one, Metric):
        for point in one.exponential_histogram.data_points if one.HasField("exponential_histogram") else ():
            for side in ("positive", "negative"):
                if not getattr(point, side).ByteSize():
                    point.ClearField(side)
        return one.SerializeToString(deterministic=True)
    if isinstance(one, LogRecord) and not one.body.ByteSize():
        one.ClearField("body")
    one.attributes.sort(key=lambda attribute: attribute.key)
    return one.SerializeToString(deterministic=True)


@pytest.mark.parametrize("path", CONFIGURATIONS, ids=lambda path: path.name)
def test_the_collector_itself_finds_each_configuration_valid(path: Path, tmp_path: Path):
    done = validate(path, environment={"QUEUE": str(tmp_path / "queue")})
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    assert "deprecated" not in done.stderr


def test_collector_gateway_collector_changes_nothing_but_what_the_gateway_changes(
    tmp_path: Path, backend: OtlpHttpSink
):
    requests: list[tuple[Signal, bytes]] = [*everything(), *golden(), *recorded()]
    behind = collector("behind", tmp_path / "behind", {"BACKEND": backend.endpoint})
    agent_at_once = "exporters: {otlp_http/llm: {sending_queue: {batch: {flush_timeout: 1ms}}}}"
    with (
        OtlpHttpSink(OfApps()) as directly,
        gateway("collector", {"NEXT_COLLECTOR": "http://127.0.0.1:9"}, overrides=_to(directly)) as alone,
        behind,
        gateway("collector", {"NEXT_COLLECTOR": f"http://127.0.0.1:{behind.grpc}"}) as between,
        collector("agent", tmp_path / "agent", {"GATEWAY": between.endpoint}, over=agent_at_once) as agent,
    ):
        straight, around = Sender(int(alone.endpoint.rpartition(":")[2])), Sender(agent.http)
        sent = 0
        for signal, body in requests:
            sent += _comes_out(signal, body)
            for sender, destination in ((straight, directly.destination), (around, backend.destination)):
                assert sender.send(body, signal) == 200
                # One after the other, as what was seen before decides which of two reports of one call is billed.
                wait_for_items(destination, sent)
        straight.close()
        around.close()
    wanted, found = items(directly.destination), items(backend.destination)
    assert found - wanted == wanted - found == Counter()
    assert len(wanted) > 200


def _to(sink: OtlpHttpSink, name: str = "alone") -> tuple[str, ...]:
    """The same file, but the gateway's exporter is the backend itself, which is told whose request it is."""
    queue = "sending_queue: {batch: {flush_timeout_seconds: 0}}"
    exporter = f"{{endpoint: {sink.endpoint}, headers: {{gateway: {name}}}, {queue}}}"
    return (
        f"exporters={{otlp_http/next: {exporter}}}",
        *(f"service.pipelines.{signal}.exporters=[otlp_http/next]" for signal in ("traces", "metrics", "logs")),
    )


def test_the_names_of_components_before_they_were_changed_are_understood(tmp_path: Path):
    text = (FOLDER / "collector-loadbalancing.yaml").read_text()
    for new, old in (("load_balancing", "loadbalancing"), ("otlp_grpc/", "otlp/"), ("otlp_http/", "otlphttp/")):
        text = text.replace(new, old)
    older = tmp_path / "older.yaml"
    older.write_text(text)
    done = validate(older)
    assert done.returncode == 0, done.stderr


def test_a_field_that_is_younger_than_all_of_them_passes_the_gateway_and_not_a_collector(
    tmp_path: Path, backend: OtlpHttpSink
):
    span = Span(trace_id=b"t" * 16, span_id=b"s" * 8, name="plain").SerializeToString()
    young = span + b"\xba\x3e\x05young"  # field 999
    group = b"\x12" + bytes([len(young)]) + young
    body = b"\x12" + bytes([len(group)]) + group
    body = b"\x0a" + bytes([len(body)]) + body
    with (
        gateway("collector", {}, overrides=_to(backend)) as to,
        collector("agent", tmp_path, {"GATEWAY": to.endpoint}) as agent,
    ):
        for port in (int(to.endpoint.rpartition(":")[2]), agent.http):
            sender = Sender(port)
            assert sender.send(body) == 200
            sender.close()
        wait_for_items(backend.destination, 2)
    assert sorted(b"young" in got.body for got in backend.destination.accepted) == [False, True]


def _comes_out(signal: Signal, body: bytes) -> int:
    """How many items; the gateway makes one event of several that hold the messages of one call."""
    return count_items(signal, processed_logs(body) if signal == "logs" else body)


def test_each_trace_stays_on_one_gateway_and_nothing_is_lost_while_one_is_away(tmp_path: Path, backend: OtlpHttpSink):
    ports = {"first": unused_port(), "second": unused_port()}
    addresses = {f"GATEWAY_{n}": f"127.0.0.1:{port}" for n, port in enumerate(ports.values(), 1)}
    balancing = collector("loadbalancing", tmp_path, addresses)

    def running(name: str):
        return gateway("collector", {}, grpc=ports[name], overrides=_to(backend, name))

    with running("first"), balancing:
        sender = Sender(balancing.http)
        with running("second"):
            for part in range(20):
                assert sender.send(_spread(part)) == 200
            wait_for_items(backend.destination, 20 * len(_TRACES))
        for part in range(20, 30):  # the second one is away
            assert sender.send(_spread(part)) == 200
        with running("second"):
            wait_for_items(backend.destination, 30 * len(_TRACES))
        sender.close()
    at: dict[str, dict[bytes, list[bytes]]] = {name: defaultdict(list) for name in ports}
    for got in backend.destination.accepted:
        for span in spans_of(got.body) if got.signal == "traces" else ():
            at[got.headers["gateway"]][span.trace_id].append(span.span_id)
    assert at["first"].keys() & at["second"].keys() == set()
    assert min(len(traces) for traces in at.values()) >= 10
    everything_once = sorted(number.to_bytes(8, "big") for number in range(1, 31))
    assert {trace: sorted(spans) for found in at.values() for trace, spans in found.items()} == {
        trace.to_bytes(16, "big"): everything_once for trace in _TRACES
    }


_TRACES = [Random(number).getrandbits(128) for number in range(50)]


def _spread(part: int) -> bytes:
    """One span of each trace."""
    return request([SpanSpec(attributes=chat(), trace=trace, span=part + 1) for trace in _TRACES])


def test_what_apps_were_told_ok_for_survives_kills_of_the_collector_while_the_gateway_is_away(
    tmp_path: Path, backend: OtlpHttpSink
):
    port, acknowledged = unused_port(), set()
    environment = {"GATEWAY": f"http://127.0.0.1:{port}", "QUEUE": str(tmp_path / "queue")}
    durable = collector("durable", tmp_path, environment)
    for kill in range(4):
        durable.collector.start()
        sender = Sender(durable.http)
        for part in range(10):
            first = 1 + kill * 1000 + part * 10
            if sender.send(traces(first, 10, size=2000).SerializeToString()) == 200:
                acknowledged.update(range(first, first + 10))
        sender.close()
        durable.collector.kill()
    with durable, gateway("collector", {}, http=port, overrides=_to(backend)):
        wait_for_items(backend.destination, len(acknowledged))
    arrived = {number for got in backend.destination.accepted for number in numbers(got.signal, got.body)}
    assert len(acknowledged) == 400
    assert arrived == acknowledged


def test_without_the_queue_on_disk_a_kill_loses_what_was_told_ok_so_that_this_test_can_fail(
    tmp_path: Path, backend: OtlpHttpSink
):
    port = unused_port()
    agent = collector("agent", tmp_path, {"GATEWAY": f"http://127.0.0.1:{port}"})
    with agent:
        sender = Sender(agent.http)
        assert sender.send(traces(1, 10).SerializeToString()) == 200
        sender.close()
        agent.collector.kill()
    with agent, gateway("collector", {}, http=port, overrides=_to(backend)):
        sender = Sender(agent.http)
        assert sender.send(traces(100, 1).SerializeToString()) == 200
        sender.close()
        wait_for_items(backend.destination, 1)
    assert [n for got in backend.destination.accepted for n in numbers(got.signal, got.body)] == [100]


def test_a_backend_that_is_away_holds_up_the_gateways_queue_and_loses_nothing(tmp_path: Path, backend: OtlpHttpSink):
    backend.destination.default = Answer.unavailable()
    behind = collector("behind", tmp_path / "behind", {"BACKEND": backend.endpoint})
    with (
        behind,
        gateway("collector", {"NEXT_COLLECTOR": f"http://127.0.0.1:{behind.grpc}"}) as between,
        collector("agent", tmp_path / "agent", {"GATEWAY": between.endpoint}) as agent,
    ):
        sender = Sender(agent.http)
        for signal, make in (("traces", traces), ("metrics", metrics), ("logs", logs)):
            assert sender.send(make(1, 100).SerializeToString(), signal) == 200
        backend.destination.wait_for(lambda: len(backend.destination.received) >= 3, PATIENCE_SECONDS)
        behind.collector.kill()  # the gateway was not told OK, so it still has everything
        backend.destination.default = ACCEPT
        behind.collector.start()
        wait_for_items(backend.destination, 300)
        sender.close()
    for signal in ("traces", "metrics", "logs"):
        arrived = {n for got in backend.destination.accepted if got.signal == signal for n in numbers(signal, got.body)}
        assert arrived == set(range(1, 101)), signal


def test_a_full_collector_tells_apps_to_come_back_and_has_dropped_nothing_when_there_is_room_again(
    tmp_path: Path, backend: OtlpHttpSink
):
    port, acknowledged = unused_port(), set()
    batch = "batch: {min_size: 1000, max_size: 100000}"
    small = f"exporters: {{otlp_http/llm: {{sending_queue: {{queue_size: 300000, {batch}}}}}}}"
    front = collector("agent", tmp_path, {"GATEWAY": f"http://127.0.0.1:{port}"}, over=small)
    with front:
        sender = Sender(front.http)
        for part in range(40):
            if sender.send(traces(1 + part * 10, 10, size=2000).SerializeToString()) == 200:
                acknowledged.update(range(1 + part * 10, 11 + part * 10))
        assert set(sender.refused) == {503}  # which OTLP has senders repeat
        assert 0 < len(acknowledged) < 400
        with gateway("collector", {}, http=port, overrides=_to(backend)):
            wait_for_items(backend.destination, len(acknowledged))
            assert sender.send(traces(1000, 1).SerializeToString()) == 200
            wait_for_items(backend.destination, len(acknowledged) + 1)
        sender.close()
    arrived = {number for got in backend.destination.accepted for number in numbers(got.signal, got.body)}
    assert arrived == acknowledged | {1000}


def test_tail_sampling_behind_the_gateway_keeps_what_it_should_and_the_gateway_has_counted_all(
    tmp_path: Path, backend: OtlpHttpSink
):
    kept = {
        1: SpanSpec(trace=1, status=2, attributes=chat(error__type="timeout")),
        2: SpanSpec(trace=2, attributes=chat(gen_ai__usage__input_tokens=400_000)),  # a dollar
        3: SpanSpec(trace=3, attributes=chat(gen_ai__request__model="acme-7b", gen_ai__response__model="acme-7b")),
        4: SpanSpec(trace=4, attributes=chat(gen_ai__response__finish_reasons=["length"])),
        5: SpanSpec(trace=5, attributes=chat(), seconds=61),
        6: SpanSpec(trace=6, attributes=chat(otel_llm__policy__verdict__type="deny")),
    }
    sampling = collector("tail-sampling", tmp_path, {"BACKEND": backend.endpoint, "DECISION_WAIT": "1s"})
    ledger = tmp_path / "ledger.db"
    environment = {"NEXT_COLLECTOR": f"http://127.0.0.1:{sampling.http}", "OTEL_LLM_LEDGER": str(ledger)}
    # Ids as SDKs make them: which of the rest are kept is by their hash.
    plain = [SpanSpec(attributes=chat(), trace=Random(n).getrandbits(128), span=n) for n in range(100, 600)]
    late = [SpanSpec(attributes={"late": True}, trace=number, span=1000 + number, scope="app") for number in kept]
    with sampling, gateway("tail-sampling", environment) as between:
        sender = Sender(int(between.endpoint.rpartition(":")[2]))
        specs = [*plain, *(replace(spec, span=number) for number, spec in kept.items())]
        assert sender.send(request(specs)) == 200
        backend.destination.wait_for(lambda: kept.keys() <= _traces(backend.destination).keys(), PATIENCE_SECONDS)
        assert sender.send(request(late)) == 200
        backend.destination.wait_for(
            lambda: all(len(_traces(backend.destination)[number]) == 2 for number in kept), PATIENCE_SECONDS
        )
        sender.close()
    by_chance = _traces(backend.destination).keys() - kept.keys()
    assert 20 <= len(by_chance) <= 90  # of 500, at 10 %
    with sqlite3.connect(ledger) as connection:
        assert connection.execute("select count(*) from operations").fetchone() == (506,)
    connection.close()


def _traces(destination: Destination) -> dict[int, set[bytes]]:
    found: dict[int, set[bytes]] = defaultdict(set)
    for got in destination.accepted:
        for span in spans_of(got.body) if got.signal == "traces" else ():
            found[int.from_bytes(span.trace_id, "big")].add(span.span_id)
    return found


CANARY = "canary-7f3a"


def test_metadata_holds_no_word_of_what_was_said_and_the_content_store_all_of_it(tmp_path: Path, backend: OtlpHttpSink):
    requests = [(signal, with_canary(signal, body, CANARY)) for signal, body in (*golden(), *recorded())]
    with OtlpHttpSink(OfApps()) as store:
        parting = collector("content", tmp_path, {"BACKEND": backend.endpoint, "CONTENT_STORE": store.endpoint})
        environment = {
            "NEXT_COLLECTOR": f"http://127.0.0.1:{parting.http}",
            "OTEL_LLM_VAULT": str(tmp_path / "vault.jsonl"),
        }
        with parting, gateway("content", environment) as between:
            sender = Sender(int(between.endpoint.rpartition(":")[2]))
            for signal, body in requests:
                assert sender.send(body, signal) == 200
            sender.close()
            sent = sum(_comes_out(signal, body) for signal, body in requests)
            for destination in (backend.destination, store.destination):
                wait_for_items(destination, sent)
    assert [got.signal for got in backend.destination.accepted if CANARY.encode() in got.body] == []
    assert sum(got.body.count(CANARY.encode()) for got in store.destination.accepted) > 250
    # Operations need these, and have them.
    there = Counter(key for span in _spans(backend.destination) for key in attributes_of(span))
    wanted = Counter(key for span in _spans(store.destination) for key in attributes_of(span))
    for key in (*(key for key in wanted if key.startswith("otel_llm.")), *_NEEDED):
        assert there[key] == wanted[key] > 0, key


_NEEDED = (
    "gen_ai.operation.name", "gen_ai.provider.name", "gen_ai.request.model", "gen_ai.response.model",
    "gen_ai.usage.input_tokens", "gen_ai.usage.output_tokens", "gen_ai.response.finish_reasons", "error.type",
)  # fmt: skip


def _spans(destination: Destination):
    return [span for got in destination.accepted if got.signal == "traces" for span in spans_of(got.body)]


def test_what_is_personal_is_in_the_vault_only(tmp_path: Path, backend: OtlpHttpSink):
    vault = tmp_path / "vault.jsonl"
    parting = collector("content", tmp_path, {"BACKEND": backend.endpoint, "CONTENT_STORE": backend.endpoint})
    environment = {"NEXT_COLLECTOR": f"http://127.0.0.1:{parting.http}", "OTEL_LLM_VAULT": str(vault)}
    said = '[{"role":"user","parts":[{"type":"text","content":"I am jane.doe@example.com"}]}]'
    with parting, gateway("content", environment) as between:
        sender = Sender(int(between.endpoint.rpartition(":")[2]))
        assert sender.send(request([SpanSpec(attributes=chat(gen_ai__input__messages=said))])) == 200
        sender.close()
        wait_for_items(backend.destination, 2)
    assert "jane.doe@example.com" in vault.read_text()
    bodies = b"".join(got.body for got in backend.destination.accepted)
    assert b"jane.doe" not in bodies
    assert b"I am [EMAIL_ADDRESS]" in bodies
