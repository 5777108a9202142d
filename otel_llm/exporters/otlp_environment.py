"""Where an app or a gateway is told to export by OTEL_EXPORTER_OTLP_*: the variables as settings of our exporters.

The variables are the SDKs' own; each has a form for one signal (OTEL_EXPORTER_OTLP_TRACES_ENDPOINT) that wins.
Source: OpenTelemetry specification, OTLP exporter configuration.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal, TypeAlias
from urllib.parse import unquote, urlsplit

from otel_llm.signals import Signal

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
_TYPES: Final[Mapping[str, Literal["otlp_http", "otlp_grpc"]]] = {"http/protobuf": "otlp_http", "grpc": "otlp_grpc"}
_DEFAULT_GRPC_PORT: Final = 4317

Text: TypeAlias = "str | dict[str, str] | float | bool"


@dataclass(slots=True)
class OtlpExporter:
    """What the variables say about one signal.

    Attributes:
        type: of the exporter.
        section: its settings, as they would stand in a configuration; texts come from the environment.
        tls: its section `tls`.
        origins: path of a setting -> the variable it comes from, for messages.
        is_unusable: the endpoint cannot be understood, which is among the problems.
    """

    type: Literal["otlp_http", "otlp_grpc"]
    section: dict[str, Text] = field(default_factory=dict)
    tls: dict[str, Text] = field(default_factory=dict)
    origins: dict[str, str] = field(default_factory=dict)
    is_unusable: bool = False


def read_otlp_variables(environment: Mapping[str, str], signal: Signal, problems: list[str]) -> OtlpExporter | None:
    """Where a signal goes; None when no variable names an endpoint.

    Args:
        environment: variables by name.
        signal: the signal.
        problems: gets one line for each variable that cannot be understood.
    """
    return _Variables(environment, signal, problems).exporter()


class _Variables:
    """The variables of one signal."""

    __slots__ = ("_environment", "_found", "_problems", "_signal")

    def __init__(self, environment: Mapping[str, str], signal: Signal, problems: list[str]) -> None:
        self._environment = environment
        self._signal = signal
        self._problems = problems
        self._found = OtlpExporter("otlp_http")

    def exporter(self) -> OtlpExporter | None:
        """Where the signal goes; None when no variable says so."""
        endpoint = self._find("ENDPOINT")
        if endpoint is None:
            return None
        found = self._found
        found.type = self._type()
        self._tls()
        if found.type == "otlp_http":
            general = endpoint[0] == f"{_PREFIX}ENDPOINT"
            self._set("endpoint" if general else f"{self._signal}_endpoint", endpoint)
        else:
            self._grpc_endpoint(endpoint)
        self._set("compression", self._find("COMPRESSION"))
        self._headers()
        self._timeout()
        return found

    def _find(self, name: str) -> tuple[str, str] | None:
        """Variable and value of the signal's own form, else of the general one; set to nothing is not set."""
        for variable in (f"{_PREFIX}{self._signal.upper()}_{name}", f"{_PREFIX}{name}"):
            value = self._environment.get(variable, "").strip()
            if value:
                return variable, value
        return None

    def _set(self, key: str, found: tuple[str, str] | None) -> None:
        if found is not None:
            self._found.origins[key], self._found.section[key] = found

    def _problem(self, text: str) -> None:
        if text not in self._problems:  # the general form is read once for each signal
            self._problems.append(text)

    def _type(self) -> Literal["otlp_http", "otlp_grpc"]:
        variable, protocol = self._find("PROTOCOL") or ("", "http/protobuf")
        if protocol not in _TYPES:
            self._problem(f"{variable}: expected http/protobuf or grpc, got {protocol[:60]!r}")
        return _TYPES.get(protocol, "otlp_http")

    def _tls(self) -> None:
        for key, name in (("ca_file", "CERTIFICATE"), ("cert_file", "CLIENT_CERTIFICATE"), ("key_file", "CLIENT_KEY")):
            found = self._find(name)
            if found is not None:
                self._found.origins[f"tls.{key}"], self._found.tls[key] = found

    def _grpc_endpoint(self, found: tuple[str, str]) -> None:
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
                self._found.is_unusable = True
                return
            insecure = parts.scheme == "http"
            host = parts.hostname or ""
            endpoint = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        self._set("endpoint", (variable, endpoint))
        if insecure:
            self._found.tls["insecure"] = True

    def _headers(self) -> None:
        found = self._find("HEADERS")
        if found is None:
            return
        headers: dict[str, str] = {}
        for position, pair in enumerate(filter(None, map(str.strip, found[1].split(","))), start=1):
            name, equals, value = pair.partition("=")
            if not equals or not name.strip():
                self._problem(f"{found[0]}: expected name=value,name=value, got something else as entry {position}")
                continue
            headers[unquote(name.strip()).lower()] = unquote(value.strip())
        self._found.section["headers"] = headers
        self._found.origins["headers"] = found[0]

    def _timeout(self) -> None:
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
        self._found.section["timeout_seconds"] = milliseconds / 1000
        self._found.origins["timeout_seconds"] = found[0]
