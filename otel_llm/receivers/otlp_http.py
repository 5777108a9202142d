"""OTLP over HTTP: POST /v1/traces, /v1/metrics and /v1/logs, protobuf or JSON.

Source: OTLP specification 1.x, section OTLP/HTTP.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from http import HTTPStatus
from typing import Annotated, Final

import msgspec

from otel_llm.errors import MalformedError, RefusedError
from otel_llm.http.message import HttpError, Later, Reason, Request, Response, Route, Routes
from otel_llm.http.server import HttpServer, Settings
from otel_llm.http.shared import Limits
from otel_llm.receivers import answers
from otel_llm.receivers.accounts import Accounts
from otel_llm.receivers.auth import AuthConfig
from otel_llm.receivers.endpoint import Address, TlsConfig, cannot_listen, given, parse_endpoint, server_context
from otel_llm.receivers.gatekeeper import Gatekeeper, http_admission, refused
from otel_llm.receivers.inflate import ACCEPTED, CODINGS, InflateLimitError, inflate
from otel_llm.receivers.tls_renewal import TlsRenewal
from otel_llm.signals import SIGNALS, Accepting, Beginning, Consumer, ConsumeResult, Signal
from otel_llm.telemetry import Metrics

_PROTOBUF: Final = "application/x-protobuf"
_JSON: Final = "application/json"
_SIGNAL_OF_PATH: Final[dict[str, Signal]] = {f"/v1/{signal}": signal for signal in SIGNALS}
# Requests above these sizes go to a worker thread, so that none holds the event loop for more than a few milliseconds:
# JSON takes about 100 us per KB to convert, and a compressed body may be a thousand times larger than it looks.
_INLINE_JSON_BYTES: Final = 16 * 1024
_INLINE_COMPRESSED_BYTES: Final = 4 * 1024
_MEBIBYTE: Final = 1024 * 1024


class CorsConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which web pages may send telemetry from a browser."""

    allowed_origins: tuple[str, ...] = ()
    """Origins such as `https://app.example.com`; `*` stands for any characters. None by default."""
    allowed_headers: tuple[str, ...] = ()
    """Header fields that pages may send beside the usual ones, such as an API key's."""
    max_age_seconds: Annotated[int, msgspec.Meta(ge=0)] = 7200
    """How long a browser may remember the permission."""


