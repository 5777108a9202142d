"""The local stack and the image, as far as they can be told without an engine to run them."""

from __future__ import annotations

import fnmatch
import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from otel_llm.config import load
from tests.collector_config.configcheck import configcheck
from tests.collector_config.go_tools import GO_MARKS
from tests.tool_cache import tool_cache

CONFIG = Path(__file__).resolve().parents[2] / "collector-config"
PROJECT = CONFIG.parent
COMPOSE = yaml.safe_load((CONFIG / "compose.yaml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
DOCKERFILE = (CONFIG / "Dockerfile").read_text().replace("\\\n", " ")


def mounts():
    for name, service in SERVICES.items():
        for volume in service.get("volumes", ()):
            source, target, *mode = volume.split(":")
            yield name, source, target, mode


def test_every_file_that_is_mounted_is_there_and_cannot_be_written():
    files = [(source, mode) for _, source, _, mode in mounts() if source.startswith(".")]
    assert len(files) >= 6
    for source, mode in files:
        assert (CONFIG / source).exists(), source
        assert mode == ["ro"], source


def test_every_volume_is_named_and_used():
    used = {source for _, source, _, _ in mounts() if not source.startswith(".")}
    assert used == set(COMPOSE["volumes"])


def test_ports_are_published_on_loopback_only():
    published = [port for service in SERVICES.values() for port in service.get("ports", ())]
    assert len(published) >= 6
    assert all(port.startswith("127.0.0.1:") for port in published)
    assert len({port.split(":")[1] for port in published}) == len(published)


def test_images_are_pinned_and_nothing_may_more_than_it_needs():
    for name, service in SERVICES.items():
        tag = service["image"].rpartition(":")[2]
        assert re.fullmatch(r"v?\d+\.\d+\.\d+|local", tag), name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name


def test_the_gateway_of_the_stack_reads_every_variable_that_it_is_given():
    gateway = SERVICES["gateway"]
    settings = load(str(CONFIG / "gateway-stack.yaml"), gateway["environment"])
    assert settings.service.admin.endpoint == "0.0.0.0:13133"
    text = (CONFIG / "gateway-stack.yaml").read_text()
    assert set(gateway["environment"]) == set(re.findall(r"\$\{env:(\w+)", text))
    # The health check asks where the admin endpoint listens, and a stop waits for what is to be delivered.
    assert gateway["healthcheck"]["test"] == ["CMD", "otel-llm", "status", "--endpoint", "127.0.0.1:13133"]
    assert float(gateway["stop_grace_period"].removesuffix("s")) > settings.service.shutdown_timeout_seconds


def test_who_sends_to_whom_is_there():
    text = "\n".join(
        (CONFIG / name).read_text()
        for name in (
            "compose.yaml",
            "stack/collector.yaml",
            "prometheus/prometheus.yaml",
            "grafana/provisioning/datasources/otel-llm.yaml",
        )
    )
    named = set(re.findall(r"(?:http://|endpoint: |targets: \[)([a-z]\w+):\d+", text)) - {"localhost"}
    assert named == {"gateway", "collector", "jaeger", "prometheus"}
    assert named <= set(SERVICES)


@pytest.mark.parametrize("path", ["stack/collector.yaml", "kubernetes/agents/collector.yaml"])
def test_a_collector_has_no_component_that_is_not_used_and_uses_none_that_is_not_there(path):
    document = yaml.safe_load((CONFIG / path).read_text())
    for kind in ("receivers", "processors", "exporters"):
        used = {name for one in document["service"]["pipelines"].values() for name in one.get(kind, ())}
        assert used == set(document[kind])
    assert set(document["extensions"]) == set(document["service"]["extensions"])


def test_what_is_pinned_is_the_same_everywhere():
    agent = next(yaml.safe_load_all((CONFIG / "kubernetes" / "agents" / "agent.yaml").read_text()))
    [container] = agent["spec"]["template"]["spec"]["containers"]
    assert container["image"] == SERVICES["collector"]["image"]
    modules = (Path(__file__).parent / "go" / "prometheus" / "go.mod").read_text()
    [minor] = re.findall(r"github.com/prometheus/prometheus v0\.3(\d\d)\.\d+\b", modules)
    assert SERVICES["prometheus"]["image"].startswith(f"prom/prometheus:v3.{int(minor)}.")


def copied() -> list[str]:
    """What the image takes from the project."""
    lines = re.findall(r"^COPY (?!--from)(.+)$", DOCKERFILE, re.MULTILINE)
    return [source.removeprefix("./") for line in lines for source in line.split()[:-1]]


def ignored(path: str) -> bool:
    """Whether .dockerignore keeps a path out: the last pattern that matches decides."""
    out = False
    for line in (PROJECT / ".dockerignore").read_text().splitlines():
        if line and not line.startswith("#"):
            pattern = line.removeprefix("!").removeprefix("**/")
            if (
                fnmatch.fnmatch(path, pattern)
                or fnmatch.fnmatch(Path(path).name, pattern)
                or path.startswith(f"{pattern}/")
            ):
                out = not line.startswith("!")
    return out


def test_everything_that_the_image_copies_is_there_and_not_ignored():
    assert len(copied()) >= 5
    for source in copied():
        assert (PROJECT / source).exists(), source
        assert not ignored(source), source
    assert ignored("tests")
    assert ignored(".git")
    assert ignored("otel_llm/cli/__pycache__")
    assert not ignored("otel_llm/cost/data/overlay.json")
    named = re.search(r"license-files = (\[.*\])", (PROJECT / "pyproject.toml").read_text())
    assert {"README.md", *json.loads(named[1])} <= set(copied())


def test_the_image_is_nobody_by_number_and_checks_its_health():
    assert re.search(r"^USER (\d+):\1$", DOCKERFILE, re.MULTILINE)[1] != "0"
    check = re.search(r"CMD (\[.*status.*\])", DOCKERFILE)[1]
    assert json.loads(check) == SERVICES["gateway"]["healthcheck"]["test"][1:]


class TestByTheProgramsThatReadThem:
    pytestmark = GO_MARKS

    def test_compose_loads_the_stack(self):
        resolved = yaml.safe_load(configcheck("compose", CONFIG / "compose.yaml"))
        assert set(resolved["services"]) == set(SERVICES)
        assert resolved["services"]["gateway"]["build"]["context"] == str(PROJECT)

    def test_buildkit_parses_the_recipe_and_its_linter_has_nothing_to_say(self):
        printed = configcheck("dockerfile", CONFIG / "Dockerfile")
        assert printed.count("FROM ") == 2

    @pytest.mark.parametrize("path", ["stack/collector.yaml", "kubernetes/agents/collector.yaml"])
    def test_a_collector_takes_the_configuration(self, path: str, tmp_path: Path):
        """By the lean Collector that other tests build; it has no `debug`, for which `nop` stands here."""
        built = sorted(tool_cache().glob("otelcol/*/otelcol-llm"))
        if not built:
            pytest.skip("no Collector lies in the tool cache; the tests of Collector configurations build one")
        document = yaml.safe_load((CONFIG / path).read_text())
        if document["exporters"].pop("debug", None) is not None:
            document["exporters"]["nop"] = None
            document["service"]["pipelines"]["logs"]["exporters"] = ["nop"]
        copy = tmp_path / "collector.yaml"
        copy.write_text(yaml.safe_dump(document))
        done = subprocess.run(
            [built[-1], "validate", "--config", copy], capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 0, done.stderr
