"""Acceptance 18 and 37: sampling that throws the cost away, and giant traces."""

from __future__ import annotations

import random
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from otel_llm.errors import ConfigError
from otel_llm.loopback import LoopbackProvider
from otel_llm.operation import AttributeValue
from otel_llm.testing import OtlpHttpSink, unused_port
from tests.hosts import test_app as app
from tests.hosts.running import get, http_port, post, running, settings
from tests.receivers.recording import eventually
from tests.spans import SpanSpec, attributes_of, chat, request, spans_of

CONFIG = """
receivers:
  otlp: {{protocols: {{http: {{endpoint: "127.0.0.1:{port}"}}}}}}
processors: {{normalize: , cost: , metrics: }}
connectors:
  tail_sampling: {{sampling_percentage: {percent}, max_trace_spans: 2000, decision_wait_seconds: {wait}}}
exporters:
  otlp_http: {{endpoint: {sink}, compression: none, sending_queue: {{batch: {{flush_timeout_seconds: 0}}}}}}
  ledger: {{path: {folder}/ledger.db}}
service:
  admin: {{endpoint: "127.0.0.1:{admin}"}}
  shutdown_timeout_seconds: 5
  pipelines:
    traces: {{receivers: [otlp], processors: [normalize, cost, metrics], exporters: [tail_sampling, ledger]}}
    traces/kept: {{receivers: [tail_sampling], exporters: [otlp_http]}}
"""
# What the call of `chat()` costs, in USD.
CALL_COST = 0.0035


def metric(admin_port: int | None, name: str) -> float:
    """The sum of all series of a metric."""
    lines = [line for line in get(admin_port, "/metrics")[1].splitlines() if line.startswith((f"{name}{{", f"{name} "))]
    return sum(float(line.rpartition(" ")[2]) for line in lines)


def calls(trace: int, start: int, count: int, **fields: int) -> bytes:
    return request(
        [
            SpanSpec(chat(gen_ai__response__id=f"{trace}-{number}"), span=number + 2, parent=1, trace=trace, **fields)  # type: ignore[arg-type] # fields of SpanSpec
            for number in range(start, start + count)
        ]
    )


def test_18_money_is_exact_whatever_is_kept_and_what_is_kept_extrapolates(tmp_path: Path) -> None:
    """Given 4,000 traces of a call each, of which a quarter is kept, and some with errors or violations, then metrics
    and ledger have the money of all of them, every error and violation is there, and the cost of what was kept, times
    what each span stands for, is the whole cost within 5 %."""
    rng = random.Random(18)
    with OtlpHttpSink() as sink:
        text = CONFIG.format(percent=25, wait=0.2, sink=sink.endpoint, folder=tmp_path, port=0, admin=0)
        with running(text, tmp_path) as gateway:
            for number in range(40):
                specs = [_call(number * 100 + call, rng.getrandbits(128)) for call in range(100)]
                assert post(http_port(gateway), "/v1/traces", request(specs))[0] == 200
            eventually(lambda: metric(gateway.admin_port, "otel_llm_sampling_spans_total") == 4000)
            total = metric(gateway.admin_port, "otel_llm_cost_usage_total")
            assert total == pytest.approx(4000 * CALL_COST, rel=1e-12)
            assert gateway.delivery("ledger").force_flush(10.0)
            assert gateway.delivery("ledger").balance("traces").exported == 4000
        spans = [span for received in sink.destination.accepted for span in spans_of(received.body)]
    found = [attributes_of(span) for span in spans]
    assert sum(span.status.code == 2 for span in spans) == 40
    assert sum("otel_llm.policy.verdict.type" in one for one in found) == 40
    assert {one.get("otel_llm.sampling.adjusted_count") for one in found} == {None, 4.0}
    assert 900 < len(spans) < 1200
    estimate = sum(
        _number(one, "otel_llm.cost.total") * _number(one, "otel_llm.sampling.adjusted_count") for one in found
    )
    assert estimate == pytest.approx(total, rel=0.05)


def _call(number: int, trace: int) -> SpanSpec:
    """One of 100 ends with an error, another one with a violation."""
    verdict = "deny" if number % 100 == 1 else None
    attributes = chat(gen_ai__response__id=str(number), otel_llm__policy__verdict__type=verdict)
    return SpanSpec(attributes, span=number + 1, trace=trace, status=2 if number % 100 == 0 else 0)


def _number(attributes: dict[str, AttributeValue], key: str) -> float:
    value = attributes.get(key, 1.0)
    assert isinstance(value, float)
    return value


def test_18_what_would_count_only_what_was_kept_is_refused_at_the_start(tmp_path: Path) -> None:
    """Given metrics or a ledger behind the sampling, then the configuration says that they stand in the wrong place."""
    text = CONFIG.format(percent=5, wait=0.2, sink="http://127.0.0.1:1", folder=tmp_path, port=0, admin=0)
    wrong = text.replace(
        "receivers: [tail_sampling], exporters: [otlp_http]",
        "receivers: [tail_sampling], processors: [metrics], exporters: [otlp_http, ledger]",
    )
    with pytest.raises(ConfigError) as caught:
        settings(wrong, tmp_path)
    assert [problem.partition("would")[0] for problem in caught.value.problems] == [
        "service.pipelines.traces/kept: 'metrics' ",
        "service.pipelines.traces/kept: 'ledger' ",
    ]


