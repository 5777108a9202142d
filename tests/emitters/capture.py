# ruff: noqa: T201 - a command that says what it does
"""Records what real instrumentations send: `python -m tests.emitters.capture [EMITTER ...]`.

For each emitter of environments.toml: build its environment (once), run drive.py in it against the loopback provider,
and write every OTLP request into tests/golden/emitters/<emitter>/ as `<scenario>.traces.pb` or `.logs.pb` (protobuf,
as received but for the changes of `settle`) and the same as OTLP JSON for people. Needs the package index when an
environment is new.
"""

from __future__ import annotations

import argparse
import base64
import json
import os
import subprocess
import sys
import threading
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from otel_llm.loopback import LoopbackProvider

HERE = Path(__file__).resolve().parent
GOLDEN = HERE.parent / "golden" / "emitters"
COMMON = ("opentelemetry-sdk", "opentelemetry-exporter-otlp-proto-http")
PROVIDER_PORT = 18555
"""Fixed, because it stands in the spans as `server.port`."""
FIRST_UNIX_NANO = 1_767_225_600_000_000_000
STEP_NANO = 1_000_000
REQUESTS = {"traces": ExportTraceServiceRequest, "logs": ExportLogsServiceRequest}
ID_KEYS = {"traceId", "spanId", "parentSpanId"}


@dataclass(frozen=True, slots=True)
class Emitter:
    name: str
    environment: str
    setup: str
    providers: tuple[str, ...]
    variables: dict[str, str]


class Sink(ThreadingHTTPServer):
    """Keeps the body of each OTLP request by its path, in the order of arrival."""

    daemon_threads = True

    def __init__(self) -> None:
        self.bodies: dict[str, list[bytes]] = {}
        super().__init__(("127.0.0.1", 0), _SinkHandler)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class _SinkHandler(BaseHTTPRequestHandler):
    server: Sink

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        self.server.bodies.setdefault(self.path, []).append(body)
        self.send_response(200)
        self.send_header("content-type", "application/x-protobuf")
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's signature
        """Quiet."""


def settle(messages: Sequence[Message], private_paths: Mapping[str, str]) -> None:
    """Make a scenario's requests the same for every run, in place, and take this machine out of them.

    Each time becomes the first one plus a millisecond for every earlier time in these requests: order and equality
    stay. A duration measured by the emitter itself stays as it is. Paths in stack traces lose their first part.
    """
    places = [place for message in messages for place in _times(message)]
    times = sorted({getattr(part, name) for part, name in places})
    settled = {time: FIRST_UNIX_NANO + position * STEP_NANO for position, time in enumerate(times)}
    for part, name in places:
        setattr(part, name, settled[getattr(part, name)])
    for message in messages:
        for part in _messages(message):
            _hide_paths(part, private_paths)


def _hide_paths(part: Message, private_paths: Mapping[str, str]) -> None:
    text = getattr(part, "string_value", "")
    for path, replacement in private_paths.items():
        if path in text:
            text = text.replace(path, replacement)
            part.string_value = text


def _times(message: Message) -> Iterator[tuple[Message, str]]:
    for part in _messages(message):
        for field, value in part.ListFields():
            if field.name.endswith("time_unix_nano") and value:
                yield part, field.name


def _messages(message: Message) -> Iterator[Message]:
    yield message
    for _, value in message.ListFields():
        parts = (
            [value] if isinstance(value, Message) else value if not isinstance(value, (str, bytes, int, float)) else []
        )
        for part in parts:
            if isinstance(part, Message):
                yield from _messages(part)


def as_otlp_json(message: Message) -> object:
    """OTLP's own JSON: ids as hexadecimal, enums as numbers."""
    return _hexadecimal(MessageToDict(message, use_integers_for_enums=True))


def _hexadecimal(value: object) -> object:
    if isinstance(value, dict):
        return {
            key: base64.b64decode(item).hex() if key in ID_KEYS and isinstance(item, str) else _hexadecimal(item)
            for key, item in value.items()
        }
    return [_hexadecimal(item) for item in value] if isinstance(value, list) else value


