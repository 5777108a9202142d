"""Which apps get our delivery, and what the SDK's exporters are left with."""

from __future__ import annotations

import pytest

from otel_llm.hosts.app_delivery import app_delivery
from otel_llm.signals import Payload
from otel_llm.testing import OtlpGrpcSink, OtlpHttpSink
from tests.delivery.requests import payload

ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"
PROTOCOL = "OTEL_EXPORTER_OTLP_PROTOCOL"


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


def offered(environment: dict[str, str], *payloads: Payload) -> None:
    delivery = app_delivery(environment)
    assert delivery is not None
    for one in payloads:
        assert delivery.offer(one)
    assert delivery.force_flush(5)
    delivery.shutdown(1)


def test_all_signals_go_where_the_variables_say_with_their_headers() -> None:
    with OtlpHttpSink() as sink:
        headers = {"OTEL_EXPORTER_OTLP_HEADERS": "x-team=search"}
        offered({ENDPOINT: sink.endpoint, **headers}, *(payload(1, 2, signal=one) for one in ("traces", "logs")))
    assert {one.signal for one in sink.destination.accepted} == {"traces", "logs"}
    assert {one.headers["x-team"] for one in sink.destination.accepted} == {"search"}


def test_over_grpc_too() -> None:
    with OtlpGrpcSink() as sink:
        offered({ENDPOINT: f"http://{sink.endpoint}", PROTOCOL: "grpc"}, payload(1, 2))
    assert sink.destination.items == 2


def test_a_signal_may_have_an_address_of_its_own_on_the_same_way() -> None:
    with OtlpHttpSink() as sink, OtlpHttpSink() as records:
        own = {"OTEL_EXPORTER_OTLP_LOGS_ENDPOINT": f"{records.endpoint}/x/v1/logs"}
        offered({ENDPOINT: sink.endpoint, **own}, payload(1, 1), payload(1, 1, signal="logs"))
    assert [one.signal for one in sink.destination.accepted] == ["traces"]
    assert [one.signal for one in records.destination.accepted] == ["logs"]


def test_without_variables_it_is_the_gateway_on_this_machine() -> None:
    delivery = app_delivery({})
    assert delivery is not None
    delivery.shutdown(0)


@pytest.mark.parametrize(
    "environment",
    [
        {PROTOCOL: "http/json"},
        {ENDPOINT: "http://host:4318", "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "grpc"},
        {ENDPOINT: "http://host:4318", "OTEL_EXPORTER_OTLP_METRICS_HEADERS": "x-key=other"},
        {ENDPOINT: "http://host:port"},
        {ENDPOINT: "https://host:4318", "OTEL_EXPORTER_OTLP_CERTIFICATE": "/nowhere.pem"},
        {ENDPOINT: "http://host:4318", "OTEL_PYTHON_EXPORTER_OTLP_HTTP_CREDENTIAL_PROVIDER": "mine"},
    ],
    ids=["json", "two-protocols", "two-headers", "no-port", "no-certificate", "credential-provider"],
)
def test_what_our_exporters_do_not_do_is_left_to_the_sdk(environment: dict[str, str]) -> None:
    assert app_delivery(environment) is None


def test_a_signal_that_is_switched_off_may_go_anywhere() -> None:
    with OtlpHttpSink() as sink:
        off = {"OTEL_METRICS_EXPORTER": "none", "OTEL_EXPORTER_OTLP_METRICS_PROTOCOL": "http/json"}
        offered({ENDPOINT: sink.endpoint, **off}, payload(1, 1))
    assert app_delivery({f"OTEL_{signal}_EXPORTER": "none" for signal in ("TRACES", "METRICS", "LOGS")}) is None


def test_an_app_behind_a_proxy_keeps_the_sdks_exporter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://proxy.example:3128")
    monkeypatch.setenv("no_proxy", "inside.example")
    assert app_delivery({ENDPOINT: "http://outside.example:4318"}) is None
    delivery = app_delivery({ENDPOINT: "http://inside.example:4318"})
    assert delivery is not None
    delivery.shutdown(0)