APP_CONFIG = """
receivers:
  otlp: {{protocols: {{http: {{endpoint: "127.0.0.1:0"}}}}}}
processors: {{normalize: , cost: , metrics: }}
exporters:
  otlp_http: {{endpoint: {sink}, compression: none, sending_queue: {{batch: {{flush_timeout_seconds: 0}}}}}}
service:
  admin: {{endpoint: "127.0.0.1:0"}}
  shutdown_timeout_seconds: 5
  pipelines:
    traces: {{receivers: [otlp], processors: [normalize, cost, metrics], exporters: [otlp_http]}}
    metrics: {{receivers: [otlp], exporters: [otlp_http]}}
"""


@pytest.mark.slow
def test_18_money_is_exact_when_the_app_samples_a_tenth(tmp_path: Path) -> None:
    """Given an app of 200 calls, once all of them sampled and once a tenth, then what the gateway counts and what comes
    in the app's own metrics is together the same, and what the provider would bill."""
    found = {}
    for name, sampler in (("all", "always_on"), ("tenth", "parentbased_traceidratio")):
        with LoopbackProvider() as provider, OtlpHttpSink() as sink:
            with running(APP_CONFIG.format(sink=sink.endpoint), tmp_path) as gateway:
                variables = {"OTEL_TRACES_SAMPLER": sampler, "OTEL_TRACES_SAMPLER_ARG": "0.1"}
                endpoint = f"http://127.0.0.1:{http_port(gateway)}"
                done = app.run(app.EXEC, provider, "asks_often", endpoint, **variables)
                assert (done.returncode, done.stderr) == (0, "")
                of_gateway = metric(gateway.admin_port, "otel_llm_cost_usage_total")
                assert gateway.delivery("otlp_http").force_flush(10.0)
            of_app = app.summed(sink.destination, "otel_llm.cost.usage")
            billed = sum(
                one.usage.input_tokens * rate * 2.5e-6 + one.usage.output_tokens * rate * 10e-6
                for one in provider.served()
                for rate in [0.06 if "mini" in one.request_model else 1]
            )
            found[name] = of_gateway, of_app, billed, len(app.spans(sink.destination))
    of_gateway, of_app, billed, count = found["all"]
    assert (of_app, count) == (0, 200)
    assert of_gateway == pytest.approx(billed, rel=1e-9)
    of_gateway, of_app, billed_again, count = found["tenth"]
    assert billed_again == billed
    assert 0 < count < 60
    assert 0 < of_gateway < of_app
    assert of_gateway + of_app == pytest.approx(billed, rel=1e-9)


@contextmanager
def process(text: str, folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A gateway as a process."""
    (folder / "gateway.yaml").write_text(text)
    command = [sys.executable, "-m", "otel_llm.cli.main", "run", "--config", str(folder / "gateway.yaml")]
    with (folder / "log").open("wb") as log:
        started = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=log)
        try:
            yield started
        finally:
            started.terminate()
            started.wait(20)


def resident_bytes(process: subprocess.Popen[bytes]) -> int:
    return int(Path(f"/proc/{process.pid}/statm").read_text().split()[1]) * 4096


def is_ready(admin_port: int) -> bool:
    try:
        return get(admin_port, "/readyz")[0] == 200
    except OSError:
        return False


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_37_a_trace_of_50000_spans_is_bounded_decided_once_and_its_cost_is_exact(tmp_path: Path) -> None:
    """Given an agent loop with 50,000 spans in one trace, and the root last, then memory stays below 200 MB, the
    decision is made once and later spans follow it, the cost is exact, and the root is marked."""
    port, admin = unused_port(), unused_port()
    with OtlpHttpSink() as sink:
        text = CONFIG.format(percent=100, wait=60, sink=sink.endpoint, folder=tmp_path, port=port, admin=admin)
        with process(text, tmp_path) as gateway:
            eventually(lambda: is_ready(admin))
            highest = 0
            for number in range(100):
                assert post(port, "/v1/traces", calls(7, number * 500, 500))[0] == 200
                highest = max(highest, resident_bytes(gateway))
            end = request([SpanSpec({"agent": "loop"}, span=1, trace=7, name="root", scope="app")])
            assert post(port, "/v1/traces", end)[0] == 200
            sink.destination.wait_for(lambda: sink.destination.items >= 50_001, 60.0)
            assert metric(admin, "otel_llm_cost_usage_total") == pytest.approx(50_000 * CALL_COST, rel=1e-12)
            assert metric(admin, "otel_llm_sampling_traces_total") == 1
            assert metric(admin, "otel_llm_sampling_spans_total") == 50_001
            highest = max(highest, resident_bytes(gateway))
        roots = [
            span
            for received in sink.destination.accepted
            for span in spans_of(received.body)
            if not span.parent_span_id
        ]
    assert highest < 200_000_000
    (marked,) = map(attributes_of, roots)
    assert (marked["otel_llm.sampling.overflow"], marked["otel_llm.sampling.rule"]) == (True, "probability")
