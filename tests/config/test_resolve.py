from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_llm.config import load
from otel_llm.config.environment import expand
from otel_llm.config.resolve import resolve
from otel_llm.config.values import Value
from otel_llm.errors import ConfigError
from tests.config.documents import SMALL, Folder

FULL = """\
receivers:
  otlp:
  otlp/second: {protocols: {http: {endpoint: "127.0.0.1:5318"}}}
processors:
  cost:
exporters:
  otlp: {endpoint: "a.example.com:4317", retry_on_failure: {max_elapsed_seconds: 5}}
  otlphttp/b: {endpoint: https://b.example.com, sending_queue: {on_full: drop}}
service:
  pipelines:
    traces: {receivers: [otlp/second, otlp], processors: [cost], exporters: [otlp, otlphttp/b]}
    traces/raw: {receivers: [otlp], exporters: [otlp]}
    metrics: {receivers: [otlp], exporters: [otlphttp/b]}
  shutdown_timeout_seconds: 5
  admin: {endpoint: null}
  telemetry: {logs: {level: debug}, metrics: {interval_seconds: 2}}
"""


def test_components_keep_the_order_of_their_pipeline_and_are_shared_between_pipelines(folder: Folder):
    settings = folder.load(FULL)
    traces, raw, metrics = settings.pipelines
    assert [one.id for one in traces.receivers] == ["otlp/second", "otlp"]
    assert [one.id for one in traces.exporters] == ["otlp", "otlphttp/b"]
    assert raw.exporters[0] is traces.exporters[0]
    assert (metrics.id, metrics.signal, raw.id, raw.signal) == ("metrics", "metrics", "traces/raw", "traces")
    assert [one.id for one in settings.receivers] == ["otlp", "otlp/second"]


def test_collector_names_of_exporters_are_understood(folder: Folder):
    exporters = folder.load(FULL).exporters
    assert [(one.id, one.type.name) for one in exporters] == [("otlp", "otlp_grpc"), ("otlphttp/b", "otlp_http")]


def test_queue_and_retries_of_an_exporter_are_its_deliverys(folder: Folder):
    first, second = folder.load(FULL).exporters
    assert first.delivery.retry_on_failure.max_elapsed_seconds == 5
    assert second.delivery.sending_queue.on_full == "drop"


def test_the_service_section_is_typed(folder: Folder):
    service = folder.load(FULL).service
    assert (service.shutdown_timeout_seconds, service.admin.endpoint) == (5.0, None)
    assert (service.telemetry.logs.level, service.telemetry.metrics.interval_seconds) == ("debug", 2.0)


def test_a_component_that_no_pipeline_names_is_a_warning(folder: Folder):
    settings = folder.load(SMALL.replace("exporters:\n", "exporters:\n  otlp_http/b: {endpoint: https://b}\n", 1))
    assert settings.warnings == (
        "exporters.otlp_http/b: no pipeline names it, so it does nothing; add it to one or remove it",
    )
    assert [one.id for one in settings.exporters] == ["otlp_http"]


