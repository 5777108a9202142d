"""MCP clients and servers as processes, over each transport: one trace from end to end. Acceptance 56."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from otel_llm.testing import unused_port
from tests.sdks.running import APPS, EXEC, PLAIN, World, accepts, roots, tree, wait_for, world

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]
CLIENT, SERVER = str(APPS / "mcp_client_app.py"), str(APPS / "mcp_server_app.py")


@pytest.fixture
def here() -> Iterator[World]:
    for module in ("mcp", "openai"):
        pytest.importorskip(module, reason=f"{module} is not installed; see tests/sdks/README.md")
    with world() as found:
        yield found


@contextmanager
def serving(here: World, python: tuple[str, ...], transport: str) -> Iterator[int]:
    """A server of its own, on its port; for stdio the client starts one."""
    if transport == "stdio":
        yield 0
        return
    port = unused_port()
    command = [*python, SERVER, transport, str(port)]
    process = subprocess.Popen(command, env=here.environment(), stderr=subprocess.DEVNULL)
    try:
        wait_for(lambda: accepts(port))
        yield port
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)


@pytest.mark.parametrize("transport", ["stdio", "streamable-http", "sse"])
def test_56_a_tool_and_the_model_it_asks_are_in_the_clients_trace(here, transport):
    with serving(here, EXEC, transport) as port:
        done = here.run([*EXEC, CLIENT, transport, str(port)])
    assert (done.code, done.out) == (0, "You asked: Hi"), done.err
    spans = here.spans()
    [call] = here.priced()
    above = {span.span_id: span for span in spans}
    server = above[call.parent_id]
    client = above[server.parent_id]
    assert (server.attributes["mcp.method.name"], client.attributes["mcp.method.name"]) == ("tools/call", "tools/call")
    assert server.resource["service.instance.id"] != client.resource["service.instance.id"], tree(spans)
    assert client in roots(spans)


@pytest.mark.parametrize("transport", ["streamable-http", "sse"])
def test_56_a_server_that_is_not_instrumented_is_not_broken(here, transport):
    with serving(here, PLAIN, transport) as port:
        done = here.run([*EXEC, CLIENT, transport, str(port)])
    assert (done.code, done.out) == (0, "You asked: Hi"), done.err
    assert any(span.attributes.get("mcp.method.name") == "tools/call" for span in here.spans())
