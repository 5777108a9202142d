"""The gateway of the demo: which ports it takes, and the configuration it runs."""

from __future__ import annotations

import socket
from collections.abc import Container, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import quote, urlsplit

from otel_llm.config import Settings
from otel_llm.config.defaults import default_configuration
from otel_llm.config.document import read_document
from otel_llm.config.resolve import resolve
from otel_llm.config.values import Value
from otel_llm.errors import ConfigError
from otel_llm.http.free_ports import HOST, bind_free

LEDGER: Final = "ledger"
_OURS: Final = frozenset(
    {"debug", LEDGER}
)  # the exporters of the default configuration that the demo does not forward to
_OTLP_GRPC_PORT: Final = 4317
_OTLP_HTTP_PORT: Final = 4318
_ADMIN_PORT: Final = 13133
_VARIABLES: Final = "OTEL_EXPORTER_OTLP_"

# One rule, in shadow: what it finds is on the span and in the ledger, and nothing is stopped.
_POLICY: Final = """\
apiVersion: otel-llm/v1
kind: PolicySet
metadata: {name: demo, version: 1, owner: platform}
spec:
  mode: shadow
  parameters:
    models: [gpt-4o, gpt-4o-mini, gpt-4.1-mini, o4-mini, text-embedding-3-small, claude-haiku-4-5, claude-opus-5]
  rules:
  - id: approved-models
    stage: request
    when: '!(gen_ai.request.model in params.models)'
    verdict: warn
    severity: high
    risk: supply_chain
    reason: "'model ' + gen_ai.request.model + ' is not approved'"
"""
# What the judge's model answers in the demo: the provider makes up answers, and does not think.
_JUDGEMENT: Final = '{"evidence": "says that the customer is satisfied", "label": "pass"}'

# Metrics and logs have a place as well: with --keep, other applications may send them.
_CONFIGURATION: Final = """\
receivers:
  otlp:
    protocols:
      grpc:
      http:
processors:
  normalize:
  cost:
  quality:
  policy:
  drift: {baselines: {refusal: 0.02}, false_alarms: 1, false_alarm_days: 1}
  judge:
    others: 1
    rubrics: [{id: faithful-summary, version: "1", question: "Does the summary say only what the ticket says?"}]
  metrics:
exporters:
  ledger:
    sending_queue: {batch: {flush_timeout_seconds: 0}}
  file:
    sending_queue: {batch: {flush_timeout_seconds: 0}}
service:
  shutdown_timeout_seconds: 3
  pipelines:
    traces:
      receivers: [otlp]
      processors: [normalize, cost, quality, policy, drift, judge, metrics]
      exporters: [ledger, file]
    metrics: {receivers: [otlp], exporters: [file]}
    logs: {receivers: [otlp], processors: [normalize], exporters: [ledger, file]}
"""


@dataclass(frozen=True, slots=True)
class Ports:
    """Where the gateway listens, all on loopback.

    Attributes:
        grpc: OTLP over gRPC.
        http: OTLP over HTTP.
        admin: health and metrics.
    """

    grpc: int
    http: int
    admin: int

    @property
    def otlp_url(self) -> str:
        """What an application's OTEL_EXPORTER_OTLP_ENDPOINT has to say."""
        return f"http://{HOST}:{self.http}"

    @property
    def metrics_url(self) -> str:
        """What the gateway counts, for Prometheus."""
        return f"http://{HOST}:{self.admin}/metrics"

    @property
    def moved(self) -> tuple[int, ...]:
        """The usual OTLP ports that were not to be had."""
        usual = ((_OTLP_GRPC_PORT, self.grpc), (_OTLP_HTTP_PORT, self.http))
        return tuple(wanted for wanted, got in usual if wanted != got)


@dataclass(frozen=True, slots=True)
class Files:
    """What the demo leaves behind, in a folder of its own.

    Attributes:
        folder: the folder.
    """

    folder: Path

    @property
    def ledger(self) -> Path:
        """The ledger, SQLite."""
        return self.folder / "ledger.sqlite3"

    @property
    def telemetry(self) -> Path:
        """Everything as it left the gateway, OTLP JSON lines."""
        return self.folder / "telemetry.jsonl"

    @property
    def policy(self) -> Path:
        """The rules of the demo."""
        return self.folder / "policy.yaml"

    @property
    def app_output(self) -> Path:
        """What the application printed."""
        return self.folder / "app.log"


def choose_ports(environment: Mapping[str, str]) -> Ports:
    """The usual ports when they are free, else others.

    A port that OTEL_EXPORTER_OTLP_* names is left to whoever is meant to be there: taking it, the gateway would feed
    itself.
    """
    destinations = _destination_ports(environment)
    with ExitStack() as held:  # until all are chosen, so that none is chosen twice
        probes = [_bind(wanted, destinations, held) for wanted in (_OTLP_GRPC_PORT, _OTLP_HTTP_PORT, _ADMIN_PORT)]
        return Ports(*(int(probe.getsockname()[1]) for probe in probes))


