"""A judge that is a Python function of the user's."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from typing import cast

import msgspec

from otel_llm.errors import ConfigError, PermanentError
from otel_llm.processors.judging.question import Reply


class FunctionJudge:
    """Calls a function with the instructions and the material; it returns the label, or JSON as a model would.

    The function has no time limit but its own: one that hangs takes a worker with it.

    Args:
        path: `package.module:function`.
        setting: where that stands in the configuration, for messages.

    Raises:
        ConfigError: there is no such function.
    """

    def __init__(self, path: str, setting: str) -> None:
        self.model = path
        module, _, name = path.partition(":")
        try:
            found = getattr(importlib.import_module(module), name)
        except (ImportError, AttributeError, ValueError) as error:
            raise ConfigError([f"{setting}: cannot be imported from {path!r}: {error}"]) from error
        if not callable(found):
            raise ConfigError([f"{setting}: expected a function at {path!r}, got a {type(found).__name__}"])
        self._function = cast("Callable[[str, str], object]", found)

    def ask(self, instructions: str, material: str, schema: Mapping[str, object]) -> Reply:
        """What the function returns.

        Raises:
            PermanentError: it returns something else than text.
        """
        del schema
        answer = self._function(instructions, material)
        if not isinstance(answer, str):
            raise PermanentError(f"the judge returned a {type(answer).__name__}, expected text")
        if answer.lstrip().startswith("{"):
            return Reply(answer)
        return Reply(msgspec.json.encode({"label": answer.strip(), "evidence": ""}).decode())

    def close(self) -> None:
        """Nothing to end."""
