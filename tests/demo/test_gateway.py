from __future__ import annotations

import socket
from pathlib import Path

import pytest

from otel_llm.demo.child import App, AppError, app_environment
from otel_llm.demo.gateway import Files, Ports, choose_ports, demo_settings, forwarding
from otel_llm.demo.requirements import NEEDED, check_requirements, is_installed
from otel_llm.errors import ConfigError

JUDGE = "http://127.0.0.1:41999/v1"
PORTS = Ports(grpc=41317, http=41318, admin=41133)


def test_ports_that_are_taken_are_left_alone_and_said_to_be():
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            taken.bind(("127.0.0.1", 4318))
            taken.listen()
        except OSError:
            pass  # somebody else's: just as good
        ports = choose_ports({})
    assert ports.http != 4318
    assert 4318 in ports.moved


def test_a_port_that_telemetry_is_to_be_sent_on_to_is_not_taken():
    environment = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://localhost:4318", "OTEL_EXPORTER_OTLP_LOGS_ENDPOINT": "h:4317"}
    ports = choose_ports(environment)
    assert ports.moved == (4317, 4318)
    assert len({ports.grpc, ports.http, ports.admin}) == 3


def test_without_variables_nothing_is_sent_on(tmp_path: Path):
    settings = demo_settings(PORTS, Files(tmp_path), {}, JUDGE)
    assert [exporter.id for exporter in settings.exporters] == ["ledger", "file"]
    assert forwarding(settings) == {}


@pytest.mark.parametrize("protocol", ["http/protobuf", "grpc"])
def test_the_exporter_of_the_variables_gets_all_signals_and_its_address_is_shown(tmp_path: Path, protocol: str):
    environment = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": "http://jaeger.example:4317",
        "OTEL_EXPORTER_OTLP_PROTOCOL": protocol,
        "OTEL_EXPORTER_OTLP_HEADERS": "authorization=secret",
    }
    settings = demo_settings(PORTS, Files(tmp_path), environment, JUDGE)
    assert [address.removeprefix("http://") for address in forwarding(settings).values()] == ["jaeger.example:4317"]
    assert all(forwarding(settings).keys() <= {one.id for one in line.exporters} for line in settings.pipelines)


def test_a_variable_that_is_wrong_is_a_problem(tmp_path: Path):
    with pytest.raises(ConfigError, match="OTEL_EXPORTER_OTLP_TIMEOUT: expected milliseconds"):
        demo_settings(
            PORTS,
            Files(tmp_path),
            {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://x:1", "OTEL_EXPORTER_OTLP_TIMEOUT": "soon"},
            JUDGE,
        )


def test_the_application_knows_its_endpoint_and_nothing_that_leads_elsewhere():
    environment = app_environment(
        {
            "PATH": "/bin",
            "OTEL_EXPORTER_OTLP_HEADERS": "authorization=secret",
            "OTEL_TRACES_SAMPLER": "always_off",
            "OPENAI_API_KEY": "secret",
            "ANTHROPIC_BASE_URL": "https://api.example",
            "https_proxy": "http://proxy.example",
        },
        "http://127.0.0.1:4318",
    )
    assert environment == {
        "PATH": "/bin",
        "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318",
        "NO_PROXY": "*",
    }


def test_an_application_that_fails_says_why(tmp_path: Path):
    unused = "http://127.0.0.1:9"
    with App(unused, unused, tmp_path / "app.log", capture_content=False) as app:
        app.begin()
        with pytest.raises(AppError, match=r"exit code 1:\n(.*\n)*.*openai\.APIConnectionError"):
            app.wait(45)


def test_an_application_that_does_not_end_is_stopped(tmp_path: Path):
    with (
        App("http://127.0.0.1:9", "http://127.0.0.1:9", tmp_path / "app.log", capture_content=False) as app,
        pytest.raises(AppError, match="did not end within 0 s"),
    ):
        app.wait(0)


def test_everything_that_is_missing_is_named_at_once():
    with pytest.raises(ConfigError) as caught:
        check_requirements(lambda module: module not in ("openai", "grpc"))
    assert caught.value.problems == ("demo: openai, grpcio not installed; run: pip install 'otel-llm[demo]'",)


def test_a_module_below_a_package_that_is_not_there_is_not_installed():
    assert not is_installed("no_such_package.of.ours")
    assert all(is_installed(module) for module in NEEDED)
