"""Human review: cases from the file exporter's lines, labels in the ledger, by terminal and by page."""

from __future__ import annotations

import http.client
import io
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from otel_llm.cli.main import main
from otel_llm.codecs.json import to_json
from otel_llm.ledger.store import Ledger
from otel_llm.review.cases import read_contents
from otel_llm.review.page import review_server
from otel_llm.review.session import Session
from otel_llm.review.terminal import review
from otel_llm.testing import FakeClock
from tests.spans import SpanSpec, chat, request

TOKEN = "let-me-in"


def messages(role: str, text: str) -> str:
    return json.dumps([{"role": role, "parts": [{"type": "text", "content": text}]}])


def spans(number: int) -> list[SpanSpec]:
    return [
        SpanSpec(
            chat(
                gen_ai__input__messages=messages("user", f"question {n}"),
                gen_ai__output__messages=messages("assistant", f"answer {n} \x1b[2J<script>alert({n})</script>"),
                otel_llm__quality__flags=("refusal",) if n == 1 else (),
            ),
            span=n,
        )
        for n in range(1, number + 1)
    ]


@pytest.fixture
def telemetry(tmp_path: Path) -> Path:
    path = tmp_path / "telemetry.jsonl"
    silent = SpanSpec(chat(), span=99)
    lines = [
        to_json("traces", request([*spans(3), silent])),
        b'{"resourceMetrics":[]}',
        to_json("traces", request(spans(1))),
    ]
    path.write_bytes(b"\n".join(lines) + b"\n")
    return path


@pytest.fixture
def ledger(ledger_place: str) -> Iterator[Ledger]:
    ledger = Ledger(ledger_place)
    yield ledger
    ledger.close()


def session_of(telemetry: Path, ledger: Ledger, reviewer: str = "ann") -> Session:
    contents = read_contents([telemetry], ledger.evaluations(), 100)
    return Session(contents, ledger, name="review", reviewer=reviewer, limit=50, clock=FakeClock())


def test_cases_are_the_operations_with_an_answer_each_once(telemetry: Path) -> None:
    contents = read_contents([telemetry], [], 100)
    assert sorted(one.question for one in contents) == ["question 1", "question 2", "question 3"]
    assert [one.case.flags for one in contents if one.question == "question 1"] == [("refusal",)]
    assert len(read_contents([telemetry], [], 2)) == 2


def test_letters_become_labels_in_the_ledger_and_do_not_come_back(telemetry: Path, ledger: Ledger) -> None:
    sink = io.StringIO()
    review(session_of(telemetry, ledger), io.StringIO("g\nnonsense\n\ns\nb\n"), sink)
    assert {(one.evaluation.label, one.evaluation.score) for one in ledger.evaluations()} == {
        ("good", 1.0),
        ("bad", 0.0),
    }
    for one in ledger.evaluations():
        assert (one.evaluation.source, one.evaluation.evaluator_id, one.evaluation.name) == ("human", "ann", "review")
        assert one.evaluation.sampling_probability == 1.0
    assert "\x1b" not in sink.getvalue()
    again = session_of(telemetry, ledger).current()
    assert again is not None
    assert again.total == 1


def test_quitting_and_the_end_of_input_end_the_review(telemetry: Path, ledger: Ledger) -> None:
    for text in ("g\nq\n", "u\n", ""):
        review(session_of(telemetry, ledger, text or "nobody"), io.StringIO(text), io.StringIO())
    assert sorted(one.evaluation.label for one in ledger.evaluations()) == ["good", "unsure"]


@contextmanager
def page(session: Session) -> Iterator[http.client.HTTPConnection]:
    server = review_server(session, TOKEN)
    server.start()
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
    try:
        yield connection
    finally:
        connection.close()
        server.shutdown(1)


def ask(connection: http.client.HTTPConnection, method: str, path: str, body: object = None) -> tuple[int, bytes, str]:
    raw = None if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
    connection.request(method, path, raw, {"content-type": "application/json"})
    answer = connection.getresponse()
    return answer.status, answer.read(), answer.headers.get("content-security-policy", "")


def test_the_page_shows_cases_and_takes_labels(telemetry: Path, ledger: Ledger) -> None:
    with page(session_of(telemetry, ledger)) as connection:
        status, html, policy = ask(connection, "GET", f"/?token={TOKEN}")
        assert (status, "default-src 'none'" in policy) == (200, True)
        assert b"http" not in html.replace(b"http-equiv", b"")  # nothing from anywhere else
        first = json.loads(ask(connection, "GET", f"/case?token={TOKEN}")[1])
        assert (first["number"], first["total"], "<script>" in first["answer"]) == (1, 3, True)
        second = json.loads(ask(connection, "POST", f"/case?token={TOKEN}", {"number": 1, "label": "good"})[1])
        again = json.loads(ask(connection, "POST", f"/case?token={TOKEN}", {"number": 1, "label": "bad"})[1])
        assert second == again
        ask(connection, "POST", f"/case?token={TOKEN}", {"number": 2, "label": None})
        last = ask(connection, "POST", f"/case?token={TOKEN}", {"number": 3, "label": "unsure"})[1]
        assert json.loads(last) is None
    assert sorted(one.evaluation.label for one in ledger.evaluations()) == ["good", "unsure"]


def test_without_the_token_the_page_shows_and_takes_nothing(telemetry: Path, ledger: Ledger) -> None:
    with page(session_of(telemetry, ledger)) as connection:
        for method, path in (
            ("GET", "/"),
            ("GET", "/case"),
            ("GET", "/case?token=x"),
            ("POST", "/case"),
            ("POST", "/case?token="),
        ):
            status, body, _ = ask(
                connection, method, path, {"number": 1, "label": "good"} if method == "POST" else None
            )
            assert (status, b"answer" in body) == (403, False)
    assert ledger.evaluations() == []


@pytest.mark.parametrize(
    "body", [b"{", b"[" * 10_000, {"number": 1}, {"number": 1, "label": "great"}, {"number": "1", "label": "good"}]
)
def test_the_page_takes_no_other_labels(body: object, telemetry: Path, ledger: Ledger) -> None:
    with page(session_of(telemetry, ledger)) as connection:
        assert ask(connection, "POST", f"/case?token={TOKEN}", body)[0] == 400
    assert ledger.evaluations() == []


def test_labelled_cases_are_exported(
    telemetry: Path, ledger: Ledger, ledger_place: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    review(session_of(telemetry, ledger), io.StringIO("g\n"), io.StringIO())
    out = tmp_path / "cases.jsonl"
    assert main(["review", str(telemetry), "--ledger", ledger_place, "--export", str(out)]) == 0
    assert "1 labelled cases" in capsys.readouterr().out
    (line,) = map(json.loads, out.read_text().splitlines())
    assert (line["label"], line["score"], line["reviewer"]) == ("good", 1.0, "ann")
    assert line["input"].startswith("question")


def test_a_file_that_is_no_telemetry_is_a_problem_with_its_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "wrong.jsonl"
    path.write_text('{"resourceSpans": 7}\n')
    assert main(["review", str(path), "--ledger", str(tmp_path / "l.db")]) == 1
    assert "wrong.jsonl:1: OTLP/JSON" in capsys.readouterr().err
    assert main(["review", str(tmp_path / "none.jsonl"), "--ledger", str(tmp_path / "l.db")]) == 1


def test_the_command_reviews_in_the_terminal(
    telemetry: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("b\nq\n"))
    assert main(["review", str(telemetry), "--ledger", str(tmp_path / "l.db"), "--reviewer", "bob"]) == 0
    assert "1 labelled as bob" in capsys.readouterr().out
