"""Apps as processes, unchanged, started in every way there is. Acceptance 33, 34, 35, 42, 47, 48."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from otel_llm.loopback import LoopbackProvider
from otel_llm.testing import Answer, Destination, OtlpHttpSink, unused_port

APP = str(Path(__file__).with_name("app_under_test.py"))
BIN = Path(sys.executable).parent
EXEC = (sys.executable, "-m", "otel_llm.cli.main", "exec", "--", sys.executable, APP)
# opentelemetry-instrument loads the installed instrumentation of others as well, unless it is told not to.
INSTRUMENT = (str(BIN / "opentelemetry-instrument"), sys.executable, APP)
AUTO = (sys.executable, "-c", f"import sys, otel_llm.auto; sys.argv[0] = {APP!r}; exec(open({APP!r}).read())")
CLEAN = {
    key: value for key, value in os.environ.items() if not key.startswith(("OTEL_", "ANTHROPIC_", "OPENAI_", "PYTHON"))
}


@pytest.fixture
def provider():
    with LoopbackProvider() as provider:
        yield provider


@pytest.fixture
def sink():
    with OtlpHttpSink() as sink:
        yield sink


def run(command, provider, way, endpoint, **environment):
    variables = {
        **CLEAN,
        "OTEL_EXPORTER_OTLP_ENDPOINT": endpoint,
        "OTEL_PYTHON_DISABLED_INSTRUMENTATIONS": "openai",
        "OTEL_METRIC_EXPORT_INTERVAL": "60000",
        **environment,
    }
    return subprocess.run(
        [*command, provider.openai_base_url, way],
        env=variables,
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )


def spans(destination: Destination):
    return [
        (resource.resource, span)
        for request in destination.accepted
        if request.signal == "traces"
        for resource in ExportTraceServiceRequest.FromString(request.body).resource_spans
        for scope in resource.scope_spans
        for span in scope.spans
    ]


def keys(span):
    return {attribute.key for attribute in span.attributes}


@pytest.mark.parametrize(
    "command",
    [
        pytest.param(EXEC, id="exec"),
        pytest.param(INSTRUMENT, id="opentelemetry-instrument", marks=pytest.mark.slow),
        pytest.param(AUTO, id="auto", marks=pytest.mark.slow),
    ],
)
def test_an_unchanged_app_is_traced_and_priced(provider, sink, command):
    done = run(command, provider, "plain", sink.endpoint)
    assert (done.returncode, done.stdout, done.stderr) == (0, "Paris is the capital of France.", "")
    [(_, span)] = spans(sink.destination)
    assert span.name == "chat gpt-4o"
    assert {"otel_llm.cost.total", "gen_ai.usage.input_tokens"} <= keys(span)


def test_an_unchanged_app_of_an_sdk_that_traces_itself_has_its_span(provider, sink):
    """Acceptance 48: Anthropic's SDK reports to the app's OpenTelemetry, and there is none."""
    done = run(EXEC, provider, "asks_claude", sink.endpoint)
    assert (done.returncode, done.stdout, done.stderr) == (0, "Paris is the capital of France.", "")
    [(_, span)] = spans(sink.destination)
    assert "otel_llm.cost.total" in keys(span)


@pytest.mark.slow
@pytest.mark.parametrize(("way", "code"), [("leaves_by_sys_exit", 3), ("fails", 1), ("is_terminated", -15)])
def test_nothing_is_lost_however_the_app_ends_and_it_ends_as_before(provider, sink, way, code):
    """Acceptance 35."""
    bare = run((sys.executable, APP), provider, way, sink.endpoint)
    done = run(EXEC, provider, way, sink.endpoint)
    assert (done.returncode, done.stderr) == (bare.returncode, bare.stderr)
    assert done.returncode == code
    assert len(spans(sink.destination)) == 1


def summed(destination: Destination, name: str) -> float:
    """The sum over all last values of a counter of the hooks."""
    last: dict[tuple[str, ...], float] = {}
    for request in destination.accepted:
        if request.signal != "metrics":
            continue
        for resource in ExportMetricsServiceRequest.FromString(request.body).resource_metrics:
            ids = [a.value.string_value for a in resource.resource.attributes if a.key == "service.instance.id"]
            for scope in resource.scope_metrics:
                for metric in scope.metrics:
                    if metric.name == name and scope.scope.name == "otel_llm.instrumentation":
                        for point in metric.sum.data_points:
                            value = point.as_int or point.as_double
                            last[str(ids), str(sorted(map(str, point.attributes)))] = value
    return sum(last.values())


def tokens(destination: Destination) -> float:
    return summed(destination, "gen_ai.client.inference.usage.input_tokens")


def priced(provider: LoopbackProvider) -> float:
    """What all calls of gpt-4o cost, in USD."""
    usages = [served.usage for served in provider.served()]
    return sum(usage.input_tokens * 2.5e-6 + usage.output_tokens * 10e-6 for usage in usages)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork on this platform")
def test_forked_children_report_their_own_calls_and_no_others(provider, sink):
    """Acceptance 33 and 34: one span for each call, and token sums that are the provider's."""
    done = run(EXEC, provider, "forks", sink.endpoint)
    assert (done.returncode, done.stderr) == (0, "")
    assert len(spans(sink.destination)) == 4
    assert len({span.span_id for _, span in spans(sink.destination)}) == 4
    assert tokens(sink.destination) == sum(served.usage.input_tokens for served in provider.served())


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork on this platform")
def test_forked_children_count_the_money_of_their_own_unsampled_calls(provider, sink):
    done = run(EXEC, provider, "forks", sink.endpoint, OTEL_TRACES_SAMPLER="always_off")
    assert (done.returncode, done.stderr) == (0, "")
    assert spans(sink.destination) == []
    assert len(provider.served()) == 4
    assert summed(sink.destination, "otel_llm.cost.usage") == pytest.approx(priced(provider), rel=1e-9)


