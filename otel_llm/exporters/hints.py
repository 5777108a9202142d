"""What to look at in an exporter's section when its destination answers as none would that is set up rightly.

Most were seen with a real Collector (tests/collector_config/test_wrong_settings.py). The log line before the hint names
the exporter, the hint names its setting.
"""

from __future__ import annotations

from typing import Final

_NO_TLS: Final = "the other side speaks no TLS there: `endpoint` with http://, or another port"
_KEY: Final = "the credential is in `headers` or `auth`"

# What the answer or the failure says, and what that means.
_OVER_HTTP: Final = (
    ("answered 401", _KEY),
    ("answered 403", _KEY),
    ("answered 404", "`endpoint` is the address in front of /v1/traces, and of a port for OTLP/HTTP"),
    ("answered 415", "`compression` may be one that it does not know"),
    ("WRONG_VERSION_NUMBER", _NO_TLS),
    ("reset by peer", "if always: a port for gRPC, which otlp_grpc speaks, or one that wants https:// in `endpoint`"),
)
_OVER_GRPC: Final = (
    ("connect an http1.x", "a port for HTTP: otlp_http, or the port for OTLP/gRPC in `endpoint`"),
    ("WRONG_VERSION_N", _NO_TLS),
    ("answered UNAUTHENTICATED", _KEY),
    ("answered PERMISSION_DENIED", _KEY),
    ("answered UNIMPLEMENTED", "it takes no such signal there, or `endpoint` is not for OTLP"),
)


def over_http(problem: str) -> str:
    """The problem of an OTLP/HTTP exporter, and what to look at."""
    return _with_hint(problem, _OVER_HTTP)


def over_grpc(problem: str) -> str:
    """The problem of an OTLP/gRPC exporter, and what to look at."""
    return _with_hint(problem, _OVER_GRPC)


def _with_hint(problem: str, table: tuple[tuple[str, str], ...]) -> str:
    hint = next((hint for said, hint in table if said.lower() in problem.lower()), None)
    return problem if hint is None else f"{problem} ({hint})"
