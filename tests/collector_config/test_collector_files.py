"""The Collector's configurations, as far as they can be looked at without a Collector; with one: test_topologies.py."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from otel_llm.config import load
from tests.collector_config.collector import MANIFEST

FOLDER = MANIFEST.parent
CONFIGURATIONS = sorted(FOLDER.glob("collector-*.yaml"))
GATEWAYS = sorted(FOLDER.glob("gateway-*.yaml"))
KINDS = ("receivers", "processors", "exporters", "extensions")
# Modules whose component has another name than the module's without its kind.
NAMES = {
    "otlp": "otlp_grpc",
    "otlphttp": "otlp_http",
    "loadbalancing": "load_balancing",
    "filestorage": "file_storage",
    "healthcheck": "health_check",
    "memorylimiter": "memory_limiter",
    "tailsampling": "tail_sampling",
}
# In the distribution for looking at things, for Kafka, and for tests and benchmarks; no file here uses them.
WITHOUT_A_FILE = {
    "kafkareceiver", "kafkaexporter", "batchprocessor", "filterprocessor", "debugexporter", "nopexporter",
    "fileexporter", "bearertokenauthextension", "healthcheckextension",
}  # fmt: skip
_DEFAULT = re.compile(r"\$\{env:\w+:-([^}]*)\}")
_every_configuration = pytest.mark.parametrize("path", CONFIGURATIONS, ids=lambda path: path.name)


def manifest() -> dict[str, Any]:
    return yaml.safe_load(MANIFEST.read_text())


def types(kind: str) -> dict[str, str]:
    """Component types of a kind in the manifest, each with its module's last part."""
    modules = [entry["gomod"].split()[0].rpartition("/")[2] for entry in manifest()[kind]]
    bare = {module: module.removesuffix(kind.removesuffix("s")) for module in modules}
    return {(name if kind == "receivers" else NAMES.get(name, name)): module for module, name in bare.items()}


def document(path: Path) -> dict[str, Any]:
    """A configuration; its variables stand for their defaults."""
    return yaml.safe_load(_DEFAULT.sub(lambda found: found[1], path.read_text()))


def test_there_are_configurations_for_each_way_to_combine_the_two():
    assert {path.stem.removeprefix("collector-") for path in CONFIGURATIONS} == {
        "agent", "behind", "content", "durable", "loadbalancing", "tail-sampling",
    }  # fmt: skip


@_every_configuration
def test_a_configuration_uses_what_the_lean_collector_has_and_all_that_it_defines(path: Path):
    found = document(path)
    used = set(found["service"].get("extensions", []))
    for pipeline in found["service"]["pipelines"].values():
        for kind in ("receivers", "processors", "exporters"):
            used |= set(pipeline.get(kind, []))
    defined = set()
    for kind in KINDS:
        names = found.get(kind) or {}
        defined |= set(names)
        assert {name.partition("/")[0] for name in names} <= types(kind).keys()
    assert used == defined


@_every_configuration
def test_a_configuration_runs_without_any_variable_and_says_what_can_be_changed(path: Path):
    text = path.read_text()
    assert "${env:" in text
    assert re.findall(r"^[^#\n]*\$\{env:\w+\}", text, re.MULTILINE) == []
    assert "To change: " in text.partition("receivers:")[0]


@_every_configuration
def test_nothing_gives_up_what_was_accepted(path: Path):
    for name, exporter in document(path)["exporters"].items():
        one = exporter["protocol"]["otlp"] if name == "load_balancing" else exporter
        assert one["retry_on_failure"]["max_elapsed_time"] == "0s", name
    for pipeline in document(path)["service"]["pipelines"].values():
        assert "batch" not in pipeline["processors"]  # it tells senders OK before there is room


def test_every_component_of_the_lean_collector_is_used_or_wanted_for_something_else():
    used = {
        types(kind)[name.partition("/")[0]]
        for path in CONFIGURATIONS
        for kind in KINDS
        for name in document(path).get(kind) or {}
    }
    assert {module for kind in KINDS for module in types(kind).values()} == used | WITHOUT_A_FILE


def test_all_modules_of_the_manifest_are_of_one_release():
    found = manifest()
    entries = [entry["gomod"] for kind in (*KINDS, "providers") for entry in found[kind]]
    release = found["dist"]["version"]
    assert {entry.split()[1] for entry in entries} == {f"v{release}", "v1.66.0"}
    assert f"cmd/builder@v{release} " in MANIFEST.read_text()


def test_with_defaults_each_one_sends_to_where_the_next_one_listens():
    gateway = {
        path.stem: {receiver.id: receiver.config for receiver in load(str(path), {}).receivers}["otlp"].protocols
        for path in GATEWAYS
    }["gateway-collector"]
    behind = document(FOLDER / "collector-behind.yaml")
    into = f"http://{gateway.http.endpoint}"
    for name in ("agent", "durable"):
        assert document(FOLDER / f"collector-{name}.yaml")["exporters"]["otlp_http/llm"]["endpoint"] == into
    balanced = document(FOLDER / "collector-loadbalancing.yaml")["exporters"]["load_balancing"]
    assert balanced["resolver"]["static"]["hostnames"][0] == gateway.grpc.endpoint
    sends_to = {
        path.stem: [exporter.config.endpoint for exporter in load(str(path), {}).exporters if "/next" in exporter.id]
        for path in GATEWAYS
    }
    protocols = behind["receivers"]["otlp"]["protocols"]
    assert sends_to["gateway-collector"] == [f"http://{protocols['grpc']['endpoint']}"]
    assert sends_to["gateway-tail-sampling"] == [f"http://{protocols['http']['endpoint']}"]
    assert sends_to["gateway-content"] == [f"http://{protocols['http']['endpoint']}"]
    for name in ("tail-sampling", "content"):
        assert document(FOLDER / f"collector-{name}.yaml")["receivers"] == behind["receivers"]


def test_the_readme_has_a_table_of_all_configurations():
    table = (FOLDER / "README.md").read_text()
    names = [path.name for path in (*CONFIGURATIONS, *GATEWAYS, MANIFEST)]
    assert [name for name in names if f"]({name})" not in table] == []
