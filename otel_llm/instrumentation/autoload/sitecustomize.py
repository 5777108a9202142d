"""Runs at the start of every Python that `otel-llm exec` started, and of those that these start.

It imports as good as nothing: what makes telemetry is imported when the app imports a library that has a hook. So
reloaders, build tools and shells stay as quick as they were.
"""

from __future__ import annotations

import importlib
import importlib.machinery
import importlib.util
import sys
from pathlib import Path

from otel_llm.instrumentation.imports import ImportWatch
from otel_llm.instrumentation.libraries import LIBRARIES


def _run_the_other() -> None:
    """Run the environment's own sitecustomize, in whose place this one was found."""
    here = Path(__file__).resolve().parent
    path = [entry for entry in sys.path if Path(entry or ".").resolve() != here]
    spec = importlib.machinery.PathFinder.find_spec("sitecustomize", path)
    if spec is not None and spec.loader is not None:
        spec.loader.exec_module(importlib.util.module_from_spec(spec))


def _start(_: object) -> None:
    importlib.import_module("otel_llm.auto")


_watch = ImportWatch()
for _name, _row in LIBRARIES.items():
    for _module in (_row.watch, *_row.more):
        _watch.when_imported(_module, _start, _row.family or (_name,))
_run_the_other()
