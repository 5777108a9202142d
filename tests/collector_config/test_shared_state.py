"""The example with shared state, run: two gateways, one Redis, one PostgreSQL; and what was sent comes out once."""

from __future__ import annotations

import json
import time
from decimal import Decimal
from pathlib import Path

import pytest

from otel_llm.cli.main import main
from otel_llm.config import load
from otel_llm.hosts.gateway import Gateway
from otel_llm.ledger.store import Ledger
from otel_llm.testing import OtlpHttpSink
from tests.counters.redis_server import RedisServer, needs_redis
from tests.hosts.running import http_port, post
from tests.ledger.postgres_server import PostgresServer, needs_postgres
from tests.spans import SpanSpec, chat, request

EXAMPLE = Path(__file__).resolve().parents[2] / "collector-config" / "gateway-shared-state.yaml"
PORTS = ("receivers.otlp.protocols.http.endpoint=127.0.0.1:0", "receivers.otlp.protocols.grpc.endpoint=127.0.0.1:0")
# Both gateways have one admin address in the example.
OVERRIDES = (*PORTS, "service.admin.endpoint=127.0.0.1:0")


@needs_redis
@needs_postgres
def test_two_gateways_count_into_one_redis_and_write_one_ledger(
    tmp_path: Path, postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    now = time.time_ns()
    with RedisServer(tmp_path) as redis, OtlpHttpSink() as sink:
        environment = {
            "REDIS_URL": redis.address.url,
            "LEDGER_URL": postgres.new_database(),
            "BACKEND_ENDPOINT": sink.endpoint,
        }
        gateways = []
        for number in (1, 2):
            here = environment | {"OTEL_LLM_QUEUE": str(tmp_path / f"queue{number}")}
            gateways.append(Gateway(load(str(EXAMPLE), here, OVERRIDES), metrics_interval_seconds=3600))
        for gateway in gateways:
            gateway.start()
        try:
            for span in range(1, 21):
                spec = SpanSpec(chat(gen_ai__response__model="claude-opus-4-5"), span=span, start=now)
                for port in {http_port(gateways[span % 2]), http_port(gateways[0])}:
                    assert post(port, "/v1/traces", request([spec]))[0] == 200
        finally:
            for gateway in gateways:
                gateway.shutdown()
        ledger = Ledger(environment["LEDGER_URL"])
        (total,) = ledger.totals()
        ledger.close()
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        capsys.readouterr()
        assert main(["budget", "--config", str(EXAMPLE), "--json"]) == 0
        said = {one["name"]: one for one in map(json.loads, capsys.readouterr().out.splitlines())}
    # Odd spans went to both gateways: one row each, for the ledger knows them; each gateway counts what it has seen.
    each = total.costs["USD"] / 20
    assert (total.calls, each > 0) == (20, True)
    assert said["every-day"]["calls"] == 30
    assert Decimal(said["every-day"]["spent"]) == 30 * each
    assert said["frontier-models"]["calls"] == 30
    assert said["support"]["spent"] == "0.000000000"
