"""Whether somebody else makes OpenTelemetry spans of a method's calls.

Those who do wrap it with `wrapt`, whose wrappers say which function they call. They may come before us or after us, so
hooks ask at each call. Whoever wraps a method and reports elsewhere (ddtrace, New Relic, the app itself) is no emitter:
to step aside for them would leave the call without a span.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any, Final, TypeAlias

# The packages of those whose spans go where the app's spans go.
_EMITTERS: Final = ("opentelemetry.", "openinference.", "openlit.", "langfuse.", "traceloop.", "logfire.", "agentops.")
# An attribute and what it was when it was last looked at: asking again costs a look into a dict.
_Seen: TypeAlias = "tuple[Mapping[str, object], str, object]"


class _Places:
    """Methods that emitters wrap.

    Args:
        places: as `wrapped_by` has them.
    """

    __slots__ = ("_found", "_places", "_seen")

    def __init__(self, places: tuple[tuple[ModuleType | str, str], ...]) -> None:
        self._places = places
        self._found: str | None = None
        self._seen: list[_Seen] = []
        self._look()

    def __call__(self) -> str | None:
        """Who has wrapped one of them now."""
        for namespace, name, was in self._seen:
            if namespace.get(name) is not was:
                return self._look()
        return self._found

    def _look(self) -> str | None:
        seen: list[_Seen] = []
        found: str | None = None
        for module, path in self._places:
            *owners, name = path.split(".")
            owner: Any = sys.modules.get(module) if isinstance(module, str) else module
            if owner is None:
                seen.append((sys.modules, str(module), None))
                continue
            for one in owners:
                owner = getattr(owner, one, None)
            seen.append((getattr(owner, "__dict__", {}), name, getattr(owner, "__dict__", {}).get(name)))
            found = found or _emitter_of(getattr(owner, name, None))
        self._seen, self._found = seen, found
        return found


def _emitter_of(method: object) -> str | None:
    """The module of the emitter that has wrapped this; wrappers may be wrapped in turn."""
    while (wrapper := getattr(method, "_self_wrapper", None)) is not None:
        who = str(getattr(wrapper, "__module__", None) or type(wrapper).__module__)
        if who.startswith(_EMITTERS):
            return who
        method = getattr(method, "__wrapped__", None)
    return None


def wrapped_by(*places: tuple[ModuleType | str, str]) -> Callable[[], str | None]:
    """What says which emitter has wrapped one of these methods, by its module; None when none has.

    Args:
        places: a module, or the name of one that may be imported, and the path of a method in it.
    """
    return _Places(places)
