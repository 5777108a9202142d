from __future__ import annotations

import io
import math

import msgspec
import pytest

from otel_llm.components import Context
from otel_llm.errors import PermanentError
from otel_llm.exporters.debug import Config, DebugExporter, create
from otel_llm.exporters.operation_table import cost, header, row
from otel_llm.signals import Payload
from tests.delivery.requests import payload
from tests.spans import SpanSpec, chat, operation, request

PRICED = chat(
    gen_ai__usage__cache_read__input_tokens=600,
    otel_llm__cost__status="priced",
    otel_llm__cost__currency="USD",
    otel_llm__cost__total=0.0035,
)
UNPRICED = chat(
    gen_ai__response__model="new", otel_llm__cost__status="unpriced", otel_llm__cost__reason="unknown_model"
)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def shown(*payloads: Payload, stream: io.StringIO | None = None, **config: object) -> list[str]:
    stream = stream or io.StringIO()
    exporter = DebugExporter(msgspec.convert(config, Config), stream)
    for one in payloads:
        exporter.export(one, 1)
    exporter.shutdown()
    return stream.getvalue().splitlines()


def spans(*specs: SpanSpec) -> Payload:
    return Payload.of("traces", (request(specs),), len(specs))


def test_each_operation_is_a_line_under_aligned_headings() -> None:
    lines = shown(spans(SpanSpec(PRICED, seconds=1.25), SpanSpec(UNPRICED, span=2, seconds=0.05)))
    assert lines == [
        (
            "TIME      OPERATION     PROVIDER/MODEL                             IN     OUT   CACHED         COST  "
            "STATUS   LATENCY  NOTE"
        ),
        (
            "12:00:00  chat          openai/gpt-4o                           1,000     100      600    $0.003500  "
            "ok        1.25 s"
        ),
        (
            "12:00:00  chat          openai/new                              1,000     100        -     unpriced  "
            "ok         50 ms  unknown_model"
        ),
    ]


def test_headings_come_again_but_not_with_every_line() -> None:
    lines = shown(*(spans(SpanSpec(PRICED)) for _ in range(61)))
    assert [number for number, line in enumerate(lines) if line == header(color=False)] == [0, 31, 62]


def test_everything_else_is_only_counted_and_only_when_there_is_a_line_to_add_it_to() -> None:
    web = SpanSpec({"http.request.method": "GET"}, span=9, scope="http")
    lines = shown(payload(1, 3, signal="metrics"), spans(web, web), spans(SpanSpec(PRICED), web))
    assert len(lines) == 3
    assert lines[-1] == "          + 3 other spans, 3 data points"
    assert shown(spans(web)) == []


def test_basic_is_one_line_of_counts_for_each_batch() -> None:
    one = spans(SpanSpec(PRICED))
    lines = shown(one, payload(1, 1200, signal="logs"), verbosity="basic")
    assert lines[0] == f"traces: 1 span, 1 of them GenAI, {one.size_bytes:,} bytes"
    assert lines[1].startswith("logs: 1,200 log records, ")


def test_detailed_shows_attributes_and_only_the_length_of_content() -> None:
    attributes = PRICED | {"gen_ai.input.messages": '[{"secret": 1}]'}
    lines = shown(spans(SpanSpec(attributes)), verbosity="detailed")
    assert "          gen_ai.input.messages                 (15 characters)" in lines
    assert "          otel_llm.cost.total                   0.0035" in lines
    assert "secret" not in "\n".join(lines)
    assert "secret" in "\n".join(shown(spans(SpanSpec(attributes)), verbosity="detailed", show_content=True))


def test_failures_are_red_missing_prices_yellow_and_only_on_a_terminal() -> None:
    failed = SpanSpec(chat(error__type="RateLimitError"), status=2)
    lines = shown(spans(failed, SpanSpec(UNPRICED, span=2)), stream=Terminal())
    assert [line[:5] for line in lines] == ["\x1b[2mT", "\x1b[31m", "\x1b[33m"]
    assert "RateLimitError" in lines[1]
    assert "\x1b" not in "".join(shown(spans(failed)))
    assert "\x1b" not in "".join(shown(spans(failed), stream=Terminal(), color="never"))
    assert "\x1b" in "".join(shown(spans(failed), color="always"))


@pytest.mark.parametrize(
    ("attributes", "expected"),
    [
        ({"total": 0.1, "currency": "USD", "status": "priced"}, "$0.100000"),
        ({"total": 4.2e-8, "currency": "USD", "status": "priced"}, "$0.000000042"),
        ({"total": 0.00001234, "currency": "USD", "status": "priced"}, "$0.000012"),
        ({"total": 0.0, "currency": "USD", "status": "priced"}, "$0.000000"),
        ({"total": math.inf, "currency": "USD", "status": "priced"}, "$inf"),
        ({"total": 0.1, "currency": "CHF", "status": "priced"}, "0.100000 CHF"),
        ({"total": 0.1, "currency": "USD", "status": "partial"}, ">$0.100000"),
        ({"total": 0.1, "currency": "USD", "status": "priced", "estimated": True}, "~$0.100000"),
        ({"status": "unpriced"}, "unpriced"),
        ({"status": "error"}, "error"),
        ({"status": "not_billable"}, ""),
        ({}, ""),
    ],
)
def test_a_cost_is_an_amount_or_the_word_for_why_there_is_none(attributes: dict[str, str], expected: str) -> None:
    named = {f"otel_llm.cost.{key}": value for key, value in attributes.items()}
    assert cost(operation(chat() | named)) == expected


def test_agents_and_tools_are_shown_by_their_name() -> None:
    line = row(operation({"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "search"}), color=False)
    assert line.split()[1:6] == ["execute_tool", "search", "-", "-", "-"]


def test_names_cannot_control_the_terminal() -> None:
    line = row(operation(chat(gen_ai__response__model="x\x1b]0;owned\x07\r\n")), color=False)
    assert "openai/x·]0;owned···" in line


def test_a_time_that_was_not_given_is_unknown_and_no_time_is_too_late() -> None:
    cells = row(operation(chat(), start=0), color=False).split()
    assert (cells[0], cells[-1]) == ("-", "-")
    assert row(operation(chat(), start=2**64 - 10**10), color=False).startswith("23:34:")


def test_an_ascii_terminal_gets_question_marks_and_no_error() -> None:
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="ascii")
    DebugExporter(Config(), stream).export(spans(SpanSpec(chat(gen_ai__response__model="modèle"))), 1)
    assert b"openai/mod?le" in raw.getvalue()


def test_a_payload_that_is_none_and_a_closed_stream_are_permanent() -> None:
    stream = io.StringIO()
    exporter = DebugExporter(Config(), stream)
    with pytest.raises(PermanentError, match="protobuf"):
        exporter.export(Payload.of("traces", (b"\x0a\xff",), 1), 1)
    stream.close()
    with pytest.raises(PermanentError, match="cannot be written"):
        exporter.export(spans(SpanSpec(PRICED)), 1)


def test_it_writes_to_standard_output_or_error(context: Context, capsys: pytest.CaptureFixture[str]) -> None:
    create(Config(), context).export(spans(SpanSpec(PRICED)), 1)
    create(Config(output="stderr", verbosity="basic"), context).export(spans(SpanSpec(PRICED)), 1)
    captured = capsys.readouterr()
    assert "gpt-4o" in captured.out
    assert captured.err.startswith("traces: 1 span")
