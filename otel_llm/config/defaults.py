"""What runs without a file: OTLP in on loopback, the ledger and a readable print out, OTEL_EXPORTER_OTLP_* honoured.

The variables are the SDKs' own, so that what an application would have exported to, the gateway exports to; each has a
form for one signal (OTEL_EXPORTER_OTLP_TRACES_ENDPOINT) that wins. Only an endpoint brings an exporter about: the SDKs'
default is this gateway.

Source: OpenTelemetry specification, OTLP exporter configuration.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import unquote, urlsplit

from otel_llm.config.document import read_document
from otel_llm.config.values import Expanded, Value
from otel_llm.signals import SIGNALS, Signal

DEFAULT_CONFIGURATION: Final = """\
receivers:
  otlp:
processors:
  normalize:
  cost:
  quality:
  metrics:
exporters:
  debug:
    sending_queue: {on_full: drop}  # a screen or a full disk holds up nobody
  ledger:
    sending_queue: {on_full: drop}
service:
  pipelines:
    traces:
      receivers: [otlp]
      processors: [normalize, cost, quality, metrics]
      exporters: [debug, ledger]
    metrics:
      receivers: [otlp]
      exporters: [debug]
    logs:
      receivers: [otlp]
      processors: [normalize]
      exporters: [debug, ledger]
