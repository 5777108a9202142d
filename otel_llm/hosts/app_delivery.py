"""The delivery of an app that has no OpenTelemetry of its own: to where OTEL_EXPORTER_OTLP_* says, in our own queue.

What our exporters do not do (a proxy, a plug-in for credentials, another protocol, signals that go different ways) is
left to the SDK's exporters.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Final, cast
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import msgspec

from otel_llm.clock import SystemClock
from otel_llm.components import Context, find_type
from otel_llm.delivery.config import Config, QueueConfig, RetryConfig
from otel_llm.delivery.delivery import Delivery
from otel_llm.delivery.in_app import AppDelivery
from otel_llm.errors import ConfigError
from otel_llm.exporters.exporter import Exporter
from otel_llm.exporters.otlp_environment import OtlpExporter, Text, read_otlp_variables
from otel_llm.hosts.otlp import signals_sent
from otel_llm.signals import Signal
from otel_llm.telemetry import Metrics

_logger = logging.getLogger(__name__)

# An app's memory is the app's; a gateway has room for more.
QUEUE_BYTES: Final = 16 * 1024 * 1024
# An app that ends has two seconds, and a backend that was busy for a moment is asked three times within these.
_RETRIES: Final = RetryConfig(initial_interval_seconds=0.25)
_PREFIX: Final = "OTEL_EXPORTER_OTLP_"
_DEFAULT: Final = {"otlp_http": "http://localhost:4318", "otlp_grpc": "http://localhost:4317"}
_OURS: Final = ("http/protobuf", "grpc")
_NAME: Final = "otlp"


def app_delivery(environment: Mapping[str, str]) -> AppDelivery | None:
    """A delivery for all signals that are sent; None where the SDK's exporters have to do it.

    Args:
        environment: the app's variables.
    """
    found = _found(environment)
    if found is None or _has_proxy(found):
        return None
    kind = find_type("exporter", found.type)
    section = {"compression": "none", **found.section, **({"tls": found.tls} if found.tls else {})}
    try:
        config = msgspec.convert(section, kind.config)
        # Whether it can be made: it connects to nothing yet. A process that offers something makes its own.
        cast("Exporter", kind.create(config, Context(_NAME, Metrics(), SystemClock()))).shutdown()
    except (ConfigError, msgspec.ValidationError) as error:
        _logger.warning("telemetry goes through the exporters of the SDK: %s", error)
        return None
    metrics = Metrics()

    def make() -> Delivery:
        made = kind.create(config, Context(_NAME, metrics, SystemClock()))
        queue = QueueConfig(size_bytes=QUEUE_BYTES, on_full="drop")
        delivery = Config(sending_queue=queue, retry_on_failure=_RETRIES)
        return Delivery(_NAME, cast("Exporter", made), delivery, metrics)

    return AppDelivery(make, metrics, on_sigterm=False)


def _found(environment: Mapping[str, str]) -> OtlpExporter | None:
    """Where all signals that are sent go, when that is one place which our exporters can reach."""
    problems: list[str] = []
    found = [_of_signal(environment, signal, problems) for signal in signals_sent(environment)]
    known = [one for one in found if one is not None]
    if not known or problems or len(known) < len(found) or any("CREDENTIAL_PROVIDER" in name for name in environment):
        return None
    first, *others = known
    if any(one.type != first.type or one.tls != first.tls for one in others):
        return None
    section: dict[str, Text] = {}
    for one in known:
        for key, value in one.section.items():
            if section.setdefault(key, value) != value:
                return None
    if any(_common(one) != _common(first) for one in known):
        return None
    return OtlpExporter(first.type, section, first.tls)


def _common(found: OtlpExporter) -> dict[str, Text]:
    """What is no address, and so has to be the same for all signals."""
    return {key: value for key, value in found.section.items() if not key.endswith("endpoint")}


def _of_signal(environment: Mapping[str, str], signal: Signal, problems: list[str]) -> OtlpExporter | None:
    own = f"{_PREFIX}{signal.upper()}_"
    protocol = environment.get(f"{own}PROTOCOL") or environment.get(f"{_PREFIX}PROTOCOL") or "http/protobuf"
    if protocol.strip().lower() not in _OURS:
        return None
    default = _DEFAULT["otlp_grpc" if protocol.strip().lower() == "grpc" else "otlp_http"]
    has_endpoint = any(environment.get(f"{prefix}ENDPOINT", "").strip() for prefix in (own, _PREFIX))
    known = environment if has_endpoint else {**environment, f"{_PREFIX}ENDPOINT": default}
    return read_otlp_variables(known, signal, problems)


def _has_proxy(found: OtlpExporter) -> bool:
    """Whether a proxy stands between the app and where it sends."""
    proxies = getproxies()
    for key, address in found.section.items():
        if key.endswith("endpoint") and isinstance(address, str):
            parts = urlsplit(address if "://" in address else f"//{address}")
            scheme = parts.scheme or ("http" if found.tls.get("insecure") else "https")
            if proxies.get(scheme) and not proxy_bypass(parts.netloc):
                return True
    return False
