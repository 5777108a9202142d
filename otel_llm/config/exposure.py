"""What is open that perhaps should not be, which is a warning, and secrets in the file itself, which are refused."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Final

import msgspec

from otel_llm.components import is_built_in
from otel_llm.config.addresses import endpoints, is_loopback
from otel_llm.config.service import AdminConfig
from otel_llm.config.settings import Component
from otel_llm.config.values import Value, join
from otel_llm.errors import ConfigError
from otel_llm.receivers.endpoint import parse_endpoint

_SECRET_HEADER: Final = re.compile(r"authorization|api[-_]?key|token|secret|password|cookie", re.IGNORECASE)


def exposures(receivers: Iterable[Component], admin: AdminConfig) -> Iterator[str]:
    """A line for each place that takes telemetry from, or tells of it to, anybody who can reach this machine."""
    for receiver in receivers:
        if is_built_in("receiver", receiver.type.name):
            for path, endpoint, section in endpoints(receiver.config, receiver.path):
                if not _is_local(endpoint) and not _asks(section):
                    remedy = "set auth, or tls with client_ca_file"
                    yield f"{path}: {endpoint} takes telemetry from anybody who can reach it; {remedy}"
    if admin.endpoint is not None and not _is_local(admin.endpoint) and not _asks(admin):
        yield f"service.admin.endpoint: {admin.endpoint} shows metrics to anybody who can reach it; set keys"


def _asks(section: msgspec.Struct) -> bool:
    """Whether a listener asks who is there."""
    tls = getattr(section, "tls", None)
    return bool(
        getattr(section, "auth", None) or getattr(section, "keys", None) or getattr(tls, "client_ca_file", None)
    )


def _is_local(endpoint: str) -> bool:
    try:
        return is_loopback(parse_endpoint(endpoint, "").host.lower())
    except ConfigError:
        return True  # no address at all, which was reported


def literal_secrets(exporters: Value) -> Iterator[str]:
    """A line for each header field that looks like a secret and stands in the configuration itself."""
    for id_, section in exporters.items() if isinstance(exporters, dict) else ():
        headers = section.get("headers") if isinstance(section, dict) else None
        for name, value in headers.items() if isinstance(headers, dict) else ():
            if isinstance(value, str) and _SECRET_HEADER.search(name):
                path = join(join("exporters", id_), f"headers.{name}")
                yield f"{path}: expected ${{env:NAME}}, got a secret itself; or set auth with a file"
