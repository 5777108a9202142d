"""OTLP over gRPC: the Export calls of the trace, metrics and logs services, on raw bytes.

gRPC's own C core does framing, flow control, inflating and TLS; no message is made into objects here.
Source: OTLP specification 1.x, section OTLP/gRPC.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Annotated, Final

import grpc
import msgspec

from otel_llm.errors import MalformedError, RefusedError
from otel_llm.http.allocator import keep_large_blocks
from otel_llm.receivers import answers
from otel_llm.receivers.accounts import Accounts
from otel_llm.receivers.auth import AuthConfig
from otel_llm.receivers.endpoint import (
    Address,
    TlsConfig,
    TlsFiles,
    cannot_listen,
    given,
    parse_endpoint,
    read_tls_files,
    server_context,
)
from otel_llm.receivers.gatekeeper import Gatekeeper, UnauthorizedError
from otel_llm.receivers.grpc_log import hush_grpc
from otel_llm.receivers.slow_calls import SlowCalls
from otel_llm.receivers.tls_renewal import TlsRenewal
from otel_llm.signals import Consumer, Signal
from otel_llm.telemetry import Metrics

_SIGNAL_OF_SERVICE: Final[dict[str, Signal]] = {
    "opentelemetry.proto.collector.trace.v1.TraceService": "traces",
    "opentelemetry.proto.collector.metrics.v1.MetricsService": "metrics",
    "opentelemetry.proto.collector.logs.v1.LogsService": "logs",
}
_SIGNAL_OF_METHOD: Final = {f"/{service}/Export": signal for service, signal in _SIGNAL_OF_SERVICE.items()}
_DETAILS_KEY: Final = "grpc-status-details-bin"
_MEBIBYTE: Final = 1024 * 1024
# Threads that wait for messages. Each may hold one of the largest size, so there are not many more than workers.
_RECEIVING_THREADS: Final = 16
# Calls that wait for a thread or have one; what is beyond is refused by gRPC. Each costs some 25 KB.
_MOST_CALLS: Final = 1024
_HANDSHAKE_MILLISECONDS: Final = 10_000
# As for the head of an HTTP request.
_METADATA_BYTES: Final = 32 * 1024
# An answer is compressed only when there is something in it to compress.
_COMPRESSED_ANSWER_BYTES: Final = 1024


class Config(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """OTLP over gRPC."""

    endpoint: str = "127.0.0.1:4317"
    """Where to listen, as host:port. Port 0 takes any that is free; `:4317` listens on all interfaces."""
    tls: TlsConfig | msgspec.UnsetType = msgspec.UNSET
    """Certificate and key for TLS. Plain text without it."""
    auth: AuthConfig | msgspec.UnsetType = msgspec.UNSET
    """Who may send. Everybody by default."""
    max_recv_msg_size_mib: Annotated[int, msgspec.Meta(ge=1, le=2047)] = 20
    """The largest message taken, in MiB, before and after decompression; larger ones get RESOURCE_EXHAUSTED."""
    max_concurrent_streams: Annotated[int, msgspec.Meta(ge=1)] = 128
    """Calls in progress on one connection; further ones wait in the client."""
    max_connections: Annotated[int, msgspec.Meta(ge=1)] = 1024
    """Connections open at the same time; further ones are closed."""
    idle_timeout_seconds: Annotated[float, msgspec.Meta(gt=0)] = 300.0
    """How long a connection may be without a call before it is closed."""
    max_connection_age_seconds: Annotated[float, msgspec.Meta(gt=0)] | None = None
    """After how long a client is asked to connect anew, so that load spreads over processes and gateways. Never by
    default."""
    max_connection_age_grace_seconds: Annotated[float, msgspec.Meta(ge=0)] = 30.0
    """How long calls in progress may go on after that."""
    worker_threads: Annotated[int, msgspec.Meta(ge=1, le=256)] = 4
    """Calls that are processed at the same time. Messages of at least 16 can arrive at the same time. With a queue on
    disk that is synced before the answer, as many calls are processed, and share syncs."""
    read_timeout_seconds: Annotated[float, msgspec.Meta(gt=0)] = 60.0
    """How long a message may take to arrive when its call has begun; 2 seconds when nobody else can send meanwhile."""
    reuse_port: bool = False
    """Let several processes listen on the same port."""


class OtlpGrpcReceiver:
    """The receiver; see `create`."""

    def __init__(self, config: Config, accounts: Accounts, setting: str) -> None:
        self._config = config
        self._accounts = accounts
        self._setting = setting
        self._address = parse_endpoint(config.endpoint, f"{setting}.endpoint")
        self._gatekeeper = Gatekeeper(given(config.auth), f"{setting}.auth")
        self._port = self._address.port
        self._server: grpc.Server | None = None
        self._pool: ThreadPoolExecutor | None = None
        threads = max(config.worker_threads, _RECEIVING_THREADS)
        self._slow_calls = SlowCalls(config.read_timeout_seconds, threads, time.monotonic)
        self._threads = threads

    @property
    def endpoint(self) -> str:
        """Where it listens, as host:port, with the real port after `start`."""
        return str(Address(self._address.host, self._port))

    def start(self, consumer: Consumer) -> None:
        """Listen.

        Raises:
            ConfigError: the address cannot be bound, or the TLS files cannot be used.
        """
        hush_grpc()
        pool = ThreadPoolExecutor(self._threads, thread_name_prefix="otlp-grpc")
        server = grpc.server(
            pool,
            handlers=[self._services(consumer)],
            options=_options(self._config),
            maximum_concurrent_rpcs=_MOST_CALLS,
        )
        target = str(self._address) if self._address.host else f"[::]:{self._address.port}"
        tls = given(self._config.tls)
        credentials = None if tls is None else _credentials(tls, f"{self._setting}.tls")
        try:
            port = (
                server.add_insecure_port(target) if credentials is None else server.add_secure_port(target, credentials)
            )
        except RuntimeError as error:
            pool.shutdown(wait=False)
            why = "the address is taken or not ours, or certificate and key do not fit" if tls else "taken or not ours"
            raise cannot_listen(self._address, f"{self._setting}.endpoint", why) from error
        server.start()
        self._slow_calls.start()
        keep_large_blocks()
        self._port, self._server, self._pool = port, server, pool

    def _services(self, consumer: Consumer) -> _Services:
        # A call keeps its turn while it waits for the disk: four would be all that can share a sync.
        workers = self._threads if getattr(consumer, "may_wait", False) else self._config.worker_threads
        return _Services(consumer, self._accounts, self._gatekeeper, self._slow_calls, workers=workers)

    def shutdown(self, deadline_seconds: float) -> None:
        """Finish the calls in progress.

        New ones get UNAVAILABLE, or CANCELLED if they come at the very moment: gRPC's core answers them, and OTLP
        clients try again after either.
        """
        server, pool = self._server, self._pool
        self._server = self._pool = None
        self._slow_calls.stop()
        if server is not None and pool is not None:
            server.stop(deadline_seconds).wait(deadline_seconds + 1.0)
            pool.shutdown(wait=False, cancel_futures=True)


class _Services(grpc.GenericRpcHandler):  # type: ignore[misc] # grpc has no types
    """The three services, without serializers: bytes in, bytes out.

    A sender is let in or not when its call begins. To gRPC the calls are streams, of which we read one message at most:
    so one that is not let in is not read at all, beyond gRPC's window, and one that is slow is known before it is read.
    """

    def __init__(
        self, consumer: Consumer, accounts: Accounts, gatekeeper: Gatekeeper, slow_calls: SlowCalls, *, workers: int
    ) -> None:
        self._consumer = consumer
        self._accounts = accounts
        self._gatekeeper = gatekeeper
        self._slow_calls = slow_calls
        self._working = threading.BoundedSemaphore(workers)

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler | None:
        """The handler of a call, None for a method that nobody has."""
        signal = _SIGNAL_OF_METHOD.get(handler_call_details.method)
        if signal is None:
            return None
        try:
            tenant = self._gatekeeper.admit(_authorization(handler_call_details.invocation_metadata))
        except UnauthorizedError as error:
            self._accounts.refused(signal, "unauthorized", str(error))
            status, code = grpc.StatusCode.UNAUTHENTICATED, answers.UNAUTHENTICATED
            return _refusing(status, code, str(error), None)
        except RefusedError as error:
            self._accounts.refused(signal, error.reason, str(error))
            status, code = grpc.StatusCode.RESOURCE_EXHAUSTED, answers.RESOURCE_EXHAUSTED
            return _refusing(status, code, str(error), error.retry_after_seconds)
        return grpc.stream_unary_rpc_method_handler(partial(self._receive, signal, tenant))

    def _receive(self, signal: Signal, tenant: str, requests: Iterator[bytes], context: grpc.ServicerContext) -> bytes:
        """The Export call of a signal: wait for its message, then for a turn."""
        self._slow_calls.begin(context)
        try:
            request = next(requests, None)
        except grpc.RpcError:  # cancelled, by the client or for its slowness
            self._accounts.refused(signal, "timeout", "the message did not come, or the client went away before it did")
            raise
        finally:
            self._slow_calls.end(context)
        if request is None:
            message = "the call has no message"
            self._accounts.refused(signal, "malformed", message)
            return _fail(context, grpc.StatusCode.INVALID_ARGUMENT, answers.INVALID_ARGUMENT, message, None)
        try:
            with self._gatekeeper.holding(tenant, len(request)), self._working:
                return self._export(signal, tenant, request, context)
        except RefusedError as error:
            self._accounts.refused(signal, error.reason, str(error))
            code, retry_after = answers.RESOURCE_EXHAUSTED, error.retry_after_seconds
            return _fail(context, grpc.StatusCode.RESOURCE_EXHAUSTED, code, str(error), retry_after)

    def _export(self, signal: Signal, tenant: str, request: bytes, context: grpc.ServicerContext) -> bytes:
        start = time.perf_counter()
        accounts = self._accounts
        try:
            result = self._consumer.consume(signal, self._gatekeeper.take(tenant, request, len(request)))
        except MalformedError as error:
            accounts.refused(signal, "malformed", str(error))
            return _fail(context, grpc.StatusCode.INVALID_ARGUMENT, answers.INVALID_ARGUMENT, str(error), None)
        finally:
            accounts.answered(signal, time.perf_counter() - start, len(request))
            defect = sys.exception()
            if defect is not None and not isinstance(defect, RefusedError):
                # Left to itself, gRPC logs the error and sends its text, which may quote the request.
                accounts.failed(defect)
                context.abort(grpc.StatusCode.INTERNAL, "internal error")
        answer = answers.success(signal, result)
        if len(answer) >= _COMPRESSED_ANSWER_BYTES:
            context.set_compression(grpc.Compression.Gzip)
        return answer


def _refusing(
    status: grpc.StatusCode, code: int, message: str, retry_after_seconds: float | None
) -> grpc.RpcMethodHandler:
    """A handler that reads nothing and refuses."""

    def refuse(requests: object, context: grpc.ServicerContext) -> bytes:  # noqa: ARG001 - a handler's signature
        return _fail(context, status, code, message, retry_after_seconds)

    return grpc.stream_unary_rpc_method_handler(refuse)


def _authorization(metadata: Iterable[tuple[str, str | bytes]]) -> str | None:
    for key, value in metadata:
        if key == "authorization":
            return value if isinstance(value, str) else value.decode("latin-1")
    return None


def _fail(
    context: grpc.ServicerContext, status: grpc.StatusCode, code: int, message: str, retry_after_seconds: float | None
) -> bytes:
    """End a call with an error. Clients retry RESOURCE_EXHAUSTED only when the details hold RetryInfo."""
    context.set_trailing_metadata(((_DETAILS_KEY, answers.error(code, message, retry_after_seconds)),))
    context.set_code(status)
    context.set_details(message)
    return b""


def _options(config: Config) -> list[tuple[str, int]]:
    options = [
        ("grpc.max_receive_message_length", config.max_recv_msg_size_mib * _MEBIBYTE),
        ("grpc.max_concurrent_streams", config.max_concurrent_streams),
        # The default of gRPC is to share a port silently with whoever has it.
        ("grpc.so_reuseport", int(config.reuse_port)),
        # Beyond these a client is cut off; gRPC's own time for a handshake is two minutes.
        ("grpc.server_handshake_timeout_ms", _HANDSHAKE_MILLISECONDS),
        ("grpc.max_allowed_incoming_connections", config.max_connections),
        ("grpc.max_connection_idle_ms", int(config.idle_timeout_seconds * 1000)),
        ("grpc.absolute_max_metadata_size", _METADATA_BYTES),
        ("grpc.max_metadata_size", _METADATA_BYTES),
    ]
    if config.max_connection_age_seconds is not None:
        options.append(("grpc.max_connection_age_ms", int(config.max_connection_age_seconds * 1000)))
        options.append(("grpc.max_connection_age_grace_ms", int(config.max_connection_age_grace_seconds * 1000)))
    return options


def _credentials(tls: TlsConfig, setting: str) -> grpc.ServerCredentials:
    """Credentials that follow the files; gRPC asks at each handshake whether they have changed."""
    renewal = TlsRenewal(tls, setting)
    server_context(tls, setting)  # says what is wrong with the files, where gRPC would only refuse to start

    def renewed() -> grpc.ServerCertificateConfiguration | None:
        files = renewal.files()
        return None if files is None else _certificate(files)

    first = _certificate(read_tls_files(tls, setting))
    return grpc.dynamic_ssl_server_credentials(first, renewed, tls.client_ca_file is not None)


def _certificate(files: TlsFiles) -> grpc.ServerCertificateConfiguration:
    pairs = [(files.key, files.certificate)]
    return grpc.ssl_server_certificate_configuration(pairs, root_certificates=files.client_authorities)


def create(
    config: Config, *, name: str, metrics: Metrics | None = None, setting: str | None = None
) -> OtlpGrpcReceiver:
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
    return OtlpGrpcReceiver(config, Accounts(metrics or Metrics(), name), setting)
