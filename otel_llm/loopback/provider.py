"""The loopback provider without a socket: a request's path, header and body in, an answer out."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final, Literal

from otel_llm.loopback import directives as directive_grammar
from otel_llm.loopback.anthropic_messages import Messages
from otel_llm.loopback.directives import DirectiveError, Directives
from otel_llm.loopback.json_types import JsonObject, string_at
from otel_llm.loopback.ledger import Served, ServedLedger
from otel_llm.loopback.openai_chat import ChatCompletions
from otel_llm.loopback.openai_embeddings import Embeddings
from otel_llm.loopback.openai_responses import Responses
from otel_llm.loopback.prompt import Prompt
from otel_llm.loopback.reply import Model, Reply
from otel_llm.loopback.wire import WireFormat

ROUTES: Final[dict[str, WireFormat]] = {
    "/chat/completions": ChatCompletions(),
    "/responses": Responses(),
    "/embeddings": Embeddings(),
    "/messages": Messages(),
}
"""Wire formats by the end of the path, so that any base URL works."""

MAX_DELAY_SECONDS: Final = 30.0


@dataclass(frozen=True, slots=True)
class Answer:
    """What goes back to the caller.

    Attributes:
        status: HTTP status.
        body: a JSON body; None when `events` are streamed.
        events: server-sent events; empty for a plain answer.
        headers: besides content type and length.
        ends: `cut` when the connection is closed instead of ending the answer properly.
        delay_seconds: wait before the first byte.
        served: what the ledger notes once the answer went out.
    """

    status: int
    body: JsonObject | None = None
    events: Iterable[bytes] = ()
    headers: dict[str, str] = field(default_factory=dict)
    ends: Literal["properly", "cut"] = "properly"
    delay_seconds: float = 0.0
    served: Served | None = None


class Provider:
    """Answers requests and remembers what it served. Thread-safe; `_failures` is guarded by `_lock`."""

    def __init__(self) -> None:
        self.ledger = ServedLedger()
        self._model = Model()
        self._lock = threading.Lock()
        self._failures: Counter[str] = Counter()

    def answer(self, path: str, header: str | None, body: bytes) -> Answer:
        """The answer to a POST of `body` to `path` with the directives in `header`."""
        wire = next((wire for end, wire in ROUTES.items() if path.partition("?")[0].endswith(end)), None)
        if wire is None:
            return Answer(404, _unknown_path(path))
        request = _json_object(body)
        if request is None:
            return Answer(400, wire.error(400, "", "The body must be a JSON object."))
        model = string_at(request, "model")
        if not model:
            return Answer(400, wire.error(400, "", "`model` must be a string that is not empty."))
        try:
            name, directives = directive_grammar.parse(model, header)
        except DirectiveError as error:
            return Answer(400, wire.error(400, model, str(error)))
        return self._answer_prompt(wire, wire.read(name, request), directives)

    def _answer_prompt(self, wire: WireFormat, prompt: Prompt, directives: Directives) -> Answer:
        delay = min((directives.delay_ms or 0) / 1000, MAX_DELAY_SECONDS)
        if directives.error is not None and self._fails(prompt, directives):
            return _failure(wire, prompt, directives, delay)
        reply = self._model.answer(prompt, directives)
        headers = {"x-request-id": f"req_{reply.id}", "request-id": f"req_{reply.id}"}
        cut = directives.drop_after is not None
        served = _served(prompt, reply, cut=cut)
        if prompt.stream:
            events = _paced(wire.stream(prompt, reply), directives)
            return Answer(200, None, events, headers, "cut" if cut else "properly", delay, served)
        return Answer(200, wire.whole(prompt, reply), (), headers, "cut" if cut else "properly", delay, served)

    def _fails(self, prompt: Prompt, directives: Directives) -> bool:
        if directives.fail_times is None:
            return True
        key = f"{prompt.api}\n{prompt.model}\n{prompt.text}"
        with self._lock:
            self._failures[key] += 1
            return self._failures[key] <= directives.fail_times


def _json_object(body: bytes) -> JsonObject | None:
    try:
        request = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return request if isinstance(request, dict) else None


def _unknown_path(path: str) -> JsonObject:
    known = ", ".join(f"POST /v1{end}" for end in ROUTES)
    return {
        "error": {
            "message": f"No such path: {path[:200]}. The loopback provider knows {known}.",
            "type": "invalid_request_error",
        }
    }


def _failure(wire: WireFormat, prompt: Prompt, directives: Directives, delay: float) -> Answer:
    status = directives.error if directives.error and 400 <= directives.error <= 599 else 500  # noqa: PLR2004 - HTTP's error statuses
    headers = {} if directives.retry_after is None else {"retry-after": str(directives.retry_after)}
    served = Served(
        prompt.api, prompt.model, None, None, status, prompt.stream, None, usage_reported=False, completed=True
    )
    return Answer(status, wire.error(status, prompt.model, directives.text), (), headers, "properly", delay, served)


def _served(prompt: Prompt, reply: Reply, *, cut: bool) -> Served:
    reported = not cut and (prompt.include_usage or not prompt.stream)
    return Served(
        prompt.api,
        prompt.model,
        reply.model,
        reply.id,
        200,
        prompt.stream,
        reply.usage,
        usage_reported=reported,
        completed=not cut,
    )


def _paced(events: Iterator[bytes], directives: Directives) -> Iterator[bytes]:
    pause = min((directives.chunk_delay_ms or 0) / 1000, MAX_DELAY_SECONDS)
    for number, event in enumerate(events):
        if directives.drop_after is not None and number >= directives.drop_after:
            return
        if pause and number:
            time.sleep(pause)
        yield event
