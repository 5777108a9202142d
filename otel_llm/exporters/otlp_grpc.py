"""OTLP over gRPC, on raw bytes.

Source: OTLP specification 1.x, section OTLP/gRPC, with its table of retryable codes.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Annotated, Final, Literal
from urllib.parse import urlsplit

import grpc
import msgspec

from otel_llm import __version__
from otel_llm.components import Context
from otel_llm.errors import (
    ConfigError,
    CredentialsError,
    ExportError,
    PermanentError,
    RejectedError,
    RetryableError,
    TooLargeError,
)
from otel_llm.exporters.auth import AuthConfig, Authorization
from otel_llm.exporters.exporter import ExportResult
from otel_llm.exporters.hints import over_grpc
from otel_llm.exporters.otlp_answers import read_response, read_status
from otel_llm.exporters.quote import Quote
from otel_llm.exporters.tls import ClientTls, TlsConfig, read_pem
from otel_llm.signals import SIGNALS, Payload, Signal

_METHODS: Final[dict[Signal, str]] = {
    "traces": "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
    "metrics": "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export",
    "logs": "/opentelemetry.proto.collector.logs.v1.LogsService/Export",
}
_RETRYABLE: Final = frozenset(
    {
        grpc.StatusCode.CANCELLED,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.ABORTED,
        grpc.StatusCode.OUT_OF_RANGE,
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.DATA_LOSS,
    }
)
_UNAUTHORIZED: Final = frozenset({grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED})
# No code says that a message is too large: grpc-go, grpc core and grpc-java use RESOURCE_EXHAUSTED, which may be
# retried with retry information only, and tonic uses OUT_OF_RANGE, which always may: without reading the text, forever.
# UNKNOWN is what becomes of a proxy's own 413.
_SIZE_CODES: Final = frozenset(
    {grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.OUT_OF_RANGE, grpc.StatusCode.UNKNOWN}
)
_SIZE_WORDS: Final = ("larger than max", "too large", "exceeds maximum size", "exceeds the maximum", "status: 413")
# A call that is made again has the id that it had before.
_BATCH_ID_KEY: Final = "otel-llm-batch-id"
_DETAILS_KEY: Final = "grpc-status-details-bin"
# gRPC's own waits between connection attempts grow to two minutes by default; retrying is the delivery's business.
_CHANNEL_OPTIONS: Final = (
    ("grpc.max_send_message_length", -1),
    ("grpc.initial_reconnect_backoff_ms", 500),
    ("grpc.min_reconnect_backoff_ms", 500),
    ("grpc.max_reconnect_backoff_ms", 5000),
    ("grpc.enable_retries", 0),
    ("grpc.primary_user_agent", f"otel-llm/{__version__}"),
)
_PORT: Final = 4317


class Config(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """OTLP over gRPC."""

    endpoint: str
    """Where the destination is, as host:port. `http://` before it means no TLS, `https://` TLS."""

    headers: dict[str, str] = {}
    """Metadata of every call, e.g. for authorization; keys are sent in lower case. Never logged."""

    compression: Literal["gzip", "none"] = "gzip"
    """How messages are compressed. `none` is cheaper by far where the network is. gRPC compresses at a level of its own
    (zlib's 6), which takes several times the CPU of otlp_http's."""

    timeout_seconds: Annotated[float, msgspec.Meta(gt=0)] = 10.0
    """How long one call may take, connecting included, in seconds."""

    auth: AuthConfig | None = None
    """Who we are: `authorization` metadata whose secret may change while we run."""

    tls: TlsConfig = TlsConfig()
    """Whom to trust, and who we are. TLS is on unless `insecure` is set or the endpoint begins with http://."""


class Channel:
    """The connection to the destination.

    It is made at the first call, for an app may fork before, and anew when its TLS files change, for gRPC reads none
    again by itself.

    Args:
        connect: makes a channel.
        tls: tells when there are other files; None where there are none.
    """

    def __init__(self, connect: Callable[[], grpc.Channel], tls: ClientTls | None = None) -> None:
        self._connect = connect
        self._tls = tls
        self._lock = threading.Lock()
        self._is_closed = False
        self._channel: grpc.Channel | None = None
        self._calls: dict[Signal, grpc.UnaryUnaryMultiCallable] = {}

    def call(self, signal: Signal) -> grpc.UnaryUnaryMultiCallable:
        """What makes a call. Calls that are on have ended, as there is one exporting thread.

        Raises:
            RetryableError: it is closed, or a TLS file is gone.
        """
        if self._channel is None or (self._tls is not None and self._tls.has_changed()):
            with self._lock:
                self._open()
        return self._calls[signal]

    def close(self) -> None:
        """Close it; calls that are on end as cancelled. Idempotent."""
        with self._lock:
            self._is_closed = True
            if self._channel is not None:
                self._channel.close()

    def _open(self) -> None:
        before = self._channel
        if self._is_closed:
            raise RetryableError("the exporter is shut down")
        try:
            self._channel = self._connect()
        except ConfigError as error:
            if before is None:
                raise RetryableError("; ".join(error.problems)) from None
            return  # gone again since they were checked; they change once more when they come back
        if before is not None:
            before.close()
        # Without serializers, gRPC takes and gives bytes.
        self._calls = {signal: self._channel.unary_unary(method, None, None) for signal, method in _METHODS.items()}


class OtlpGrpcExporter:
    """The exporter; see `create`."""

    signals: frozenset[Signal] = frozenset(SIGNALS)

    def __init__(
        self, channel: Channel, config: Config, label: str, authorization: Authorization | None = None
    ) -> None:
        self._channel = channel
        self._label = label
        self._headers = tuple((key.lower(), value) for key, value in config.headers.items())
        self._authorization = authorization
        self._quote = Quote(config.headers, authorization)
        self._timeout_seconds = config.timeout_seconds
        self._compression = grpc.Compression.Gzip if config.compression == "gzip" else grpc.Compression.NoCompression

    @property
    def _metadata(self) -> tuple[tuple[str, str], ...]:
        if self._authorization is None:
            return self._headers
        return (*self._headers, ("authorization", self._authorization.value()))

    def export(self, payload: Payload, timeout_seconds: float) -> ExportResult:
        """Make one Export call.

        Raises:
            RetryableError, CredentialsError, TooLargeError, RejectedError, PermanentError: by the status, see the
                specification's table.
        """
        try:
            answer: bytes = self._channel.call(payload.signal)(
                payload.join(),
                timeout=min(timeout_seconds, self._timeout_seconds),
                metadata=(*self._metadata, (_BATCH_ID_KEY, payload.batch_id)) if payload.batch_id else self._metadata,
                compression=self._compression,
            )
        except grpc.RpcError as error:
            raise _failure(error, self._label, self._quote) from None
        except ValueError as error:  # what grpc raises for a channel that is closed
            raise RetryableError(f"{self._label}: {self._quote(str(error))}") from None
        return read_response(answer, self._quote)

    def shutdown(self) -> None:
        """Close the channel; calls that are on end as cancelled."""
        self._channel.close()


def _failure(error: grpc.RpcError, label: str, quote: Quote) -> ExportError:
    """What a failed call means for the payload."""
    code: grpc.StatusCode = error.code()
    message, retry_after_seconds = _details(error, quote)
    text = message or quote(error.details() or "")
    problem = over_grpc(f"{label} answered {code.name}{f': {text}' if text else ''}")
    if code in _SIZE_CODES and any(words in text.lower() for words in _SIZE_WORDS):
        return TooLargeError(problem)
    if code in _RETRYABLE or (code is grpc.StatusCode.RESOURCE_EXHAUSTED and retry_after_seconds is not None):
        return RetryableError(problem, retry_after_seconds)
    if code in _UNAUTHORIZED:
        return CredentialsError(problem)
    return RejectedError(problem) if code is grpc.StatusCode.INVALID_ARGUMENT else PermanentError(problem)


def _details(error: grpc.RpcError, quote: Quote) -> tuple[str, float | None]:
    for datum in error.trailing_metadata() or ():
        if datum.key == _DETAILS_KEY:
            return read_status(datum.value, quote)
    return "", None


def create(config: Config, context: Context) -> OtlpGrpcExporter:
    """Make the exporter; it connects with the first call.

    Raises:
        ConfigError: endpoint, headers or TLS files cannot be used.
    """
    setting = f"exporters.{context.name}"
    target, is_plain = _target(config, f"{setting}.endpoint")
    _check_headers(config, f"{setting}.headers")
    if config.auth is not None and any(key.lower() == "authorization" for key in config.headers):
        raise ConfigError([f"{setting}.auth: headers hold authorization too; remove one of them"])
    authorization = None if config.auth is None else Authorization(config.auth, f"{setting}.auth")
    return OtlpGrpcExporter(_channel(config.tls, target, f"{setting}.tls", is_plain), config, target, authorization)


def _channel(tls: TlsConfig, target: str, setting: str, is_plain: bool) -> Channel:  # noqa: FBT001 - private
    options = list(_CHANNEL_OPTIONS)
    if is_plain:
        return Channel(lambda: grpc.insecure_channel(target, options=options))
    if tls.insecure_skip_verify:
        raise ConfigError(
            [f"{setting}.insecure_skip_verify: gRPC cannot do that; set ca_file to the destination's authority instead"]
        )
    if tls.server_name_override is not None:
        options.append(("grpc.ssl_target_name_override", tls.server_name_override))
    checked = ClientTls(tls, setting)
    return Channel(lambda: grpc.secure_channel(target, _credentials(tls, setting), options=options), checked)


def _target(config: Config, setting: str) -> tuple[str, bool]:
    """host:port, and whether to go without TLS."""
    scheme, separator, rest = config.endpoint.rpartition("://")
    problem = ConfigError([f"{setting}: expected host:port, got {config.endpoint.rpartition('@')[2]!r}"])
    if separator and scheme not in ("http", "https"):
        raise problem
    try:
        address = urlsplit(f"//{rest}")
        port = address.port or _PORT
    except ValueError:
        raise problem from None
    if not address.hostname or address.path not in ("", "/") or address.username is not None or " " in rest:
        raise problem
    host = f"[{address.hostname}]" if ":" in address.hostname else address.hostname
    return f"{host}:{port}", scheme == "http" or (not separator and config.tls.insecure)


def _check_headers(config: Config, setting: str) -> None:
    problems = [
        f"{setting}.{key}: expected a metadata key of letters, digits, '-', '_' and '.', and a value of printable ASCII"
        for key, value in config.headers.items()
        if not key.replace("-", "").replace("_", "").replace(".", "").isalnum()
        or not key.isascii()
        or key.lower().endswith("-bin")
        or not (value.isascii() and value.isprintable())
    ]
    if problems:
        raise ConfigError(problems)


def _credentials(tls: TlsConfig, setting: str) -> grpc.ChannelCredentials:
    return grpc.ssl_channel_credentials(
        root_certificates=read_pem(tls.ca_file, f"{setting}.ca_file"),
        private_key=read_pem(tls.key_file, f"{setting}.key_file"),
        certificate_chain=read_pem(tls.cert_file, f"{setting}.cert_file"),
    )
