"""Being told when modules have been imported: hooks go in without importing what the app may never use.

The law of this module: a hook goes in when its library can be imported from, all of it. A package imports its own parts
and other libraries while it runs, so what waits for a part waits until the outermost import of the package is through.
Several watches may be there (the start-up code has one, the loader another); a module that was found by any of them is
reported to all. Imports next to nothing itself, for it runs in every process.
"""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import sys
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Final, TypeAlias

Then: TypeAlias = "Callable[[ModuleType], None]"

# Modules that have run, while Python still counts them as being imported.
_executed: Final[set[str]] = set()


class _Thread(threading.local):
    """What this thread imports now.

    Attributes:
        running: the modules that run, the outermost first.
        finding: the module that a watch asks the other finders for.
    """

    def __init__(self) -> None:
        self.running: list[str] = []
        self.finding: str | None = None


_thread: Final = _Thread()


@dataclass(frozen=True, slots=True)
class _Waiting:
    """What is to be done once a module has been imported.

    Attributes:
        then: is called with the module.
        family: packages none of which may be half imported then.
    """

    then: Then
    family: tuple[str, ...]


class _Loader(importlib.abc.Loader):
    """A module's own loader, which tells all watches when it is through."""

    def __init__(self, loader: importlib.abc.Loader) -> None:
        self._loader = loader

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType | None:
        """As the module's own loader."""
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        """As the module's own loader; then the hooks."""
        # Whoever asks for the loader later gets the module's own.
        module.__loader__ = self._loader
        if module.__spec__ is not None:
            module.__spec__.loader = self._loader
        name = module.__name__
        _thread.running.append(name)
        try:
            self._loader.exec_module(module)
            _executed.add(name)
        finally:
            _thread.running.pop()
            for watch in [finder for finder in sys.meta_path if isinstance(finder, ImportWatch)]:
                watch.ran(module)


class ImportWatch(importlib.abc.MetaPathFinder):
    """Calls back when modules have been imported."""

    def __init__(self) -> None:
        self._waiting: dict[str, list[_Waiting]] = {}
        self._families: tuple[str, ...] = ()
        # By the outermost module that has to be through first.
        self._deferred: dict[str, list[tuple[_Waiting, ModuleType]]] = {}
        self._lock = threading.Lock()

    def when_imported(self, name: str, then: Then, family: Iterable[str] = ()) -> None:
        """Call `then` with the module: now when it is imported already, else once it will have been.

        Args:
            name: the module.
            then: what to do.
            family: packages to wait for as well, where the module is imported by one of them.
        """
        module = sys.modules.get(name)
        waiting = _Waiting(then, tuple(family))
        with self._lock:
            if self not in sys.meta_path:
                sys.meta_path.insert(0, self)
            self._families = tuple({*self._families, *waiting.family})
            if module is None or _is_initializing(module):
                self._waiting.setdefault(name, []).append(waiting)
                return
        self._imported(waiting, module)

    def forget(self) -> None:
        """Wait for nothing any more."""
        with self._lock:
            self._waiting.clear()
            self._deferred.clear()
            self._families = ()
            if self in sys.meta_path:
                sys.meta_path.remove(self)

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """The module's own spec with a loader that calls back; None for what nobody waits for."""
        if _thread.finding == fullname or not self._is_waited_for(fullname):
            return None
        outer, _thread.finding = _thread.finding, fullname
        try:
            spec = _found_by_others(fullname, path, target)
        finally:
            _thread.finding = outer
        if spec is not None and spec.loader is not None and hasattr(spec.loader, "exec_module"):
            spec.loader = _Loader(spec.loader)
        return spec

    def _is_waited_for(self, name: str) -> bool:
        return name in self._waiting or _is_of(name, self._families)

    def ran(self, module: ModuleType) -> None:
        """A module has run, or failed to."""
        name = module.__name__
        with self._lock:
            deferred = self._deferred.pop(name, [])
            waiting = self._waiting.pop(name, []) if name in _executed else []
        for one, imported in [*deferred, *((one, module) for one in waiting)]:
            self._imported(one, imported)

    def _imported(self, waiting: _Waiting, module: ModuleType) -> None:
        """Call back, or wait for what still runs."""
        outermost = next((name for name in _thread.running if _is_of(name, waiting.family)), None)
        if outermost is None:
            waiting.then(module)
            return
        with self._lock:
            self._deferred.setdefault(outermost, []).append((waiting, module))


def _is_of(name: str, family: tuple[str, ...]) -> bool:
    return name.startswith(family) and any(name == one or name.startswith(one + ".") for one in family)


def _found_by_others(
    fullname: str, path: Sequence[str] | None, target: ModuleType | None
) -> importlib.machinery.ModuleSpec | None:
    for finder in list(sys.meta_path):
        if not isinstance(finder, ImportWatch) and hasattr(finder, "find_spec"):
            spec = finder.find_spec(fullname, path, target)
            if spec is not None:
                return spec
    return None


def _is_initializing(module: ModuleType) -> bool:
    return module.__name__ not in _executed and bool(getattr(module.__spec__, "_initializing", False))
