"""VictoriaLogs behind gateway-victorialogs.yaml: what apps log and what users think, asked for by LogsQL."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest

from otel_llm.testing import unused_port
from tests.backends_real.feeding import CALLS, Fed, fed, span_id, trace_id
from tests.backends_real.programs import BACKEND_MARKS, Backend, program, started
from tests.golden.recorded import RECORDED_LOGS, log_records_of
from tests.hosts.running import http_port, post

pytestmark = BACKEND_MARKS


@pytest.fixture(scope="module")
def logs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Backend]:
    folder = tmp_path_factory.mktemp("victorialogs")
    backend = Backend(unused_port())
    # The recorded requests are older than the week that it keeps.
    options = (
        f"-storageDataPath={folder / 'data'}",
        f"-httpListenAddr=127.0.0.1:{backend.port}",
        "-retentionPeriod=10y",
    )
    with started([program("victorialogs"), *options], backend, "/health", folder, {}) as running:
        yield running


@pytest.fixture(scope="module")
def sent(logs: Backend) -> Iterator[Fed]:
    environment = {"VICTORIALOGS_ENDPOINT": f"{logs.endpoint}/insert/opentelemetry"}
    with fed("victorialogs", environment, None, "receivers.feedback.endpoint=127.0.0.1:0") as gateway:
        yield gateway


def found(logs: Backend, query: str) -> list[dict[str, Any]]:
    status, answer = logs.ask(f"/select/logsql/query?limit=1000&query={quote(query)}")
    assert status == 200, answer
    return [json.loads(line) for line in answer.splitlines()]


def test_a_thumb_is_found_by_the_call_it_is_about(logs: Backend, sent: Fed):
    sent.send_thumb(CALLS.priced)
    query = f'trace_id:="{trace_id(CALLS.priced)}"'
    logs.wait_for(lambda: found(logs, query))
    [thumb] = found(logs, query)
    assert thumb["span_id"] == span_id(CALLS.priced)
    assert float(thumb["gen_ai.evaluation.score.value"]) == 0


def test_every_event_of_an_app_is_there(logs: Backend, sent: Fed):
    [recording, *_] = RECORDED_LOGS
    number = len(log_records_of(recording.logs))
    assert post(http_port(sent.gateway), "/v1/logs", recording.logs)[0] == 200
    query = f'trace_id:="{log_records_of(recording.logs)[0].trace_id.hex()}"'
    logs.wait_for(lambda: len(found(logs, query)) == number)
    assert all("gen_ai.operation.name" in one or "gen_ai.provider.name" in one for one in found(logs, query))
