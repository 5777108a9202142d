"""OTLP over gRPC: the Export calls of the trace, metrics and logs services, on raw bytes.

gRPC's own C core does framing, flow control, inflating and TLS; no message is made into objects here.
Source: OTLP specification 1.x, section OTLP/gRPC.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Annotated, Final

import grpc
import msgspec

from otel_llm.errors import MalformedError, RefusedError
from otel_llm.http.allocator import keep_large_blocks
from otel_llm.receivers import answers
from otel_llm.receivers.accounts import Accounts
from otel_llm.receivers.endpoint import Address, TlsConfig, cannot_listen, parse_endpoint, read_tls_files
from otel_llm.receivers.grpc_log import hush_grpc
from otel_llm.signals import Consumer, Signal
from otel_llm.telemetry import Metrics

_SIGNAL_OF_SERVICE: Final[dict[str, Signal]] = {
    "opentelemetry.proto.collector.trace.v1.TraceService": "traces",
    "opentelemetry.proto.collector.metrics.v1.MetricsService": "metrics",
    "opentelemetry.proto.collector.logs.v1.LogsService": "logs",
}
_DETAILS_KEY: Final = "grpc-status-details-bin"
_MEBIBYTE: Final = 1024 * 1024
# An answer is compressed only when there is something in it to compress.
_COMPRESSED_ANSWER_BYTES: Final = 1024


class Config(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """OTLP over gRPC."""

    endpoint: str = "127.0.0.1:4317"
    """Where to listen, as host:port. Port 0 takes any that is free; `:4317` listens on all interfaces."""
    tls: TlsConfig | None = None
    """Certificate and key for TLS. Plain text without it."""
    max_recv_msg_size_mib: Annotated[int, msgspec.Meta(ge=1, le=2047)] = 20
    """The largest message taken, in MiB, before and after decompression; larger ones get RESOURCE_EXHAUSTED."""
    max_concurrent_streams: Annotated[int, msgspec.Meta(ge=1)] = 128
    """Calls in progress on one connection; further ones wait in the client."""
    max_connection_age_seconds: Annotated[float, msgspec.Meta(gt=0)] | None = None
    """After how long a client is asked to connect anew, so that load spreads over processes and gateways. Never by
    default."""
    max_connection_age_grace_seconds: Annotated[float, msgspec.Meta(ge=0)] = 30.0
    """How long calls in progress may go on after that."""
    worker_threads: Annotated[int, msgspec.Meta(ge=1, le=256)] = 4
    """Calls that are processed at the same time."""
    reuse_port: bool = False
    """Let several processes listen on the same port."""


class OtlpGrpcReceiver:
    """The receiver; see `create`."""

    def __init__(self, config: Config, accounts: Accounts, setting: str) -> None:
        self._config = config
        self._accounts = accounts
        self._setting = setting
        self._address = parse_endpoint(config.endpoint, f"{setting}.endpoint")
        self._port = self._address.port
        self._server: grpc.Server | None = None
        self._pool: ThreadPoolExecutor | None = None

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
        pool = ThreadPoolExecutor(self._config.worker_threads, thread_name_prefix="otlp-grpc")
        server = grpc.server(pool, handlers=_services(consumer, self._accounts), options=_options(self._config))
        target = str(self._address) if self._address.host else f"[::]:{self._address.port}"
        tls = self._config.tls
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
        keep_large_blocks()
        self._port, self._server, self._pool = port, server, pool

    def shutdown(self, deadline_seconds: float) -> None:
        """Finish the calls in progress.

        New ones get UNAVAILABLE, or CANCELLED if they come at the very moment: gRPC's core answers them, and OTLP
        clients try again after either.
        """
        server, pool = self._server, self._pool
        self._server = self._pool = None
        if server is not None and pool is not None:
            server.stop(deadline_seconds).wait(deadline_seconds + 1.0)
            pool.shutdown(wait=False, cancel_futures=True)


def _services(consumer: Consumer, accounts: Accounts) -> list[grpc.GenericRpcHandler[bytes, bytes]]:
    """The three services, without serializers: bytes in, bytes out."""
    return [
        grpc.method_handlers_generic_handler(
            service, {"Export": grpc.unary_unary_rpc_method_handler(_export(signal, consumer, accounts))}
        )
        for service, signal in _SIGNAL_OF_SERVICE.items()
    ]


def _export(signal: Signal, consumer: Consumer, accounts: Accounts) -> Callable[[bytes, grpc.ServicerContext], bytes]:
    """The Export call of a signal."""

    def export(request: bytes, context: grpc.ServicerContext) -> bytes:
        start = time.perf_counter()
        try:
            result = consumer.consume(signal, request)
        except MalformedError as error:
            accounts.refused(signal, "malformed", str(error))
            return _fail(context, grpc.StatusCode.INVALID_ARGUMENT, answers.INVALID_ARGUMENT, str(error), None)
        except RefusedError as error:
            accounts.refused(signal, "queue_full", str(error))
            code = answers.RESOURCE_EXHAUSTED
            retry_after = error.retry_after_seconds
            return _fail(context, grpc.StatusCode.RESOURCE_EXHAUSTED, code, str(error), retry_after)
        finally:
            accounts.answered(signal, time.perf_counter() - start, len(request))
            defect = sys.exception()
            if defect is not None:
                # Left to itself, gRPC logs the error and sends its text, which may quote the request.
                accounts.failed(defect)
                context.abort(grpc.StatusCode.INTERNAL, "internal error")
        answer = answers.success(signal, result)
        if len(answer) >= _COMPRESSED_ANSWER_BYTES:
            context.set_compression(grpc.Compression.Gzip)
        return answer

    return export


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
    ]
    if config.max_connection_age_seconds is not None:
        options.append(("grpc.max_connection_age_ms", int(config.max_connection_age_seconds * 1000)))
        options.append(("grpc.max_connection_age_grace_ms", int(config.max_connection_age_grace_seconds * 1000)))
    return options


def _credentials(tls: TlsConfig, setting: str) -> grpc.ServerCredentials:
    files = read_tls_files(tls, setting)
    return grpc.ssl_server_credentials(
        [(files.key, files.certificate)],
        root_certificates=files.client_authorities,
        require_client_auth=files.client_authorities is not None,
    )


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
        ConfigError: the endpoint is not host:port.
    """
    return OtlpGrpcReceiver(config, Accounts(metrics or Metrics(), name), setting or f"receivers.{name}")
