from __future__ import annotations

import json
from pathlib import Path

import pytest

from otel_llm._generated import attributes as names
from otel_llm.cli.main import main
from otel_llm.clock import SystemClock
from otel_llm.codecs.json import to_json, to_protobuf
from otel_llm.codecs.wire import decode_traces
from otel_llm.components import Context
from otel_llm.delivery.shorten import shorten
from otel_llm.operation import AttributeValue
from otel_llm.pipeline import Pipeline
from otel_llm.processors import redact
from otel_llm.processors.history import History
from otel_llm.signals import Payload
from otel_llm.telemetry import Metrics
from tests.spans import SpanSpec, attributes_of, chat, request, spans_of

LONG = "as people write them, " * 20


def turns(*texts: str) -> list[bytes]:
    """A request for each call of a conversation, shortened as a gateway does it."""
    history = History()
    messages: list[object] = []
    bodies = []
    for number, text in enumerate(texts, 1):
        messages.append({"role": "user", "parts": [{"type": "text", "content": text}]})
        attributes = chat(gen_ai__conversation__id="c", gen_ai__input__messages=json.dumps(messages))
        batch = decode_traces(request([SpanSpec(attributes, span=number)]))
        Pipeline([history], Metrics(), SystemClock()).process(batch.operations)
        bodies.append(batch.encode().join())
    return bodies


def written(bodies: list[bytes], path: Path) -> str:
    path.write_bytes(b"".join(to_json("traces", body) + b"\n" for body in bodies))
    return str(path)


def restored(out: str) -> list[dict[str, AttributeValue]]:
    return [attributes_of(span) for line in out.splitlines() for span in spans_of(to_protobuf("traces", line.encode()))]


def said(span: dict[str, AttributeValue]) -> list[str]:
    return [message["parts"][0]["content"] for message in json.loads(str(span[names.GEN_AI_INPUT_MESSAGES]))]


def payload(body: bytes) -> Payload:
    return Payload("traces", (body,), 1, len(body), b"")


def test_the_conversation_may_lie_in_several_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first, second = turns(LONG, "and?")
    metrics = b'{"resourceMetrics":[]}\n'
    (tmp_path / "b.jsonl").write_bytes(metrics + to_json("traces", second) + b"\n")
    assert main(["history", str(tmp_path / "b.jsonl"), written([first], tmp_path / "a.jsonl")]) == 0
    assert [said(span) for span in restored(capsys.readouterr().out)] == [[LONG, "and?"], [LONG]]


def test_behind_redaction_the_restored_input_is_what_redaction_has_left(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    hidden = redact.create(redact.Config(), Context("redact", Metrics(), SystemClock()))
    bodies = [hidden.rewrite(payload(body)).join() for body in turns(f"jane@example.com, {LONG}", "and?")]
    assert main(["history", written(bodies, tmp_path / "a.jsonl")]) == 0
    _, second = restored(capsys.readouterr().out)
    assert said(second) == [f"[EMAIL_ADDRESS], {LONG}", "and?"]


def test_a_span_that_delivery_has_cut_is_not_taken_for_whole(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = turns(LONG * 10, "and?")
    cut = shorten(payload(first), 2000)
    assert cut is not None
    assert main(["history", written([cut.join(), second], tmp_path / "a.jsonl")]) == 1
    captured = capsys.readouterr()
    assert captured.err.splitlines() == [
        f"span {1:032x}/{2:016x}: span {1:032x}/{1:016x} was cut, as it was too large for its destination",
        "spans with a part missing: 1",
    ]
    assert names.OTEL_LLM_HISTORY_REPLACED in restored(captured.out)[1]


def test_a_file_that_is_not_there_is_a_problem_in_words(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["history", str(tmp_path / "none")]) == 1
    assert "cannot be read: No such file or directory" in capsys.readouterr().err
