"""`otel-llm status` of a running gateway."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from otel_llm.cli.main import main
from otel_llm.cli.status import render
from otel_llm.delivery.status import HostStatus, ReceiverStatus
from otel_llm.testing import Answer, Destination, OtlpHttpSink, unused_port
from tests.certificates import make_certificates
from tests.delivery.requests import traces
from tests.hosts.running import SIMPLE, http_port, post, running


def test_status_shows_accounts_that_balance_and_a_destination_that_fails(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    destination = Destination(default=Answer.throttled(3600))
    text = SIMPLE.replace("shutdown_timeout_seconds: 5", "shutdown_timeout_seconds: 0")
    with OtlpHttpSink(destination) as sink, running(text.format(sink=sink.endpoint), tmp_path) as gateway:
        assert post(http_port(gateway), "/v1/traces", traces(1, 3).SerializeToString())[0] == 200
        destination.wait_for(lambda: bool(destination.received))
        while gateway.delivery("otlp_http").status().failing_seconds is None:
            pass
        endpoint = f"127.0.0.1:{gateway.admin_port}"
        assert main(["status", "--endpoint", endpoint]) == 0
        shown = capsys.readouterr().out
        assert main(["status", "--endpoint", endpoint, "--json"]) == 0
        (exporter,) = json.loads(capsys.readouterr().out)["exporters"]
    assert "FAILING for 0 s, again in 59 min" in shown or "FAILING for 0 s, again in 1 h" in shown
    assert "answered 429: slow down" in shown
    assert exporter["signals"]["traces"] == {"accepted": 3, "exported": 0, "queued": 3, "dropped": {}}


def test_status_says_when_nobody_answers(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["status", "--endpoint", f"127.0.0.1:{unused_port()}"]) == 1
    assert "no status from 127.0.0.1" in capsys.readouterr().err


def test_status_shows_a_key_where_the_gateway_wants_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Over TLS, with the key that the configuration names, or with one given by hand."""
    pem = make_certificates(tmp_path)
    (tmp_path / "key").write_text("operator-0123456789abcdef")
    keyed = (
        f'admin: {{endpoint: "127.0.0.1:0", keys: [{{token_file: {tmp_path / "key"}}}], '
        f"tls: {{cert_file: {pem.cert_file}, key_file: {pem.key_file}}}}}"
    )
    with OtlpHttpSink() as sink:
        text = SIMPLE.format(sink=sink.endpoint).replace('admin: {endpoint: "127.0.0.1:0"}', keyed)
        with running(text, tmp_path) as gateway:
            place = f"127.0.0.1:{gateway.admin_port}"
            trusting = ["--ca-file", pem.ca_file]
            assert main(["status", "--endpoint", f"https://{place}"]) == 1
            assert "give --ca-file with the authority" in capsys.readouterr().err
            assert main(["status", "--endpoint", place]) == 1
            assert "if it speaks TLS there, give --endpoint https://" in capsys.readouterr().err
            assert main(["status", "--endpoint", f"https://{place}", *trusting]) == 1
            assert "it wants a key (401); give --token-file" in capsys.readouterr().err
            by_file = ["--token-file", str(tmp_path / "key")]
            assert main(["status", "--endpoint", f"https://{place}", *trusting, *by_file]) == 0
            configured = tmp_path / "asked.yaml"
            configured.write_text(text.replace('endpoint: "127.0.0.1:0", keys', f'endpoint: "{place}", keys'))
            assert main(["status", "--config", str(configured), *trusting]) == 0
            monkeypatch.setenv("OTEL_LLM_ADMIN_TOKEN", "operator-0123456789abcdef")
            assert main(["status", "--endpoint", f"https://{place}", *trusting]) == 0
    assert "ready" in capsys.readouterr().out


def test_status_shows_a_receiver_that_fetches() -> None:
    receivers = [
        ReceiverStatus("kafka", "otel-llm", 4, lag=1234),
        ReceiverStatus("kafka/b", "b", 0, waiting_seconds=61.0, problem="no broker", dead_letter_messages=2, worker=2),
    ]
    shown = render(HostStatus("1", 5.0, None, [], receivers))
    assert "kafka: group otel-llm: 4 partitions; 1,234 messages behind\n" in shown
    assert (
        "kafka/b (worker 2): group b: 0 partitions; lag unknown; PAUSED for 1 min 1 s, until exporters have room; "
        "FAILING: no broker; 2 messages were no OTLP requests\n"
    ) in shown