class Config(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """OTLP over HTTP."""

    endpoint: str = "127.0.0.1:4318"
    """Where to listen, as host:port. Port 0 takes any that is free; `:4318` listens on all interfaces."""
    tls: TlsConfig | msgspec.UnsetType = msgspec.UNSET
    """Certificate and key for HTTPS. Plain HTTP without it."""
    auth: AuthConfig | msgspec.UnsetType = msgspec.UNSET
    """Who may send. Everybody by default."""
    cors: CorsConfig | None = None
    """Which web pages may send telemetry. None by default."""
    max_request_body_size: Annotated[int, msgspec.Meta(ge=1024)] = 20 * _MEBIBYTE
    """Bytes of the largest body taken, as it was sent; larger ones get 413."""
    max_inflated_body_size: Annotated[int, msgspec.Meta(ge=1024)] = 64 * _MEBIBYTE
    """Bytes of the largest body taken, after decompression; larger ones get 413."""
    max_in_flight_size: Annotated[int, msgspec.Meta(ge=1024)] = 128 * _MEBIBYTE
    """Bytes of all bodies that were received and not yet answered; beyond it senders get 429."""
    max_connections: Annotated[int, msgspec.Meta(ge=1)] = 1024
    """Connections open at the same time; further ones get 503."""
    idle_timeout_seconds: Annotated[float, msgspec.Meta(gt=0)] = 60.0
    """How long a connection may wait between two requests before it is closed."""
    read_header_timeout_seconds: Annotated[float, msgspec.Meta(gt=0)] = 10.0
    """How long the head of a request may take to arrive, and a TLS handshake."""
    read_timeout_seconds: Annotated[float, msgspec.Meta(gt=0)] = 60.0
    """How long the body of a request may take to arrive."""
    write_timeout_seconds: Annotated[float, msgspec.Meta(gt=0)] = 30.0
    """How long a client may leave answers unread."""
    worker_threads: Annotated[int, msgspec.Meta(ge=1, le=256)] = 2
    """Threads for requests that are large or compressed. None waits for a disk."""
    inline_body_size: Annotated[int, msgspec.Meta(ge=0)] = _MEBIBYTE
    """Bytes up to which an uncompressed protobuf body is processed at once, without a worker thread."""
    reuse_port: bool = False
    """Let several processes listen on the same port."""


class OtlpHttpReceiver:
    """The receiver; see `create`."""

    def __init__(self, config: Config, accounts: Accounts, setting: str) -> None:
        self._config = config
        self._accounts = accounts
        self._setting = setting
        self._address = parse_endpoint(config.endpoint, f"{setting}.endpoint")
        self._cors = None if config.cors is None else _Cors(config.cors)
        self._gatekeeper = Gatekeeper(given(config.auth), f"{setting}.auth")
        self._server: HttpServer | None = None
        self._stopping = False

    @property
    def endpoint(self) -> str:
        """Where it listens, as host:port, with the real port after `start`."""
        port = self._address.port if self._server is None else self._server.port
        return str(Address(self._address.host, port))

    def start(self, consumer: Consumer) -> None:
        """Listen.

        Raises:
            ConfigError: the address cannot be bound, or the TLS files cannot be used.
        """
        config, tls = self._config, given(self._config.tls)
        renewal = None if tls is None else TlsRenewal(tls, f"{self._setting}.tls")
        settings = Settings(
            host=self._address.host,
            port=self._address.port,
            tls=None if tls is None else server_context(tls, f"{self._setting}.tls"),
            renewed_tls=None if renewal is None else renewal.context,
            reuse_port=config.reuse_port,
            worker_threads=config.worker_threads,
            limits=_limits(config),
            name="otlp-http",
        )
        server = HttpServer(self._routes(consumer), settings, self)
        try:
            server.start()
        except OSError as error:
            why = error.strerror or str(error)
            raise cannot_listen(self._address, f"{self._setting}.endpoint", why) from error
        self._server = server

    def shutdown(self, deadline_seconds: float) -> None:
        """Stop listening and answer what is in flight."""
        self._stopping = True
        if self._server is not None:
            self._server.shutdown(deadline_seconds)

    # What the server tells: requests that were answered, and those that never reached us.

    def answered(self, path: str, seconds: float, body_bytes: int) -> None:
        """Count an answer."""
        self._accounts.answered(_SIGNAL_OF_PATH.get(path), seconds, body_bytes)

    def refused(self, path: str, reason: Reason, message: str) -> None:
        """Count a refusal."""
        self._accounts.refused(_SIGNAL_OF_PATH.get(path), reason, message)

    def _routes(self, consumer: Consumer) -> Routes:
        routes: dict[tuple[str, str], Route] = {}
        for path, signal in _SIGNAL_OF_PATH.items():
            routes["POST", path] = Route(
                _Export(self._config, self._accounts, self._gatekeeper, self._cors, signal, consumer),
                self._inline,
                _answering_in_otlp(http_admission(self._gatekeeper)),
            )
            if self._cors is not None:
                routes["OPTIONS", path] = Route(self._cors.preflight)
        return routes

    def _inline(self, request: Request) -> bool:
        size_bytes = len(request.body)
        headers = request.headers
        if headers.get("content-encoding"):
            return size_bytes <= min(_INLINE_COMPRESSED_BYTES, self._config.inline_body_size)
        if headers.get("content-type") == _PROTOBUF:
            return size_bytes <= self._config.inline_body_size
        return size_bytes <= min(_INLINE_JSON_BYTES, self._config.inline_body_size)


class _Export:
    """Handles the requests of one signal. Called on any thread."""

    __slots__ = ("_accounts", "_begin", "_config", "_consumer", "_cors", "_gatekeeper", "_signal")

    def __init__(
        self,
        config: Config,
        accounts: Accounts,
        gatekeeper: Gatekeeper,
        cors: _Cors | None,
        signal: Signal,
        consumer: Consumer,
    ) -> None:
        self._config = config
        self._accounts = accounts
        self._gatekeeper = gatekeeper
        self._cors = cors
        self._signal = signal
        self._consumer = consumer
        self._begin = consumer.begin if isinstance(consumer, Beginning) else None

    def __call__(self, request: Request) -> Response | Later:
        content_type = _media_type(request.headers)
        try:
            result = self._take(request, content_type)
        except HttpError as error:
            return self.refusal(request, content_type, error)
        if isinstance(result, ConsumeResult):
            return self.answer(request, content_type, result)
        return _Answer(self, request, content_type, result)

    def _take(self, request: Request, content_type: str) -> ConsumeResult | Accepting:
        body = self._decode(request, content_type)
        try:
            body = self._gatekeeper.take(request.account, body, len(request.body))
            if self._begin is None or not getattr(self._consumer, "may_wait", False):
                return self._consumer.consume(self._signal, body)
            return self._begin(self._signal, body)
        except MalformedError as error:
            raise _malformed(error) from error
        except RefusedError as error:
            raise refused(error) from error

    def refusal(self, request: Request, content_type: str, error: HttpError) -> Response:
        """What the sender is told when its request is not taken."""
        self._accounts.refused(self._signal, error.reason, str(error))
        return self._allowed(request, _error_response(error, content_type))

    def answer(self, request: Request, content_type: str, result: ConsumeResult) -> Response:
        """What the sender is told when its request is accepted."""
        return self._allowed(request, self._success(content_type, result))

    def _allowed(self, request: Request, response: Response) -> Response:
        return response if self._cors is None else self._cors.allow(request, response)

    def _success(self, content_type: str, result: ConsumeResult) -> Response:
        if content_type == _JSON:
            return Response(200, answers.success_json(self._signal, result), _JSON)
        body = answers.success(self._signal, result)
        return Response(200, body, _PROTOBUF) if body else _ACCEPTED

    def _decode(self, request: Request, content_type: str) -> bytes:
        """The request as protobuf."""
        if content_type not in (_PROTOBUF, _JSON):
            message = f"the content type is not supported; use {_PROTOBUF} or {_JSON}"
            raise HttpError(415, "unsupported", message)
        coding = request.headers.get("content-encoding", "").lower()
        if coding not in CODINGS:
            message = f"the content encoding is not supported; use {ACCEPTED} or none"
            raise HttpError(415, "unsupported", message, (("accept-encoding", ACCEPTED),))
        try:
            body = inflate(request.body, coding, self._config.max_inflated_body_size)
            return body if content_type == _PROTOBUF else _json_to_protobuf(self._signal, body)
        except InflateLimitError as error:
            raise HttpError(413, "too_large", str(error)) from error
        except MalformedError as error:
            raise _malformed(error) from error


class _Answer:
    """The answer to a request that was taken and is not accepted yet; a Later."""

    __slots__ = ("_accepting", "_content_type", "_export", "_request")

    def __init__(self, export: _Export, request: Request, content_type: str, accepting: Accepting) -> None:
        self._export = export
        self._request = request
        self._content_type = content_type
        self._accepting = accepting

    def ask(self, wake: Callable[[], None]) -> Response | None:
        try:
            result = self._accepting.ask(wake)
        except RefusedError as error:
            return self._export.refusal(self._request, self._content_type, refused(error))
        return None if result is None else self._export.answer(self._request, self._content_type, result)


def _media_type(headers: Mapping[str, str]) -> str:
    return headers.get("content-type", "").partition(";")[0].strip().lower()


_ACCEPTED: Final = Response(200, b"", _PROTOBUF)


def _malformed(error: MalformedError) -> HttpError:
    return HttpError(400, "malformed", str(error))


class _OtlpError(HttpError):
    """One that is answered as OTLP has it: senders show the message of a Status, and of no other body."""

    def __init__(self, error: HttpError, content_type: str) -> None:
        super().__init__(error.status, error.reason, str(error), error.headers)
        self._content_type = content_type

    def response(self) -> Response:
        """The answer in the encoding of the request."""
        return _error_response(self, self._content_type)


def _answering_in_otlp(admit: Callable[[Mapping[str, str]], str]) -> Callable[[Mapping[str, str]], str]:
    def admit_or_refuse(headers: Mapping[str, str]) -> str:
        try:
            return admit(headers)
        except HttpError as error:
            raise _OtlpError(error, _media_type(headers)) from None

    return admit_or_refuse


_CODES: Final[Mapping[int, int]] = {
    HTTPStatus.TOO_MANY_REQUESTS: answers.RESOURCE_EXHAUSTED,
    HTTPStatus.UNAUTHORIZED: answers.UNAUTHENTICATED,
}


def _error_response(error: HttpError, content_type: str) -> Response:
    """The error in the encoding of the request; protobuf when that was neither."""
    code = _CODES.get(error.status, answers.INVALID_ARGUMENT)
    if content_type == _JSON:
        return Response(error.status, answers.error_json(code, str(error)), _JSON, error.headers)
    return Response(error.status, answers.error(code, str(error)), _PROTOBUF, error.headers)


def _json_to_protobuf(signal: Signal, body: bytes) -> bytes:
    # Imported when the first JSON request comes: most receivers never see one.
    from otel_llm.codecs.json import to_protobuf  # noqa: PLC0415

    return to_protobuf(signal, body)


def _limits(config: Config) -> Limits:
    auth = given(config.auth)
    return Limits(
        body_bytes=config.max_request_body_size,
        in_flight_bytes=config.max_in_flight_size,
        account_bytes=config.max_in_flight_size if auth is None else auth.max_tenant_in_flight_size,
        connections=config.max_connections,
        idle_seconds=config.idle_timeout_seconds,
        head_seconds=config.read_header_timeout_seconds,
        body_seconds=config.read_timeout_seconds,
        answer_seconds=config.write_timeout_seconds,
    )


class _Cors:
    """Cross-origin resource sharing. Source: Fetch standard, CORS protocol."""

    __slots__ = ("_headers", "_max_age", "_origins")

    def __init__(self, config: CorsConfig) -> None:
        patterns = (".*".join(map(re.escape, origin.split("*"))) for origin in config.allowed_origins)
        self._origins = re.compile("|".join(patterns) or "(?!)", re.IGNORECASE)
        self._headers = ", ".join(("content-type", "content-encoding", *config.allowed_headers))
        self._max_age = str(config.max_age_seconds)

    def _allowed_origin(self, request: Request) -> str | None:
        origin = request.headers.get("origin")
        return origin if origin is not None and self._origins.fullmatch(origin) else None

    def allow(self, request: Request, response: Response) -> Response:
        """The response, readable for the page if its origin is allowed."""
        origin = self._allowed_origin(request)
        headers = (*response.headers, ("vary", "origin"))
        if origin is not None:
            headers = (*headers, ("access-control-allow-origin", origin))
        return replace(response, headers=headers)

    def preflight(self, request: Request) -> Response:
        """What a browser asks before it sends."""
        response = self.allow(request, Response(204))
        if self._allowed_origin(request) is None:
            return response
        permissions = (
            ("access-control-allow-methods", "POST"),
            ("access-control-allow-headers", self._headers),
            ("access-control-max-age", self._max_age),
        )
        return replace(response, headers=(*response.headers, *permissions))


def create(
    config: Config, *, name: str, metrics: Metrics | None = None, setting: str | None = None
) -> OtlpHttpReceiver:
    """A receiver.

    Args:
        config: what the user set.
        name: of the receiver in the configuration.
        metrics: where it counts.
        setting: path of the configuration, for error messages; `receivers.<name>` by default.

    Raises:
        ConfigError: the endpoint is not host:port, or a TLS or key file cannot be used.
    """
    setting = setting or f"receivers.{name}"
    tls = given(config.tls)
    if tls is not None:
        server_context(tls, f"{setting}.tls")  # what is wrong with the files is said before anything starts
    return OtlpHttpReceiver(config, Accounts(metrics or Metrics(), name), setting)
