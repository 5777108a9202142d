"""A real Prometheus with the rules of collector-config, for tests."""

from __future__ import annotations

import http.client
import json
import math
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import yaml

from otel_llm.testing import unused_port
from tests.collector_config.observability import CONFIG, RULE_FILES

_START_SECONDS = 60


class Prometheus:
    """One that runs; asked over its HTTP API."""

    def __init__(self, port: int) -> None:
        self.port = port

    def ask(self, path: str, method: str = "GET", body: bytes | None = None, **headers: str) -> tuple[int, bytes]:
        """Status and body of an answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def get(self, path: str, **parameters: str) -> Any:
        """The data of a successful answer of the API."""
        status, body = self.ask(f"/api/v1/{path}?{urlencode(parameters)}")
        assert status == 200, f"{parameters}: {body.decode()}"
        return json.loads(body)["data"]

    def query(self, expression: str) -> list[dict[str, Any]]:
        """The result of an instant query; what is not a number is left out."""
        found: list[dict[str, Any]] = self.get("query", query=expression)["result"]
        return [one for one in found if not math.isnan(float(one["value"][1]))]

    def wait_for(self, what: Callable[[], object], seconds: float = 60) -> None:
        """Wait until something is so.

        Raises:
            TimeoutError: it is not, in time.
        """
        deadline = time.monotonic() + seconds
        while not what():
            if time.monotonic() > deadline:
                raise TimeoutError
            threading.Event().wait(0.2)


def configuration(folder: Path, target: str) -> Path:
    """The stack's configuration for a gateway at this address, with everything looked at each second."""
    document = yaml.safe_load((CONFIG / "prometheus" / "prometheus.yaml").read_text())
    document["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    [scrape] = document["scrape_configs"]
    scrape["static_configs"] = [{"targets": [target]}]
    document["rule_files"] = []
    for path in RULE_FILES:
        rules = yaml.safe_load(path.read_text())
        for group in rules["groups"]:
            group["interval"] = "1s"
        copy = folder / path.name
        copy.write_text(yaml.safe_dump(rules))
        document["rule_files"].append(str(copy))
    configured = folder / "prometheus.yaml"
    configured.write_text(yaml.safe_dump(document))
    return configured


@contextmanager
def prometheus(programs: Path, folder: Path, target: str) -> Iterator[Prometheus]:
    """One that scrapes a gateway.

    Args:
        programs: where its binary is.
        folder: for its configuration, data and log.
        target: host:port of the gateway's admin endpoint.
    """
    server = Prometheus(unused_port())
    command = [
        str(programs / "prometheus"),
        f"--config.file={configuration(folder, target)}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address=127.0.0.1:{server.port}",
        "--web.enable-otlp-receiver",
    ]
    with (folder / "prometheus.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
        try:
            server.wait_for(lambda: _is_ready(server, process), _START_SECONDS)
            yield server
        finally:
            process.terminate()
            process.wait(30)


def _is_ready(server: Prometheus, process: subprocess.Popen[bytes]) -> bool:
    assert process.poll() is None, "Prometheus ended; prometheus.log says why"
    try:
        return server.ask("/-/ready")[0] == 200
    except OSError:
        return False
