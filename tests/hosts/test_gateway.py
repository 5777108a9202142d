from __future__ import annotations

from pathlib import Path

import pytest
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as GrpcSpanExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as HttpSpanExporter
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter
from opentelemetry.trace import SpanKind
from prometheus_client.parser import text_string_to_metric_families

from otel_llm._generated import attributes as names
from otel_llm.errors import ConfigError
from otel_llm.hosts.gateway import Gateway
from otel_llm.testing import ACCEPT, HANG, Destination, OtlpHttpSink
from tests.hosts.running import SIMPLE, get, grpc_port, http_port, post, running, settings
from tests.policy.subjects import rules, write
from tests.spans import SpanSpec, attributes_of, chat, request, spans_of


def sent_spans(destination: Destination) -> list[dict[str, object]]:
    return [
        attributes_of(span)
        for received in destination.accepted
        if received.signal == "traces"
        for span in spans_of(received.body)
    ]


@pytest.mark.parametrize("protocol", ["http", "grpc"])
def test_spans_of_a_real_sdk_arrive_normalised_and_priced(tmp_path: Path, protocol: str) -> None:
    with OtlpHttpSink() as sink, running(SIMPLE.format(sink=sink.endpoint), tmp_path) as gateway:
        exporter: SpanExporter
        if protocol == "http":
            exporter = HttpSpanExporter(endpoint=f"http://127.0.0.1:{http_port(gateway)}/v1/traces")
        else:
            exporter = GrpcSpanExporter(endpoint=f"127.0.0.1:{grpc_port(gateway)}", insecure=True)
        provider = TracerProvider(shutdown_on_exit=False)
        provider.add_span_processor(SimpleSpanProcessor(exporter))
        tracer = provider.get_tracer("app")
        with tracer.start_as_current_span("call", kind=SpanKind.CLIENT) as span:
            span.set_attributes(
                {
                    "gen_ai.system": "openai",
                    "gen_ai.operation.name": "chat",
                    "gen_ai.request.model": "gpt-4o",
                    "gen_ai.response.model": "gpt-4o-2024-08-06",
                    "gen_ai.usage.input_tokens": 1000,
                    "gen_ai.usage.output_tokens": 100,
                }
            )
        with tracer.start_as_current_span("plain"):
            pass
        provider.shutdown()
        sink.destination.wait_for(lambda: sink.destination.items == 2)
        call, plain = sent_spans(sink.destination)
    assert call[names.GEN_AI_PROVIDER_NAME] == "openai"
    assert "gen_ai.system" not in call
    assert call[names.OTEL_LLM_COST_TOTAL] == 0.0035
    assert plain == {}


def test_a_batch_of_foreign_spans_is_forwarded_byte_for_byte(tmp_path: Path) -> None:
    body = request([SpanSpec({"http.route": "/x"}, span=n, scope="http") for n in range(1, 50)])
    with OtlpHttpSink() as sink, running(SIMPLE.format(sink=sink.endpoint), tmp_path) as gateway:
        assert post(http_port(gateway), "/v1/traces", body)[0] == 200
        sink.destination.wait_for(lambda: sink.destination.items == 49)
        assert [received.body for received in sink.destination.accepted] == [body]


def test_an_unreadable_genai_span_is_rejected_by_name_and_the_rest_of_the_batch_arrives(tmp_path: Path) -> None:
    body = request([SpanSpec(chat(), span=1)]) + b"\x0a\x0e\x12\x0c\x12\x0a\x4a\xffgen_ai.x"[:16]
    broken = b"gen_ai.x\xff\xff"  # not a Span
    group = b"\x12" + bytes([len(broken)]) + broken
    holder = b"\x12" + bytes([len(group)]) + group
    body = request([SpanSpec(chat(), span=1)]) + b"\x0a" + bytes([len(holder)]) + holder
    with OtlpHttpSink() as sink, running(SIMPLE.format(sink=sink.endpoint), tmp_path) as gateway:
        status, answer = post(http_port(gateway), "/v1/traces", body)
        sink.destination.wait_for(lambda: sink.destination.items == 1)
    partial = ExportTraceServiceResponse.FromString(answer).partial_success
    assert status == 200
    assert partial.rejected_spans == 1
    assert "cannot be read" in partial.error_message