def read_emitters() -> tuple[dict[str, list[str]], dict[str, Emitter]]:
    """Environments (name -> requirements) and emitters, from environments.toml."""
    document = tomllib.loads((HERE / "environments.toml").read_text())
    emitters = {
        name: Emitter(name, entry["environment"], entry["setup"], tuple(entry["providers"]), entry["variables"])
        for name, entry in document["emitters"].items()
    }
    return document["environments"], emitters


def python_of(environment: str, requirements: list[str], folder: Path) -> Path:
    """The interpreter of an environment, built when it is not there."""
    place = folder / environment
    python = place / "bin" / "python"
    if not python.exists():
        print(f"building {place}")
        subprocess.run([sys.executable, "-m", "venv", place], check=True)
        lock = HERE / "locks" / f"{environment}.txt"
        install = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-c", lock]
        subprocess.run([*install, *COMMON, *requirements], check=True)
    return python


def capture(emitter: Emitter, python: Path, golden: Path = GOLDEN) -> int:
    """Run one emitter and replace its recorded requests; returns how many there are."""
    with LoopbackProvider(PROVIDER_PORT) as provider, Sink() as sink:
        threading.Thread(target=sink.serve_forever, daemon=True).start()
        command = [python, HERE / "drive.py", emitter.setup, ",".join(emitter.providers), provider.url, sink.url]
        variables = {
            key: value for key, value in os.environ.items() if not key.startswith(("OTEL_", "ANTHROPIC_", "OPENAI_"))
        }
        subprocess.run(command, env={**variables, **emitter.variables}, check=True, timeout=120)
        sink.shutdown()
    folder = golden / emitter.name
    folder.mkdir(parents=True, exist_ok=True)
    for old in [*folder.glob("*.pb"), *folder.glob("*.json")]:
        old.unlink()
    private_paths = {str(python.parents[1]): "/venv", str(HERE): "/app", str(python.resolve().parents[1]): "/python"}
    for scenario, requests in _by_scenario(sink.bodies).items():
        settle(list(requests.values()), private_paths)
        for signal, message in requests.items():
            _write(folder / f"{scenario}.{signal}", message)
    return len(sink.bodies)


def _by_scenario(bodies: Mapping[str, Sequence[bytes]]) -> dict[str, dict[str, Message]]:
    """Scenario -> signal -> request, from the paths `/<scenario>/v1/<signal>`."""
    scenarios: dict[str, dict[str, Message]] = {}
    for path, received in bodies.items():
        _, scenario, _, signal = path.split("/")
        if len(received) != 1:
            raise RuntimeError(f"{scenario} sent {len(received)} {signal} requests, expected 1")
        message = REQUESTS[signal].FromString(received[0])
        if message.SerializeToString() != received[0]:
            raise RuntimeError(f"{signal} of {scenario} do not survive parsing: settling would change them")
        scenarios.setdefault(scenario, {})[signal] = message
    return scenarios


def _write(path: Path, message: Message) -> None:
    Path(f"{path}.pb").write_bytes(message.SerializeToString())
    text = json.dumps(as_otlp_json(message), indent=1, ensure_ascii=False)
    Path(f"{path}.json").write_text(f"{text}\n")


def main() -> None:
    environments, emitters = read_emitters()
    parser = argparse.ArgumentParser(prog="python -m tests.emitters.capture")
    parser.add_argument("emitter", nargs="*", choices=[*emitters, []], help="which ones (default: all)")
    parser.add_argument("--environments", type=Path, default=Path("build/emitters"), help="where environments are kept")
    options = parser.parse_args()
    for name in options.emitter or emitters:
        emitter = emitters[name]
        folder = options.environments.resolve()
        python = python_of(emitter.environment, environments[emitter.environment], folder)
        print(f"{name}: {capture(emitter, python)} requests")


if __name__ == "__main__":
    main()
