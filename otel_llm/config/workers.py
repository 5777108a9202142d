"""Several workers on one port: what may not be spread over processes, and the part of each.

    service.workers: 4    four processes with the same configuration, each with a quarter of what is bounded

The law: what a configuration bounds (bytes, connections, a tenant's rate) is bounded for the machine, whatever the
number of workers. What has to see everything, or has to be the only one to write a file, is refused or runs in the
first worker; see docs/decisions/0015-workers.md.
"""

from __future__ import annotations

import socket
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final, TypeVar

import msgspec

from otel_llm.audit import AuditConfig
from otel_llm.config.settings import Component, PipelineSettings, Settings
from otel_llm.delivery.config import MIB, Config, QueueConfig
from otel_llm.receivers.auth import AuthConfig
from otel_llm.receivers.endpoint import given, parse_endpoint
from otel_llm.receivers.kafka_config import Config as KafkaConfig
from otel_llm.receivers.otlp import Config as OtlpConfig
from otel_llm.receivers.otlp import Protocols
from otel_llm.receivers.otlp_grpc import Config as GrpcConfig
from otel_llm.receivers.otlp_http import Config as HttpConfig

_Struct = TypeVar("_Struct", bound=msgspec.Struct)

_SETTING: Final = "service.workers"
_BEHIND: Final = "let a gateway with one worker behind this one do it"
# What sees the operations of its own process only, or writes a file that nobody else may write.
_ALONE: Final = {
    ("connector", "tail_sampling"): (
        "decides on whole traces, and the spans of a trace come to several workers; put a Collector with the "
        "loadbalancing exporter before gateways with one worker each, or"
    ),
    ("processor", "drift"): "compares what all operations say, and would raise alarms on parts of them;",
    ("processor", "compare"): "compares what all operations say, and would decide on parts of them;",
    ("processor", "judge"): "samples, limits and alarms on what all operations say;",
    ("exporter", "file"): "appends to one file and renames it;",
    ("exporter", "open_spans"): "has to see both the spans and the records of an app, which come to several workers;",
}
# Receivers that run in every worker: those that share a port, and those of a consumer group.
_SPREAD: Final = (OtlpConfig, KafkaConfig)
_LEAST_MEMORY_MIB: Final = 64
_KIB: Final = 1024


def check_workers(
    workers: int,
    receivers: Sequence[Component],
    others: Sequence[Component],
    problems: list[str],
) -> None:
    """Report what cannot run in several processes."""
    if workers == 1:
        return
    if not hasattr(socket, "SO_REUSEPORT"):
        problems.append(f"{_SETTING}: this system cannot let several processes listen on one port; use 1")
    for one in others:
        why = _ALONE.get((one.type.kind, one.type.name))
        if why is not None:
            problems.append(f"{_SETTING}: expected 1 with {one.path}, got {workers}; it {why} {_BEHIND}")
        audit = getattr(one.config, "audit", None)
        if isinstance(audit, AuditConfig) and audit.processes < workers:
            why = f"each of the workers ({_SETTING}) writes a chain of records of its own"
            problems.append(f"{one.path}.audit.processes: expected at least {workers}, got {audit.processes}; {why}")
    for one in receivers:
        problems += [
            f"{path}.endpoint: expected a port other than 0 with {_SETTING}: {workers}, for they share it"
            for path, config in _listening(one)
            if config.endpoint.rpartition(":")[2] == "0"
        ]


def _listening(receiver: Component) -> list[tuple[str, GrpcConfig | HttpConfig]]:
    """The servers of an `otlp` receiver with their paths in the configuration; none for others."""
    if not isinstance(receiver.config, OtlpConfig):
        return []
    found: list[tuple[str, GrpcConfig | HttpConfig]] = []
    grpc, http = receiver.config.protocols.grpc, receiver.config.protocols.http
    if not isinstance(grpc, msgspec.UnsetType):
        found.append((f"{receiver.path}.protocols.grpc", grpc or GrpcConfig()))
    if not isinstance(http, msgspec.UnsetType):
        found.append((f"{receiver.path}.protocols.http", http or HttpConfig()))
    return found


def shared_addresses(settings: Settings) -> list[tuple[str, str, int]]:
    """Setting, host and port of everything that all workers listen on."""
    found = []
    for receiver in settings.receivers:
        for path, config in _listening(receiver):
            address = parse_endpoint(config.endpoint, f"{path}.endpoint")
            found.append((f"{path}.endpoint", address.host, address.port))
    return found


def worker_folder(directory: str, number: int) -> str:
    """Where a worker keeps its queues: the first where a process without others does, so that they can be changed."""
    return directory if number == 1 else str(Path(directory) / f"@{number}")


def worker_folders(directory: str) -> dict[int, str]:
    """The folders of further workers that are there, by their numbers. No exporter's folder has such a name."""
    numbers = (path.name[1:] for path in Path(directory).glob("@*") if path.is_dir())
    return {int(one): worker_folder(directory, int(one)) for one in sorted(numbers) if one.isdigit()}


