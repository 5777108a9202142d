"""Content by reference: OpenTelemetry's completion hooks, which keep content elsewhere and say where on the span.

The app names one with OTEL_INSTRUMENTATION_GENAI_COMPLETION_HOOK; it is found by entry point. `upload` comes with
opentelemetry-util-genai (extra `upload`) and writes to whatever fsspec can. The interface is that package's, facts:
its completion_hook.py and types.py, version 1.3b0.

The law of this module: a hook is code of others. What it raises ends in the engine's boundary, and it gets copies.
"""

from __future__ import annotations

import base64
import binascii
import dataclasses
import importlib
import logging
from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import entry_points
from typing import Any, Final, Protocol

from opentelemetry._logs import LogRecord
from opentelemetry.trace import Span

from otel_llm.errors import ConfigError
from otel_llm.instrumentation.provider import Content
from otel_llm.instrumentation.settings import HOOK_VARIABLE

_logger = logging.getLogger(__name__)

_GROUP: Final = "opentelemetry_genai_completion_hook"
_TYPES: Final = "opentelemetry.util.genai.types"
# What code of others usually raises when it is imported or made; the caller's boundary catches the rest.
_FAILURES: Final = (ImportError, AttributeError, LookupError, OSError, RuntimeError, TypeError, ValueError)
_PART_CLASSES: Final = {
    "text": "TextPart",
    "reasoning": "ReasoningPart",
    "tool_call": "ToolCallRequestPart",
    "tool_call_response": "ToolCallResponsePart",
    "server_tool_call": "ServerToolCallPart",
    "server_tool_call_response": "ServerToolCallResponsePart",
    "compaction": "CompactionPart",
    "blob": "BlobPart",
    "file": "FilePart",
    "uri": "UriPart",
}


class _Hook(Protocol):
    """What an entry point makes."""

    def on_completion(self, **said: Any) -> None:  # noqa: ANN401 - types of a package that need not be there
        """Take the content of an operation that has ended."""
        ...


class CompletionHook:
    """A hook, and the types it wants.

    Args:
        hook: what the entry point made.
        types: the module of the types.
    """

    def __init__(self, hook: _Hook, types: object) -> None:
        self._hook = hook
        self._types = types

    def tell(
        self,
        asked: Content | None,
        said: Content | None,
        *,
        reasons: Sequence[str] = (),
        span: Span | None = None,
        record: LogRecord | None = None,
    ) -> None:
        """Hand over what was said; the hook may put attributes onto span and record.

        Args:
            asked: what the request says; None when it could not be read.
            said: what the answer says; None when there is none.
            reasons: why each choice of the answer ended.
            span: of the call.
            record: of the event that will be emitted, if one will be.

        Raises:
            Exception: whatever the hook raises.
        """
        asked, said = asked or Content(), said or Content()
        ends = [*reasons, *[""] * len(said.messages)]
        self._hook.on_completion(
            inputs=[self._message("InputMessage", one) for one in asked.messages],
            outputs=[
                self._message("OutputMessage", {**one, "finish_reason": end})
                for one, end in zip(said.messages, ends, strict=False)
            ],
            system_instruction=self._parts(asked.system),
            tool_definitions=[self._tool(one) for one in asked.tools] or None,
            span=span,
            log_record=record,
        )

    def _message(self, kind: str, message: Mapping[str, object]) -> object:
        parts = message.get("parts")
        return self._made(kind, {**message, "parts": self._parts(parts if isinstance(parts, list) else [])})

    def _parts(self, parts: Iterable[object]) -> list[object]:
        return [self._part(part) for part in parts if isinstance(part, Mapping)]

    def _part(self, part: Mapping[str, object]) -> object:
        kind = part.get("type")
        values = {**part, "content": _data(part.get("content"))} if kind == "blob" else part
        return self._made(_PART_CLASSES.get(str(kind), "GenericPart"), values)

    def _tool(self, tool: Mapping[str, object]) -> object:
        return self._made("FunctionToolDefinition" if tool.get("type") == "function" else "GenericToolDefinition", tool)

    def _made(self, name: str, values: Mapping[str, object]) -> object:
        """One of its types; what ours has not got is None, what its has no place for is left out."""
        made: Any = getattr(self._types, name)
        fields = dataclasses.fields(made)
        return made(**{field.name: values.get(field.name) for field in fields if _is_given(field, values)})


def _is_given(field: dataclasses.Field[object], values: Mapping[str, object]) -> bool:
    """Whether a field needs a value: a default of the type's own stays."""
    has_default = field.default is not dataclasses.MISSING or field.default_factory is not dataclasses.MISSING
    return field.name in values or not has_default


def _data(content: object) -> bytes:
    """The bytes of media, which our messages hold as base64."""
    if isinstance(content, bytes):
        return content
    try:
        return base64.b64decode(content, validate=True) if isinstance(content, str) else b""
    except (binascii.Error, ValueError):
        return b""


def make(name: str) -> CompletionHook:
    """The hook of that name.

    Raises:
        ConfigError: there is none that works; it says why.
    """
    found = {one.name: one for one in entry_points(group=_GROUP)}
    if name not in found:
        known = ", ".join(sorted(found)) or "none; `upload` comes with opentelemetry-util-genai[upload]"
        raise ConfigError([f"{HOOK_VARIABLE}: no hook {name!r} is installed; there is: {known}"])
    try:
        hook: _Hook = found[name].load()()
        types = importlib.import_module(_TYPES)
    except _FAILURES as error:
        problem = f"{HOOK_VARIABLE}: hook {name!r} cannot be used ({type(error).__name__}: {error})"
        raise ConfigError([problem]) from error
    if not callable(getattr(hook, "on_completion", None)):
        raise ConfigError([f"{HOOK_VARIABLE}: {name!r} has no on_completion, so it is no hook"])
    return CompletionHook(hook, types)


def find(name: str) -> CompletionHook | None:
    """The hook of that name; None when it is empty, and with a line in the log when there is none that works."""
    try:
        return make(name) if name else None
    except ConfigError as error:
        _logger.warning("%s", error.problems[0])
        return None