def test_what_is_no_otlp_is_a_clear_400_and_counted(tmp_path: Path) -> None:
    with OtlpHttpSink() as sink, running(SIMPLE.format(sink=sink.endpoint), tmp_path) as gateway:
        status, answer = post(http_port(gateway), "/v1/traces", b"\x0a\xff\xff\xff")
        assert status == 400
        assert b"protobuf" in answer
        assert post(http_port(gateway), "/v1/logs", b"\xff")[0] == 400
        assert post(http_port(gateway), "/v1/metrics", b"\x0a\xff")[0] == 400
        shown = get(gateway.admin_port, "/metrics")[1]
    assert "otel_llm_receiver_requests_refused_total{" in shown


def test_admin_endpoint_tells_health_readiness_and_metrics(tmp_path: Path) -> None:
    with OtlpHttpSink() as sink, running(SIMPLE.format(sink=sink.endpoint), tmp_path) as gateway:
        assert get(gateway.admin_port, "/healthz") == (200, "ok\n")
        assert get(gateway.admin_port, "/readyz") == (200, "ready\n")
        post(http_port(gateway), "/v1/traces", request([SpanSpec(chat())]))
        status, text = get(gateway.admin_port, "/metrics")
        assert status == 200
        assert (
            'otel_llm_receiver_items_accepted_total{otel_llm_component_name="otlp",otel_llm_signal="traces"} 1.0'
            in text
        )
        assert get(gateway.admin_port, "/nothing")[0] == 404


def test_own_and_derived_metrics_go_to_the_metrics_pipeline(tmp_path: Path) -> None:
    text = SIMPLE.replace("  cost:\n", "  cost:\n  metrics:\n").replace("cost], exporters", "cost, metrics], exporters")
    with OtlpHttpSink() as sink:
        with running(text.format(sink=sink.endpoint), tmp_path) as gateway:
            post(http_port(gateway), "/v1/traces", request([SpanSpec(chat())]))
        (received,) = [one for one in sink.destination.accepted if one.signal == "metrics"]
    message = ExportMetricsServiceRequest.FromString(received.body)
    found = {metric.name: metric for metric in message.resource_metrics[0].scope_metrics[0].metrics}
    cost = sum(point.as_double for point in found["otel_llm.cost.usage"].sum.data_points)
    assert cost == pytest.approx(0.0035, rel=1e-12)
    assert found["gen_ai.client.inference.usage.input_tokens"].sum.data_points[0].as_int == 1000
    assert found["gen_ai.client.inference.duration"].histogram.data_points[0].count == 1
    assert found["otel_llm.receiver.items.accepted"].sum.data_points[0].as_int == 1


def test_shutdown_delivers_what_was_accepted(tmp_path: Path) -> None:
    text = SIMPLE.replace("flush_timeout_seconds: 0", "flush_timeout_seconds: 60")
    with OtlpHttpSink() as sink:
        with running(text.format(sink=sink.endpoint), tmp_path) as gateway:
            for number in range(1, 21):
                post(http_port(gateway), "/v1/traces", request([SpanSpec(chat(), span=number)]))
            assert sink.destination.items == 0
        assert len(sent_spans(sink.destination)) == 20


def test_reload_swaps_the_configuration_and_keeps_unchanged_receivers(tmp_path: Path) -> None:
    with OtlpHttpSink() as first, OtlpHttpSink() as second:
        with running(SIMPLE.format(sink=first.endpoint), tmp_path) as gateway:
            port = http_port(gateway)
            receiver = gateway.receiver("otlp")
            post(port, "/v1/traces", request([SpanSpec(chat(), span=1)]))
            gateway.reload(settings(SIMPLE.format(sink=second.endpoint), tmp_path))
            assert gateway.receiver("otlp") is receiver
            post(port, "/v1/traces", request([SpanSpec(chat(), span=2)]))
        assert len(sent_spans(first.destination)) == 1
        assert len(sent_spans(second.destination)) == 1


def series_of(gateway: Gateway) -> list[tuple[str, frozenset[tuple[str, str]]]]:
    """Name and labels of every sample that Prometheus is shown."""
    families = list(text_string_to_metric_families(get(gateway.admin_port, "/metrics")[1]))
    assert len({family.name for family in families}) == len(families), "a family is shown in several pieces"
    return [(sample.name, frozenset(sample.labels.items())) for family in families for sample in family.samples]


