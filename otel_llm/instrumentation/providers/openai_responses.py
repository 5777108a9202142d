"""OpenAI's Responses: create, in the background too, stream, retrieve and compact.

Source: OpenAI API reference, Responses.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from otel_llm._generated import attributes as names
from otel_llm.dialects.messages import (
    canonical_finish_reason,
    canonical_messages,
    canonical_tool_definitions,
    text_messages,
)
from otel_llm.instrumentation.provider import Attributes, Body, Content, Endpoint, plain
from otel_llm.instrumentation.providers.openai_chat import chat_request
from otel_llm.instrumentation.providers.openai_usage import read_identity, read_usage
from otel_llm.instrumentation.replace import replace_texts

_UNFINISHED: Final = frozenset({"queued", "in_progress"})
_ENDS: Final = frozenset({"response.completed", "response.incomplete", "response.failed"})


def response(answer: Any) -> Attributes:  # noqa: ANN401 - the SDK's model
    """Id, model, finish reasons and usage of a response."""
    found = _said(answer)
    read_usage(getattr(answer, "usage", None), found)
    return found


def fetched(answer: Any) -> Attributes:  # noqa: ANN401 - the SDK's model
    """As `response`, with its status and without usage, which would be counted twice (semconv fetch_response)."""
    found = _said(answer)
    status = getattr(answer, "status", None)
    if isinstance(status, str):
        found[names.GEN_AI_RESPONSE_STATUS] = status
    return found


def _said(answer: Any) -> Attributes:  # noqa: ANN401 - the SDK's model
    found: Attributes = {}
    read_identity(answer, found)
    status = getattr(answer, "status", None)
    if isinstance(status, str) and status not in _UNFINISHED:
        found[names.GEN_AI_RESPONSE_FINISH_REASONS] = [_finish_reason(answer, status)]
    return found


def _finish_reason(answer: Any, status: str) -> str:  # noqa: ANN401 - the SDK's model
    """Why the model stopped, which a response says in other words."""
    if status == "incomplete":
        details = getattr(answer, "incomplete_details", None)
        return canonical_finish_reason(getattr(details, "reason", None) or "length")
    if status != "completed":
        return "error" if status == "failed" else status
    output = getattr(answer, "output", None) or ()
    calls = any(getattr(item, "type", None) in ("function_call", "custom_tool_call") for item in output)
    return "tool_call" if calls else "stop"


def is_background(answer: Any) -> bool:  # noqa: ANN401 - the SDK's model
    """Whether the answer is still being made."""
    return getattr(answer, "status", None) in _UNFINISHED


def response_input(body: Body) -> Content:
    """Input items, instructions and tools of a request."""
    given = body.get("input")
    if isinstance(given, str):
        said = canonical_messages(text_messages(given, "user"))
    else:
        items = [plain(item) for item in given] if isinstance(given, list | tuple) else given
        said = canonical_messages({"input": items} if items is not None else None)
    instructions = body.get("instructions")
    system = [*said.system]
    if isinstance(instructions, str) and instructions:
        system.insert(0, {"type": "text", "content": instructions})
    return Content(said.messages, system, canonical_tool_definitions(body.get("tools")))


def response_output(answer: Any) -> Content:  # noqa: ANN401 - the SDK's model
    """The one choice's message."""
    return Content(canonical_messages(plain(answer), "assistant").messages)


class ResponseEvents:
    """Collects the events of a streamed response. The last one carries all of it.

    Args:
        captured: whether the texts are wanted.
    """

    __slots__ = ("_captured", "_pieces", "_response", "_texts", "is_complete")

    def __init__(self, captured: bool) -> None:  # noqa: FBT001 - the accumulator's signature
        self._captured = captured
        self._response: Any = None
        self._pieces = 0
        self._texts: list[str] = []
        self.is_complete = False

    def add(self, event: Any) -> None:  # noqa: ANN401 - the SDK's model
        """Take an event."""
        kind = event.type
        if kind.endswith(".delta"):
            self._pieces += 1
            if self._captured and kind == "response.output_text.delta":
                self._texts.append(event.delta)
        elif kind in _ENDS:
            self._response = event.response
            self.is_complete = True
        elif self._response is None:
            self._response = getattr(event, "response", None)

    @property
    def output_estimate(self) -> int:
        """The API sends a token or so with each delta."""
        return self._pieces

    def attributes(self) -> Attributes:
        """What the events say."""
        return {} if self._response is None else response(self._response)

    def output(self) -> Content:
        """The message as far as it came."""
        if self.is_complete:
            return response_output(self._response)
        return Content(text_messages("".join(self._texts), "assistant"))


def _fetch_request(body: Body) -> Attributes:
    path = str(body.get("url", "")).partition("?")[0].rstrip("/")
    found: Attributes = {names.GEN_AI_RESPONSE_ID: path.rpartition("/")[2]}
    cursor = body.get("starting_after")
    if isinstance(cursor, int | str):
        found[names.GEN_AI_REQUEST_STREAM_CURSOR] = str(cursor)
    return found


class FetchedEvents(ResponseEvents):
    """As ResponseEvents, for a response that is fetched: without usage, and nothing to estimate."""

    __slots__ = ()

    def attributes(self) -> Attributes:
        """What the events say."""
        return {} if self._response is None else fetched(self._response)


_TYPE: Final[Mapping[str, str]] = {names.OPENAI_API_TYPE: "responses"}
RESPONSES: Final = Endpoint(
    name="responses",
    operation="chat",
    request=chat_request,
    response=response,
    input=response_input,
    output=response_output,
    accumulator=ResponseEvents,
    replace_input=replace_texts(response_input, "input", "instructions"),
    constant=_TYPE,
    is_pending=is_background,
)
COMPACT: Final = Endpoint(
    name="compact",
    operation="chat",
    request=chat_request,
    response=response,
    input=response_input,
    constant=_TYPE,
)
DECISIONS: Final = Endpoint(
    name="decisions",
    operation="chat",
    request=chat_request,
    response=response,
    input=response_input,
    replace_input=replace_texts(response_input, "input"),
)
FETCH: Final = Endpoint(
    name="fetch_response",
    operation="fetch_response",
    request=_fetch_request,
    response=fetched,
    output=response_output,
    accumulator=FetchedEvents,
    constant=_TYPE,
    model_in_span_name=False,
    completes=lambda answer: None if is_background(answer) else getattr(answer, "id", None),
)
