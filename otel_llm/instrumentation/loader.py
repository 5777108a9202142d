"""Which emitter each library gets, and why: exactly one, never two on one client.

For each library that is installed, the first of these that is there emits:
 1. the library itself, where it traces itself and that is switched on;
 2. an instrumentation of others that is switched on already, or will be: our hook asks at each call, and only asks
    admissions then;
 3. our hook;
 4. an instrumentation of others, where we have no hook and one is installed.
Hooks go in when the app imports the library, so that nothing is imported for nothing, and what was imported before is
hooked as well: hooks stand on classes, not on names.
"""

from __future__ import annotations

import functools
import importlib
import importlib.util
import logging
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import ModuleType
from typing import Literal, TypeAlias

from otel_llm.instrumentation.engine import Engine
from otel_llm.instrumentation.imports import ImportWatch
from otel_llm.instrumentation.libraries import LIBRARIES, Row
from otel_llm.instrumentation.patches import Patches, nobody

_logger = logging.getLogger(__name__)

Status: TypeAlias = Literal[
    "instrumented", "native", "other", "waiting", "disabled", "not_installed", "removed", "missing"
]


@dataclass(frozen=True, slots=True)
class Library:
    """A library to instrument: what a provider's module offers as `LIBRARY`.

    Attributes:
        install: puts the hooks in, given the module that was watched for; returns the methods this version lacks.
        native: why the library emits by itself here, None when it does not; given the environment and the module that
            was watched for. Hooks go in all the same: they look at each client, and leave those spans alone.
        foreign: what says who else makes spans of its calls now, None when nobody does; given the module that was
            watched for.
        emitter: instead of all that, for frameworks: switches on what makes their spans, and says what that is and why.
    """

    install: Callable[[Engine, Patches, ModuleType], list[str]] = lambda _, __, ___: []
    native: Callable[[Mapping[str, str], ModuleType], str | None] = lambda _, __: None
    foreign: Callable[[ModuleType], Callable[[], str | None]] = lambda _: nobody
    emitter: Callable[[Engine, Patches, ModuleType], tuple[Status, str]] | None = None


@dataclass(frozen=True, slots=True)
class Choice:
    """What became of a library.

    Attributes:
        library: its import name.
        status: who emits, or why nobody does.
        reason: the same in words.
        missing: methods that the installed version does not have.
    """

    library: str
    status: Status
    reason: str
    missing: tuple[str, ...] = ()


@dataclass(slots=True)
class Loader:
    """Puts hooks in and takes them out.

    Args:
        engine: what makes telemetry.
        libraries: what to instrument.
        environment: the app's.
        companions: what to instrument as well once one of the libraries is.
    """

    engine: Engine
    libraries: Mapping[str, Row] = field(default_factory=lambda: LIBRARIES)
    environment: Mapping[str, str] = field(default_factory=lambda: os.environ)
    companions: Mapping[str, Row] = field(default_factory=dict)
    _patches: dict[str, Patches] = field(default_factory=dict)
    _choices: dict[str, Choice] = field(default_factory=dict)
    _watch: ImportWatch = field(default_factory=ImportWatch)

    def load(self) -> None:
        """Put the hooks in: now for what is imported, later for what will be. Doing it twice does it once."""
        self._load(self.libraries)

    def _load(self, rows: Mapping[str, Row]) -> None:
        for name, row in rows.items():
            if name in self._choices:
                continue
            if self.engine.settings.disabled & {"otel_llm", f"otel_llm.{name}"}:
                self._choose(Choice(name, "disabled", "OTEL_PYTHON_DISABLED_INSTRUMENTATIONS names it"))
            elif not _is_installed(name):
                self._choose(Choice(name, "not_installed", "not installed"))
            else:
                self._choose(Choice(name, "waiting", "not imported so far"))
                for module in (row.watch, *row.more):
                    then = functools.partial(self._imported, name, row)
                    self._watch.when_imported(module, then, row.family or (name,))

    def _imported(self, name: str, row: Row, module: ModuleType) -> None:
        choice = self.engine.boundary.run(f"{name}.load", self._hook, name, row, module)
        self._choose(choice or Choice(name, "missing", "its hooks could not be put in; see the log"))
        if name not in self.companions:
            self._load(self.companions)

    def _hook(self, name: str, row: Row, module: ModuleType) -> Choice:
        table = importlib.import_module(row.table)
        library: Library = table.by_others(*row.others) if row.others else table.LIBRARY
        preferred = dict(self.engine.settings.preferred).get(name)
        native = library.native(self.environment, module)
        if preferred == "other":
            return Choice(name, "other", "OTEL_LLM_EMITTERS says so")
        patches = self._patches.setdefault(name, Patches())
        # Providers of our own see nobody else's spans.
        if not self.engine.settings.private_providers:
            patches.emitted_by = library.foreign(module)
        if library.emitter is not None:
            return Choice(name, *library.emitter(self.engine, patches, module))
        missing = library.install(self.engine, patches, module)
        if missing:
            _logger.info("%s: this version has no %s; everything else is instrumented", name, ", ".join(missing))
        if native is not None:
            return Choice(name, "native", native, tuple(missing))
        return Choice(name, "instrumented", "our hook", tuple(missing))

    def unload(self) -> None:
        """Take every hook out again."""
        self._watch.forget()
        for name, patches in self._patches.items():
            patches.restore()
            self._choose(Choice(name, "removed", "uninstrumented"))
        self._patches.clear()

    def _choose(self, choice: Choice) -> None:
        self._choices[choice.library] = choice

    @property
    def choices(self) -> tuple[Choice, ...]:
        """What became of each library, as of now."""
        return tuple(self._now(choice) for choice in self._choices.values())

    def _now(self, choice: Choice) -> Choice:
        patches = self._patches.get(choice.library)
        other = None if patches is None else self.engine.boundary.run(f"{choice.library}.foreign", patches.emitted_by)
        if other is None or choice.status not in ("instrumented", "native"):
            return choice
        return Choice(choice.library, "other", f"{other} makes its spans; our hook asks admissions", choice.missing)


def _is_installed(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except (ImportError, ValueError):
        return False
