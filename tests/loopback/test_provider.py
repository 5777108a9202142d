"""Directives, bad requests, and the server's own paths."""

# ruff: noqa: S310 - every URL here is the loopback provider's

from __future__ import annotations

import http.client
import json
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from urllib.request import Request, urlopen

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_llm.loopback import LoopbackProvider
from otel_llm.loopback.directives import DirectiveError, Directives, parse
from otel_llm.loopback.provider import ROUTES, Provider

KEYS = st.sampled_from(
    [
        "role",
        "content",
        "type",
        "text",
        "tool_calls",
        "function",
        "name",
        "parameters",
        "properties",
        "required",
        "enum",
        "arguments",
        "input",
        "output",
        "ttl",
        "cache_control",
        "input_schema",
        "json_schema",
        "schema",
        "format",
        "include_usage",
        "summary",
        "messages",
    ]
)
JSON_VALUES = st.recursive(
    st.sampled_from(
        [None, True, -1, 2, 1.5, "", "user", "tool", "text", "tool_result", "function", "enabled", "Paris"]
    ),
    lambda children: st.lists(children, max_size=3) | st.dictionaries(KEYS, children, max_size=3),
    max_leaves=8,
)
REQUEST_KEYS = [
    "messages",
    "input",
    "tools",
    "tool_choice",
    "system",
    "stream",
    "stream_options",
    "n",
    "dimensions",
    "response_format",
    "text",
    "thinking",
    "reasoning",
    "instructions",
    "output_config",
]


def test_directives_come_from_model_and_header_and_the_header_wins():
    model, directives = parse("gpt-4o#input=1;output=2", "output=3; text=a%3Bb")
    assert model == "gpt-4o"
    assert directives == Directives(input=1, output=3, text="a;b")


@pytest.mark.parametrize("text", ["inptu=1", "input=-1", "input=one", "tools=many", "input=\u0661", "=1"])
def test_a_wrong_directive_is_refused_with_its_name(text):
    with pytest.raises(DirectiveError, match="x-loopback"):
        parse("gpt-4o", text)


def test_a_wrong_directive_is_a_bad_request():
    answer = Provider().answer("/v1/chat/completions", "inptu=1", b'{"model": "m", "messages": []}')
    assert answer.status == 400
    assert "inptu" in json.dumps(answer.body)


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"\xff", b"{}", b'{"model": 1}', b"[" * 100_000])
@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/messages"])
def test_a_malformed_request_is_a_bad_request(path, body):
    assert Provider().answer(path, None, body).status == 400


def test_an_unknown_path_says_what_is_known():
    answer = Provider().answer("/v2/nothing", None, b"{}")
    assert answer.status == 404
    assert "/v1/messages" in json.dumps(answer.body)


@given(path=st.sampled_from(sorted(ROUTES)), fields=st.dictionaries(st.sampled_from(REQUEST_KEYS), JSON_VALUES))
def test_any_json_is_answered(path, fields):
    answer = Provider().answer(f"/v1{path}", None, json.dumps({"model": "m", **fields}).encode())
    assert answer.status == 200
    events = list(answer.events)
    assert (answer.body is None) == bool(events)
    json.dumps(answer.body)


def test_health_and_ledger_answer_over_http(provider):
    with urlopen(f"{provider.url}/health") as response:
        assert json.load(response) == {"status": "ok"}
    body = json.dumps({"model": "claude-haiku-4-5", "max_tokens": 9, "messages": []}).encode()
    urlopen(Request(f"{provider.url}/v1/messages", body, {"x-loopback": "input=12"})).close()
    with urlopen(f"{provider.url}/ledger") as response:
        [served] = json.load(response)["served"]
    assert (served["api"], served["usage"]["input_tokens"]) == ("messages", 12)
    urlopen(Request(f"{provider.url}/ledger", method="DELETE")).close()
    assert provider.served() == ()


@pytest.mark.parametrize(("length", "status"), [("x", 411), ("-1", 411), (str(10**12), 413)])
def test_a_lying_content_length_is_refused_and_the_connection_closed(provider, length, status):
    connection = http.client.HTTPConnection(provider.url.removeprefix("http://"), timeout=5)
    connection.putrequest("POST", "/v1/messages")
    connection.putheader("content-length", length)
    connection.endheaders()
    response = connection.getresponse()
    assert (response.status, response.headers["connection"]) == (status, "close")
    connection.close()


def test_shutdown_closes_idle_connections_and_may_be_repeated():
    provider = LoopbackProvider().start()
    connection = http.client.HTTPConnection(provider.url.removeprefix("http://"), timeout=5)
    connection.request("GET", "/health")
    connection.getresponse().read()
    provider.shutdown()
    provider.shutdown()
    with pytest.raises((http.client.HTTPException, OSError)):  # noqa: PT012 - the second call may be the one that fails
        connection.request("GET", "/health")
        connection.getresponse()
    connection.close()


def test_shutdown_without_start_frees_the_port():
    LoopbackProvider().shutdown()


def test_the_command_prints_its_url_and_stops_on_sigterm():
    command = [sys.executable, "-m", "otel_llm.loopback", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        with urlopen(f"{process.stdout.readline().strip()}/health") as response:
            assert response.status == 200
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=10) == 0


def test_the_command_explains_a_taken_port(provider):
    port = provider.url.rpartition(":")[2]
    command = [sys.executable, "-m", "otel_llm.loopback", "--port", port]
    finished = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    assert finished.returncode == 2
    assert f"--port {port}" in finished.stderr


def test_a_caller_that_leaves_a_stream_is_noted_and_billed(provider):
    body = {"model": "m", "messages": [], "stream": True}
    connection = http.client.HTTPConnection(provider.url.removeprefix("http://"), timeout=5)
    directives = {"x-loopback": f"chunk_delay_ms=5;text={'word%20' * 2000}"}
    connection.request("POST", "/v1/chat/completions", json.dumps(body), directives)
    connection.getresponse().read(100)
    connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()
    deadline = time.monotonic() + 10
    while provider.served()[0].completed and time.monotonic() < deadline:
        threading.Event().wait(0.01)
    [served] = provider.served()
    assert not served.completed
    assert served.usage.output_tokens > 2000