def _bind(wanted: int, destinations: Container[int], held: ExitStack) -> socket.socket:
    """A socket on the port that is wanted, or else on another."""
    probe = held.enter_context(socket.socket())
    probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as servers do; else a port just left looks taken
    if wanted not in destinations:
        with suppress(OSError):
            probe.bind((HOST, wanted))
            return probe
    bind_free(probe)
    return probe


def _destination_ports(environment: Mapping[str, str]) -> set[int]:
    ports = set()
    for name, value in environment.items():
        if name.startswith(_VARIABLES) and name.endswith("ENDPOINT"):
            try:
                ports.add(urlsplit(value if "//" in value else f"//{value}").port or 0)
            except ValueError:
                continue  # the configuration will say what is wrong with it
    return ports


def demo_settings(ports: Ports, files: Files, environment: Mapping[str, str], judge_url: str) -> Settings:
    """What the gateway runs: OTLP in, every processor, ledger and file out, and on to OTEL_EXPORTER_OTLP_* if set.

    Writes the rules that it runs by.

    Args:
        ports: where it listens.
        files: what it writes.
        environment: of the user, for OTEL_EXPORTER_OTLP_*.
        judge_url: the base URL of the judge's provider, which is not the application's: its calls are none of those.

    Raises:
        ConfigError: a variable cannot be understood.
    """
    problems: list[str] = []
    document = read_document(_CONFIGURATION, "demo")
    _fill_in(document, ports, files)
    files.policy.write_text(_POLICY)
    _section(document, "processors")["policy"] = {"paths": [str(files.policy)]}
    model = f"gpt-4o-mini#text={quote(_JUDGEMENT)}"
    _section(document, "processors", "judge")["endpoint"] = {"url": judge_url, "model": model}
    defaults = default_configuration(environment, problems)
    _forward(document, defaults.document)
    try:
        return resolve(document, "demo", problems)
    except ConfigError as error:
        raise ConfigError([_with_variable(problem, defaults.origins) for problem in error.problems]) from None


def _with_variable(problem: str, origins: Mapping[str, str]) -> str:
    """The problem with the variable that the setting comes from: there is no file to look into."""
    variable = origins.get(problem.partition(": ")[0])
    return problem if variable is None else f"{variable} ({problem.partition(': ')[0]}): {problem.partition(': ')[2]}"


def forwarding(settings: Settings) -> dict[str, str]:
    """The exporters that send elsewhere: name in the configuration -> where to, without user, password or query."""
    return {
        component.id: _address(_endpoint(component.config))
        for component in settings.exporters
        if component.type.name.startswith("otlp")
    }


def _endpoint(config: object) -> str:
    """Where spans go, of either OTLP exporter's section."""
    found = getattr(config, "traces_endpoint", None) or getattr(config, "endpoint", None)
    return str(found or "")


def _address(endpoint: str) -> str:
    parts = urlsplit(endpoint if "//" in endpoint else f"//{endpoint}")
    host = parts.netloc.rpartition("@")[2]
    return f"{parts.scheme}://{host}" if parts.scheme else host


def _fill_in(document: dict[str, Value], ports: Ports, files: Files) -> None:
    protocols = _section(document, "receivers", "otlp", "protocols")
    protocols["grpc"] = {"endpoint": f"{HOST}:{ports.grpc}"}
    protocols["http"] = {"endpoint": f"{HOST}:{ports.http}"}
    _section(document, "exporters", LEDGER)["path"] = str(files.ledger)
    _section(document, "exporters", "file")["path"] = str(files.telemetry)
    _section(document, "service")["admin"] = {"endpoint": f"{HOST}:{ports.admin}"}


def _forward(document: dict[str, Value], defaults: dict[str, Value]) -> None:
    """Take over what the default configuration makes of OTEL_EXPORTER_OTLP_*."""
    for id_, section in _section(defaults, "exporters").items():
        if id_ not in _OURS:
            _section(document, "exporters")[id_] = section
    for signal, pipeline in _section(defaults, "service", "pipelines").items():
        wanted = pipeline["exporters"] if isinstance(pipeline, dict) else None
        named = _section(document, "service", "pipelines", signal)["exporters"]
        if isinstance(wanted, list) and isinstance(named, list):
            named += [id_ for id_ in wanted if id_ not in _OURS]


def _section(document: dict[str, Value], *path: str) -> dict[str, Value]:
    """A section of a document that we wrote; it is there."""
    for key in path:
        found = document[key]
        if not isinstance(found, dict):
            raise TypeError(f"{'.'.join(path)}: expected a section at {key}")
        document = found
    return document
