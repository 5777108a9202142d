from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from otel_llm import components
from otel_llm.clock import SystemClock
from otel_llm.components import KINDS, find_type, known_types
from otel_llm.config.schema import installed_types
from otel_llm.errors import ConfigError
from otel_llm.telemetry import Metrics
from tests.config.documents import SMALL, Folder


class Packages:
    """Packages that are really installed, in a folder of their own."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def install(self, package: str, entry_points: str, source: str = "") -> None:
        """A distribution with a module of the same name."""
        (self._path / f"{package}.py").write_text(source)
        info = self._path / f"{package}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(entry_points)
        components._entry_points.cache_clear()


@pytest.fixture
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Packages]:
    site = tmp_path / "site"
    site.mkdir()
    monkeypatch.syspath_prepend(site)
    components._entry_points.cache_clear()
    yield Packages(site)
    components._entry_points.cache_clear()


UPPER = '''
import msgspec

class Config(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Makes things upper case."""
    key: str
    """Which."""

class Upper:
    reads = writes = frozenset()
    def __init__(self, name, key):
        self.name, self.key = name, key
    def process(self, operations):
        pass

def create(config, context):
    return Upper(context.name, config.key)
'''


def problem_of(name: str) -> str:
    with pytest.raises(ConfigError) as raised:
        find_type("processor", name)
    (problem,) = raised.value.problems
    return problem


def test_a_processor_of_another_package_is_configured_like_ours(packages: Packages, folder: Folder):
    packages.install("acme_upper", "[otel_llm.processors]\nupper = acme_upper\n", UPPER)
    text = SMALL.replace("exporters:", "processors: {upper/a: {key: x}}\nexporters:", 1)
    settings = folder.load(text.replace("[otlp]", "[otlp]\n      processors: [upper/a]"))
    processor = settings.processors[0].create_processor(Metrics(), SystemClock())
    assert (processor.name, processor.key) == ("upper/a", "x")
    assert "upper" in known_types("processor")
    assert folder.problems(text.replace("key: x", "kex: x")) == [
        "processors.upper/a.kex: unknown setting; did you mean 'key'?",
        "processors.upper/a.key: expected a string, got nothing; it has no default",
    ]


def test_an_object_with_config_and_create_will_do(packages: Packages):
    source = UPPER.replace(
        "def create",
        "class Both:\n    Config = Config\n    SIGNALS = frozenset({'traces'})\n    @staticmethod\n    def create",
    )
    source = source.replace("    return Upper(context", "        return Upper(context")
    packages.install("acme_object", "[otel_llm.processors]\nboth = acme_object:Both\n", source)
    assert find_type("processor", "both").signals == {"traces"}


def test_a_name_that_is_ours_is_refused_when_it_is_used(packages: Packages):
    packages.install("acme_cost", "[otel_llm.processors]\ncost = acme_cost\n", UPPER)
    assert problem_of("cost") == (
        "processor type 'cost' is claimed by otel_llm itself and by package acme_cost (acme_cost); "
        "uninstall all but one"
    )
    assert find_type("exporter", "otlp_http")


def test_a_name_that_two_packages_claim_is_refused_when_it_is_used(packages: Packages):
    packages.install("acme_one", "[otel_llm.processors]\nupper = acme_one\n", UPPER)
    packages.install("acme_two", "[otel_llm.processors]\nupper = acme_two\n", UPPER)
    assert re.fullmatch(
        r"processor type 'upper' is claimed by package acme_\w+ \(acme_\w+\) and by package acme_\w+ \(acme_\w+\); "
        "uninstall all but one",
        problem_of("upper"),
    )


@pytest.mark.parametrize(
    ("package", "entry", "source", "problem"),
    [
        (
            "broken_import",
            "broken_import",
            "import nowhere_to_be_found",
            (
                "cannot be loaded from broken_import: ModuleNotFoundError: No module named 'nowhere_to_be_found'; "
                "repair or uninstall it"
            ),
        ),
        (
            "broken_syntax",
            "broken_syntax",
            "def f(:",
            (
                "cannot be loaded from broken_syntax: SyntaxError: invalid syntax (broken_syntax.py, line 1); "
                "repair or uninstall it"
            ),
        ),
        (
            "broken_name",
            "broken_name:Nobody",
            "",
            (
                "cannot be loaded from broken_name:Nobody: AttributeError: "
                "module 'broken_name' has no attribute 'Nobody'; "
                "repair or uninstall it"
            ),
        ),
    ],
)
def test_a_package_that_cannot_be_imported_is_named(
    packages: Packages, package: str, entry: str, source: str, problem: str
):
    packages.install(package, f"[otel_llm.processors]\nthing = {entry}\n", source)
    assert problem_of("thing") == f"processor type 'thing' of package {package} {problem}"


def test_a_module_without_config_is_no_component(packages: Packages):
    packages.install("acme_bare", "[otel_llm.processors]\nbare = acme_bare\n", "def create(config, context): ...")
    assert problem_of("bare") == (
        "processor type 'bare': expected a Config struct and create(config, context) in acme_bare; add them"
    )


def test_packages_that_nobody_names_are_not_imported(packages: Packages, folder: Folder):
    packages.install(
        "never_imported", "[otel_llm.processors]\nnever = never_imported\n", "raise SystemExit('imported')"
    )
    assert folder.load(SMALL)


def test_all_built_in_components_are_there():
    missing = {kind: set(table) - set(known_types(kind)) for kind, table in components._BUILT_IN.items()}
    assert missing == {kind: set() for kind in KINDS}


ALL = [one for found in installed_types(built_in_only=True).values() for one in found]


@pytest.mark.parametrize("one", ALL, ids=lambda one: f"{one.kind}-{one.name}")
def test_every_config_refuses_unknown_settings_and_cannot_be_changed(one: components.ComponentType):
    assert one.config.__struct_config__.forbid_unknown_fields
    assert one.config.__struct_config__.frozen
    assert issubclass(one.config, msgspec.Struct)
