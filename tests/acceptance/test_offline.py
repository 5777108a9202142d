"""No network but the one that was asked for: every connection and every look-up of a name is watched."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

_ROOT = Path(__file__).parents[2]

# Runs in a process of its own: an audit hook can never be taken off again.
_WATCHED = """
import json, sys
seen = []
def watch(event, arguments):
    if event == "socket.connect":
        seen.append(["connect", repr(arguments[1])])
    elif event in ("socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr"):
        seen.append(["look-up", repr(arguments[0])])
sys.addaudithook(watch)
import otel_llm
from pathlib import Path
from tests.acceptance.through import started
from tests.spans import SpanSpec, chat
models = ["gpt-4o", "claude-sonnet-4-5", "nobody-knows-this", "gemini-2.5-pro"]
with started(Path(sys.argv[1])) as through:
    ports = [through.port, through.gateway.admin_port, int(through.destination_port)]
    specs = [
        SpanSpec(chat(gen_ai__provider__name=provider, gen_ai__response__model=models[number % 4]))
        for number, provider in zip(range(100), ["openai", "anthropic", "openai", "gcp.gemini"] * 25)
    ]
    spans = through.calls(specs)
print(json.dumps({"seen": seen, "ports": ports, "statuses": [span["otel_llm.cost.status"] for span in spans]}))
"""


def test_21_nothing_is_asked_of_the_network_but_the_configured_endpoint(tmp_path: Path) -> None:
    """Given no network but the OTLP endpoint, when the package is imported, a gateway started and 100 calls priced,
    then there is no other connection, no look-up of a name, and the prices are those that came with the package."""
    answer = subprocess.run(
        [sys.executable, "-c", _WATCHED, str(tmp_path)],
        cwd=_ROOT,
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert answer.returncode == 0, answer.stderr
    found = json.loads(answer.stdout)
    allowed = {repr(("127.0.0.1", port)) for port in found["ports"]}
    connected = {target for event, target in found["seen"] if event == "connect"}
    assert connected
    assert connected <= allowed
    assert {target for event, target in found["seen"] if event == "look-up"} <= {"'127.0.0.1'"}
    assert found["statuses"] == ["priced", "priced", "unpriced", "priced"] * 25


def test_21_importing_the_package_opens_nothing_and_loads_no_client_of_the_network() -> None:
    """Given a plain import, then no socket is made and neither gRPC nor an HTTP client is loaded."""
    script = (
        "import sys; made = []; sys.addaudithook(lambda event, _: made.append(event) if event.startswith('socket.') "
        "else None); import otel_llm, otel_llm.cost; otel_llm.cost.Catalogue.load(); "
        "heavy = {'grpc', 'requests', 'httpx', 'urllib3', 'genai_prices', 'google.protobuf'} & set(sys.modules); "
        "print(sorted(heavy), made)"
    )
    answer = subprocess.run(
        [sys.executable, "-c", script], cwd=_ROOT, capture_output=True, text=True, timeout=50, check=True
    )
    assert answer.stdout.split() == ["[]", "[]"]
