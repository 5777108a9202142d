"""What the loopback provider served: the truth that telemetry is compared with."""

from __future__ import annotations

import threading
from dataclasses import asdict, dataclass, replace

from otel_llm.loopback.json_types import JsonObject
from otel_llm.loopback.prompt import Api
from otel_llm.loopback.usage import Usage

MAX_ENTRIES = 100_000


@dataclass(frozen=True, slots=True)
class Served:
    """One request and what became of it.

    Attributes:
        api: which wire format.
        request_model: requested model, without directives.
        response_model: the model that answered; None for errors.
        response_id: None for errors. Embeddings have one that is not sent.
        status: HTTP status.
        stream: whether it was asked to be streamed.
        usage: tokens billed; None for errors. A stream that broke off is billed in full.
        usage_reported: whether the caller was told the usage (a broken stream or one without `include_usage` does not).
        completed: whether the whole answer was sent; true while it is being sent.
    """

    api: Api
    request_model: str
    response_model: str | None
    response_id: str | None
    status: int
    stream: bool
    usage: Usage | None
    usage_reported: bool
    completed: bool


class ServedLedger:
    """The served requests in the order in which their answers began, at most `MAX_ENTRIES`. Thread-safe by `_lock`."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._count = 0
        self._entries: dict[int, Served] = {}

    def add(self, served: Served) -> int:
        """Note a request before its answer goes out, so that whoever has the answer finds it; returns its number."""
        with self._lock:
            self._count += 1
            self._entries[self._count] = served
            if len(self._entries) > MAX_ENTRIES:
                del self._entries[next(iter(self._entries))]
            return self._count

    def broke_off(self, number: int) -> None:
        """Note that an answer could not be sent to its end; nothing happens when the request was forgotten."""
        with self._lock:
            if number in self._entries:
                self._entries[number] = replace(self._entries[number], completed=False, usage_reported=False)

    def clear(self) -> None:
        """Forget all requests."""
        with self._lock:
            self._entries.clear()

    def entries(self) -> tuple[Served, ...]:
        """All requests noted."""
        with self._lock:
            return tuple(self._entries.values())

    def as_json(self) -> JsonObject:
        """All requests noted, as `GET /ledger` answers them."""
        return {"served": [asdict(served) for served in self.entries()]}