def part_of(settings: Settings, number: int, *, leaving: bool = False) -> Settings:
    """What one of the workers runs, from 1 on. One that is leaving has no processors: what is on disk is through them.

    Args:
        settings: of all of them.
        number: of the worker.
        leaving: it takes nothing, and only delivers what an earlier one of its number has left on disk.
    """
    workers = settings.service.workers
    changed: dict[str, Component] = {}
    for receiver in settings.receivers:
        changed[receiver.path] = replace(receiver, config=_receiver_part(receiver.config, number, workers))
    for exporter in settings.exporters:
        changed[exporter.path] = replace(exporter, delivery=_delivery_part(exporter.delivery, number, workers))
    runs = [one for one in settings.receivers if not leaving and (number == 1 or isinstance(one.config, _SPREAD))]
    admin = msgspec.structs.replace(settings.service.admin, endpoint=None)
    limit = settings.service.overload.memory_limit_mib
    part = None if limit is None else max(limit // workers, _LEAST_MEMORY_MIB)
    overload = msgspec.structs.replace(settings.service.overload, memory_limit_mib=part)
    return replace(
        settings,
        receivers=tuple(changed[one.path] for one in runs),
        processors=() if leaving else settings.processors,
        exporters=tuple(changed[one.path] for one in settings.exporters),
        pipelines=tuple(_pipeline_part(pipeline, changed, leaving=leaving) for pipeline in settings.pipelines),
        service=msgspec.structs.replace(settings.service, admin=admin, overload=overload),
    )


def _pipeline_part(pipeline: PipelineSettings, changed: dict[str, Component], *, leaving: bool) -> PipelineSettings:
    def mine(components: Sequence[Component]) -> tuple[Component, ...]:
        return tuple(changed.get(one.path, one) for one in components)

    return replace(
        pipeline,
        receivers=mine(pipeline.receivers),
        processors=() if leaving else pipeline.processors,
        exporters=mine(pipeline.exporters),
    )


def _receiver_part(config: msgspec.Struct, number: int, workers: int) -> msgspec.Struct:
    if isinstance(config, KafkaConfig):
        return _kafka_part(config, number, workers)
    return _otlp_part(config, workers) if isinstance(config, OtlpConfig) else config


def _kafka_part(config: KafkaConfig, number: int, workers: int) -> KafkaConfig:
    """A member of the group."""
    instance, letters = config.group_instance_id, config.dead_letters
    if letters is not None:
        letters = msgspec.structs.replace(
            letters, directory=worker_folder(letters.directory, number), size_bytes=letters.size_bytes // workers
        )
    return msgspec.structs.replace(
        config,
        group_instance_id=None if instance is None else f"{instance}-{number}",
        max_fetch_bytes=max(config.max_fetch_bytes // workers, _KIB),
        dead_letters=letters,
    )


def _otlp_part(config: OtlpConfig, workers: int) -> OtlpConfig:
    grpc, http = config.protocols.grpc, config.protocols.http
    if not isinstance(grpc, msgspec.UnsetType):
        grpc = _server_part(grpc or GrpcConfig(), workers)
    if not isinstance(http, msgspec.UnsetType):
        http = _server_part(http or HttpConfig(), workers)
        http = msgspec.structs.replace(http, max_in_flight_size=max(http.max_in_flight_size // workers, _KIB))
    return OtlpConfig(protocols=Protocols(grpc=grpc, http=http))


def _server_part(config: _Struct, workers: int) -> _Struct:
    assert isinstance(config, GrpcConfig | HttpConfig)  # noqa: S101 - for the type checker: both have these fields
    changes: dict[str, object] = {
        "reuse_port": True,
        "max_connections": max(config.max_connections // workers, 1),
    }
    auth = given(config.auth)
    if auth is not None:
        changes["auth"] = _auth_part(auth, workers)
    return msgspec.structs.replace(config, **changes)


def _auth_part(auth: AuthConfig, workers: int) -> AuthConfig:
    rate = auth.max_tenant_bytes_per_second
    return msgspec.structs.replace(
        auth,
        max_tenant_in_flight_size=max(auth.max_tenant_in_flight_size // workers, _KIB),
        max_tenant_bytes_per_second=None if rate is None else max(rate // workers, _KIB),
    )


def _delivery_part(delivery: Config, number: int, workers: int) -> Config:
    queue = delivery.sending_queue
    return msgspec.structs.replace(delivery, sending_queue=_queue_part(queue, number, workers))


def _queue_part(queue: QueueConfig, number: int, workers: int) -> QueueConfig:
    disk = queue.disk
    if disk is not None:
        disk = msgspec.structs.replace(
            disk,
            directory=worker_folder(disk.directory, number),
            size_bytes=max(disk.size_bytes // workers, MIB),
            dead_letters_size_bytes=disk.dead_letters_size_bytes // workers,
        )
    return msgspec.structs.replace(queue, size_bytes=max(queue.size_bytes // workers, _KIB), disk=disk)
