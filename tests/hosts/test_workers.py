"""Several workers on one port, as processes: started again, drained, asked together; their queues are found."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc
import msgspec
import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

from otel_llm.audit import verify
from otel_llm.cli.main import main
from otel_llm.delivery.status import HostStatus
from otel_llm.delivery.survey import survey
from otel_llm.testing import Answer, Destination, OtlpHttpSink, unused_port
from tests.delivery.requests import numbers, traces
from tests.hosts.killing import kill_workers, wait_for_workers, wait_until_ready
from tests.hosts.running import get, post
from tests.receivers.recording import eventually
from tests.spans import SpanSpec, request

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(180),
    pytest.mark.skipif(sys.platform != "linux", reason="several processes share a port on Linux only"),
]

CONFIG = """
receivers:
  otlp: {{protocols: {{http: {{endpoint: "127.0.0.1:{port}"}}, grpc: {{endpoint: "127.0.0.1:{grpc}"}}}}}}
  {more}
processors: {{normalize: , cost: {processors}}}
exporters:
  otlp_http:
    endpoint: {sink}
    retry_on_failure: {{initial_interval_seconds: 0.01, max_interval_seconds: 0.05}}
    sending_queue: {{batch: {{flush_timeout_seconds: 0.01}}, disk: {{directory: {folder}/queue}}}}
service:
  workers: {workers}
  shutdown_timeout_seconds: {timeout}
  admin: {{endpoint: "127.0.0.1:{admin}"}}
  pipelines:
    traces: {{receivers: [{receivers}], processors: [normalize, cost{used}], exporters: [otlp_http]}}
    metrics: {{receivers: [otlp], exporters: [otlp_http]}}
