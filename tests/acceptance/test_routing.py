"""Acceptance 41: multi-tenant routing. Wrong project or every project."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from otel_llm.errors import ConfigError
from otel_llm.hosts.gateway import Gateway
from otel_llm.signals import SIGNALS
from otel_llm.testing import HANG, Destination, OtlpHttpSink
from tests.hosts.running import http_port, post, running
from tests.spans import SpanSpec, chat, request, spans_of

TENANTS = ("acme", "globex", "initech")
SINKS = (*TENANTS, "quarantine", "operator")
KEYS = {tenant: f"{tenant}-0123456789abcdef" for tenant in TENANTS}


def config(sinks: Mapping[str, str], folder: Path, attributes_of: str, *, with_keys: bool) -> str:
    """A gateway that routes by tenant; everything goes to the operator, too."""
    for tenant, key in KEYS.items():
        (folder / tenant).write_text(key)
    keys = ", ".join(f"{{token_file: {folder / tenant}, tenant: {tenant}}}" for tenant in TENANTS)
    auth = f", auth: {{keys: [{keys}]}}" if with_keys else ""
    exporters = "".join(
        f"  otlp_http/{name}: {{endpoint: {endpoint}, compression: none, timeout_seconds: 1, "
        f"sending_queue: {{on_full: drop, batch: {{flush_timeout_seconds: 0}}}}}}\n"
        for name, endpoint in sinks.items()
    )
    rows = {tenant: ", ".join(f"{signal}/{tenant}" for signal in SIGNALS) for tenant in TENANTS}
    table = "".join(
        f"      - {{when: {{otel_llm.tenant.id: {tenant}}}, pipelines: [{row}]}}\n" for tenant, row in rows.items()
    )
    inputs = "".join(
        f"    {signal}: {{receivers: [otlp], exporters: [routing, otlp_http/operator]}}\n" for signal in SIGNALS
    )
    outputs = "".join(
        f"    {signal}/{name}: {{receivers: [routing], exporters: [otlp_http/{name}]}}\n"
        for signal in SIGNALS
        for name in (*TENANTS, "quarantine")
    )
    return (
        f'receivers: {{otlp: {{protocols: {{http: {{endpoint: "127.0.0.1:0"{auth}}}}}}}}}\n'
        f"exporters:\n{exporters}"
        f"connectors:\n  routing:\n    attributes_of: {attributes_of}\n    table:\n{table}"
        f"    default_pipelines: [{', '.join(f'{signal}/quarantine' for signal in SIGNALS)}]\n"
        f"service:\n  admin: {{endpoint: null}}\n  shutdown_timeout_seconds: 3\n  pipelines:\n{inputs}{outputs}"
    )


@dataclass
class Routed:
    """A gateway with a destination for each tenant, one for what nobody may see, and the operator's."""

    gateway: Gateway
    sinks: dict[str, Destination] = field(default_factory=dict)

    def send(self, body: bytes, signal: str = "traces", key: str | None = None) -> int:
        headers = {} if key is None else {"authorization": f"Bearer {key}"}
        return post(http_port(self.gateway), f"/v1/{signal}", body, headers)[0]

    def settle(self, items: int) -> None:
        """Wait until the operator has that many items; then whoever gets some has them in its queue at least."""
        operator = self.sinks["operator"]
        operator.wait_for(lambda: operator.items >= items)
        for name in (*TENANTS, "quarantine"):
            delivery = self.gateway.delivery(f"otlp_http/{name}")
            if self.sinks[name].default is not HANG:
                assert delivery.force_flush(10.0)

    def names(self, sink: str) -> list[str]:
        """Names of the spans that arrived at a destination, sorted."""
        bodies = [received.body for received in self.sinks[sink].accepted if received.signal == "traces"]
        return sorted(span.name for body in bodies for span in spans_of(body))


@contextmanager
def routed(folder: Path, attributes_of: str = "resource", *, with_keys: bool = False) -> Iterator[Routed]:
    with ExitStack() as stack:
        sinks = {name: stack.enter_context(OtlpHttpSink()) for name in SINKS}
        text = config({name: sink.endpoint for name, sink in sinks.items()}, folder, attributes_of, with_keys=with_keys)
        gateway = stack.enter_context(running(text, folder))
        yield Routed(gateway, {name: sink.destination for name, sink in sinks.items()})


