"""`import otel_llm.auto`: the app is instrumented, as the environment says."""

from __future__ import annotations

from otel_llm.hosts.app import instrument

instrument()


def post_instrument() -> None:
    """For `opentelemetry-instrument`, which calls this when all other instrumentations are in: importing did it."""
