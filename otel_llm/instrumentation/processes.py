"""Context across processes: a child that is instrumented as well finds it with what it was handed.

It travels as text beside the app's own data, under the keys of `ambient` and no others. A forked child has it anyway; a
spawned one gets it with its process object, a pool's with each function.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any, Final

from otel_llm.instrumentation import ambient
from otel_llm.instrumentation.engine import Engine
from otel_llm.instrumentation.loader import Library
from otel_llm.instrumentation.patches import Patches
from otel_llm.instrumentation.threads import Within

_CARRIED: Final = "_otel_llm_carrier"


class Carried:
    """The same for another process: the context as text, which pickles."""

    __slots__ = ("_carried", "_function")

    def __init__(self, function: Callable[..., Any], carried: Mapping[str, str]) -> None:
        self._function = function
        self._carried = dict(carried)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - the app's function
        """The function."""
        return Within(self._function, ambient.arrived(self._carried))(*args, **kwargs)


def _submit_to_process(patches: Patches) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """The hook for `ProcessPoolExecutor.submit`."""

    def make(original: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(original)
        def submit(pool: Any, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - the app's
            carried = ambient.carrier() if patches.is_active else {}
            return original(pool, Carried(function, carried) if carried else function, *args, **kwargs)

        return submit

    return make


def _start_process(patches: Patches) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """The hook for `BaseProcess.start`: the child finds the context in the process object."""

    def make(original: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(original)
        def start(process: Any) -> None:  # noqa: ANN401 - the app's process
            carried = ambient.carrier() if patches.is_active else {}
            if carried:
                setattr(process, _CARRIED, carried)
            original(process)

        return start

    return make


def _run_process(original: Callable[..., Any]) -> Callable[..., Any]:
    """The hook for `BaseProcess.run`, in the child."""

    @functools.wraps(original)
    def run(process: Any) -> None:  # noqa: ANN401 - the app's process
        carried = getattr(process, _CARRIED, None)
        if carried:
            Carried(original, carried)(process)
        else:
            original(process)

    return run


def _install(_: Engine, patches: Patches, module: ModuleType) -> list[str]:
    if module.__name__ == "concurrent.futures.process":
        patches.replace(module.ProcessPoolExecutor, "submit", _submit_to_process(patches))
    else:
        patches.replace(module.BaseProcess, "start", _start_process(patches))
        patches.replace(module.BaseProcess, "run", _run_process)
    return []


LIBRARY: Final = Library(_install)
