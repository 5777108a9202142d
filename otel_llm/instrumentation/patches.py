"""Putting hooks into libraries and taking them out again, whatever others do to the same attributes meanwhile.

The law of this module: an attribute that is ours gets its original back, the very object; one that somebody has wrapped
since stays as it is, and our hook inside of it turns into a pass-through. Putting a hook in twice puts it in once.
"""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import importlib.util
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any, Final

MARK: Final = "__otel_llm_hook__"
# Modules that have run, while Python still counts them as being imported.
_executed: Final[set[str]] = set()


@dataclass(slots=True)
class Patch:
    """One attribute that was replaced.

    Attributes:
        owner: the class or module.
        name: the attribute.
        original: what was there.
        hook: what is there now.
        was_own: whether the owner itself had it, rather than inheriting it.
    """

    owner: Any
    name: str
    original: Any
    hook: Any
    was_own: bool


@dataclass(slots=True)
class Patches:
    """The attributes that were replaced for one library.

    Attributes:
        is_active: whether the hooks do anything; those that cannot be taken out look here.
        undo: what else is to be undone.
    """

    is_active: bool = True
    undo: list[Callable[[], None]] = field(default_factory=list)
    _patches: list[Patch] = field(default_factory=list)

    def replace(self, owner: Any, name: str, make: Callable[[Any], Any]) -> bool:  # noqa: ANN401 - any class or module
        """Replace `owner.name` by what `make` makes of it.

        Returns:
            False when it is replaced already.

        Raises:
            AttributeError: there is no such attribute.
        """
        original = getattr(owner, name)
        if getattr(original, MARK, None) is self:
            return False
        hook = make(original)
        setattr(hook, MARK, self)
        self._patches.append(Patch(owner, name, original, hook, name in vars(owner)))
        setattr(owner, name, hook)
        return True

    def restore(self) -> None:
        """Take the hooks out where nobody wrapped them since; switch the others off."""
        self.is_active = False
        for patch in reversed(self._patches):
            if vars(patch.owner).get(patch.name) is not patch.hook:
                continue
            if patch.was_own:
                setattr(patch.owner, patch.name, patch.original)
            else:
                delattr(patch.owner, patch.name)
        self._patches.clear()
        while self.undo:
            self.undo.pop()()


class _Loader(importlib.abc.Loader):
    """A module's own loader, and what is to be done when it is through."""

    def __init__(self, loader: importlib.abc.Loader, loaded: Callable[[ModuleType], None]) -> None:
        self._loader = loader
        self._loaded = loaded

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType | None:
        """As the module's own loader."""
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        """As the module's own loader; then the hooks."""
        # Whoever asks for the loader later gets the module's own.
        module.__loader__ = self._loader
        if module.__spec__ is not None:
            module.__spec__.loader = self._loader
        self._loader.exec_module(module)
        _executed.add(module.__name__)
        self._loaded(module)


class ImportWatch(importlib.abc.MetaPathFinder):
    """Calls back when modules have been imported: hooks go in without importing what the app may never use."""

    def __init__(self) -> None:
        self._waiting: dict[str, list[Callable[[ModuleType], None]]] = {}
        self._lock = threading.Lock()
        self._finding = threading.local()

    def when_imported(self, name: str, then: Callable[[ModuleType], None]) -> None:
        """Call `then` with the module: now when it is imported already, else once it will have been."""
        module = sys.modules.get(name)
        if module is not None and not _is_initializing(module):
            then(module)
            return
        with self._lock:
            self._waiting.setdefault(name, []).append(then)
            if self not in sys.meta_path:
                sys.meta_path.insert(0, self)

    def forget(self) -> None:
        """Wait for nothing any more."""
        with self._lock:
            self._waiting.clear()
            if self in sys.meta_path:
                sys.meta_path.remove(self)

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """The module's own spec with a loader that calls back; None for what nobody waits for."""
        if fullname not in self._waiting or getattr(self._finding, "name", None) == fullname:
            return None
        self._finding.name = fullname
        try:
            spec = _found_by_others(self, fullname, path, target)
        finally:
            self._finding.name = None
        if spec is not None and spec.loader is not None and hasattr(spec.loader, "exec_module"):
            spec.loader = _Loader(spec.loader, self._loaded)
        return spec

    def _loaded(self, module: ModuleType) -> None:
        with self._lock:
            waiting = self._waiting.pop(module.__name__, [])
        for then in waiting:
            then(module)


def _found_by_others(
    us: ImportWatch, fullname: str, path: Sequence[str] | None, target: ModuleType | None
) -> importlib.machinery.ModuleSpec | None:
    for finder in list(sys.meta_path):
        if finder is not us and hasattr(finder, "find_spec"):
            spec = finder.find_spec(fullname, path, target)
            if spec is not None:
                return spec
    return None


def _is_initializing(module: ModuleType) -> bool:
    return module.__name__ not in _executed and bool(getattr(module.__spec__, "_initializing", False))
