from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_llm.config import Settings, load
from otel_llm.errors import ConfigError
from otel_llm.exporters.otlp_environment import VARIABLES

PREFIX = "OTEL_EXPORTER_OTLP_"


def defaults(*overrides: str, **variables: str) -> Settings:
    return load(None, {PREFIX + name: value for name, value in variables.items()}, overrides)


def problems(**variables: str) -> list[str]:
    with pytest.raises(ConfigError) as raised:
        defaults(**variables)
    return list(raised.value.problems)


def exporters(settings: Settings) -> dict[str, list[str]]:
    return {pipeline.id: [one.id for one in pipeline.exporters] for pipeline in settings.pipelines}


def test_without_a_file_otlp_comes_in_on_loopback_and_goes_to_the_ledger_and_the_screen():
    settings = defaults()
    assert settings.source == "defaults"
    assert settings.warnings == ()
    assert [one.id for one in settings.receivers] == ["otlp"]
    assert [one.id for one in settings.pipelines[0].processors] == ["normalize", "cost", "quality", "metrics"]
    assert exporters(settings) == {"traces": ["debug", "ledger"], "metrics": ["debug"], "logs": ["debug", "ledger"]}


def test_neither_screen_nor_ledger_holds_up_what_goes_to_a_backend():
    by_id = {one.id: one.delivery.sending_queue.on_full for one in defaults(ENDPOINT="https://e").exporters}
    assert by_id == {"debug": "drop", "ledger": "drop", "otlp_http": "refuse"}


def test_an_endpoint_for_all_signals_adds_one_exporter_to_all_pipelines():
    settings = defaults(
        ENDPOINT="https://otlp.example.com/base",
        HEADERS="Authorization=Bearer%20hunter2, x-tenant = 7",
        TIMEOUT="2500",
        COMPRESSION="none",
        CERTIFICATE="/ca.pem",
        CLIENT_CERTIFICATE="/cert.pem",
        CLIENT_KEY="/key.pem",
    )
    assert exporters(settings) == {
        "traces": ["debug", "ledger", "otlp_http"],
        "metrics": ["debug", "otlp_http"],
        "logs": ["debug", "ledger", "otlp_http"],
    }
    config = settings.exporters[-1].config
    assert config.endpoint == "https://otlp.example.com/base"
    assert config.headers == {"authorization": "Bearer hunter2", "x-tenant": "7"}
    assert (config.timeout_seconds, config.compression) == (2.5, "none")
    assert (config.tls.ca_file, config.tls.cert_file, config.tls.key_file) == ("/ca.pem", "/cert.pem", "/key.pem")


def test_an_endpoint_for_one_signal_is_for_that_signal_only():
    settings = defaults(TRACES_ENDPOINT="http://jaeger.example.com:4318/v1/traces")
    assert exporters(settings) == {
        "traces": ["debug", "ledger", "otlp_http"],
        "metrics": ["debug"],
        "logs": ["debug", "ledger"],
    }
    assert settings.exporters[-1].config.traces_endpoint == "http://jaeger.example.com:4318/v1/traces"
    assert settings.exporters[-1].config.endpoint is None


def test_signals_that_differ_in_their_address_only_share_an_exporter():
    settings = defaults(ENDPOINT="http://a.example.com", LOGS_ENDPOINT="http://b.example.com/logs")
    config = settings.exporters[-1].config
    assert (config.endpoint, config.logs_endpoint) == ("http://a.example.com", "http://b.example.com/logs")
    assert exporters(settings)["logs"] == ["debug", "ledger", "otlp_http"]


def test_signals_that_differ_in_more_have_exporters_of_their_own():
    settings = defaults(ENDPOINT="http://a.example.com", LOGS_HEADERS="key=1")
    assert exporters(settings) == {
        "traces": ["debug", "ledger", "otlp_http/traces"],
        "metrics": ["debug", "otlp_http/traces"],
        "logs": ["debug", "ledger", "otlp_http/logs"],
    }


def test_a_signal_of_another_protocol_has_an_exporter_of_its_own():
    settings = defaults(ENDPOINT="http://a.example.com:4000", TRACES_PROTOCOL="grpc")
    assert exporters(settings)["traces"] == ["debug", "ledger", "otlp_grpc"]
    assert exporters(settings)["logs"] == ["debug", "ledger", "otlp_http"]


