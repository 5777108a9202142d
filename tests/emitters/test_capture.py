"""The recorded requests are complete, private to nobody, and what `capture` would write again."""

from __future__ import annotations

import ast
import json

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.emitters.capture import FIRST_UNIX_NANO, GOLDEN, HERE, REQUESTS, as_otlp_json, read_emitters, settle

PREFIXES = {"openai": "openai_", "anthropic": "anthropic_"}
SCENARIOS = {"openai": 10, "anthropic": 6}
ENVIRONMENTS, EMITTERS = read_emitters()
RECORDED = sorted(GOLDEN.glob("*/*.pb"))


@pytest.mark.parametrize("name", EMITTERS)
def test_every_scenario_of_every_emitter_is_recorded(name):
    recorded = {path.name.partition(".")[0] for path in (GOLDEN / name).glob("*.traces.pb")}
    expected = sum(SCENARIOS[provider] for provider in EMITTERS[name].providers)
    assert len(recorded) == expected
    assert all(scenario.startswith(tuple(PREFIXES[p] for p in EMITTERS[name].providers)) for scenario in recorded)


def test_every_environment_is_pinned_whole():
    for name, requirements in ENVIRONMENTS.items():
        locked = (HERE / "locks" / f"{name}.txt").read_text().splitlines()
        assert set(requirements) <= set(locked)
        assert all("==" in line for line in locked)


@pytest.mark.parametrize("path", RECORDED, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_readable_and_binary_form_say_the_same(path):
    message = REQUESTS[path.name.split(".")[1]].FromString(path.read_bytes())
    assert as_otlp_json(message) == json.loads(path.with_suffix(".json").read_text())


@pytest.mark.parametrize("path", RECORDED, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_recorded_requests_name_no_folder_of_the_machine_they_came_from(path):
    files = [piece.partition(b'"')[0] for piece in path.read_bytes().split(b'File "')[1:]]
    assert all(file.startswith((b"/venv/", b"/app/", b"/python/")) for file in files)


def test_recorded_requests_stay_small():
    assert sum(path.stat().st_size for path in GOLDEN.rglob("*") if path.is_file()) < 2_000_000


def test_drive_needs_nothing_of_this_project():
    tree = ast.parse((HERE / "drive.py").read_text())
    imported = [node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    imported += [alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names]
    assert not [name for name in imported if name.split(".")[0] in ("otel_llm", "tests", "pytest")]


def request_of(*times: int, text: str = "") -> ExportTraceServiceRequest:
    request = ExportTraceServiceRequest()
    spans = request.resource_spans.add().scope_spans.add().spans
    for time in times:
        span = spans.add(start_time_unix_nano=time)
        span.attributes.add(key="where").value.string_value = text
    return request


def test_settling_keeps_order_and_equality_of_times_across_requests():
    first, second = request_of(500, 100, 500), request_of(300)
    settle([first, second], {})
    times = [span.start_time_unix_nano for span in first.resource_spans[0].scope_spans[0].spans]
    steps = [(time - FIRST_UNIX_NANO) // 1_000_000 for time in times]
    assert steps == [2, 0, 2]
    assert second.resource_spans[0].scope_spans[0].spans[0].start_time_unix_nano == FIRST_UNIX_NANO + 1_000_000


def test_settling_hides_private_paths_and_nothing_else():
    request = request_of(1, text='File "/home/me/env/lib/a.py" failed')
    settle([request], {"/home/me/env": "/venv"})
    [span] = request.resource_spans[0].scope_spans[0].spans
    assert span.attributes[0].value.string_value == 'File "/venv/lib/a.py" failed'
