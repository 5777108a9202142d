"""The admin endpoint of a host: is it alive, is it ready, what does it count."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import msgspec

from otel_llm.codecs.metrics import prometheus_text
from otel_llm.delivery.status import HostStatus
from otel_llm.http.message import Request, Response, Route
from otel_llm.http.server import HttpServer, Settings
from otel_llm.telemetry import Metrics

_TEXT: Final = "text/plain; charset=utf-8"
_JSON: Final = "application/json"
_PROMETHEUS: Final = "text/plain; version=0.0.4; charset=utf-8"


def admin_server(
    host: str, port: int, metrics: Metrics, not_ready: Callable[[], str | None], status: Callable[[], HostStatus]
) -> HttpServer:
    """A server, not started yet.

    | path | answer |
    |---|---|
    | `/healthz` | 200 while the process runs |
    | `/readyz` | 200 when it takes telemetry, else 503 with the reason |
    | `/status` | the accounts of all exporters as JSON, for `otel-llm status` |
    | `/metrics` | everything it counts, in the Prometheus text format |

    Args:
        host: where to listen.
        port: 0 for any free one.
        metrics: what to show.
        not_ready: why it takes no telemetry now, None when it does.
        status: what the host says about itself.
    """

    def healthz(request: Request) -> Response:  # noqa: ARG001 - a handler's signature
        return Response(200, b"ok\n", _TEXT)

    def readyz(request: Request) -> Response:  # noqa: ARG001 - as above
        reason = not_ready()
        return Response(200, b"ready\n", _TEXT) if reason is None else Response(503, f"{reason}\n".encode(), _TEXT)

    def show_metrics(request: Request) -> Response:  # noqa: ARG001 - as above
        return Response(200, prometheus_text(metrics.collect()), _PROMETHEUS)

    def show_status(request: Request) -> Response:  # noqa: ARG001 - as above
        return Response(200, msgspec.json.encode(status()) + b"\n", _JSON)

    routes = {
        ("GET", "/status"): Route(show_status, inline=lambda request: False),  # noqa: ARG005 - locks may be waited for
        ("GET", "/healthz"): Route(healthz),
        ("GET", "/readyz"): Route(readyz),
        ("GET", "/metrics"): Route(show_metrics, inline=lambda request: False),  # noqa: ARG005 - rendering takes time
    }
    return HttpServer(routes, Settings(host=host, port=port, worker_threads=1, name="otel-llm-admin"))
