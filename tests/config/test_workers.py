"""Several workers: what a configuration may not have then, and the part of each."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import msgspec
import pytest

from otel_llm.config import Settings, load
from otel_llm.config.workers import part_of, worker_folder, worker_folders
from otel_llm.errors import ConfigError
from otel_llm.receivers.auth import AuthConfig
from otel_llm.receivers.kafka_config import Config as KafkaConfig
from otel_llm.receivers.otlp import Config as OtlpConfig
from otel_llm.receivers.otlp_grpc import Config as GrpcConfig
from otel_llm.receivers.otlp_http import Config as HttpConfig

CONFIG = """
receivers:
  otlp:
    protocols:
      grpc:
      http: {{endpoint: "127.0.0.1:{port}", max_in_flight_size: 4000000, max_connections: 100{auth}}}
  file: {{path: "{folder}/in.jsonl"}}
processors: {{{processors}}}
exporters:
  otlp_http:
    endpoint: http://127.0.0.1:9
    sending_queue: {{size_bytes: 8000000, disk: {{directory: "{folder}/queues", size_bytes: 400000000}}}}
  {exporters}
connectors: {{{connectors}}}
service:
  workers: {workers}
  overload: {{memory_limit_mib: 1000}}
  pipelines:
    traces: {{receivers: [otlp, file], processors: [{used}], exporters: [{out}]}}
    {more}
