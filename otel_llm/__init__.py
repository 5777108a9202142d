"""otel_llm: the operating layer for LLM applications, on OpenTelemetry.

Importing this package only defines names: no environment is read, no thread is started, no connection is opened.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from otel_llm.admission import Admission
    from otel_llm.errors import DeniedError as DeniedError
    from otel_llm.hosts.app import Instrumentation
    from otel_llm.instrumentation.by_hand import agent as agent
    from otel_llm.instrumentation.by_hand import carrier as carrier
    from otel_llm.instrumentation.by_hand import context as context
    from otel_llm.instrumentation.by_hand import evaluation as evaluation
    from otel_llm.instrumentation.by_hand import feedback as feedback
    from otel_llm.instrumentation.by_hand import headers as headers
    from otel_llm.instrumentation.by_hand import restore as restore
    from otel_llm.instrumentation.by_hand import retrieval as retrieval
    from otel_llm.instrumentation.by_hand import task as task
    from otel_llm.instrumentation.by_hand import tool as tool
    from otel_llm.instrumentation.by_hand import workflow as workflow

__version__ = "0.1.0"


def instrument(
    *, admissions: Sequence[Admission] | None = None, redact: Callable[[str], str] | None = None
) -> Instrumentation:
    """Instrument the GenAI libraries of this app, now and as it imports them. Doing it twice does it once.

    Args:
        admissions: asked before each call, in order; None leaves those of an earlier call.
        redact: what content is redacted with where that is asked for; None leaves that of an earlier call.

    Returns:
        What was done: `choices` says what became of each library.
    """
    from otel_llm.hosts.app import instrument as start  # noqa: PLC0415 - importing otel_llm imports nothing

    return start(admissions=admissions, redact=redact)


def uninstrument() -> None:
    """Take every hook out again; the libraries are as they were."""
    from otel_llm.hosts.app import uninstrument as stop  # noqa: PLC0415 - as above

    stop()


def flush(timeout_seconds: float = 5.0) -> bool:
    """Send what is waiting, before a serverless platform freezes the process; whether all of it went in time."""
    from otel_llm.hosts.app import flush as send  # noqa: PLC0415 - as above

    return send(timeout_seconds)


def __getattr__(name: str) -> object:
    """What is instrumented by hand, and DeniedError: imported when first asked for, for importing otel_llm is cheap."""
    if name == "DeniedError":
        from otel_llm import errors  # noqa: PLC0415 - as above

        return errors.DeniedError
    if name not in _BY_HAND:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from otel_llm.instrumentation import by_hand  # noqa: PLC0415 - as above

    return getattr(by_hand, name)


_BY_HAND = frozenset(
    {
        "agent",
        "carrier",
        "context",
        "evaluation",
        "feedback",
        "headers",
        "restore",
        "retrieval",
        "task",
        "tool",
        "workflow",
    }
)
