"""What the app's environment says about instrumentation. Read once, when instrumentation is switched on.

The OTEL_INSTRUMENTATION_GENAI_* variables are OpenTelemetry's own; facts on their values: opentelemetry-util-genai.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

_logger = logging.getLogger(__name__)

CaptureMode = Literal["none", "redacted", "full"]

_CAPTURE: Final = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"
_EMIT_EVENT: Final = "OTEL_INSTRUMENTATION_GENAI_EMIT_EVENT"
HOOK_VARIABLE: Final = "OTEL_INSTRUMENTATION_GENAI_COMPLETION_HOOK"
_DEPTH: Final = "OTEL_LLM_CONTENT"
_DISABLED: Final = "OTEL_PYTHON_DISABLED_INSTRUMENTATIONS"
# Mode -> on spans, on events. `true` is what instrumentations before util-genai took.
_PLACES: Final = {
    "": (False, False),
    "false": (False, False),
    "no_content": (False, False),
    "span_only": (True, False),
    "event_only": (False, True),
    "span_and_event": (True, True),
    "true": (True, False),
}
# Of the OpenTelemetry SDK; the first that is given counts. Source: the specification of its environment variables.
_SDK_LIMITS: Final = ("OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT", "OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT")
DEFAULT_CONTENT_LIMIT_BYTES: Final = 64 * 1024


@dataclass(frozen=True, slots=True)
class Settings:
    """How instrumentation behaves.

    Attributes:
        capture: whether messages are captured, and whether they are redacted first.
        completion_hook: the name of the hook that content is handed to; empty for none.
        content_on_spans: captured content goes onto spans.
        content_on_events: captured content goes onto events.
        emit_events: whether an event with the operation's details is emitted for each call.
        content_limit_bytes: how many bytes of JSON one content attribute may have.
        propagate_to_providers: whether requests to model providers may carry trace context and baggage, and HTTP
            client instrumentations see them.
        inject_usage: whether streams of endpoints known to take it are asked to report usage.
        private_providers: whether telemetry goes to providers of our own even where the app, or a tool in it, has set
            up OpenTelemetry.
        disabled: what is not to instrument: `otel_llm` for all of our hooks, `otel_llm.openai` for one. The names
            without ours are those of other instrumentations.
        preferred: library -> the emitter to use instead of the one that would be chosen.
    """

    capture: CaptureMode = "none"
    content_on_spans: bool = False
    content_on_events: bool = False
    emit_events: bool = False
    content_limit_bytes: int = DEFAULT_CONTENT_LIMIT_BYTES
    propagate_to_providers: bool = False
    inject_usage: bool = False
    private_providers: bool = False
    disabled: frozenset[str] = frozenset()
    preferred: tuple[tuple[str, str], ...] = ()
    completion_hook: str = ""


def settings_from(environment: Mapping[str, str]) -> Settings:
    """Settings from environment variables; what cannot be understood is logged and counts as not given."""
    mode = environment.get(_CAPTURE, "").strip().lower()
    if mode not in _PLACES:
        _logger.warning("%s is none of %s; no content is captured", _CAPTURE, ", ".join(filter(None, _PLACES)))
    on_spans, on_events = _PLACES.get(mode, (False, False))
    hook = environment.get(HOOK_VARIABLE, "").strip()
    return Settings(
        capture=_depth(environment) if on_spans or on_events or hook else "none",
        content_on_spans=on_spans,
        content_on_events=on_events,
        emit_events=_flag(environment, _EMIT_EVENT, default=on_events),
        content_limit_bytes=_content_limit(environment),
        propagate_to_providers=_flag(environment, "OTEL_LLM_PROPAGATE_TO_PROVIDERS", default=False),
        inject_usage=environment.get("OTEL_LLM_USAGE_INJECTION", "").strip().lower() == "allowlist",
        private_providers=_is_private(environment.get("OTEL_LLM_PROVIDERS", "")),
        disabled=frozenset(filter(None, (name.strip() for name in environment.get(_DISABLED, "").split(",")))),
        preferred=_pairs(environment.get("OTEL_LLM_EMITTERS", "")),
        completion_hook=hook,
    )


def _depth(environment: Mapping[str, str]) -> CaptureMode:
    """How much of captured content is kept; redacted when that is not clear."""
    value = environment.get(_DEPTH, "").strip().lower() or "full"
    if value in ("full", "none"):
        return "full" if value == "full" else "none"
    if value != "redacted":
        _logger.warning("%s is none of full, redacted, none; taken as redacted", _DEPTH)
    return "redacted"


def _is_private(value: str) -> bool:
    value = value.strip().lower()
    if value not in ("", "app", "private"):
        _logger.warning("OTEL_LLM_PROVIDERS is none of app, private; taken as app")
    return value == "private"


def _flag(environment: Mapping[str, str], name: str, *, default: bool) -> bool:
    value = environment.get(name, "").strip().lower()
    if value not in ("", "true", "false", "1", "0"):
        _logger.warning("%s is neither true nor false; taken as %s", name, str(default).lower())
    return {"true": True, "1": True, "false": False, "0": False}.get(value, default)


def _number(environment: Mapping[str, str], name: str, default: int) -> int:
    value = environment.get(name, "").strip()
    if not value:
        return default
    if not value.isdecimal():
        _logger.warning("%s is not a number; taken as %d", name, default)
        return default
    return int(value)


def _content_limit(environment: Mapping[str, str]) -> int:
    """Ours, or that of the SDK where it is less, which would cut JSON anywhere. It counts characters, never more."""
    ours = _number(environment, "OTEL_LLM_CONTENT_LIMIT_BYTES", DEFAULT_CONTENT_LIMIT_BYTES)
    given = (name for name in _SDK_LIMITS if environment.get(name, "").strip())
    name = next(given, None)
    return ours if name is None else min(ours, _number(environment, name, ours))


def _pairs(text: str) -> tuple[tuple[str, str], ...]:
    """`anthropic=otel_llm,openai=upstream` as pairs."""
    items = (item.partition("=") for item in text.split(","))
    return tuple((name.strip(), value.strip()) for name, equals, value in items if equals)