def test_after_reloads_every_series_is_shown_once_and_none_of_a_component_that_is_gone(tmp_path: Path) -> None:
    text = SIMPLE.replace("  cost:\n", "  cost:\n  metrics: {{dimensions: [{dimension}]}}\n").replace(
        "cost], exporters", "cost, metrics], exporters"
    )
    with OtlpHttpSink() as sink:
        before = text.format(sink=sink.endpoint, dimension="")
        with running(before, tmp_path) as gateway:
            for number, reloaded in enumerate([text.format(sink=sink.endpoint, dimension="tenant"), before], start=1):
                post(http_port(gateway), "/v1/traces", request([SpanSpec(chat(), span=number)]))
                gateway.reload(settings(reloaded, tmp_path))
            post(http_port(gateway), "/v1/traces", request([SpanSpec(chat(), span=9)]))
            sink.destination.wait_for(lambda: len(sent_spans(sink.destination)) == 3)
            assert gateway.wait_retired(10)
            series = series_of(gateway)
            gateway.reload(settings(before.replace("otlp_http", "otlp_http/renamed"), tmp_path))
            assert gateway.wait_retired(10)
            components = {
                dict(labels)["otel_llm_component_name"]
                for name, labels in series_of(gateway)
                if name in ("otel_llm_delivery_queue_capacity_bytes", "otel_llm_delivery_queue_size_bytes")
            }
    assert len(series) == len(set(series))
    assert ("otel_llm_delivery_queue_capacity_bytes", frozenset({("otel_llm_component_name", "otlp_http")})) in series
    assert components == {"otlp_http/renamed"}


def test_one_bundle_of_policies_is_shown_after_a_reload_and_after_one_that_was_refused(tmp_path: Path) -> None:
    one = "id: one, stage: request, when: 'true', verdict: audit"
    for folder, row in (("a", one), ("b", one.replace("one", "two"))):
        (tmp_path / folder).mkdir()
        write(tmp_path / folder, rules(row))
    with OtlpHttpSink() as sink, OtlpHttpSink() as other:
        text = SIMPLE.format(sink=sink.endpoint).replace("  cost:\n", f"  policy: {{paths: [{tmp_path}/a]}}\n")
        text = text.replace("[normalize, cost]", "[normalize, policy]")
        with running(text, tmp_path) as gateway:
            first = _bundles(gateway)
            gateway.reload(settings(text.replace(f"{tmp_path}/a", f"{tmp_path}/b"), tmp_path))
            assert gateway.wait_retired(10)
            second = _bundles(gateway)
            taken = text.replace('http: {endpoint: "127.0.0.1:0"}', f"http: {{endpoint: '127.0.0.1:{other.port}'}}")
            with pytest.raises(ConfigError, match="in use"):
                gateway.reload(settings(taken, tmp_path))
            assert gateway.wait_retired(10)
            assert _bundles(gateway) == second
            gateway.reload(settings(text.replace(f"{tmp_path}/a", f"{tmp_path}/b"), tmp_path))
            assert gateway.wait_retired(10)
            assert _bundles(gateway) == second
    assert [value for _, value in (*first, *second)] == [1, 1]
    assert first != second


def _bundles(gateway: Gateway) -> list[tuple[str, float]]:
    return [
        (dict(series.attributes)[names.OTEL_LLM_POLICY_BUNDLE_ID], float(str(series.value)))
        for family in gateway.metrics.collect()
        if family.definition.name == "otel_llm.policy.bundle.info"
        for series in family.series
    ]


def test_a_reload_does_not_wait_for_a_destination_that_is_down(tmp_path: Path) -> None:
    destination = Destination(default=HANG)
    with (
        OtlpHttpSink(destination) as dead,
        OtlpHttpSink() as sink,
        running(SIMPLE.format(sink=dead.endpoint), tmp_path) as gateway,
    ):
        post(http_port(gateway), "/v1/traces", request([SpanSpec(chat(), span=1)]))
        destination.wait_for(lambda: len(destination.received) == 1)
        gateway.reload(settings(SIMPLE.format(sink=sink.endpoint), tmp_path))
        assert not gateway.wait_retired(0), "the old queue is still being delivered"
        post(http_port(gateway), "/v1/traces", request([SpanSpec(chat(), span=2)]))
        sink.destination.wait_for(lambda: len(sent_spans(sink.destination)) == 1)
        destination.release()
        assert gateway.wait_retired(10)


