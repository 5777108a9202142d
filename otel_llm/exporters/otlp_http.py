"""OTLP over HTTP, protobuf bodies.

Source: OTLP specification 1.x, section OTLP/HTTP: 429, 502, 503 and 504 may be retried, no other failure may.
"""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Annotated, Literal
from urllib.parse import SplitResult, urlsplit

import msgspec

from otel_llm import __version__
from otel_llm.clock import Clock
from otel_llm.components import Context
from otel_llm.errors import (
    ConfigError,
    CredentialsError,
    PermanentError,
    RejectedError,
    RetryableError,
    TooLargeError,
)
from otel_llm.exporters.auth import AuthConfig, Authorization
from otel_llm.exporters.compression import gzip_pieces
from otel_llm.exporters.exporter import ExportResult
from otel_llm.exporters.hints import over_http
from otel_llm.exporters.http_client import Answer, HttpClient
from otel_llm.exporters.otlp_answers import read_json_response, read_response, read_status
from otel_llm.exporters.quote import Quote, one_line
from otel_llm.exporters.tls import ClientTls, TlsConfig
from otel_llm.signals import SIGNALS, Buffer, Payload, Signal

_RETRYABLE = frozenset({429, 502, 503, 504})
_TOO_LARGE = 413
_UNAUTHORIZED = frozenset({401, 403})
# What is sent is found wrong, and not who sends it or where to: what is right in it may pass without the rest.
_REJECTED = frozenset({400, 422})
# A request that is sent again has the id that it had before.
_BATCH_ID = b"otel-llm-batch-id: "
_PORTS = {"http": 80, "https": 443}
# Set by us; a second one would be a contradiction.
_OWN_HEADERS = frozenset({"host", "content-length", "content-type", "content-encoding", "transfer-encoding"})


