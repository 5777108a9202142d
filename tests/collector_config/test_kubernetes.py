"""The manifests: what they promise each other, and that the API would take them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from otel_llm.cli.main import main
from otel_llm.config import load
from tests.collector_config.configcheck import configcheck
from tests.collector_config.go_tools import GO_MARKS
from tests.collector_config.promql import names_in, registry

FOLDER = Path(__file__).resolve().parents[2] / "collector-config" / "kubernetes"
FILES = ["namespace.yaml", "gateway.yaml", "scaling.yaml", "network.yaml", "servicemonitor.yaml", "agents/agent.yaml"]
OBJECTS: dict[tuple[str, str], dict[str, Any]] = {
    (one["kind"], one["metadata"]["name"]): one
    for name in FILES
    for one in yaml.safe_load_all((FOLDER / name).read_text())
}
GATEWAY = OBJECTS["StatefulSet", "otel-llm"]
PODS = {
    name: one["spec"]["template"]["spec"]
    for (kind, name), one in OBJECTS.items()
    if kind in {"StatefulSet", "DaemonSet"}
}


def test_every_manifest_is_built_or_is_said_to_be_optional():
    built = set(yaml.safe_load((FOLDER / "kustomization.yaml").read_text())["resources"])
    assert built | {"servicemonitor.yaml", "agents/agent.yaml"} == set(FILES)
    assert {path.name for path in FOLDER.glob("*.yaml")} == {
        *built,
        "kustomization.yaml",
        "servicemonitor.yaml",
        "prometheus-adapter.yaml",
    }


def test_the_gateways_configuration_can_be_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    text = (FOLDER / "config" / "gateway.yaml").read_text()
    text = text.replace("/etc/otel-llm/policy", str(FOLDER / "config")).replace("/var/lib/otel-llm", str(tmp_path))
    (tmp_path / "gateway.yaml").write_text(text)
    assert main(["validate", "--config", str(tmp_path / "gateway.yaml")]) == 0
    warnings = capsys.readouterr().err.splitlines()
    assert all("anybody who can reach it" in line for line in warnings), "network.yaml says who can"


def test_probes_ports_and_services_are_those_of_the_configuration():
    config = yaml.safe_load((FOLDER / "config" / "gateway.yaml").read_text())
    protocols = config["receivers"]["otlp"]["protocols"]
    endpoints = [protocols["grpc"]["endpoint"], protocols["http"]["endpoint"], config["service"]["admin"]["endpoint"]]
    [container] = PODS["otel-llm"]["containers"]
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    assert [f"0.0.0.0:{port}" for port in ports.values()] == endpoints
    for probe, path in (("startupProbe", "/healthz"), ("livenessProbe", "/healthz"), ("readinessProbe", "/readyz")):
        assert container[probe]["httpGet"] == {"path": path, "port": "admin"}
    for (kind, name), one in OBJECTS.items():
        if kind == "Service":
            [pod] = [pod for pod in PODS if one["spec"]["selector"] == {"app.kubernetes.io/name": pod}]
            named = {port["name"] for container in PODS[pod]["containers"] for port in container["ports"]}
            assert {port["targetPort"] for port in one["spec"]["ports"]} <= named, name


@pytest.mark.parametrize("name", PODS)
def test_pods_are_restricted_and_say_what_they_need(name):
    pod = PODS[name]
    assert pod["automountServiceAccountToken"] is False
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    for container in pod["containers"]:
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert container["resources"]["requests"].keys() == {"cpu", "memory"}
        assert "memory" in container["resources"]["limits"]
        volumes = {volume["name"] for volume in pod["volumes"]} | {
            claim["metadata"]["name"] for claim in GATEWAY["spec"]["volumeClaimTemplates"]
        }
        assert {mount["name"] for mount in container["volumeMounts"]} <= volumes


def test_the_gateway_runs_as_the_user_of_the_image():
    [user] = re.findall(r"^USER (\d+):", (FOLDER.parent / "Dockerfile").read_text(), re.MULTILINE)
    context = PODS["otel-llm"]["securityContext"]
    assert {context["runAsUser"], context["runAsGroup"], context["fsGroup"]} == {int(user)}


def test_what_the_configuration_writes_and_reads_is_mounted():
    [container] = PODS["otel-llm"]["containers"]
    mounted = {mount["mountPath"]: mount.get("readOnly", False) for mount in container["volumeMounts"]}
    text = (FOLDER / "config" / "gateway.yaml").read_text()
    for path in re.findall(r"(/(?:var|etc)/[\w/.-]+)", text):
        assert any(path.startswith(f"{mount}/") for mount in mounted), path
    assert mounted["/var/lib/otel-llm"] is False
    assert container["args"][-1].startswith("/etc/otel-llm/config/")


def test_there_is_time_and_room_for_what_the_configuration_promises():
    settings = load(str(FOLDER / "config" / "gateway.yaml"), {})
    [container] = PODS["otel-llm"]["containers"]
    needed = settings.service.shutdown_timeout_seconds + container["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert PODS["otel-llm"]["terminationGracePeriodSeconds"] > needed
    assert container["resources"]["limits"]["memory"] == "1Gi"
    assert settings.service.overload.memory_limit_mib < 1024
    [claim] = GATEWAY["spec"]["volumeClaimTemplates"]
    size = int(claim["spec"]["resources"]["requests"]["storage"].removesuffix("Gi")) << 30
    queues = [
        one.delivery.sending_queue.disk.size_bytes for one in settings.exporters if one.delivery.sending_queue.disk
    ]
    assert 0 < sum(queues) < size


def test_everything_selects_the_gateways_pods():
    labels = GATEWAY["spec"]["template"]["metadata"]["labels"]
    assert GATEWAY["spec"]["selector"]["matchLabels"] == labels
    assert OBJECTS["PodDisruptionBudget", "otel-llm"]["spec"]["selector"]["matchLabels"] == labels
    assert OBJECTS["NetworkPolicy", "otel-llm"]["spec"]["podSelector"]["matchLabels"] == labels
    target = OBJECTS["HorizontalPodAutoscaler", "otel-llm"]["spec"]["scaleTargetRef"]
    assert (target["kind"], target["name"]) == ("StatefulSet", "otel-llm")
    assert ("Service", GATEWAY["spec"]["serviceName"]) in OBJECTS


def test_the_metric_that_gateways_are_scaled_by_is_the_adapters_and_made_of_ours():
    [rule] = yaml.safe_load((FOLDER / "prometheus-adapter.yaml").read_text())["rules"]["custom"]
    metrics = OBJECTS["HorizontalPodAutoscaler", "otel-llm"]["spec"]["metrics"]
    assert [one["pods"]["metric"]["name"] for one in metrics if one["type"] == "Pods"] == [rule["name"]["as"]]
    assert [one["resource"]["name"] for one in metrics if one["type"] == "Resource"] == ["cpu"]
    query = re.sub(r"<<\.\w+>>", "pod", rule["metricsQuery"]).replace("{pod}", "")
    assert names_in(query).metrics <= registry().keys()


def test_secrets_are_named_and_never_written():
    for path in FOLDER.rglob("*.yaml"):
        assert "kind: Secret" not in path.read_text(), path
    [container] = PODS["otel-llm"]["containers"]
    text = (FOLDER / "config" / "gateway.yaml").read_text()
    assert {one["name"] for one in container["env"]} == set(re.findall(r"\$\{env:(\w+)", text))
    assert "secretKeyRef" in next(one for one in container["env"] if one["name"] == "BACKEND_TOKEN")["valueFrom"]


class TestByTheApiItself:
    pytestmark = GO_MARKS

    @pytest.mark.parametrize("folder", [FOLDER, FOLDER / "agents"], ids=lambda path: path.name)
    def test_what_kustomize_builds_is_taken(self, folder: Path):
        objects = list(yaml.safe_load_all(configcheck("kubernetes", folder)))
        names = {(one["kind"], one["metadata"]["name"]) for one in objects}
        assert {one["metadata"].get("namespace", "otel-llm") for one in objects} == {"otel-llm"}
        [pod] = [one["spec"]["template"]["spec"] for one in objects if one["kind"] in {"StatefulSet", "DaemonSet"}]
        maps = {volume["configMap"]["name"] for volume in pod["volumes"] if "configMap" in volume}
        assert {("ConfigMap", name) for name in maps} <= names, "generated names are put in where they are used"

    def test_what_is_unknown_to_the_api_is_refused(self, tmp_path: Path):
        wrong = tmp_path / "wrong.yaml"
        wrong.write_text((FOLDER / "gateway.yaml").read_text().replace("terminationGracePeriodSeconds", "gracePeriod"))
        with pytest.raises(AssertionError, match="gracePeriod"):
            configcheck("kubernetes", wrong)
