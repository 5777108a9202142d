"""A real Apache Kafka for tests: one node in KRaft mode on free ports, from Maven Central.

The jars are fetched once into the tool cache (tests/tool_cache.py), under a lock, so that several test runs at once
fetch them once. Without Java 17 or Maven, `why_not` says so and tests skip.
"""

from __future__ import annotations

import fcntl
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Self

from confluent_kafka.admin import AdminClient, NewTopic

from otel_llm.testing import unused_port
from tests.tool_cache import tool_cache, why_not_built

VERSION = "4.3.1"
_OLDEST_JAVA = 17
_POM = f"""<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>otel-llm.tests</groupId><artifactId>kafka</artifactId><version>1</version><packaging>pom</packaging>
  <dependencies>
    <dependency>
      <groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId><version>{VERSION}</version>
    </dependency>
    <dependency><groupId>org.slf4j</groupId><artifactId>slf4j-simple</artifactId><version>1.7.36</version></dependency>
  </dependencies>
</project>
"""
_CLUSTER_ID = "b3RlbC1sbG0tdGVzdHMtMQ"
_FETCH_SECONDS = 600
_START_SECONDS = 60
_JVM = (
    "-Xms64m", "-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto", "-Djava.awt.headless=true",
    "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
)  # fmt: skip


def why_not() -> str | None:
    """Why there is no broker on this machine; None when there may be one."""
    for tool in ("java", "mvn"):
        if shutil.which(tool) is None:
            return f"{tool} is not installed: CONTRIBUTING.md says what the tests with Kafka need"
    said = subprocess.run(["java", "-version"], capture_output=True, text=True, check=False).stderr
    found = re.search(r'version "(\d+)', said)
    if found is None or int(found[1]) < _OLDEST_JAVA:
        return f"Kafka needs Java {_OLDEST_JAVA} or newer"
    try:
        if not (_folder() / "whole").exists() and (forbidden := why_not_built("kafka")) is not None:
            return forbidden
        jars()
    except subprocess.CalledProcessError as error:
        said = next((line for line in error.stdout.decode().splitlines() if "ERROR" in line), "nothing")
        return f"Kafka cannot be had from Maven Central here: Maven said {said}"
    return None


def _folder() -> Path:
    return tool_cache() / "kafka" / VERSION


def jars() -> Path:
    """The folder of Kafka's jars, fetched when they are not there yet."""
    folder = _folder()
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "whole").exists():
            (folder / "pom.xml").write_text(_POM)
            command = ["mvn", "-q", "-B", "dependency:copy-dependencies", "-DoutputDirectory=lib"]
            subprocess.run(
                [*command, "-DincludeScope=runtime"],
                cwd=folder,
                check=True,
                timeout=_FETCH_SECONDS,
                capture_output=True,
            )
            (folder / "whole").touch()
    return folder / "lib"


class Broker:
    """One node; `stop` and `start` keep its data and its port.

    Args:
        folder: for its data, log and configuration.
        properties: of its configuration, beside or in place of those it has anyway.
        is_secured: have a listener named SECURE as well, which the properties say more of.
    """

    def __init__(self, folder: Path, properties: Mapping[str, str] | None = None, *, is_secured: bool = False) -> None:
        self.folder = folder
        self.port, self._controller_port = unused_port(), unused_port()
        self.address = f"127.0.0.1:{self.port}"
        self.secure_port = unused_port()
        self.secure_address = f"localhost:{self.secure_port}"
        self._class_path = f"{jars()}/*"
        listeners = f"PLAINTEXT://{self.address}" + (f",SECURE://{self.secure_address}" if is_secured else "")
        self._properties = {
            "process.roles": "broker,controller",
            "node.id": "1",
            "controller.quorum.bootstrap.servers": f"127.0.0.1:{self._controller_port}",
            "listeners": f"{listeners},CONTROLLER://127.0.0.1:{self._controller_port}",
            "advertised.listeners": listeners,
            "controller.listener.names": "CONTROLLER",
            "listener.security.protocol.map": "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT",
            "log.dirs": str(folder / "data"),
            "auto.create.topics.enable": "false",
            "num.partitions": "4",
            "offsets.topic.num.partitions": "1",
            "offsets.topic.replication.factor": "1",
            "transaction.state.log.replication.factor": "1",
            "transaction.state.log.min.isr": "1",
            "share.coordinator.state.topic.replication.factor": "1",
            "share.coordinator.state.topic.min.isr": "1",
            "group.initial.rebalance.delay.ms": "0",
            "group.min.session.timeout.ms": "1000",
            "log.cleaner.enable": "false",
            "num.network.threads": "2",
            "num.io.threads": "2",
            "background.threads": "2",
            "num.recovery.threads.per.data.dir": "1",
            **(properties or {}),
        }
        self._settings = folder / "server.properties"
        self._process: subprocess.Popen[bytes] | None = None
        folder.mkdir(parents=True, exist_ok=True)
        self._settings.write_text("".join(f"{key}={value}\n" for key, value in self._properties.items()))
        self._java("kafka.tools.StorageTool", "format", "--standalone", "-t", _CLUSTER_ID, "-c", str(self._settings))

    def _command(self, *arguments: str) -> list[str]:
        return ["java", *_JVM, "-cp", self._class_path, *arguments]

    def _java(self, *arguments: str) -> None:
        done = subprocess.run(
            self._command(*arguments), capture_output=True, text=True, check=False, timeout=_START_SECONDS
        )
        if done.returncode:
            raise RuntimeError(f"{arguments[0]}: {done.stdout}{done.stderr}")

    def start(self) -> None:
        """Start it, and return when it answers."""
        with (self.folder / "broker.log").open("ab") as log:
            self._process = subprocess.Popen(
                self._command("kafka.Kafka", str(self._settings)), stdout=log, stderr=log, cwd=self.folder
            )
        deadline = time.monotonic() + _START_SECONDS
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"Kafka did not start: {(self.folder / 'broker.log').read_text()[-4000:]}")
            time.sleep(0.1)

    def _answers(self) -> bool:
        """The port is open once the node has its metadata."""
        with socket.socket() as probe:
            probe.settimeout(1)
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def stop(self) -> None:
        """Stop it in order; nothing happens when it does not run."""
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(30)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            self._process = None

    @property
    def pid(self) -> int:
        """Of its process."""
        assert self._process is not None, "the broker was not started"
        return self._process.pid

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def create_topics(self, topics: Sequence[str], partitions: int = 4, settings: Mapping[str, str] | None = None):
        """Create topics, and return when they are there."""
        admin = AdminClient({"bootstrap.servers": self.address})
        new = [NewTopic(topic, partitions, 1, config=dict(settings or {})) for topic in topics]
        for made in admin.create_topics(new, operation_timeout=30).values():
            made.result(30)


@contextmanager
def broker(folder: Path, properties: Mapping[str, str] | None = None) -> Iterator[Broker]:
    """A broker that runs."""
    with Broker(folder, properties) as running:
        yield running
