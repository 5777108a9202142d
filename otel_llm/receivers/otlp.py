"""The `otlp` receiver as in the Collector: OTLP over gRPC and HTTP under one name."""

from __future__ import annotations

import time
from contextlib import ExitStack

import msgspec

from otel_llm.components import Context
from otel_llm.errors import ConfigError
from otel_llm.receivers import Receiver, otlp_grpc, otlp_http
from otel_llm.signals import Consumer


class Protocols(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which protocols are spoken; a key without a value speaks the protocol with its defaults."""

    grpc: otlp_grpc.Config | msgspec.UnsetType | None = msgspec.UNSET
    """OTLP over gRPC."""
    http: otlp_http.Config | msgspec.UnsetType | None = msgspec.UNSET
    """OTLP over HTTP."""


class Config(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """OTLP over gRPC, HTTP, or both."""

    protocols: Protocols = Protocols(grpc=None, http=None)
    """Which protocols are spoken; both on loopback by default."""


class OtlpReceiver:
    """Several receivers that start and stop as one.

    Args:
        grpc: None when the protocol is not spoken.
        http: None when the protocol is not spoken.
    """

    def __init__(self, grpc: otlp_grpc.OtlpGrpcReceiver | None, http: otlp_http.OtlpHttpReceiver | None) -> None:
        self.grpc = grpc
        self.http = http
        self._receivers: tuple[Receiver, ...] = tuple(part for part in (grpc, http) if part is not None)

    def start(self, consumer: Consumer) -> None:
        """Start all, or none when one cannot.

        Raises:
            ConfigError: one of them cannot listen.
        """
        with ExitStack() as undo:
            for receiver in self._receivers:
                receiver.start(consumer)
                undo.callback(receiver.shutdown, 0.0)
            undo.pop_all()

    def shutdown(self, deadline_seconds: float) -> None:
        """Stop all, within one deadline."""
        end = time.monotonic() + deadline_seconds
        for receiver in self._receivers:
            receiver.shutdown(max(0.0, end - time.monotonic()))


def create(config: Config, context: Context) -> OtlpReceiver:
    """A receiver for the protocols that the configuration names.

    Raises:
        ConfigError: it names none, or an endpoint is not host:port.
    """
    name, metrics = context.name, context.metrics
    setting = f"receivers.{name}.protocols"
    grpc, http = config.protocols.grpc, config.protocols.http
    if isinstance(grpc, msgspec.UnsetType) and isinstance(http, msgspec.UnsetType):
        raise ConfigError([f"{setting}: expected grpc, http or both, got neither; write for example 'grpc:'"])
    return OtlpReceiver(
        None
        if isinstance(grpc, msgspec.UnsetType)
        else otlp_grpc.create(grpc or otlp_grpc.Config(), name=name, metrics=metrics, setting=f"{setting}.grpc"),
        None
        if isinstance(http, msgspec.UnsetType)
        else otlp_http.create(http or otlp_http.Config(), name=name, metrics=metrics, setting=f"{setting}.http"),
    )
