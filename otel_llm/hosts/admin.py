"""The admin endpoint of a host: is it alive, is it ready, what does it count."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import msgspec

from otel_llm.config.service import AdminConfig
from otel_llm.delivery.status import HostStatus
from otel_llm.http.message import Request, Response, Route
from otel_llm.http.server import HttpServer, Settings
from otel_llm.http.shared import Limits
from otel_llm.receivers.auth import AuthConfig
from otel_llm.receivers.endpoint import given, parse_endpoint, server_context
from otel_llm.receivers.gatekeeper import Gatekeeper, http_admission
from otel_llm.receivers.tls_renewal import TlsRenewal

_SETTING: Final = "service.admin"
_TEXT: Final = "text/plain; charset=utf-8"
_JSON: Final = "application/json"
_PROMETHEUS: Final = "text/plain; version=0.0.4; charset=utf-8"


def admin_server(
    config: AdminConfig,
    metrics: Callable[[], bytes],
    not_ready: Callable[[], str | None],
    status: Callable[[], HostStatus],
) -> HttpServer:
    """A server, not started yet.

    | path | answer |
    |---|---|
    | `/healthz` | 200 while the process runs |
    | `/readyz` | 200 when it takes telemetry, else 503 with the reason |
    | `/status` | the accounts of all exporters as JSON, for `otel-llm status` |
    | `/metrics` | everything it counts, in the Prometheus text format |

    Args:
        config: where to listen, and who may see metrics; its endpoint is not None.
        metrics: what to show, in the Prometheus text format.
        not_ready: why it takes no telemetry now, None when it does.
        status: what the host says about itself.

    Raises:
        ConfigError: the endpoint is not host:port, or a file of keys or TLS cannot be used.
    """
    address = parse_endpoint(config.endpoint or "", f"{_SETTING}.endpoint")
    tls = given(config.tls)
    keys = AuthConfig(keys=config.keys) if config.keys else None
    admit = http_admission(Gatekeeper(keys, _SETTING))

    def healthz(request: Request) -> Response:  # noqa: ARG001 - a handler's signature
        return Response(200, b"ok\n", _TEXT)

    def readyz(request: Request) -> Response:  # noqa: ARG001 - as above
        reason = not_ready()
        return Response(200, b"ready\n", _TEXT) if reason is None else Response(503, f"{reason}\n".encode(), _TEXT)

    def show_metrics(request: Request) -> Response:  # noqa: ARG001 - as above
        return Response(200, metrics(), _PROMETHEUS)

    def show_status(request: Request) -> Response:  # noqa: ARG001 - as above
        return Response(200, msgspec.json.encode(status()) + b"\n", _JSON)

    routes = {
        ("GET", "/status"): Route(show_status, lambda request: False, admit),  # noqa: ARG005 - locks may be waited for
        ("GET", "/healthz"): Route(healthz),
        ("GET", "/readyz"): Route(readyz),
        ("GET", "/metrics"): Route(show_metrics, lambda request: False, admit),  # noqa: ARG005 - rendering takes time
    }
    settings = Settings(
        host=address.host,
        port=address.port,
        tls=None if tls is None else server_context(tls, f"{_SETTING}.tls"),
        renewed_tls=None if tls is None else TlsRenewal(tls, f"{_SETTING}.tls").context,
        worker_threads=1,
        # Nobody has anything to send here.
        limits=Limits(body_bytes=64 * 1024, in_flight_bytes=1024 * 1024, connections=64),
        name="otel-llm-admin",
    )
    return HttpServer(routes, settings)
