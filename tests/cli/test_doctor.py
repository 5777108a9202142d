"""`otel-llm doctor` in really wrong set-ups: acceptance 48, silent misconfiguration."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from otel_llm.testing import OtlpGrpcSink, OtlpHttpSink

CLEAN = {key: value for key, value in os.environ.items() if not key.startswith("OTEL")}
RUN = "import sys; from otel_llm.cli.main import main; sys.exit(main(['doctor', *sys.argv[1:]]))"


def doctor(*libraries, before="", **environment):
    """Exit code and output of the command in an app's environment; it must not take the ten seconds it has."""
    result = subprocess.run(
        [sys.executable, "-c", before + RUN, *libraries],
        env={**CLEAN, **environment},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert result.stderr == ""
    return result.returncode, result.stdout


def named(output: str, about: str) -> str:
    return next(line for line in output.splitlines() if line.split()[1:2] == [about])


@contextmanager
def answering(status: int, body: bytes = b"") -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            self.send_response(status)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Quiet."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


@contextmanager
def listening(reply: bytes | None) -> Iterator[int]:
    """A port that takes connections, and answers with bytes that are no HTTP, or never."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        kept = []

        def serve() -> None:
            try:
                while True:
                    connection, _ = server.accept()
                    kept.append(connection)
                    if reply is not None:
                        connection.sendall(reply)
                        connection.close()
            except OSError:
                return

        threading.Thread(target=serve, daemon=True).start()
        yield server.getsockname()[1]
        for connection in kept:
            connection.close()


def test_a_call_that_arrives_is_all_well():
    with OtlpHttpSink() as sink:
        code, output = doctor(OTEL_EXPORTER_OTLP_ENDPOINT=sink.endpoint)
        [received] = sink.destination.accepted
    assert code == 0
    assert output.endswith("all well\n")
    request = ExportTraceServiceRequest.FromString(received.body)
    [span] = [span for group in request.resource_spans for scope in group.scope_spans for span in scope.spans]
    assert span.name == "chat gpt-4o"
    assert any(attribute.key == "otel_llm.cost.total" for attribute in span.attributes)


def test_grpc_arrives_as_well():
    with OtlpGrpcSink() as sink:
        endpoint = f"http://{sink.endpoint.removeprefix('http://')}"
        code, output = doctor(OTEL_EXPORTER_OTLP_ENDPOINT=endpoint, OTEL_EXPORTER_OTLP_PROTOCOL="grpc")
        assert sink.destination.items == 1
    assert (code, output.splitlines()[-1]) == (0, "all well")


def test_nobody_listens():
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    code, output = doctor(OTEL_EXPORTER_OTLP_ENDPOINT=f"http://127.0.0.1:{port}")
    assert code == 1
    assert f"nothing listens on 127.0.0.1:{port}" in named(output, "endpoint")


def test_an_endpoint_that_is_no_url():
    _, output = doctor(OTEL_EXPORTER_OTLP_ENDPOINT="localhost:4318")
    assert "is no URL such as http://localhost:4318" in named(output, "endpoint")


def test_a_host_that_does_not_exist():
    _, output = doctor(OTEL_EXPORTER_OTLP_ENDPOINT="http://no-such-host.invalid:4318")
    assert "there is no host no-such-host.invalid" in named(output, "endpoint")


def test_a_server_that_never_answers():
    with listening(None) as port:
        _, output = doctor(OTEL_EXPORTER_OTLP_ENDPOINT=f"http://127.0.0.1:{port}")
    assert "never answers" in named(output, "answer")


def test_http_to_a_port_that_speaks_grpc():
    with listening(b"\x00\x00\x12\x04\x00\x00\x00\x00\x00") as port:
        _, output = doctor(OTEL_EXPORTER_OTLP_ENDPOINT=f"http://127.0.0.1:{port}")
    assert "set OTEL_EXPORTER_OTLP_PROTOCOL=grpc" in named(output, "protocol")


def test_grpc_to_a_port_that_speaks_http():
    with answering(200) as url:
        _, output = doctor(OTEL_EXPORTER_OTLP_ENDPOINT=url, OTEL_EXPORTER_OTLP_PROTOCOL="grpc")
    assert "set OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf" in named(output, "protocol")


def test_tls_where_there_is_none():
    with answering(200) as url:
        _, output = doctor(OTEL_EXPORTER_OTLP_ENDPOINT=url.replace("http://", "https://"))
    assert "says https" in named(output, "tls")


@pytest.mark.parametrize(("headers", "said"), [("", "none is sent"), ("x-api-key=s3cret", "refuses the key")])
def test_a_missing_or_wrong_key_is_named_and_never_shown(headers, said):
    with answering(401) as url:
        code, output = doctor(OTEL_EXPORTER_OTLP_ENDPOINT=url, OTEL_EXPORTER_OTLP_HEADERS=headers)
    assert code == 1
    assert said in named(output, "key")
    assert "s3cret" not in output


def test_a_wrong_path():
    with answering(404) as url:
        _, output = doctor(OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=url)
    assert "such as http://host:4318/v1/traces" in named(output, "path")


def test_a_server_that_is_something_else():
    with answering(200, b"<html>hello</html>") as url:
        _, output = doctor(OTEL_EXPORTER_OTLP_ENDPOINT=url)
    assert "is no OTLP" in named(output, "answer")


def test_an_unknown_protocol():
    _, output = doctor(OTEL_EXPORTER_OTLP_PROTOCOL="http/json")
    assert "http/json is none of http/protobuf, grpc" in named(output, "protocol")


def test_a_missing_exporter_names_the_package():
    before = "import sys; sys.modules['opentelemetry.exporter.otlp.proto.http'] = None\n"
    _, output = doctor(before=before)
    assert "pip install opentelemetry-exporter-otlp-proto-http" in named(output, "extra")


def test_a_sampler_that_keeps_nothing():
    with OtlpHttpSink() as sink:
        code, output = doctor(OTEL_EXPORTER_OTLP_ENDPOINT=sink.endpoint, OTEL_TRACES_SAMPLER="always_off")
    assert code == 1
    assert "OTEL_TRACES_SAMPLER=always_off" in named(output, "sampler")


def test_opentelemetry_switched_off():
    code, output = doctor(OTEL_SDK_DISABLED="true")
    assert code == 1
    assert "OTEL_SDK_DISABLED=true" in named(output, "sdk")


def test_another_exporter():
    _, output = doctor(OTEL_TRACES_EXPORTER="console")
    assert "OTEL_TRACES_EXPORTER=console" in named(output, "exporter")


def test_signals_that_are_switched_off():
    with OtlpHttpSink() as sink:
        code, output = doctor(OTEL_EXPORTER_OTLP_ENDPOINT=sink.endpoint, OTEL_METRICS_EXPORTER="none")
    assert code == 0
    assert "OTEL_METRICS_EXPORTER=none: the app sends no metrics" in named(output, "exporter")


@pytest.mark.parametrize(
    ("value", "said"),
    [("", "not captured"), ("SPAN_ONLY", "ok     content"), ("everything", "is none of NO_CONTENT")],
)
def test_content_flags(value, said):
    _, output = doctor(OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT=value, OTEL_EXPORTER_OTLP_PROTOCOL="none")
    assert said in named(output, "content")


def test_content_that_goes_to_a_hook_and_a_hook_that_is_not_there(tmp_path):
    pytest.importorskip("opentelemetry.util.genai")
    folder = {"OTEL_INSTRUMENTATION_GENAI_UPLOAD_BASE_PATH": tmp_path.as_uri()}
    _, output = doctor(OTEL_INSTRUMENTATION_GENAI_COMPLETION_HOOK="upload", **folder)
    assert "ok     content" in named(output, "content")
    assert "handed to the hook upload, full" in named(output, "content")
    _, output = doctor(OTEL_INSTRUMENTATION_GENAI_COMPLETION_HOOK="uplaod")
    assert "no hook 'uplaod' is installed; there is: upload" in named(output, "content")


def test_libraries_and_why_they_are_not_instrumented():
    code, output = doctor("openai", "ollama", "unheard_of", OTEL_PYTHON_DISABLED_INSTRUMENTATIONS="otel_llm.anthropic")
    assert code == 1
    assert "instrumented: our hook" in named(output, "openai")
    assert "not_installed" in named(output, "ollama")
    assert "disabled: OTEL_PYTHON_DISABLED_INSTRUMENTATIONS names it" in named(output, "anthropic")
    assert "no such library" in named(output, "unheard_of")