"""


class Machine:
    """A gateway with workers, and the ports that it has."""

    def __init__(self, folder: Path, sink: str) -> None:
        self.folder, self.sink = folder, sink
        self.more: dict[str, str] = {}
        self.processors: dict[str, str] = {}
        self.port, self.grpc, self.admin = unused_port(), unused_port(), unused_port()
        self.config = folder / "config.yaml"

    @contextmanager
    def running(self, workers: int = 2, timeout: float = 20) -> Iterator[subprocess.Popen[bytes]]:
        text = CONFIG.format(
            port=self.port,
            grpc=self.grpc,
            admin=self.admin,
            sink=self.sink,
            folder=self.folder,
            workers=workers,
            timeout=timeout,
            processors="".join(f", {name}: {settings}" for name, settings in self.processors.items()),
            used="".join(f", {name}" for name in self.processors),
            receivers=", ".join(("otlp", *self.more)),
            more="\n  ".join(f"{name}: {settings}" for name, settings in self.more.items()),
        )
        self.config.write_text(text)
        process = subprocess.Popen([sys.executable, "-m", "otel_llm.cli.main", "run", "--config", str(self.config)])
        try:
            wait_until_ready(self.admin, workers)
            yield process
        finally:
            process.terminate()
            process.wait(60)

    def send(self, first: int, requests: int = 24) -> set[int]:
        """One connection for each request, so that both workers get some."""
        for number in range(first, first + requests):
            assert post(self.port, "/v1/traces", traces(number, 1).SerializeToString())[0] == 200
        return set(range(first, first + requests))

    def counted(self, name: str) -> dict[str, float]:
        """A metric by worker, summed over other labels."""
        found: dict[str, float] = {}
        for line in get(self.admin, "/metrics")[1].splitlines():
            if line.startswith(f'{name}{{otel_llm_worker_id="'):
                worker = line.split('"')[1]
                found[worker] = found.get(worker, 0.0) + float(line.rpartition(" ")[2])
        return found


@pytest.fixture
def destination() -> Destination:
    return Destination()


@pytest.fixture
def machine(tmp_path: Path, destination: Destination) -> Iterator[Machine]:
    with OtlpHttpSink(destination) as sink:
        yield Machine(tmp_path, sink.endpoint)


def arrived(destination: Destination) -> set[int]:
    taken = [one.body for one in destination.accepted if one.signal == "traces"]
    return {number for body in taken for number in numbers("traces", body)}


def test_both_workers_take_telemetry_and_one_answer_tells_of_both(machine: Machine, destination: Destination) -> None:
    with machine.running() as process:
        sent = machine.send(1, 40)
        accepted = machine.counted("otel_llm_receiver_items_accepted_total")
        assert accepted.keys() == {"1", "2"}
        assert sum(accepted.values()) == 40
        assert machine.counted("otel_llm_worker_starts_total") == {"1": 1.0, "2": 1.0}
        assert get(machine.admin, "/readyz") == (200, "ready\n")
        status = get(machine.admin, "/status")[1]
        assert '"worker":1' in status
        assert '"worker":2' in status
        process.terminate()
        assert process.wait(60) == 0
    assert arrived(destination) == sent


def test_27_each_worker_writes_a_chain_of_what_it_has_redacted(machine: Machine) -> None:
    folder, key = machine.folder / "audit", machine.folder / "key"
    key.write_text("a key of 32 bytes, for tests only")
    machine.processors["redact"] = f"{{audit: {{path: '{folder}', key_file: '{key}', processes: 2}}}}"
    body = request([SpanSpec({"gen_ai.prompt": "jane.doe@mail.example.org"}, scope="app")])
    with machine.running() as process:
        for _ in range(24):
            assert post(machine.port, "/v1/traces", body)[0] == 200
        process.terminate()
        assert process.wait(60) == 0
    assert main(["audit", "verify", str(folder), "--key-file", str(key)]) == 0
    reports = [verify(place, key.read_bytes()) for place in (folder, folder / "@2")]
    assert sum(report.records - 1 for report in reports) == 24  # beside that each was begun


def test_the_status_tells_of_the_receivers_of_every_worker(machine: Machine) -> None:
    pytest.importorskip("confluent_kafka", reason="the extra kafka is not installed")
    machine.more["kafka"] = f'{{brokers: ["127.0.0.1:{unused_port()}"], traces: {{topics: [spans]}}}}'
    with machine.running():
        status = msgspec.json.decode(get(machine.admin, "/status")[1], type=HostStatus)
    assert [(one.name, one.worker) for one in status.receivers] == [("kafka", 1), ("kafka", 2)]


def test_both_workers_take_grpc_on_the_same_port(machine: Machine, destination: Destination) -> None:
    export = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
    with machine.running() as process:
        for number in range(1, 25):  # a connection for each
            target, own = f"127.0.0.1:{machine.grpc}", [("grpc.use_local_subchannel_pool", 1)]
            with grpc.insecure_channel(target, options=own) as channel:
                channel.unary_unary(export)(traces(number, 1).SerializeToString(), timeout=30, wait_for_ready=True)
        accepted = machine.counted("otel_llm_receiver_items_accepted_total")
        assert accepted.keys() == {"1", "2"}
        assert sum(accepted.values()) == 24
        process.terminate()
        assert process.wait(60) == 0
    assert arrived(destination) == set(range(1, 25))


def test_acceptance_34_each_worker_says_whose_its_metrics_are(machine: Machine, destination: Destination) -> None:
    with machine.running() as process:
        machine.send(1)
        process.terminate()  # the last counts go out with the rest
        assert process.wait(60) == 0
    instances = {
        attribute.value.string_value.rpartition("/")[2]
        for request in destination.accepted
        if request.signal == "metrics"
        for resource in ExportMetricsServiceRequest.FromString(request.body).resource_metrics
        for attribute in resource.resource.attributes
        if attribute.key == "service.instance.id"
    }
    assert instances == {"1", "2"}


def test_acceptance_36_a_worker_that_is_killed_comes_back_and_nothing_acknowledged_is_lost(tmp_path: Path) -> None:
    result = kill_workers(5, tmp_path, seed=5)
    assert result.acknowledged > 1000
    assert result.lost == []
    assert result.unmarked == []


def test_fewer_workers_deliver_what_more_of_them_have_left_on_disk(machine: Machine, destination: Destination) -> None:
    destination.default = Answer.unavailable()
    with machine.running(workers=3, timeout=0.5):
        sent = machine.send(1, 40)
    assert not arrived(destination)
    assert any(log.items for log in survey(machine.folder / "queue" / "@3" / "otlp_http", "otlp_http"))
    destination.default = Answer()
    with machine.running(workers=1) as process:
        eventually(lambda: arrived(destination) == sent)
        eventually(lambda: len(wait_for_workers(process.pid, 1)) == 1)  # those that were leaving have left


def test_workers_stop_in_order_when_their_supervisor_is_killed(machine: Machine, destination: Destination) -> None:
    with machine.running() as process:
        sent = machine.send(1)
        workers = wait_for_workers(process.pid, 2)
        process.kill()
        process.wait(60)
        eventually(lambda: not any(is_alive(pid) for pid in workers))
    assert arrived(destination) == sent


def test_a_second_gateway_does_not_share_the_port_of_the_first(machine: Machine, tmp_path: Path) -> None:
    with machine.running():
        second = machine.config.read_text().replace(f":{machine.admin}", f":{unused_port()}")
        other = tmp_path / "other.yaml"
        other.write_text(second)
        command = [sys.executable, "-m", "otel_llm.cli.main", "run", "--config", str(other)]
        ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 1
    assert "receivers.otlp.protocols.http.endpoint: cannot listen on" in ended.stderr


def test_a_reload_reaches_all_workers_and_another_number_of_them_does_not(
    machine: Machine, destination: Destination
) -> None:
    with machine.running() as process, OtlpHttpSink(Destination()) as elsewhere:
        text = machine.config.read_text()
        machine.config.write_text(text.replace("workers: 2", "workers: 3").replace(machine.sink, "http://127.0.0.1:9"))
        process.send_signal(signal.SIGHUP)
        sent = machine.send(1)
        eventually(lambda: arrived(destination) == sent)
        machine.config.write_text(text.replace(machine.sink, elsewhere.endpoint))
        process.send_signal(signal.SIGHUP)

        def goes_elsewhere() -> bool:
            machine.send(100, 10)
            before = len(arrived(destination))
            machine.send(200, 10)
            return len(arrived(destination)) == before and bool(arrived(elsewhere.destination))

        eventually(goes_elsewhere)


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, signal.SIG_DFL)
    except ProcessLookupError:
        return False
    return "State:\tZ" not in Path(f"/proc/{pid}/status").read_text()
