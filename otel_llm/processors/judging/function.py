"""A judge that is a Python function of the user's."""

from __future__ import annotations

import contextvars
import importlib
import threading
from collections.abc import Callable, Mapping
from typing import Final, cast

import msgspec

from otel_llm.errors import ConfigError, PermanentError, RetryableError
from otel_llm.processors.judging.question import Reply

# So many calls may hang before the function is not called any more; a thread cannot be ended from outside.
_MOST_HANGING: Final = 8


class FunctionJudge:
    """Calls a function with the instructions and the material; it returns the label, or JSON as a model would.

    Each call has a thread of its own: one that does not return in time is given up and left behind. With eight of
    these the function is not called any more until one comes back.

    Args:
        path: `package.module:function`.
        setting: where that stands in the configuration, for messages.
        timeout_seconds: how long one call may take.

    Raises:
        ConfigError: there is no such function.
    """

    def __init__(self, path: str, setting: str, timeout_seconds: float) -> None:
        self.model = path
        self._timeout = timeout_seconds
        self._hanging: set[_Call] = set()
        self._lock = threading.Lock()
        module, _, name = path.partition(":")
        try:
            found = getattr(importlib.import_module(module), name)
        except (ImportError, AttributeError, ValueError) as error:
            raise ConfigError([f"{setting}: cannot be imported from {path!r}: {error}"]) from error
        if not callable(found):
            raise ConfigError([f"{setting}: expected a function at {path!r}, got a {type(found).__name__}"])
        self._function = cast("Callable[[str, str], object]", found)

    @property
    def is_stuck(self) -> bool:
        """Whether too many calls hang."""
        with self._lock:
            self._hanging = {call for call in self._hanging if not call.is_done.is_set()}
            return len(self._hanging) >= _MOST_HANGING

    def ask(self, instructions: str, material: str, schema: Mapping[str, object]) -> Reply:
        """What the function returns.

        Raises:
            RetryableError: it did not return in time; caused by a TimeoutError.
            PermanentError: it returns something else than text.
            Exception: whatever the function raises.
        """
        del schema
        call = _Call(self._function, instructions, material)
        # The worker's context says that nothing of this is a call of the application.
        context = contextvars.copy_context()
        threading.Thread(target=context.run, args=(call.run,), name="otel-llm-judge-function", daemon=True).start()
        if not call.is_done.wait(self._timeout):
            with self._lock:
                self._hanging.add(call)
            raise RetryableError(f"{self.model} has not returned in time") from TimeoutError()
        answer = call.answer()
        if not isinstance(answer, str):
            raise PermanentError(f"the judge returned a {type(answer).__name__}, expected text")
        if answer.lstrip().startswith("{"):
            return Reply(answer)
        return Reply(msgspec.json.encode({"label": answer.strip(), "evidence": ""}).decode())

    def close(self) -> None:
        """Nothing to end."""


class _Call:
    """One call of the function, on a thread of its own."""

    __slots__ = ("_answer", "_arguments", "_error", "_function", "is_done")

    def __init__(self, function: Callable[[str, str], object], *arguments: str) -> None:
        self._function = function
        self._arguments = arguments
        self._answer: object = None
        self._error: Exception | None = None
        self.is_done = threading.Event()

    def run(self) -> None:
        """Call it."""
        try:
            self._answer = self._function(*self._arguments)
        except Exception as error:  # noqa: BLE001 - goes on in the worker, as if it had been raised there
            self._error = error
        finally:
            self.is_done.set()

    def answer(self) -> object:
        """What it returned, once it is done.

        Raises:
            Exception: what it raised.
        """
        if self._error is not None:
            raise self._error
        return self._answer
