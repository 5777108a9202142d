"""Who we are to a destination."""

from __future__ import annotations

from pathlib import Path

import pytest

from otel_llm.clock import SystemClock
from otel_llm.components import Context
from otel_llm.errors import ConfigError
from otel_llm.exporters import otlp_grpc, otlp_http
from otel_llm.exporters.auth import AuthConfig, Authorization
from otel_llm.exporters.tls import TlsConfig
from otel_llm.signals import Payload
from otel_llm.telemetry import Metrics
from otel_llm.testing import FakeClock, OtlpGrpcSink, OtlpHttpSink
from tests.spans import SpanSpec, request

CONTEXT = Context("test", Metrics(), SystemClock())
PAYLOAD = Payload.of("traces", (request([SpanSpec()]),), 1)


def test_a_request_carries_the_token_of_a_file_over_both_protocols(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("abc\n")
    auth = AuthConfig(token_file=str(tmp_path / "token"))
    with OtlpHttpSink() as http, OtlpGrpcSink() as over_grpc:
        exporters = (
            otlp_http.create(otlp_http.Config(endpoint=http.endpoint, auth=auth), CONTEXT),
            otlp_grpc.create(
                otlp_grpc.Config(endpoint=over_grpc.endpoint, auth=auth, tls=TlsConfig(insecure=True)), CONTEXT
            ),
        )
        for exporter in exporters:
            exporter.export(PAYLOAD, 5.0)
            exporter.shutdown()
        for sink in (http, over_grpc):
            assert sink.destination.received[0].headers["authorization"] == "Bearer abc"
            assert len(sink.destination.accepted) == 1


def test_a_secret_that_is_rotated_is_read_again_and_one_that_is_gone_stays_in_use(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    clock, file = FakeClock(), tmp_path / "password"
    file.write_text("one")
    authorization = Authorization(AuthConfig(username="me", password_file=str(file)), "auth", clock.monotonic)
    assert authorization.value() == "Basic bWU6b25l"
    file.write_text("three")
    clock.advance(2.0)
    assert authorization.value() == "Basic bWU6dGhyZWU="
    file.unlink()
    clock.advance(2.0)
    assert authorization.value() == "Basic bWU6dGhyZWU="
    assert "stays in use" in caplog.text
    assert "three" not in caplog.text


@pytest.mark.parametrize(
    ("auth", "said"),
    [
        (AuthConfig(), "auth.token: expected it, or token_file, and not both"),
        (AuthConfig(token="a", token_file="b"), "auth.token: expected it, or token_file, and not both"),
        (AuthConfig(username="u"), "auth.password: expected it, or password_file"),
        (AuthConfig(token="two words"), "auth.token: expected printable ASCII without blanks"),
        (AuthConfig(token=""), "auth.token: expected a secret, got an empty one"),
        (AuthConfig(token_file="/nowhere"), "auth.token_file: cannot read /nowhere"),
    ],
)
def test_what_is_no_secret_is_said_at_the_start_and_never_shown(auth: AuthConfig, said: str) -> None:
    with pytest.raises(ConfigError, match=said) as caught:
        Authorization(auth, "auth")
    assert "two words" not in str(caught.value)


def test_two_authorizations_are_one_too_many() -> None:
    auth, headers = AuthConfig(token="abc"), {"Authorization": "Bearer x"}
    for create in (
        lambda: otlp_http.create(otlp_http.Config(endpoint="http://h", auth=auth, headers=headers), CONTEXT),
        lambda: otlp_grpc.create(otlp_grpc.Config(endpoint="h:1", auth=auth, headers=headers), CONTEXT),
    ):
        with pytest.raises(ConfigError, match=r"exporters\.test\.auth: headers hold"):
            create()