"""

# Every variable that is read: its name after OTEL_EXPORTER_OTLP_ (or OTEL_EXPORTER_OTLP_TRACES_ and so on), and what it
# says.
VARIABLES: Final[Mapping[str, str]] = {
    "ENDPOINT": "Where to send. For HTTP the general form is a base that `/v1/traces` and so on are added to, the form "
    "for one signal is used as it is.",
    "PROTOCOL": "`http/protobuf` (the default) or `grpc`.",
    "HEADERS": "Header fields, `name=value,name=value`, percent-encoded.",
    "TIMEOUT": "How long one request may take, in milliseconds.",
    "COMPRESSION": "`gzip` or `none`.",
    "CERTIFICATE": "PEM file with the authorities to trust.",
    "CLIENT_CERTIFICATE": "PEM file with our own certificate.",
    "CLIENT_KEY": "PEM file with its key.",
    "INSECURE": "`true` for no TLS; gRPC only, and only when the endpoint has no scheme.",
}
_PREFIX: Final = "OTEL_EXPORTER_OTLP_"
_TYPES: Final = {"http/protobuf": "otlp_http", "grpc": "otlp_grpc"}
_DEFAULT_GRPC_PORT: Final = 4317


@dataclass(slots=True)
class Defaults:
    """The document that runs without a file.

    Attributes:
        document: in the shape of a file's.
        origins: path of a setting -> the variable it comes from, for messages.
    """

    document: dict[str, Value]
    origins: dict[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class _Exporter:
    """What the variables say about one or more signals that go the same way."""

    type: str
    section: dict[str, Value]
    variables: dict[str, str]
    signals: list[Signal] = field(default_factory=list)


def default_configuration(environment: Mapping[str, str], problems: list[str]) -> Defaults:
    """The defaults, with exporters for what OTEL_EXPORTER_OTLP_* says.

    Args:
        environment: variables by name.
        problems: gets one line for each variable that cannot be understood.
    """
    defaults = Defaults(read_document(DEFAULT_CONFIGURATION, "defaults"))
    exporters: list[_Exporter] = []
    for signal in SIGNALS:
        found = _Variables(environment, signal, problems).exporter()
        if found is not None:
            _gather(exporters, found, signal)
    for exporter in exporters:
        types = [one.type for one in exporters]
        alone = types.count(exporter.type) == 1
        _add(defaults, exporter, exporter.type if alone else f"{exporter.type}/{exporter.signals[0]}")
    return defaults


def _gather(exporters: list[_Exporter], found: _Exporter, signal: Signal) -> None:
    """Signals that differ in nothing but the address of each share an exporter."""
    found.signals.append(signal)
    for exporter in exporters:
        if exporter.type == found.type and _same_way(exporter.section, found.section):
            exporter.section.update(found.section)
            exporter.variables.update(found.variables)
            exporter.signals.append(signal)
            return
    exporters.append(found)


def _same_way(one: dict[str, Value], other: dict[str, Value]) -> bool:
    keys = {key for key in (*one, *other) if not key.endswith("_endpoint")}
    # A base address that only one of them has would be used for the signals of the other as well, had they none.
    return all(one.get(key) == other.get(key) for key in keys - {"endpoint"}) and (
        "endpoint" not in one or "endpoint" not in other or one["endpoint"] == other["endpoint"]
    )


def _add(defaults: Defaults, exporter: _Exporter, id_: str) -> None:
    sections = defaults.document["exporters"]
    service = defaults.document["service"]
    if not isinstance(sections, dict) or not isinstance(service, dict):
        return
    sections[id_] = exporter.section
    pipelines = service["pipelines"]
    for signal in exporter.signals:
        pipeline = pipelines[signal] if isinstance(pipelines, dict) else None
        named = pipeline["exporters"] if isinstance(pipeline, dict) else None
        if isinstance(named, list):
            named.append(id_)
    for key, variable in exporter.variables.items():
        defaults.origins[f"exporters.{id_}.{key}"] = variable


class _Variables:
    """The variables of one signal."""

    __slots__ = ("_environment", "_problems", "_signal", "_variables")

    def __init__(self, environment: Mapping[str, str], signal: Signal, problems: list[str]) -> None:
        self._environment = environment
        self._signal = signal
        self._problems = problems
        self._variables: dict[str, str] = {}

    def exporter(self) -> _Exporter | None:
        """Where the signal goes; None when no variable says so."""
        endpoint = self._find("ENDPOINT")
        if endpoint is None:
            return None
        type_ = self._type()
        section: dict[str, Value] = {}
        tls = self._tls()
        if type_ == "otlp_http":
            general = endpoint[0] == f"{_PREFIX}ENDPOINT"
            self._set(section, "endpoint" if general else f"{self._signal}_endpoint", endpoint)
        else:
            self._grpc_endpoint(section, tls, endpoint)
        if tls:
            section["tls"] = tls
        self._set(section, "compression", self._find("COMPRESSION"))
        self._headers(section)
        self._timeout(section)
        return _Exporter(type_, section, self._variables)

    def _find(self, name: str) -> tuple[str, str] | None:
        """Variable and value of the signal's own form, else of the general one; set to nothing is not set."""
        for variable in (f"{_PREFIX}{self._signal.upper()}_{name}", f"{_PREFIX}{name}"):
            value = self._environment.get(variable, "").strip()
            if value:
                return variable, value
        return None

    def _set(self, section: dict[str, Value], key: str, found: tuple[str, str] | None, below: str = "") -> None:
        if found is not None:
            section[key] = Expanded(found[1], found[1], (found[1],))
            self._variables[below + key] = found[0]

    def _problem(self, text: str) -> None:
        if text not in self._problems:  # the general form is read once for each signal
            self._problems.append(text)

    def _type(self) -> str:
        variable, protocol = self._find("PROTOCOL") or ("", "http/protobuf")
        if protocol not in _TYPES:
            self._problem(f"{variable}: expected http/protobuf or grpc, got {protocol[:60]!r}")
        return _TYPES.get(protocol, "otlp_http")

    def _tls(self) -> dict[str, Value]:
        tls: dict[str, Value] = {}
        for key, name in (("ca_file", "CERTIFICATE"), ("cert_file", "CLIENT_CERTIFICATE"), ("key_file", "CLIENT_KEY")):
            self._set(tls, key, self._find(name), "tls.")
        return tls

    def _grpc_endpoint(self, section: dict[str, Value], tls: dict[str, Value], found: tuple[str, str]) -> None:
        """`http://host:port` means no TLS, `https://` TLS; without a scheme the variable INSECURE says."""
        variable, endpoint = found
        insecure = (self._find("INSECURE") or ("", "false"))[1].lower() == "true"
        if "://" in endpoint:
            try:
                parts = urlsplit(endpoint)
                port = parts.port or _DEFAULT_GRPC_PORT
            except ValueError:
                self._problem(
                    f"{variable}: expected an address such as http://host:{_DEFAULT_GRPC_PORT}, got another form"
                )
                section["endpoint"] = Expanded("", None, failed=True)
                return
            insecure = parts.scheme == "http"
            host = parts.hostname or ""
            endpoint = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        self._set(section, "endpoint", (variable, endpoint))
        if insecure:
            tls["insecure"] = True

    def _headers(self, section: dict[str, Value]) -> None:
        found = self._find("HEADERS")
        if found is None:
            return
        headers: dict[str, Value] = {}
        for position, pair in enumerate(filter(None, map(str.strip, found[1].split(","))), start=1):
            name, equals, value = pair.partition("=")
            if not equals or not name.strip():
                self._problem(f"{found[0]}: expected name=value,name=value, got something else as entry {position}")
                continue
            text = unquote(value.strip())
            headers[unquote(name.strip()).lower()] = Expanded(text, text, (text,))
        section["headers"] = headers
        self._variables["headers"] = found[0]

    def _timeout(self, section: dict[str, Value]) -> None:
        found = self._find("TIMEOUT")
        if found is None:
            return
        try:
            milliseconds = float(found[1])
        except ValueError:
            milliseconds = 0.0
        if not 0 < milliseconds < float("inf"):
            self._problem(f"{found[0]}: expected milliseconds greater than 0, got {found[1][:60]!r}")
            return
        section["timeout_seconds"] = milliseconds / 1000
        self._variables["timeout_seconds"] = found[0]