@pytest.mark.slow
def test_spawned_children_are_instrumented_too(provider, sink):
    """Acceptance 33, 47: every Python that the app starts."""
    done = run(EXEC, provider, "spawns", sink.endpoint)
    assert (done.returncode, done.stderr) == (0, "")
    assert len(spans(sink.destination)) == 2


@pytest.mark.slow
def test_the_apps_own_provider_is_never_taken(provider, sink):
    """Acceptance 42: set later than our first call, it is set, used, and hears nothing of an override."""
    done = run(EXEC, provider, "sets_up_its_own_telemetry_later", sink.endpoint)
    assert (done.returncode, done.stdout, done.stderr) == (0, "chat gpt-4o", "")
    assert len(spans(sink.destination)) == 1


@pytest.mark.slow
def test_a_backend_that_is_busy_at_first_gets_everything_all_the_same(provider, sink):
    """Acceptance 31: the app's delivery is the gateway's, with its retries."""
    sink.destination.will(Answer.unavailable(0.01), Answer.unavailable(0.01))
    done = run(EXEC, provider, "plain", sink.endpoint)
    assert (done.returncode, done.stderr.count("answered 503")) == (0, 1)
    assert len(spans(sink.destination)) == 1


@pytest.mark.slow
def test_acceptance_57_a_call_that_waits_is_seen_meanwhile_and_marked_when_the_app_is_stopped(provider, sink):
    variables = {**CLEAN, "OTEL_EXPORTER_OTLP_ENDPOINT": sink.endpoint, "OTEL_METRIC_EXPORT_INTERVAL": "60000"}
    process = subprocess.Popen([*EXEC, provider.openai_base_url, "waits_for_an_answer"], env=variables)
    try:
        sink.destination.wait_for(lambda: any(one.signal == "logs" for one in sink.destination.accepted), 30)
        process.send_signal(signal.SIGTERM)
        process.wait(20)
    finally:
        process.kill()
    assert process.returncode == -signal.SIGTERM
    [(_, span)] = spans(sink.destination)
    assert (span.name.partition("#")[0], "otel_llm.interrupted" in keys(span)) == ("chat gpt-4o", True)


@pytest.mark.slow
def test_a_dead_backend_delays_nothing_and_breaks_nothing(provider):
    done = run(EXEC, provider, "plain", f"http://127.0.0.1:{unused_port()}")
    assert (done.returncode, done.stdout) == (0, "Paris is the capital of France.")
    assert len(done.stderr.splitlines()) <= 2, done.stderr


@pytest.mark.slow
def test_what_is_missing_for_exporting_is_said_once_and_the_app_runs(provider, sink):
    """Acceptance 48."""
    done = run(EXEC, provider, "plain", sink.endpoint, OTEL_EXPORTER_OTLP_PROTOCOL="carrier-pigeon")
    assert (done.returncode, done.stdout) == (0, "Paris is the capital of France.")
    assert done.stderr.count("carrier-pigeon is none of http/protobuf, grpc") == 1