"""
RULES = """
apiVersion: otel-llm/v1
kind: PolicySet
metadata: {name: some, version: 1, owner: platform}
spec: {rules: [{id: noted, stage: request, when: "true", verdict: audit}]}
"""
DEFAULTS = {
    "port": 4318,
    "auth": "",
    "processors": "normalize: ",
    "exporters": "",
    "connectors": "",
    "workers": 4,
    "used": "normalize",
    "out": "otlp_http",
    "more": "",
}


def settings(folder: Path, **changes: object) -> Settings:
    path = folder / "config.yaml"
    path.write_text(CONFIG.format(**{**DEFAULTS, "folder": folder, **changes}))
    return load(str(path), {"KEY": "secret-secret-secret"})


def problems(folder: Path, **changes: object) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        settings(folder, **changes)
    return caught.value.problems


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"processors": "drift: ", "used": "drift"}, "processors.drift"),
        (
            {"exporters": 'file: {path: "out.jsonl"}', "out": "otlp_http, file"},
            "exporters.file",
        ),
        (
            {
                "connectors": "tail_sampling: {sampling_percentage: 10}",
                "out": "tail_sampling",
                "more": "traces/sampled: {receivers: [tail_sampling], exporters: [otlp_http]}",
            },
            "connectors.tail_sampling",
        ),
        ({"exporters": "open_spans: ", "out": "otlp_http, open_spans"}, "exporters.open_spans"),
    ],
)
def test_what_has_to_see_everything_is_refused_by_name(tmp_path: Path, changes: dict[str, str], named: str) -> None:
    (one,) = problems(tmp_path, **changes)
    assert one.startswith(f"service.workers: expected 1 with {named}, got 4; it ")
    assert settings(tmp_path, workers=1, **changes)


def test_a_port_of_0_cannot_be_shared(tmp_path: Path) -> None:
    (one,) = problems(tmp_path, port=0)
    assert one.startswith("receivers.otlp.protocols.http.endpoint: expected a port other than 0")


@pytest.mark.parametrize("number", [0, 65])
def test_the_number_of_workers_is_bounded(tmp_path: Path, number: int) -> None:
    (one,) = problems(tmp_path, workers=number)
    assert one.startswith("service.workers: ")


def protocols(part: Settings) -> tuple[GrpcConfig, HttpConfig]:
    config = cast("OtlpConfig", next(one for one in part.receivers if one.id == "otlp").config)
    assert isinstance(config.protocols.grpc, GrpcConfig)
    assert isinstance(config.protocols.http, HttpConfig)
    return config.protocols.grpc, config.protocols.http


def test_each_worker_has_an_equal_part_of_every_bound(tmp_path: Path) -> None:
    auth = ', auth: {keys: [{token: "${env:KEY}", tenant: a}], max_tenant_bytes_per_second: 8000}'
    part = part_of(settings(tmp_path, auth=auth), 2)
    grpc, http = protocols(part)
    assert (http.max_in_flight_size, http.max_connections, grpc.max_connections) == (1_000_000, 25, 256)
    assert isinstance(http.auth, AuthConfig)
    assert http.auth.max_tenant_bytes_per_second == 2000
    assert http.auth.max_tenant_in_flight_size == 16 * 1024 * 1024
    queue = part.exporters[0].delivery.sending_queue
    assert queue.size_bytes == 2_000_000
    assert queue.disk is not None
    assert queue.disk.size_bytes == 100_000_000
    assert part.service.overload.memory_limit_mib == 250
    assert part.pipelines[0].exporters == part.exporters


def test_all_workers_listen_on_the_same_ports_and_none_on_that_of_the_admin_endpoint(tmp_path: Path) -> None:
    for number in (1, 2):
        part = part_of(settings(tmp_path), number)
        assert [(one.reuse_port, one.endpoint) for one in protocols(part)] == [
            (True, "127.0.0.1:4317"),
            (True, "127.0.0.1:4318"),
        ]
        assert part.service.admin.endpoint is None


def test_what_reads_a_file_runs_in_the_first_worker_only(tmp_path: Path) -> None:
    whole = settings(tmp_path)
    assert [one.id for one in part_of(whole, 1).receivers] == ["otlp", "file"]
    assert [one.id for one in part_of(whole, 2).receivers] == ["otlp"]
    assert part_of(whole, 5, leaving=True).receivers == ()


def test_every_worker_is_a_member_of_the_consumer_group(tmp_path: Path) -> None:
    kafka = "kafka: {brokers: ['127.0.0.1:9'], group_instance_id: host, dead_letters: {directory: letters}}"
    path = tmp_path / "config.yaml"
    text = CONFIG.format(**{**DEFAULTS, "folder": tmp_path}).replace("  file:", f"  {kafka}\n  file:")
    path.write_text(text.replace("[otlp, file]", "[otlp, file, kafka]"))
    whole = load(str(path), {})
    for number, folder in ((1, "letters"), (2, "letters/@2")):
        config = next(one.config for one in part_of(whole, number).receivers if one.id == "kafka")
        assert isinstance(config, KafkaConfig)
        assert config.group_instance_id == f"host-{number}"
        assert config.dead_letters is not None
        assert config.dead_letters.directory == folder
    assert part_of(whole, 5, leaving=True).receivers == ()


def test_the_first_worker_goes_on_with_the_queue_of_a_process_without_others(tmp_path: Path) -> None:
    whole = settings(tmp_path)
    folders = [part_of(whole, number).exporters[0].delivery.sending_queue.disk for number in (1, 2)]
    assert [one and one.directory for one in folders] == [f"{tmp_path}/queues", f"{tmp_path}/queues/@2"]


def test_folders_of_workers_are_found_and_others_are_not(tmp_path: Path) -> None:
    for name in ("@2", "@10", "@x", "otlp_http", "3"):
        (tmp_path / name).mkdir()
    (tmp_path / "@4").touch()
    assert worker_folders(str(tmp_path)) == {n: worker_folder(str(tmp_path), n) for n in (2, 10)}
    assert worker_folders(str(tmp_path / "nowhere")) == {}


def test_one_worker_is_what_there_was_before(tmp_path: Path) -> None:
    whole = settings(tmp_path, workers=1)
    part = part_of(whole, 1)
    assert msgspec.structs.asdict(part.exporters[0].delivery) == msgspec.structs.asdict(whole.exporters[0].delivery)


AUDIT = 'audit: {{path: "{folder}/audit", key: "${{env:KEY}}"{more}}}'


@pytest.mark.parametrize("name", ["redact", "policy"])
def test_where_each_worker_writes_an_audit_log_it_says_for_how_many(tmp_path: Path, name: str) -> None:
    """The first worker to open it would keep the others out, and they would never become ready."""
    (tmp_path / "rules.yaml").write_text(RULES)
    paths = f'paths: ["{tmp_path}/rules.yaml"], ' if name == "policy" else ""

    def changes(more: str) -> dict[str, str]:
        return {"processors": f"{name}: {{{paths}{AUDIT.format(folder=tmp_path, more=more)}}}", "used": name}

    (one,) = problems(tmp_path, **changes(", processes: 3"))
    assert one == (
        f"processors.{name}.audit.processes: expected at least 4, got 3; "
        "each of the workers (service.workers) writes a chain of records of its own"
    )
    assert settings(tmp_path, **changes(", processes: 4"))
    assert settings(tmp_path, workers=1, **changes(""))


def test_a_worker_that_leaves_takes_no_place_in_an_audit_log(tmp_path: Path) -> None:
    leaving = part_of(settings(tmp_path), 4, leaving=True)
    assert leaving.processors == ()
    assert [pipeline.processors for pipeline in leaving.pipelines] == [()]
