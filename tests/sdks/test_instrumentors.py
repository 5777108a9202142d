"""Instrumentations of others with their real packages: found by entry point, switched on, named, and switched off."""

from __future__ import annotations

import importlib
import importlib.util

import pytest

from otel_llm.instrumentation.frameworks.others import first_installed
from otel_llm.instrumentation.libraries import LIBRARIES

# What the versions in environments.toml do not get along with: the instrumentor imports what the library lacks.
UNFIT = {"google.adk"}
OTHERS = {name: row for name, row in LIBRARIES.items() if row.others}


def is_installed(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:  # of a package above it
        return False


@pytest.mark.timeout(120)
@pytest.mark.parametrize("name", OTHERS)
def test_the_first_that_is_installed_is_switched_on_and_off(recording, name):
    """The loader says who makes the spans, or what to install."""
    row = OTHERS[name]
    entry = first_installed(row.others)
    if not is_installed(name) or entry is None:
        pytest.skip(f"{name}, or what makes its spans, is not installed; see tests/sdks/README.md")
    importlib.import_module(row.watch)
    instrumentor = entry.load()()
    assert not instrumentor.is_instrumented_by_opentelemetry
    with recording.hooked(name) as loader:
        [choice] = loader.choices
        if name in UNFIT:
            assert choice.status == "missing"
            assert choice.reason.startswith(f"{entry.dist.name} cannot be switched on with this version")
            return
        assert choice.status == "other", choice.reason
        assert choice.reason == f"{entry.dist.name} is switched on"
        assert instrumentor.is_instrumented_by_opentelemetry
    assert not instrumentor.is_instrumented_by_opentelemetry
    assert [one.status for one in loader.choices] == ["removed"]
    with recording.hooked(name) as loader:
        assert [one.status for one in loader.choices] == ["other"]
    assert not instrumentor.is_instrumented_by_opentelemetry
