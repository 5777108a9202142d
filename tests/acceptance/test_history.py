"""A conversation whose every call sends all of it again, through a gateway that tells each message once."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import redirect_stdout
from dataclasses import dataclass
from io import StringIO
from pathlib import Path

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from otel_llm._generated import attributes as names
from otel_llm.cli.main import main
from otel_llm.codecs.json import to_json, to_protobuf
from otel_llm.operation import AttributeValue
from tests.hosts.running import http_port, post, running
from tests.spans import SpanSpec, attributes_of, chat, request, spans_of

TURNS = 50
CONFIG = """
receivers:
  otlp:
    protocols:
      http: {{endpoint: "127.0.0.1:0"}}
processors:
  normalize:
  cost:
  history:
exporters:
  file: {{path: "{path}"}}
service:
  admin: {{endpoint: "127.0.0.1:0"}}
  shutdown_timeout_seconds: 5
  pipelines:
    traces: {{receivers: [otlp], processors: [normalize, cost, history], exporters: [file]}}
"""
Message = dict[str, object]


def message(role: str, text: str) -> Message:
    return {"role": role, "parts": [{"type": "text", "content": text}]}


def dump(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


@dataclass(frozen=True)
class Sent:
    """What the app sent: the spans, and the text of each message, instruction and tool once."""

    spans: list[SpanSpec]
    unique: set[str]

    @property
    def unique_bytes(self) -> int:
        return sum(len(text.encode()) for text in self.unique)

    @property
    def content_bytes(self) -> int:
        return sum(len(text.encode()) for span in self.spans for text in contents(span.attributes))


def contents(attributes: object) -> Iterator[str]:
    assert isinstance(attributes, dict)
    keys = (names.GEN_AI_INPUT_MESSAGES, names.GEN_AI_OUTPUT_MESSAGES)
    for key in (*keys, names.GEN_AI_SYSTEM_INSTRUCTIONS, names.GEN_AI_TOOL_DEFINITIONS):
        if key in attributes:
            yield str(attributes[key])


def conversation() -> Sent:
    """50 turns, each a trace of its own: a question of some 1.5 KB, a look-up of 1.5 KB, an answer of 3 KB."""
    instructions = dump([{"type": "text", "content": "You are a patient teacher. " * 60}])
    tools = dump([{"type": "function", "name": "look_up", "description": "Looks up an article. " * 60}])
    history: list[Message] = []
    spans, unique = [], {instructions, tools}
    for number in range(1, TURNS + 1):
        history += [
            message("user", f"{number:03}: why does the sea look blue 🌊? " * 40),
            message("tool", f"{number:03}: 海 scatters short waves. " * 50),
        ]
        said = message("assistant", f"{number:03}: because “water” absorbs red.\n" * 80)
        attributes = chat(
            gen_ai__conversation__id="lesson",
            gen_ai__input__messages=dump(history),
            gen_ai__output__messages=dump([{**said, "finish_reason": "stop"}]),
            gen_ai__system_instructions=instructions,
            gen_ai__tool__definitions=tools,
        )
        spans.append(SpanSpec(attributes, trace=number, span=number))
        history.append(said)
    return Sent(spans, unique | {dump(one) for one in history})


@pytest.fixture(scope="module")
def sent() -> Sent:
    return conversation()


@pytest.fixture(scope="module")
def recording(sent: Sent, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a file exporter wrote of it."""
    folder = tmp_path_factory.mktemp("history")
    path = folder / "traces.jsonl"
    with running(CONFIG.format(path=path), folder) as gateway:
        for span in sent.spans:
            assert post(http_port(gateway), "/v1/traces", request([span]))[0] == 200
    return path


def spans_in(lines: str) -> list[dict[str, AttributeValue]]:
    return [
        attributes_of(span) for line in lines.splitlines() for span in spans_of(to_protobuf("traces", line.encode()))
    ]


def one_by_one(path: Path) -> list[str]:
    """The spans of a recording, a line for each: exporters join what comes quickly."""
    lines = []
    for line in path.read_text().splitlines():
        whole = ExportTraceServiceRequest.FromString(to_protobuf("traces", line.encode()))
        for span in spans_of(whole.SerializeToString()):
            single = ExportTraceServiceRequest()
            scope = single.resource_spans.add().scope_spans.add()
            scope.scope.CopyFrom(whole.resource_spans[0].scope_spans[0].scope)
            scope.spans.append(span)
            lines.append(to_json("traces", single.SerializeToString()).decode() + "\n")
    return lines


def restored(*paths: Path) -> tuple[int, str]:
    out = StringIO()
    with redirect_stdout(out):
        code = main(["history", *map(str, paths)])
    return code, out.getvalue()


def test_38_bytes_grow_linearly(sent: Sent, recording: Path) -> None:
    """Given a conversation of 50 turns, then the file has at most twice the bytes of what was said, all names, ids,
    costs and escapes included; the last ten turns take as much as the first ten; each span has as many attributes
    as the first, and two that say what was replaced."""
    spans = spans_in(recording.read_text())
    assert len(spans) == TURNS
    assert sent.content_bytes > 20 * sent.unique_bytes
    assert recording.stat().st_size <= 2 * sent.unique_bytes
    sizes = [sum(map(len, contents(span))) for span in spans]
    assert sum(sizes[-10:]) <= 1.01 * sum(sizes[1:11])
    assert {len(span) for span in spans[1:]} == {len(spans[0]) + 2}
    assert [span.get(names.OTEL_LLM_HISTORY_MESSAGES) for span in spans[1:]] == [3 * n for n in range(1, TURNS)]
    assert {span[names.OTEL_LLM_COST_TOTAL] for span in spans} == {0.0035}


def test_38_every_input_is_restored_from_the_file(sent: Sent, recording: Path) -> None:
    """Given the file alone, in the order it was written and in reverse, then the command writes every span with the
    whole input, instructions and tools it was sent with, byte for byte, and without the marks."""
    backwards = recording.with_name("backwards.jsonl")
    backwards.write_text("".join(reversed(one_by_one(recording))))
    for path, expected in ((recording, sent.spans), (backwards, sent.spans[::-1])):
        code, lines = restored(path)
        assert code == 0
        spans = spans_in(lines)
        assert [list(contents(span)) for span in spans] == [list(contents(one.attributes)) for one in expected]
        assert not any(names.OTEL_LLM_HISTORY_REPLACED in span for span in spans)


def test_38_a_part_that_is_missing_is_named_and_not_made_up(
    recording: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Given that the tenth turn is lost, then the command restores the first nine, names the 40 behind it, writes them
    as they were recorded, and ends with 1."""
    lines = one_by_one(recording)
    rest = tmp_path / "rest.jsonl"
    rest.write_text("".join(lines[:9] + lines[10:]))
    code, written = restored(rest)
    assert code == 1
    complaints = capsys.readouterr().err.splitlines()
    assert len(complaints) == 41
    assert complaints[0] == (f"span {11:032x}/{11:016x}: span {10:032x}/{10:016x} is not in the recording")
    assert complaints[-1] == "spans with a part missing: 40"
    before, after = spans_in(rest.read_text()), spans_in(written)
    assert after[9:] == before[9:]
    assert all(names.OTEL_LLM_HISTORY_REPLACED not in span for span in after[:9])