class Config(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """OTLP over HTTP."""

    endpoint: str | None = None
    """Where the destination is, e.g. https://otlp.example.com or http://127.0.0.1:4318; `/v1/traces`, `/v1/metrics` and
    `/v1/logs` are appended."""

    traces_endpoint: str | None = None
    """The whole address for traces, used as it is."""

    metrics_endpoint: str | None = None
    """The whole address for metrics, used as it is."""

    logs_endpoint: str | None = None
    """The whole address for logs, used as it is."""

    headers: dict[str, str] = {}
    """Header fields of every request, e.g. for authorization. Never logged."""

    compression: Literal["gzip", "none"] = "gzip"
    """How bodies are compressed. `none` is cheaper by far where the network is: on one machine, within a cluster."""

    timeout_seconds: Annotated[float, msgspec.Meta(gt=0)] = 10.0
    """How long one request may take, connecting included, in seconds."""

    auth: AuthConfig | None = None
    """Who we are: an `Authorization` field whose secret may change while we run."""

    tls: TlsConfig = TlsConfig()
    """Whom to trust when an endpoint begins with https://, and who we are."""


@dataclass(frozen=True, slots=True)
class _Target:
    """Where the requests of one signal go.

    Attributes:
        client: the connections.
        head: request line and header fields but for those that depend on the body.
        label: the address as it may stand in messages: no query, no credentials.
    """

    client: HttpClient
    head: bytes
    label: str


class OtlpHttpExporter:
    """The exporter; see `create`."""

    def __init__(
        self,
        targets: Mapping[Signal, _Target],
        config: Config,
        clock: Clock,
        authorization: Authorization | None = None,
    ) -> None:
        addresses = (config.endpoint, config.traces_endpoint, config.metrics_endpoint, config.logs_endpoint)
        self._quote = Quote(config.headers, authorization, [address for address in addresses if address is not None])
        self._authorization = authorization
        self.signals = frozenset(targets)
        self._targets = dict(targets)
        self._is_compressed = config.compression == "gzip"
        self._timeout_seconds = config.timeout_seconds
        self._clock = clock

    def export(self, payload: Payload, timeout_seconds: float) -> ExportResult:
        """Post one request.

        Raises:
            RetryableError: no answer, or one of those that may be retried.
            CredentialsError: 401 and 403.
            TooLargeError: 413.
            RejectedError: 400 and 422.
            PermanentError: any other refusal.
        """
        target = self._targets[payload.signal]
        encoding, size, body = b"", payload.size_bytes, payload.buffers
        if self._is_compressed:
            packed = gzip_pieces(payload.buffers)
            encoding, size, body = b"content-encoding: gzip\r\n", len(packed), (packed,)
        mark = b"%b%b\r\n" % (_BATCH_ID, payload.batch_id.encode()) if payload.batch_id else b""
        head = b"%b%b%bcontent-length: %d\r\n\r\n" % (target.head, mark, encoding, size)
        if self._authorization is not None:
            who = self._authorization.value().encode("latin-1", "replace")
            head = b"%bauthorization: %b\r\n\r\n" % (head[:-2], who)
        answer = _post(target, head, body, min(timeout_seconds, self._timeout_seconds))
        return self._read(target, answer)

    def shutdown(self) -> None:
        """Close all connections."""
        for target in self._targets.values():
            target.client.close()

    def _read(self, target: _Target, answer: Answer) -> ExportResult:
        is_json = answer.headers.get("content-type", "").startswith("application/json")
        if 200 <= answer.status < 300:  # noqa: PLR2004 - success, RFC 9110
            read = read_json_response if is_json else read_response
            return read(answer.body, self._quote)
        problem = over_http(f"{target.label} answered {answer.status}{_explanation(answer, self._quote)}")
        if answer.status in _RETRYABLE:
            raise RetryableError(problem, _retry_after(answer.headers.get("retry-after"), self._clock))
        if answer.status == _TOO_LARGE:
            raise TooLargeError(problem)
        if answer.status in _UNAUTHORIZED:
            raise CredentialsError(problem)
        if answer.status in _REJECTED:
            raise RejectedError(problem)
        raise PermanentError(problem)


def _post(target: _Target, head: bytes, body: tuple[Buffer, ...], timeout_seconds: float) -> Answer:
    try:
        return target.client.post(head, body, timeout_seconds)
    except ssl.SSLCertVerificationError as error:
        # Certificates are renewed and clocks set right while we wait.
        raise RetryableError(f"{target.label}: its certificate is not trusted: {error.verify_message}") from error
    except TimeoutError as error:
        raise RetryableError(f"{target.label}: no answer within {timeout_seconds:.3g} s") from error
    except OSError as error:
        raise RetryableError(over_http(f"{target.label}: {error.strerror or one_line(str(error))}")) from error


def _explanation(answer: Answer, quote: Quote) -> str:
    """What the destination said beside the status code, when it is text."""
    kind = answer.headers.get("content-type", "")
    message = ""
    if kind.startswith("application/x-protobuf"):
        message = read_status(answer.body, quote)[0]
    elif kind.startswith(("text/plain", "application/json")):
        message = quote(answer.body.decode("utf-8", "replace"))
    return f": {message}" if message else ""


def _retry_after(value: str | None, clock: Clock) -> float | None:
    """Retry-After, in seconds or as a date (RFC 9110 section 10.2.3); None when it is neither."""
    if value is None:
        return None
    try:
        return max(float(value), 0.0) if value[:1].isdigit() else _until(value, clock)
    except (ValueError, OverflowError):
        return None


def _until(date: str, clock: Clock) -> float:
    return max(parsedate_to_datetime(date).timestamp() - clock.unix_nano() / 1e9, 0.0)


def create(config: Config, context: Context) -> OtlpHttpExporter:
    """Make the exporter; it connects with the first request.

    Raises:
        ConfigError: an endpoint, header or TLS file cannot be used, or there is no endpoint.
    """
    setting = f"exporters.{context.name}"
    own: dict[Signal, str | None] = {
        "traces": config.traces_endpoint,
        "metrics": config.metrics_endpoint,
        "logs": config.logs_endpoint,
    }
    if config.auth is not None and any(name.lower() == "authorization" for name in config.headers):
        raise ConfigError([f"{setting}.auth: headers hold an authorization field too; remove one of them"])
    authorization = None if config.auth is None else Authorization(config.auth, f"{setting}.auth")
    headers = _header_lines(config.headers, f"{setting}.headers")
    targets: dict[Signal, _Target] = {}
    clients: dict[tuple[str, str, int], HttpClient] = {}
    for signal in SIGNALS:
        if own[signal] is not None:
            targets[signal] = _target(own[signal] or "", f"{setting}.{signal}_endpoint", headers, config.tls, clients)
        elif config.endpoint is not None:
            _check_endpoint(config.endpoint, f"{setting}.endpoint")  # so that a message shows it as it was written
            whole = _with_path(config.endpoint, signal)
            targets[signal] = _target(whole, f"{setting}.endpoint", headers, config.tls, clients)
    if not targets:
        raise ConfigError([f"{setting}.endpoint: expected an address, got none; set it, e.g. http://127.0.0.1:4318"])
    return OtlpHttpExporter(targets, config, context.clock, authorization)


def _with_path(endpoint: str, signal: Signal) -> str:
    """The base address with `/v1/<signal>` at the end of its path."""
    base, question, query = endpoint.partition("?")
    return f"{base.rstrip('/')}/v1/{signal}{question}{query}"


def _target(
    endpoint: str,
    setting: str,
    headers: bytes,
    tls: TlsConfig,
    clients: dict[tuple[str, str, int], HttpClient],
) -> _Target:
    """Where one signal goes; signals for the same server share its connections."""
    address, host, port = _check_endpoint(endpoint, setting)
    place = (address.scheme, host, port)
    if place not in clients:
        encrypted = ClientTls(tls, setting.rpartition(".")[0] + ".tls") if address.scheme == "https" else None
        clients[place] = HttpClient(host, port, encrypted, tls.server_name_override)
    path = address.path or "/"
    target = f"{path}?{address.query}" if address.query else path
    head = (
        f"POST {target} HTTP/1.1\r\nhost: {address.netloc}\r\nuser-agent: otel-llm/{__version__}\r\n"
        "content-type: application/x-protobuf\r\n"
    )
    return _Target(clients[place], head.encode() + headers, f"{address.scheme}://{address.netloc}{path}")


def _check_endpoint(endpoint: str, setting: str) -> tuple[SplitResult, str, int]:
    """A URL in its parts, its host, and its port.

    Raises:
        ConfigError: it is none that could be sent to.
    """
    problem = ConfigError([f"{setting}: expected http://host:port or https://host, got {_shown(endpoint)}"])
    try:
        address = urlsplit(endpoint)
        port = address.port or _PORTS[address.scheme]
    except (ValueError, KeyError):
        raise problem from None
    if not address.hostname or not endpoint.isascii() or any(c.isspace() or not c.isprintable() for c in endpoint):
        raise problem
    if address.username is not None:
        raise ConfigError([f"{setting}: holds a user name; put credentials into auth, or into headers"])
    return address, address.hostname, port


def _shown(endpoint: str) -> str:
    """An address as it may stand in a message: what is before an @ or after a ? may be secret."""
    return repr(endpoint.partition("?")[0].rpartition("@")[2])


def _header_lines(headers: Mapping[str, str], setting: str) -> bytes:
    """Header fields as they are sent."""
    problems = [
        f"{setting}.{name}: expected a header field {what}"
        for name, value in headers.items()
        if (what := _header_problem(name, value))
    ]
    if problems:
        raise ConfigError(problems)
    return "".join(f"{name}: {value}\r\n" for name, value in headers.items()).encode("latin-1")


def _header_problem(name: str, value: str) -> str | None:
    if name.lower() in _OWN_HEADERS:
        return "that is not set by the exporter itself; remove it"
    if not name.isascii() or not name.replace("-", "").replace("_", "").replace(".", "").isalnum():
        return "name of letters, digits, '-', '_' and '.'; correct it"
    if any(c in "\r\n\0" for c in value) or not value.isascii():
        return "value of ASCII characters on one line; correct it"
    return None