@pytest.mark.parametrize(
    ("endpoint", "variable", "address", "insecure"),
    [
        ("http://a.example.com:4317", "false", "a.example.com:4317", True),
        ("https://a.example.com", "true", "a.example.com:4317", False),
        ("a.example.com:4317", "true", "a.example.com:4317", True),
        ("a.example.com:4317", "", "a.example.com:4317", False),
        ("http://[::1]:9317", "", "[::1]:9317", True),
    ],
)
def test_grpc_uses_tls_unless_the_scheme_or_the_variable_says_otherwise(
    endpoint: str, variable: str, address: str, *, insecure: bool
):
    config = defaults(PROTOCOL="grpc", ENDPOINT=endpoint, INSECURE=variable).exporters[-1].config
    assert (config.endpoint, config.tls.insecure) == (address, insecure)


def test_a_variable_that_is_set_to_nothing_is_not_set():
    assert exporters(defaults(ENDPOINT=" ", TRACES_ENDPOINT=""))["traces"] == ["debug", "ledger"]


@pytest.mark.parametrize(
    ("variables", "problem"),
    [
        (
            {"ENDPOINT": "http://localhost:4318"},
            (
                "OTEL_EXPORTER_OTLP_ENDPOINT (exporters.otlp_http.endpoint): "
                "expected another process, got localhost:4318, "
                "which is this one's own receivers.otlp.protocols.http.endpoint: everything would come back for ever; "
                "give the address of a backend, or another port to the receiver"
            ),
        ),
        (
            {"ENDPOINT": "http://localhost:4317", "PROTOCOL": "grpc"},
            (
                "OTEL_EXPORTER_OTLP_ENDPOINT (exporters.otlp_grpc.endpoint): "
                "expected another process, got localhost:4317, "
                "which is this one's own receivers.otlp.protocols.grpc.endpoint: everything would come back for ever; "
                "give the address of a backend, or another port to the receiver"
            ),
        ),
        (
            {"ENDPOINT": "http://a", "PROTOCOL": "http/json"},
            "OTEL_EXPORTER_OTLP_PROTOCOL: expected http/protobuf or grpc, got 'http/json'",
        ),
        (
            {"ENDPOINT": "http://a", "TIMEOUT": "10s"},
            "OTEL_EXPORTER_OTLP_TIMEOUT: expected milliseconds greater than 0, got '10s'",
        ),
        (
            {"ENDPOINT": "http://a", "TIMEOUT": "nan"},
            "OTEL_EXPORTER_OTLP_TIMEOUT: expected milliseconds greater than 0, got 'nan'",
        ),
        (
            {"ENDPOINT": "http://a", "HEADERS": "a=b,hunter2"},
            "OTEL_EXPORTER_OTLP_HEADERS: expected name=value,name=value, got something else as entry 2",
        ),
        (
            {"ENDPOINT": "http://a", "COMPRESSION": "zstd"},
            (
                "OTEL_EXPORTER_OTLP_COMPRESSION (exporters.otlp_http.compression): "
                "expected one of gzip, none, got something "
                "else from the environment"
            ),
        ),
        (
            {"ENDPOINT": "http://[", "PROTOCOL": "grpc"},
            "OTEL_EXPORTER_OTLP_ENDPOINT: expected an address such as http://host:4317, got another form",
        ),
    ],
)
def test_each_mistake_names_its_variable_once(variables: dict[str, str], problem: str):
    assert problems(**variables) == [problem]


def test_a_wrong_variable_of_one_signal_is_named():
    assert problems(ENDPOINT="http://a", LOGS_PROTOCOL="udp")[0].startswith(
        "OTEL_EXPORTER_OTLP_LOGS_PROTOCOL: expected"
    )


def test_another_port_for_the_receiver_ends_the_loop():
    override = "receivers.otlp.protocols.http.endpoint=127.0.0.1:5318"
    assert defaults(override, ENDPOINT="http://localhost:4318")


VALUES = st.text(max_size=20) | st.sampled_from(
    ["http://a:1", "grpc", "http/protobuf", "5", "a=b", "http://[", "x:y:z"]
)


@given(st.dictionaries(st.sampled_from([*VARIABLES, *(f"LOGS_{name}" for name in VARIABLES)]), VALUES))
def test_any_variables_are_settings_or_a_config_error(variables: dict[str, str]):
    try:
        defaults(**variables)
    except ConfigError as error:
        assert error.problems  # noqa: PT017 - success is fine, too