def test_settings_do_not_show_headers_when_they_are_printed(folder: Folder):
    text = SMALL.replace("https://otlp.example.com", "https://e\n    headers: {authorization: '${env:KEY}'}")
    assert "hunter2" not in repr(folder.load(text, {"KEY": "hunter2"}))


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        (
            "receivers:\n  otlp:",
            "receivers:\n  oltp:",
            "receivers.oltp: unknown receiver type 'oltp'; did you mean 'otlp'?",
        ),
        (
            "exporters:\n  otlp_http:",
            "exporters:\n  pulsar:",
            "exporters.pulsar: unknown exporter type 'pulsar'; known: ",
        ),
        ("  otlp:\n", "  otlp/: {}\n  otlp:\n", "receivers.otlp/: expected type or type/name, got 'otlp/'"),
        ("  otlp:\n", "  /a: {}\n  otlp:\n", "receivers./a: expected type or type/name, got '/a'"),
        ("  otlp:\n", "  otlp: 5\n", "receivers.otlp: expected a section, got an integer"),
        ("  otlp:\n", "  otlp: {protocol: }\n", "receivers.otlp.protocol: unknown setting; did you mean 'protocols'?"),
        ("receivers:\n  otlp:\n", "receivers: [otlp]\n", "receivers: expected a section, got a list"),
        (
            "service:",
            "extensions:\n  health_check:\nservice:",
            (
                "extensions: unknown section; there are no extensions; health, readiness and metrics are at "
                "service.admin.endpoint"
            ),
        ),
        ("service:", "servce: {}\nservice:", "servce: unknown section; did you mean 'service'?"),
        (
            "    traces:",
            "    trace:",
            "service.pipelines.trace: expected traces, metrics or logs, or one of them/name; did you mean 'traces'?",
        ),
        (
            "    traces:",
            "    traces/:",
            "service.pipelines.traces/: expected traces, metrics or logs, or one of them/name; did you mean 'traces'?",
        ),
        (
            "receivers: [otlp]",
            "receivers: [otpl]",
            "service.pipelines.traces.receivers[0]: no receiver 'otpl' in receivers; did you mean 'otlp'?",
        ),
        (
            "receivers: [otlp]",
            "receivers: []",
            "service.pipelines.traces.receivers: expected at least one receiver, got none",
        ),
        (
            "receivers: [otlp]",
            "receivers: [otlp]\n      processors: [cost]",
            "service.pipelines.traces.processors[0]: no processor 'cost' in processors; there are none",
        ),
        (
            "exporters: [otlp_http]",
            "exporters: []",
            "service.pipelines.traces.exporters: expected at least one exporter, got none",
        ),
        (
            "exporters: [otlp_http]",
            "exporters: [otlp_http, otlp_http]",
            "service.pipelines.traces.exporters[1]: 'otlp_http' stands in this list before; remove one of them",
        ),
        (
            "endpoint: https://otlp.example.com",
            "sending_queue: {size: 5}\n    endpoint: https://e",
            "exporters.otlp_http.sending_queue.size: unknown setting; did you mean 'size_bytes'?",
        ),
        (
            "  otlp:\n",
            "  otlp: {sending_queue: {}}\n",
            "receivers.otlp.sending_queue: unknown setting; known: protocols",
        ),
        ("service:", "service:\n  admn: {}", "service.admn: unknown setting; did you mean 'admin'?"),
        (
            "service:",
            "service:\n  telemetry: {metrics: {interval_seconds: 0}}",
            "service.telemetry.metrics.interval_seconds: expected a number of at least 1, got the number 0",
        ),
    ],
)
def test_each_mistake_has_its_message(folder: Folder, old: str, new: str, problem: str):
    assert any(found.startswith(problem) for found in folder.problems(SMALL.replace(old, new, 1)))


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "service: expected a section with pipelines, got nothing in FILE; see docs/configuration.md"),
        ("service: {}", "service.pipelines: expected a section, got nothing; it has no default"),
        ("service: {pipelines: {}}", "service.pipelines: expected at least one pipeline, such as traces:, got none"),
        ("service: 5", "service: expected a section, got an integer"),
    ],
)
def test_a_configuration_needs_a_pipeline(folder: Folder, text: str, problem: str):
    assert folder.problems(text) == [problem]


def test_a_processor_in_a_pipeline_of_a_signal_that_it_cannot_process_is_refused(folder: Folder):
    text = FULL.replace("metrics: {receivers: [otlp],", "metrics: {receivers: [otlp], processors: [cost],")
    assert folder.problems(text) == [
        "service.pipelines.metrics.processors[0]: 'cost' takes traces, not metrics; remove it from this pipeline"
    ]


