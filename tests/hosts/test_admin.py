"""The admin endpoint: who may see what, and that nothing of a request comes back."""

from __future__ import annotations

import http.client
import ssl
from pathlib import Path

import pytest

from otel_llm.errors import ConfigError
from otel_llm.testing import OtlpHttpSink, unused_port
from tests.certificates import Certificates
from tests.hosts.running import SIMPLE, get, http_port, post, running, settings

KEY = "0123456789abcdef"
ADMIN = 'admin: {endpoint: "127.0.0.1:0"}'


def asked(port: int | None, path: str, **headers: str) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", path, headers=headers)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def test_with_keys_metrics_are_for_those_who_have_one_and_probes_need_none(tmp_path: Path) -> None:
    (tmp_path / "key").write_text(KEY)
    text = SIMPLE.format(sink="http://127.0.0.1:1")
    text = text.replace(ADMIN, f'admin: {{endpoint: "127.0.0.1:0", keys: [{{token_file: {tmp_path / "key"}}}]}}')
    with running(text, tmp_path) as gateway:
        port = gateway.admin_port
        assert asked(port, "/metrics")[0] == 401
        assert asked(port, "/metrics", authorization="Bearer wrong-0123456789")[0] == 401
        assert asked(port, "/metrics", authorization=f"Bearer {KEY}")[0] == 200
        assert (asked(port, "/healthz")[0], asked(port, "/readyz")[0]) == (200, 200)


def test_keys_can_be_set_by_a_reload_though_the_port_stays(tmp_path: Path) -> None:
    (tmp_path / "key").write_text(KEY)
    port = unused_port()
    text = SIMPLE.format(sink="http://127.0.0.1:1").replace(
        '127.0.0.1:0"}\n  shutdown', f'127.0.0.1:{port}"}}\n  shutdown'
    )
    with running(text, tmp_path) as gateway:
        assert asked(port, "/metrics")[0] == 200
        keys = f'127.0.0.1:{port}", keys: [{{token_file: {tmp_path / "key"}}}]}}'
        gateway.reload(settings(text.replace(f'127.0.0.1:{port}"}}', keys), tmp_path))
        assert (gateway.admin_port, asked(port, "/metrics")[0]) == (port, 401)
        with pytest.raises(ConfigError):
            gateway.reload(settings(text.replace(f'127.0.0.1:{port}"}}', keys.replace("/key", "/none")), tmp_path))
        assert (gateway.admin_port, asked(port, "/metrics")[0]) == (port, 401)


def test_metrics_over_tls(tmp_path: Path, pem: Certificates) -> None:
    tls = f"tls: {{cert_file: {pem.cert_file}, key_file: {pem.key_file}}}"
    text = SIMPLE.format(sink="http://127.0.0.1:1").replace(ADMIN, f'admin: {{endpoint: "127.0.0.1:0", {tls}}}')
    with running(text, tmp_path) as gateway:
        context = ssl.create_default_context(cafile=pem.ca_file)
        connection = http.client.HTTPSConnection("127.0.0.1", gateway.admin_port, context=context, timeout=10)
        connection.request("GET", "/healthz")
        assert connection.getresponse().status == 200
        connection.close()


def test_no_route_echoes_what_was_sent(tmp_path: Path) -> None:
    """Whatever part of a request holds it, no answer does, nor does any metric."""
    marker = "m4rker"
    with OtlpHttpSink() as sink, running(SIMPLE.format(sink=sink.endpoint), tmp_path) as gateway:
        port = http_port(gateway)
        answers = [
            post(port, f"/{marker}", b"", {marker: marker})[1],
            post(port, f"/v1/traces?{marker}", marker.encode())[1],
            post(port, "/v1/traces", b"{}", {"content-type": f"text/{marker}"})[1],
            post(port, "/v1/traces", b"{}", {"content-encoding": marker})[1],
            post(port, "/v1/logs", f'{{"{marker}": "{marker}"}}'.encode(), {"content-type": "application/json"})[1],
            post(port, "/v1/logs", f'{{"resourceLogs": "{marker}"}}'.encode(), {"content-type": "application/json"})[1],
            post(port, "/v1/metrics", b"", {"transfer-encoding": marker})[1],
            asked(gateway.admin_port, f"/{marker}", authorization=marker)[1],
            asked(gateway.admin_port, f"/metrics?{marker}")[1],
            get(gateway.admin_port, "/metrics")[1].encode(),
        ]
    assert all(answers)
    assert [answer for answer in answers if marker.encode() in answer] == []
