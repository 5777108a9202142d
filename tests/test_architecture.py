"""The rules of the architecture that a test can hold: where imports point, what importing costs, where errors end."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "otel_llm"

# Each layer may import itself and the layers below it; layers on one line are siblings and do not know each other,
# unless SIBLINGS says so. docs/architecture.md shows the same.
LAYERS: tuple[tuple[str, ...], ...] = (
    ("cli",),
    ("demo", "auto"),
    ("hosts", "loopback", "review"),
    ("config",),
    ("testing",),  # destinations to send to, so they know what delivery and exporters speak
    (
        "receivers",
        "exporters",
        "delivery",
        "processors",
        "ledger",
        "connectors",
        "instrumentation",
        "audit",
        "counters",
    ),
    ("http", "codecs", "dialects", "components", "kafka"),
    ("pipeline", "admission"),
    ("operation", "telemetry", "signals", "log_records", "clock", "errors", "nearest", "credentials"),
    ("cost", "policy", "quality", "budget", "history"),
    ("_generated",),
)
SIBLINGS = {
    ("delivery", "exporters"),  # delivery knows the Exporter protocol
    ("exporters", "ledger"),  # one of them writes it
    ("connectors", "delivery"),  # what one holds is kept in a log as delivery's queues are
    ("connectors", "exporters"),  # one that holds what it gets is an Exporter to its delivery
    ("receivers", "ledger"),  # feedback looks up what it is about
    ("receivers", "delivery"),  # nobody can be told of a message that is none: it is kept where delivery keeps such
    ("processors", "exporters"),  # a judge is asked over the exporters' HTTP client
    ("processors", "audit"),  # what they did is recorded
    ("processors", "ledger"),  # metrics know an owner by the names that the ledger knows
    ("processors", "counters"),  # what they count is shared
    ("processors", "delivery"),  # a state file is locked as a disk queue is
}
BASE = "operation"  # the modules of its layer are the vocabulary of the code and may know each other
PURE = ("cost", "policy", "quality", "budget", "history")  # domain packages: no OpenTelemetry, nothing of ours


def modules() -> Iterator[tuple[str, Path, ast.Module]]:
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).parts
        yield parts[0].removesuffix(".py"), path, ast.parse(path.read_text())


def imports(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            yield node.module
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


def layer(name: str) -> int:
    return next(number for number, names in enumerate(LAYERS) if name in names)


def imported() -> Iterator[tuple[str, str, str]]:
    """Each import of another part of the package: our part, the other part, and a sentence about it."""
    for name, path, tree in modules():
        for module in imports(tree):
            parts = module.split(".")
            if name != "__init__" and parts[0] == "otel_llm" and len(parts) > 1 and parts[1] != name:
                yield name, parts[1], f"{path.relative_to(PACKAGE)} imports {module}"


def test_imports_point_one_way() -> None:
    wrong = [
        sentence
        for ours, theirs, sentence in imported()
        if layer(theirs) < layer(ours)
        or (layer(theirs) == layer(ours) != layer(BASE) and (ours, theirs) not in SIBLINGS)
    ]
    assert wrong == []


def test_no_exception_from_the_layers_outlives_its_use() -> None:
    assert {(ours, theirs) for ours, theirs, _ in imported()} >= SIBLINGS


def test_domain_packages_know_neither_opentelemetry_nor_us() -> None:
    wrong = [
        f"{path.relative_to(PACKAGE)} imports {module}"
        for name, path, tree in modules()
        if name in PURE
        for module in imports(tree)
        if module.split(".")[0] == "opentelemetry"
        or (module.startswith("otel_llm") and not module.startswith(f"otel_llm.{name}"))
    ]
    assert wrong == []


def test_broad_excepts_stand_only_where_the_design_has_them() -> None:
    """Isolation in the pipeline and of detectors, the instrumentation boundary, and the tops of worker loops.

    One that only looks at an exception on its way, and raises it again, ends nothing.
    """
    found = {
        str(path.relative_to(PACKAGE))
        for _, path, tree in modules()
        for node in ast.walk(tree)
        if isinstance(node, ast.ExceptHandler)
        and (node.type is None or getattr(node.type, "id", "") in {"Exception", "BaseException"})
        and not (isinstance(node.body[-1], ast.Raise) and node.body[-1].exc is None)
    }
    assert found <= ALLOWED_BROAD_EXCEPTS


ALLOWED_BROAD_EXCEPTS = {
    "pipeline.py",
    "delivery/delivery.py",
    "delivery/committer.py",
    "connectors/tail_sampling.py",
    "instrumentation/boundary.py",
    "instrumentation/streams.py",  # the same boundary, written out for speed
    # A detector is anybody's code, and what it has not looked at must not be passed on: whoever asked is told so.
    "policy/detectors/detector_set.py",
    "processors/judging/function.py",  # goes on in worker.py
    "processors/judging/worker.py",
    "receivers/kafka.py",
    "counters/keeper.py",
    "quality/regression/run.py",
}


@pytest.mark.parametrize("module", ["otel_llm", "otel_llm.cli.main"])
def test_importing_loads_neither_grpc_nor_protobuf_nor_the_network(module: str) -> None:
    """Acceptance 21: importing is light and opens nothing."""
    script = f"""
import sys
opened = []
def audit(event, arguments):
    if event in ("socket.connect", "socket.getaddrinfo", "socket.bind", "subprocess.Popen"):
        opened.append(event)
sys.addaudithook(audit)
import {module}
heavy = sorted({{"grpc", "google.protobuf", "yaml", "httpx", "urllib3", "requests"}} & set(sys.modules))
print(opened, heavy)
"""
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60)
    assert result.stdout.split("\n")[0] == "[] []"