def test_problems_of_all_sections_come_at_once(folder: Folder):
    text = (
        FULL.replace("interval_seconds: 2", "interval_seconds: two")
        .replace("on_full: drop", "on_full: dorp")
        .replace("[cost]", "[cots]")
    )
    assert folder.problems(text) == [
        (
            "exporters.otlphttp/b.sending_queue.on_full: expected one of refuse, drop, got the string 'dorp'; "
            "did you mean 'drop'?"
        ),
        "service.telemetry.metrics.interval_seconds: expected a number of at least 1, got the string 'two'",
        "service.pipelines.traces.processors[0]: no processor 'cots' in processors; did you mean 'cost'?",
    ]


@pytest.mark.parametrize(
    ("path", "reason"), [("/nowhere/at/all.yaml", "No such file or directory"), ("/", "Is a directory")]
)
def test_a_file_that_cannot_be_read_is_a_config_error(path: str, reason: str):
    with pytest.raises(ConfigError) as raised:
        load(path, {})
    assert raised.value.problems == (f"{path}: cannot be read ({reason}); give the path of a YAML file to --config",)


@pytest.mark.parametrize(
    ("override", "problem"),
    [
        (
            "service.shutdown_timeout_seconds",
            ("--set: expected path=value, got something else; write for example exporters.debug.verbosity=detailed"),
        ),
        (
            "service..shutdown_timeout_seconds=2",
            ("--set: expected path=value, got something else; write for example exporters.debug.verbosity=detailed"),
        ),
        (
            "service.shutdown_timeout_seconds=[",
            (
                "--set service.shutdown_timeout_seconds line 1, column 2: not YAML: while parsing a flow node, "
                "expected the node content, but found '<stream end>'"
            ),
        ),
        (
            "exporters.otlp_http.endpoint.x=2",
            (
                "--set exporters.otlp_http.endpoint.x: exporters.otlp_http.endpoint is "
                "a string, not a section; write for example exporters.debug.verbosity=detailed"
            ),
        ),
        (
            "service.telemetry.metrics.interval_seconds=x",
            ("service.telemetry.metrics.interval_seconds: expected a number of at least 1, got the string 'x'"),
        ),
    ],
)
def test_an_override_that_cannot_be_applied_is_reported(folder: Folder, override: str, problem: str):
    assert folder.problems(SMALL, {}, override) == [problem]


def test_overrides_win_and_make_the_sections_they_need(folder: Folder):
    settings = folder.load(
        SMALL,
        {"N": "3"},
        "service.telemetry.metrics.interval_seconds=${env:N}",
        "receivers.otlp.protocols.http.endpoint=127.0.0.1:0",
    )
    assert settings.service.telemetry.metrics.interval_seconds == 3
    assert settings.receivers[0].config.protocols.http.endpoint == "127.0.0.1:0"


KEYS = st.sampled_from(
    [
        "receivers",
        "processors",
        "exporters",
        "service",
        "pipelines",
        "traces",
        "otlp",
        "otlp/x",
        "cost",
        "otlp_http",
        "protocols",
        "grpc",
        "http",
        "endpoint",
        "headers",
        "tls",
        "sending_queue",
        "batch",
        "logs/x",
        "telemetry",
        "admin",
    ]
) | st.text(max_size=4)
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=6)
    | st.sampled_from(["otlp", "otlp_http", "cost", "127.0.0.1:4318", "http://localhost:4318", "[::1", "${A}", "${"])
)
DOCUMENTS = st.dictionaries(
    KEYS,
    st.recursive(
        SCALARS,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4),
        max_leaves=12,
    ),
    max_size=5,
)


@given(DOCUMENTS)
def test_any_document_is_settings_or_a_config_error(document: dict[str, Value]):
    problems: list[str] = []
    expanded = {key: expand(value, {"A": "1"}, problems, key) for key, value in document.items()}
    try:
        resolve(expanded, "f.yaml", problems)
    except ConfigError as error:
        assert error.problems  # noqa: PT017 - success is fine, too