def test_a_reload_that_cannot_be_run_is_refused_and_the_old_configuration_goes_on(tmp_path: Path) -> None:
    with OtlpHttpSink() as sink, running(SIMPLE.format(sink=sink.endpoint), tmp_path) as gateway:
        before = gateway.settings
        bad = SIMPLE.format(sink=sink.endpoint).replace("  cost:\n", "  cost: {prices: [/nowhere/prices.yaml]}\n")
        with pytest.raises(ConfigError, match=r"processors\.cost\.prices\[0\]: cannot read /nowhere/prices\.yaml"):
            gateway.reload(settings(bad, tmp_path))
        taken = SIMPLE.format(sink=sink.endpoint).replace(
            'http: {endpoint: "127.0.0.1:0"}', f"http: {{endpoint: '127.0.0.1:{sink.port}'}}"
        )
        with pytest.raises(ConfigError, match="in use"):
            gateway.reload(
                settings(taken.replace("endpoint: http://", "endpoint: http://localhost.invalid:1/x#"), tmp_path)
            )
        assert gateway.settings == before
        assert post(http_port(gateway), "/v1/traces", request([SpanSpec(chat())]))[0] == 200
        sink.destination.wait_for(lambda: sink.destination.items == 1)


def test_a_processor_in_the_wrong_order_is_refused_at_start(tmp_path: Path) -> None:
    text = SIMPLE.format(sink="http://127.0.0.1:9").replace("[normalize, cost]", "[cost, normalize]")
    with (
        pytest.raises(ConfigError, match=r"cost reads .* which only normalize after it writes"),
        running(text, tmp_path),
    ):
        pass


def test_a_full_queue_answers_429_and_loses_nothing(tmp_path: Path) -> None:
    text = SIMPLE.replace("sending_queue: {{batch", "sending_queue: {{size_bytes: 4096, batch")
    body = request([SpanSpec(chat(otel__text="x" * 1000), span=1)])
    destination = Destination()
    destination.default = HANG
    with OtlpHttpSink(destination) as sink, running(text.format(sink=sink.endpoint), tmp_path) as gateway:
        statuses = [post(http_port(gateway), "/v1/traces", body)[0] for _ in range(12)]
        assert statuses[0] == 200
        assert statuses[-1] == 429
        accepted = statuses.count(200)
        balance = gateway.delivery("otlp_http").balance("traces")
        assert balance.accepted == accepted
        destination.default = ACCEPT
        destination.release()
        destination.wait_for(lambda: destination.items >= accepted, 30)


def test_a_reload_moves_the_admin_endpoint(tmp_path: Path) -> None:
    with OtlpHttpSink() as sink, running(SIMPLE.format(sink=sink.endpoint), tmp_path) as gateway:
        before = gateway.admin_port
        moved = SIMPLE.format(sink=sink.endpoint).replace(
            'admin: {endpoint: "127.0.0.1:0"}', 'admin: {endpoint: "localhost:0"}'
        )
        gateway.reload(settings(moved, tmp_path))
        assert gateway.admin_port != before
        assert get(gateway.admin_port, "/readyz")[0] == 200
        with pytest.raises(OSError, match="refused"):
            get(before, "/readyz")


def test_a_file_that_is_read_and_written_is_refused(tmp_path: Path) -> None:
    text = """
receivers: {{file: {{path: {folder}/spans.jsonl, follow: true}}}}
exporters: {{file: {{path: {folder}/../{name}/spans.jsonl}}}}
service: {{pipelines: {{traces: {{receivers: [file], exporters: [file]}}}}}}
"""
    with pytest.raises(ConfigError, match=r"exporters\.file\.path: .* is the file that receivers\.file reads"):
        settings(text.format(folder=tmp_path, name=tmp_path.name), tmp_path)


def test_a_mistyped_delivery_setting_is_told_its_name(tmp_path: Path) -> None:
    text = SIMPLE.format(sink="http://127.0.0.1:9").replace("sending_queue:", "sending_queu:")
    with pytest.raises(ConfigError, match=r"exporters\.otlp_http\.sending_queu: unknown setting.*sending_queue"):
        settings(text, tmp_path)


def test_a_start_that_fails_says_only_why(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with OtlpHttpSink() as taken:
        text = SIMPLE.format(sink="http://127.0.0.1:9").replace(
            'http: {endpoint: "127.0.0.1:0"}', f'http: {{endpoint: "127.0.0.1:{taken.port}"}}'
        )
        with pytest.raises(ConfigError, match="in use"), running(text, tmp_path):
            pass
    assert caplog.records == []
