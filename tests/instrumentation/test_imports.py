"""Hooks go in when a library can be imported from, all of it, whoever imports whom. Acceptance 46."""

from __future__ import annotations

import importlib
import subprocess
import sys

import pytest

from otel_llm.instrumentation.imports import ImportWatch


@pytest.fixture
def watch():
    watch = ImportWatch()
    yield watch
    watch.forget()


@pytest.fixture
def package(tmp_path, monkeypatch):
    """Makes modules by path and text, which are forgotten afterwards."""
    made = []

    def make(modules):
        for name, text in modules.items():
            path = tmp_path.joinpath(*name.split("/")).with_suffix(".py")
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)
            made.append(name.partition("/")[0])

    monkeypatch.syspath_prepend(tmp_path)
    yield make
    for name in [name for name in sys.modules if name.partition(".")[0] in made]:
        del sys.modules[name]


def test_hooks_wait_for_the_import_and_import_nothing_themselves():
    script = """
import sys
from otel_llm.instrumentation.imports import ImportWatch
seen = []
watch = ImportWatch()
watch.when_imported("colorsys", lambda module: seen.append((module.__name__, hasattr(module, "rgb_to_hsv"))))
assert "colorsys" not in sys.modules and seen == []
import colorsys
assert seen == [("colorsys", True)], seen
assert type(colorsys.__loader__).__module__ != "otel_llm.instrumentation.imports"
watch.when_imported("colorsys", lambda module: seen.append("again"))
assert seen[1:] == ["again"]
"""
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)


def test_forgetting_takes_the_watch_off_the_import_path(watch):
    watch.when_imported("no_such_module_anywhere", lambda _: None)
    assert watch in sys.meta_path
    watch.forget()
    assert watch not in sys.meta_path


def test_what_waits_for_a_part_waits_until_its_package_is_through(watch, package):
    package({"whole/__init__": "from whole import part\nlate = 1", "whole/part": ""})
    seen = []
    watch.when_imported("whole.part", lambda _: seen.append(hasattr(sys.modules["whole"], "late")), ["whole"])
    importlib.import_module("whole")
    assert seen == [True]


def test_a_package_waits_for_those_of_its_family_that_import_it_and_for_no_others(watch, package):
    package({"core": "", "graph": "import core\nlate = 1", "app": "import core\nlate = 1"})
    seen = []

    def look(_):
        seen.append(
            [name for name in ("graph", "app") if name in sys.modules and not hasattr(sys.modules[name], "late")]
        )

    watch.when_imported("core", look, ["core", "graph"])
    importlib.import_module("app")
    assert seen == [["app"]]
    del sys.modules["core"]
    watch.when_imported("core", look, ["core", "graph"])
    importlib.import_module("graph")
    assert seen[1:] == [[]]


def test_a_package_that_is_being_imported_when_somebody_begins_to_wait_for_it_is_not_missed(watch, package):
    """An agent framework imports a provider's SDK, whose import starts instrumentation: the framework is under way."""
    package({"framework": "import sdk\nlate = 1", "sdk": ""})
    loader, seen = ImportWatch(), []

    def start(_):
        loader.when_imported("framework", lambda module: seen.append(hasattr(module, "late")))

    watch.when_imported("framework", lambda _: None)
    watch.when_imported("sdk", start)
    importlib.import_module("framework")
    loader.forget()
    assert seen == [True]


def test_a_package_that_fails_to_import_holds_nothing_up(watch, package):
    package({"broken/__init__": "from broken import part\nraise RuntimeError('no')", "broken/part": ""})
    seen = []
    watch.when_imported("broken.part", lambda module: seen.append(module.__name__), ["broken"])
    watch.when_imported("broken", lambda _: seen.append("never"))
    with pytest.raises(RuntimeError, match="no"):
        importlib.import_module("broken")
    assert seen == ["broken.part"]