def test_41_each_tenants_spans_reach_exactly_its_own_destination_and_the_operators(tmp_path: Path) -> None:
    """Given 3 tenants with a destination each, sending at the same time, then every span reaches its tenant's and the
    operator's, and no other."""
    with routed(tmp_path) as through:

        def send(tenant: str, number: int) -> None:
            specs = [SpanSpec(chat(), name=f"{tenant} {number}.{span}", span=span + 1) for span in range(5)]
            assert through.send(request(specs, {"otel_llm.tenant.id": tenant})) == 200

        threads = [threading.Thread(target=send, args=(tenant, n)) for tenant in TENANTS for n in range(10)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        through.settle(150)
        for tenant in TENANTS:
            expected = sorted(f"{tenant} {number}.{span}" for number in range(10) for span in range(5))
            assert through.names(tenant) == expected
        assert through.names("quarantine") == []
        assert len(through.names("operator")) == 150


def test_41_one_request_of_several_tenants_is_taken_apart(tmp_path: Path) -> None:
    """Given one request with resources of all tenants and of none, then each part goes where it belongs."""
    with routed(tmp_path) as through:
        bodies = [request([SpanSpec(chat(), name=tenant)], {"otel_llm.tenant.id": tenant}) for tenant in TENANTS]
        bodies.append(request([SpanSpec(chat(), name="nobody's")], {"service.name": "shop"}))
        bodies.append(request([SpanSpec(chat(), name="unknown")], {"otel_llm.tenant.id": "ACME"}))
        assert through.send(b"".join(bodies)) == 200
        through.settle(5)
        assert [through.names(tenant) for tenant in TENANTS] == [[tenant] for tenant in TENANTS]
        assert through.names("quarantine") == ["nobody's", "unknown"]


def test_41_a_tenant_that_is_two_or_a_pattern_is_nobodys(tmp_path: Path) -> None:
    """Given a resource that names two tenants, or something like one, then it goes to the quarantine."""
    twice = ExportTraceServiceRequest.FromString(request([SpanSpec(chat(), name="q")], {"otel_llm.tenant.id": "acme"}))
    second = twice.resource_spans[0].resource.attributes.add(key="otel_llm.tenant.id")
    second.value.string_value = "globex"
    with routed(tmp_path) as through:
        assert through.send(twice.SerializeToString()) == 200
        for value in ("", "acme ", "acm", "*", "acme\x00"):
            assert through.send(request([SpanSpec(chat(), name="q")], {"otel_llm.tenant.id": value})) == 200
        through.settle(6)
        assert through.names("quarantine") == ["q"] * 6
        assert all(through.names(tenant) == [] for tenant in TENANTS)


def test_41_late_children_without_a_tenant_follow_their_trace(tmp_path: Path) -> None:
    """Given spans that carry the tenant themselves, and children of theirs, in the same request or a later one, that do
    not, then the children go with them; those of a trace of two tenants go to the quarantine."""
    with routed(tmp_path, "items") as through:

        def spans(trace: int, *specs: tuple[str, str | None]) -> bytes:
            return request(
                [
                    SpanSpec(
                        chat(otel_llm__tenant__id=tenant) if tenant else {"http.route": "/"},
                        name=name,
                        trace=trace,
                        span=number + 1,
                        scope="app" if tenant else "http",
                    )
                    for number, (name, tenant) in enumerate(specs)
                ]
            )

        for number, tenant in enumerate(TENANTS, 1):
            assert through.send(spans(number, (f"{tenant} child", None), (f"{tenant} call", tenant))) == 200
        for number, tenant in enumerate(TENANTS, 1):
            assert through.send(spans(number, (f"{tenant} late", None))) == 200
        assert through.send(spans(9, ("a", "acme"), ("g", "globex"), ("whose?", None))) == 200
        assert through.send(spans(10, ("orphan", None), ("stranger", "unknown"))) == 200
        through.settle(14)
        assert through.names("acme") == ["a", "acme call", "acme child", "acme late"]
        assert through.names("globex") == ["g", "globex call", "globex child", "globex late"]
        assert through.names("initech") == ["initech call", "initech child", "initech late"]
        assert through.names("quarantine") == ["orphan", "stranger", "whose?"]


def test_41_logs_and_data_points_reach_their_tenant_as_well(tmp_path: Path) -> None:
    """Given log records and data points of several tenants in one request each, then each goes to its own."""
    logs, metrics = ExportLogsServiceRequest(), ExportMetricsServiceRequest()
    records = logs.resource_logs.add().scope_logs.add().log_records
    metric = metrics.resource_metrics.add().scope_metrics.add().metrics.add(name="tokens", unit="{token}")
    for number, tenant in enumerate((*TENANTS, "unknown"), 1):
        record = records.add(trace_id=bytes(15) + bytes((number,)))
        record.body.string_value = tenant
        record.attributes.add(key="otel_llm.tenant.id").value.string_value = tenant
        records.add(trace_id=bytes(15) + bytes((number,))).body.string_value = f"{tenant} again"
        point = metric.sum.data_points.add(as_int=number)
        point.attributes.add(key="otel_llm.tenant.id").value.string_value = tenant
    with routed(tmp_path, "items") as through:
        assert through.send(logs.SerializeToString(), "logs") == 200
        assert through.send(metrics.SerializeToString(), "metrics") == 200
        through.settle(12)
        for number, sink in enumerate((*TENANTS, "quarantine"), 1):
            tenant = "unknown" if sink == "quarantine" else sink
            found = {received.signal: received.body for received in through.sinks[sink].accepted}
            (group,) = ExportLogsServiceRequest.FromString(found["logs"]).resource_logs[0].scope_logs
            assert [one.body.string_value for one in group.log_records] == [tenant, f"{tenant} again"]
            (scope,) = ExportMetricsServiceRequest.FromString(found["metrics"]).resource_metrics[0].scope_metrics
            assert [(one.name, one.unit) for one in scope.metrics] == [("tokens", "{token}")]
            assert [point.as_int for point in scope.metrics[0].sum.data_points] == [number]


def test_41_a_tenants_key_decides_and_not_what_its_spans_say(tmp_path: Path) -> None:
    """Given keys of tenants, when one of them writes another's name on its telemetry, then it stays its own."""
    with routed(tmp_path, with_keys=True) as through:
        body = request([SpanSpec(chat(), name="from acme")], {"otel_llm.tenant.id": "globex"})
        assert through.send(body, key=KEYS["acme"]) == 200
        assert through.send(body) == 401
        through.settle(1)
        assert (through.names("acme"), through.names("globex")) == (["from acme"], [])


def test_41_one_tenants_dead_destination_does_not_delay_the_others(tmp_path: Path) -> None:
    """Given a tenant whose destination hangs, then the others' spans arrive meanwhile, and none of its goes astray."""
    with routed(tmp_path) as through:
        through.sinks["acme"].default = HANG
        for number in range(20):
            for tenant in TENANTS:
                body = request([SpanSpec(chat(), name=f"{tenant} {number:02}")], {"otel_llm.tenant.id": tenant})
                assert through.send(body) == 200
        through.settle(60)
        for tenant in ("globex", "initech"):
            assert through.names(tenant) == [f"{tenant} {number:02}" for number in range(20)]
        balance = through.gateway.delivery("otlp_http/acme").balance("traces")
        assert (balance.accepted, balance.is_balanced, through.names("quarantine")) == (20, True, [])
        through.sinks["acme"].release()


def test_41_what_the_gateway_measures_of_everybody_goes_to_no_tenant(tmp_path: Path) -> None:
    """Given metrics of the gateway itself, which tell of all tenants, then only the operator and the quarantine get
    them."""
    with routed(tmp_path) as through:
        assert through.send(request([SpanSpec(chat())], {"otel_llm.tenant.id": "acme"})) == 200
        through.settle(1)
        through.gateway.shutdown()
        got = {name: {one.signal for one in sink.accepted} for name, sink in through.sinks.items()}
    assert [got[tenant] for tenant in TENANTS] == [{"traces"}, set(), set()]
    assert "metrics" in got["operator"]


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("receivers: [routing]", "receivers: [otlp]", "no pipeline 'traces/acme' has 'routing' among its receivers"),
        ("traces/acme, metrics/acme", "traces/acme", "expected a pipeline for metrics too"),
        ("default_pipelines: [traces/quarantine, ", "default_pipelines: [", "expected a pipeline for traces too"),
    ],
)
def test_41_a_table_that_would_lose_something_is_refused_at_the_start(
    tmp_path: Path, old: str, new: str, problem: str
) -> None:
    text = config(dict.fromkeys(SINKS, "http://127.0.0.1:1"), tmp_path, "resource", with_keys=False)
    with pytest.raises(ConfigError, match=problem), running(text.replace(old, new, 1), tmp_path):
        pass
