"""The run of an agent that is under way here, and what it has set going: model calls and tools.

Each is counted for the nearest agent around it, so once in a tree of agents. Counted is what was begun, failed ones
included; what an admission stopped was not.
Source: semconv gen_ai.invoke_agent.inference_calls, gen_ai.invoke_agent.tool_calls.
"""

from __future__ import annotations

import threading
from typing import Final

from opentelemetry import context
from opentelemetry.context import Context

_KEY: Final = context.create_key("otel_llm.agent")


class Invocation:
    """One run of an agent. Thread-safe: an agent may call from many threads at once.

    Attributes:
        name: of the agent, None when it has none.
        inference_calls: model calls so far.
        tool_calls: executions of tools so far.
    """

    __slots__ = ("_lock", "inference_calls", "name", "tool_calls")

    def __init__(self, name: str | None) -> None:
        self.name = name
        self.inference_calls = 0
        self.tool_calls = 0
        self._lock = threading.Lock()

    def calls_model(self) -> None:
        """A model is called."""
        with self._lock:
            self.inference_calls += 1

    def calls_tool(self) -> None:
        """A tool is executed."""
        with self._lock:
            self.tool_calls += 1


def current(at: Context | None = None) -> Invocation | None:
    """The run that is under way in a context, by default here."""
    found = context.get_value(_KEY, at)
    return found if isinstance(found, Invocation) else None


def within(invocation: Invocation, at: Context) -> Context:
    """A context in which this run is under way."""
    return context.set_value(_KEY, invocation, at)