@pytest.mark.slow
def test_a_switched_off_sdk_emits_nothing(provider, sink):
    done = run(EXEC, provider, "plain", sink.endpoint, OTEL_SDK_DISABLED="true")
    assert (done.returncode, done.stderr) == (0, "")
    assert sink.destination.received == []


SIGNALS = ("traces", "metrics", "logs")
# A variable that leaves exporting to the SDK.
BY_THE_SDK = {"OTEL_PYTHON_EXPORTER_OTLP_HTTP_CREDENTIAL_PROVIDER": ""}


@pytest.mark.parametrize(
    "way", [pytest.param({}, id="ours"), pytest.param(BY_THE_SDK, id="sdk", marks=pytest.mark.slow)]
)
@pytest.mark.parametrize(
    "off",
    [
        ("traces",),
        ("metrics",),
        ("logs",),
        pytest.param(("metrics", "logs"), marks=pytest.mark.slow),
        pytest.param(("traces", "logs"), marks=pytest.mark.slow),
        pytest.param(("traces", "metrics"), marks=pytest.mark.slow),
        pytest.param(SIGNALS, marks=pytest.mark.slow),
        pytest.param((), marks=pytest.mark.slow),
    ],
    ids="+".join,
)
def test_each_signal_is_switched_off_by_its_own_variable(provider, sink, off, way):
    variables = {f"OTEL_{signal.upper()}_EXPORTER": "None" for signal in off}
    done = run(EXEC, provider, "plain", sink.endpoint, OTEL_INSTRUMENTATION_GENAI_EMIT_EVENT="true", **variables, **way)
    assert (done.returncode, done.stdout, done.stderr) == (0, "Paris is the capital of France.", "")
    assert {one.signal for one in sink.destination.received} == {*SIGNALS} - {*off}
    if "metrics" not in off:
        assert tokens(sink.destination) == sum(served.usage.input_tokens for served in provider.served())
        money = priced(provider) if "traces" in off else 0  # of a span that is sent, whoever gets it counts the money
        assert summed(sink.destination, "otel_llm.cost.usage") == pytest.approx(money, rel=1e-9)
    if "traces" not in off:
        assert len(spans(sink.destination)) == 1


def test_what_a_signal_that_is_off_would_need_is_not_asked_for(provider, sink):
    variables = {"OTEL_METRICS_EXPORTER": "none", "OTEL_EXPORTER_OTLP_METRICS_PROTOCOL": "carrier-pigeon"}
    done = run(EXEC, provider, "plain", sink.endpoint, **variables)
    assert (done.returncode, done.stderr) == (0, "")
    assert len(spans(sink.destination)) == 1


@pytest.mark.slow
def test_without_logs_a_call_that_waits_is_not_announced_and_still_marked(provider, sink):
    variables = {**CLEAN, "OTEL_EXPORTER_OTLP_ENDPOINT": sink.endpoint, "OTEL_LOGS_EXPORTER": "none"}
    command = [*EXEC, provider.openai_base_url, "waits_after_an_answer"]
    process = subprocess.Popen(command, env={**variables, "OTEL_METRIC_EXPORT_INTERVAL": "500"})
    try:  # metrics are the clock: what takes two seconds to be announced has been open for four
        sink.destination.wait_for(lambda: sum(one.signal == "metrics" for one in sink.destination.accepted) > 8, 30)
        process.send_signal(signal.SIGTERM)
        process.wait(20)
    finally:
        process.kill()
    assert {one.signal for one in sink.destination.received} == {"traces", "metrics"}
    [interrupted] = [span for _, span in spans(sink.destination) if "otel_llm.interrupted" in keys(span)]
    assert interrupted.name.partition("#")[0] == "chat gpt-4o"


def test_a_python_that_calls_no_model_imports_nothing_of_telemetry(provider, sink):
    """Acceptance 47: reloaders and shells stay as they were."""
    script = "import sys; print([name for name in sys.modules if name.startswith('opentelemetry')])"
    command = (sys.executable, "-m", "otel_llm.cli.main", "exec", "--", sys.executable, "-c", script)
    assert run(command, provider, "", sink.endpoint).stdout.strip() == "[]"


def test_exec_names_what_it_cannot_start(provider, sink):
    command = (sys.executable, "-m", "otel_llm.cli.main", "exec", "--", "no-such-program")
    done = run(command, provider, "", sink.endpoint)
    assert done.returncode == 1
    assert "there is no program no-such-program" in done.stderr
