from __future__ import annotations

import multiprocessing
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_llm.cost.money import to_pico
from otel_llm.errors import ConfigError
from otel_llm.ledger.row import COLUMNS, Row, row_of, to_units
from otel_llm.ledger.schema import MIGRATIONS
from otel_llm.ledger.store import Ledger, may_pass
from otel_llm.testing import FakeClock
from tests.spans import NOON, SpanSpec, chat, operation, operations

DAY = 86_400 * 10**9


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with closing(Ledger(tmp_path / "made" / "ledger.db", clock=FakeClock(NOON))) as opened:
        yield opened


def row(span: int = 1, **changes: object) -> Row:
    base = row_of(operation(chat(), span=span))
    assert base is not None
    return base._replace(**changes)  # type: ignore[arg-type] # fields of Row


def priced(span: int, total: float, **changes: object) -> Row:
    return row(span, **{"cost_status": "priced", "cost_currency": "USD", "cost_total": to_pico(total)} | changes)


def test_a_row_holds_what_the_operation_says() -> None:
    attributes = chat(
        gen_ai__response__id="r1",
        gen_ai__conversation__id="c1",
        gen_ai__usage__cache_read__input_tokens=600,
        gen_ai__usage__reasoning__output_tokens=40,
        gen_ai__response__time_to_first_chunk=0.25,
        gen_ai__prompt__name="greeting",
        gen_ai__prompt__version="3",
        otel_llm__usage__source="provider",
        otel_llm__cost__status="priced",
        otel_llm__cost__currency="USD",
        otel_llm__cost__total=0.0035,
        otel_llm__cost__input=0.0025,
        otel_llm__cost__output=0.001,
        otel_llm__cost__source="catalogue",
        otel_llm__cost__price_version="2026-11-01",
        otel_llm__cost__estimated=False,
        otel_llm__policy__verdict__type="allow",
        otel_llm__quality__flags=("refusal", "truncated"),
        otel_llm__dialect="openinference",
        error__type="TimeoutError",
        user__id="u1",
        tenant="acme",
    )
    made = row_of(operation(attributes, parent=9, status=2, seconds=1.5))
    assert made is not None
    known = {name: getattr(made, name) for name in COLUMNS if getattr(made, name) is not None}
    assert known == {
        "trace_id": bytes(15) + b"\x01",
        "span_id": bytes(7) + b"\x01",
        "parent_span_id": bytes(7) + b"\x09",
        "start_unix_nano": NOON,
        "duration_nano": 1_500_000_000,
        "service": "shop",
        "tenant": "acme",
        "user": "u1",
        "operation": "chat",
        "provider": "openai",
        "request_model": "gpt-4o",
        "response_model": "gpt-4o",
        "response_id": "r1",
        "conversation_id": "c1",
        "input_tokens": 1000,
        "output_tokens": 100,
        "cache_read_tokens": 600,
        "reasoning_tokens": 40,
        "usage_source": "provider",
        "cost_status": "priced",
        "cost_currency": "USD",
        "cost_total": 3_500_000_000,
        "cost_input": 2_500_000_000,
        "cost_output": 1_000_000_000,
        "cost_source": "catalogue",
        "price_version": "2026-11-01",
        "is_cost_estimated": 0,
        "status": "error",
        "error_type": "TimeoutError",
        "time_to_first_chunk_seconds": 0.25,
        "verdict": "allow",
        "quality_flags": "refusal,truncated",
        "prompt_name": "greeting",
        "prompt_version": "3",
        "dialect": "openinference",
    }
    assert (made.cost, made.model) == (Decimal("0.0035"), "gpt-4o")


def test_no_content_is_stored() -> None:
    secret = "the secret prompt"
    made = row_of(operation(chat(gen_ai__input__messages=secret, gen_ai__system_instructions=secret), name=secret))
    assert made is not None
    assert not any(secret in str(getattr(made, name)) for name in COLUMNS)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("gen_ai.usage.input_tokens", -1),
        ("gen_ai.usage.input_tokens", 2**62),
        ("gen_ai.usage.input_tokens", "1000"),
        ("otel_llm.cost.total", float("nan")),
        ("otel_llm.cost.total", float("inf")),
        ("otel_llm.cost.total", 1e300),
        ("otel_llm.cost.total", "0.1"),
        ("otel_llm.cost.total", True),
        ("gen_ai.response.time_to_first_chunk", -0.5),
    ],
)
def test_what_is_no_number_is_unknown_and_not_zero(key: str, value: float | str) -> None:
    made = row_of(operation(chat() | {key: value}))
    assert made is not None
    columns = {"gen_ai.usage.input_tokens": "input_tokens", "otel_llm.cost.total": "cost_total"}
    assert getattr(made, columns.get(key, "time_to_first_chunk_seconds")) is None


def test_times_that_cannot_be_give_no_duration_and_fit_a_column(ledger: Ledger) -> None:
    backwards = row_of(operation(chat(), seconds=-5.0))
    future = row_of(operation(chat(), span=2, start=2**64 - 2 * 10**9))
    assert backwards is not None
    assert future is not None
    ledger.record([backwards, future])
    assert [(r.duration_nano, r.start_unix_nano) for r in ledger.rows()] == [(None, NOON), (10**9, 2**63 - 1)]


def test_absurd_names_are_cut() -> None:
    made = row_of(operation(chat(gen_ai__request__model="x" * 100_000)))
    assert made is not None
    assert made.request_model == "x" * 256


def test_a_span_without_ids_has_no_row() -> None:
    class Nameless:
        trace_id = span_id = b""

    assert row_of(Nameless()) is None  # type: ignore[arg-type] # nothing else is looked at


@given(st.decimals(min_value=0, max_value=1000, places=12))
def test_money_goes_through_the_double_of_an_attribute_unharmed(amount: Decimal) -> None:
    pico = to_pico(float(amount))
    assert pico is not None
    assert abs(to_units(pico) - amount) <= amount * Decimal("1e-15") + Decimal("5e-13")


def test_rows_come_back_as_they_were_in_the_order_of_their_start(ledger: Ledger) -> None:
    rows = [row(span, start_unix_nano=NOON + offset) for span, offset in ((1, 30), (2, 10), (3, 20))]
    ledger.record(rows)
    assert ledger.rows() == [rows[1], rows[2], rows[0]]
    assert ledger.rows(NOON + 20, 1) == [rows[2]]
    assert ledger.rows(limit=1, newest_first=True) == [rows[0]]


def test_a_span_that_comes_twice_is_one_row_and_the_later_wins(ledger: Ledger) -> None:
    ledger.record([priced(1, 0.5)])
    ledger.record([priced(1, 0.5), priced(2, 0.25)])
    ledger.record([priced(2, 0.125)])
    (total,) = ledger.totals()
    assert (total.calls, total.costs) == (2, {"USD": Decimal("0.625")})


def test_totals_say_what_is_missing_from_them(ledger: Ledger) -> None:
    ledger.record(
        [
            priced(1, 0.1),
            priced(2, 0.2, cost_status="partial"),
            row(3, cost_status="unpriced", cost_reason="unknown_model"),
            row(4, cost_status="error"),
            row(5, cost_status="unpriced", input_tokens=None, output_tokens=None),
            row(6, cost_status="not_billable", cost_reason="aggregate", operation="invoke_agent", status="error"),
            row(7, cost_status="priced", cost_currency="EUR", cost_total=to_pico(3.0)),
        ]
    )
    (total,) = ledger.totals()
    assert total.costs == {"EUR": Decimal(3), "USD": Decimal("0.3")}
    assert (total.operations, total.calls, total.errors) == (7, 6, 1)
    assert (total.priced_calls, total.partial_calls, total.unpriced_calls) == (3, 1, 3)
    assert (total.input_tokens, total.output_tokens, total.calls_without_usage) == (5000, 500, 1)
    assert (total.unpriced_input_tokens, total.unpriced_output_tokens) == (2000, 200)
    assert total.is_partial


def test_without_a_cost_processor_only_model_calls_are_calls(ledger: Ledger) -> None:
    ledger.record([row(1), row(2, operation="invoke_agent"), row(3, operation=None)])
    (total,) = ledger.totals()
    assert (total.operations, total.calls, total.unpriced_calls, total.costs) == (3, 1, 1, {})


def test_totals_by_dimensions_put_the_most_expensive_first(ledger: Ledger) -> None:
    ledger.record(
        [
            priced(1, 0.1, provider="openai"),
            priced(2, 0.3, provider="anthropic", response_model=None, request_model="claude"),
            priced(3, 0.1, provider="openai", start_unix_nano=NOON + DAY),
            row(4, provider=None, cost_status="unpriced"),
        ]
    )
    by_provider = ledger.totals(["provider"])
    assert [(t.group["provider"], t.costs.get("USD")) for t in by_provider] == [
        ("anthropic", Decimal("0.3")),
        ("openai", Decimal("0.2")),
        (None, None),
    ]
    assert {tuple(t.group.values()) for t in ledger.totals(["day", "model"])} == {
        ("2026-11-18", "gpt-4o"),
        ("2026-11-18", "claude"),
        ("2026-11-19", "gpt-4o"),
    }
    (first_day,) = ledger.totals(until_unix_nano=NOON + DAY)
    assert first_day.calls == 3
    assert ledger.totals(["provider"], since_unix_nano=NOON + 2 * DAY) == []


def test_sums_stay_exact_beyond_what_an_integer_column_can_sum(ledger: Ledger) -> None:
    ledger.record([priced(span, 999_999.000000000001) for span in range(1, 21)])
    (total,) = ledger.totals()
    assert total.costs == {"USD": 20 * to_units(to_pico(999_999.000000000001) or 0)}


def test_a_dimension_that_does_not_exist_is_an_error(ledger: Ledger) -> None:
    with pytest.raises(ValueError, match="got 1; DROP TABLE operations"):
        ledger.totals(["1; DROP TABLE operations"])  # type: ignore[list-item] # the point of the test


def test_old_rows_are_forgotten_in_portions(ledger: Ledger) -> None:
    old = [row(span, start_unix_nano=NOON - 31 * DAY) for span in range(1, 6002)]
    ledger.record([*old, row(9000, start_unix_nano=NOON - 29 * DAY)])
    assert ledger.forget(30) == 6001
    assert len(ledger.rows()) == 1


def test_a_batch_is_written_whole_or_not_at_all(ledger: Ledger) -> None:
    with pytest.raises(sqlite3.Error) as caught:
        ledger.record([row(1), row(2, start_unix_nano=None)])
    assert not may_pass(caught.value)
    assert ledger.rows() == []
    ledger.record([row(3)])
    assert len(ledger.rows()) == 1


def test_a_full_disk_may_pass(tmp_path: Path) -> None:
    with closing(Ledger(tmp_path / "ledger.db")) as ledger:
        ledger._connection.execute("PRAGMA max_page_count = 10")
        with pytest.raises(sqlite3.Error, match="full") as caught:
            ledger.record([row(span) for span in range(1, 2000)])
        assert may_pass(caught.value)
        assert ledger.rows() == []
        ledger._connection.execute("PRAGMA max_page_count = 100000")
        ledger.record([row(1)])


def test_a_file_that_another_process_keeps_locked_may_pass(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    with closing(Ledger(path, busy_timeout_seconds=0.01)) as ledger, closing(sqlite3.connect(path)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(sqlite3.Error, match="locked") as caught:
            ledger.record([row(1)])
        assert may_pass(caught.value)
        other.rollback()
        ledger.record([row(1)])


def test_threads_share_a_ledger(ledger: Ledger) -> None:
    def write(thread: int) -> None:
        for number in range(20):
            ledger.record([row(1 + thread * 100 + number)])
            ledger.totals()

    threads = [threading.Thread(target=write, args=(thread,)) for thread in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(ledger.rows()) == 80


def write_from_process(path: str, first: int) -> None:
    """What each of several processes does with one file that does not exist yet."""
    with closing(Ledger(path, busy_timeout_seconds=20)) as ledger:
        for number in range(25):
            ledger.record([row(first + number)])


def test_processes_share_a_ledger_from_its_first_moment(tmp_path: Path) -> None:
    path = str(tmp_path / "ledger.db")
    spawn = multiprocessing.get_context("spawn")
    processes = [spawn.Process(target=write_from_process, args=(path, 1 + 100 * number)) for number in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(40)
    assert [process.exitcode for process in processes] == [0, 0, 0]
    with closing(Ledger(path)) as ledger:
        assert len(ledger.rows()) == 75


def test_the_table_has_the_fields_of_a_row_in_their_order(ledger: Ledger) -> None:
    columns = [name for _, name, *_ in ledger._connection.execute("PRAGMA table_info(operations)")]
    assert tuple(columns) == COLUMNS


def test_opening_again_keeps_rows_and_migrates_once(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    for span in (1, 2):
        with closing(Ledger(path)) as ledger:
            ledger.record([row(span)])
            versions = ledger._connection.execute("SELECT version FROM migrations").fetchall()
            assert versions == [(number,) for number in range(1, len(MIGRATIONS) + 1)]
            assert len(ledger.rows()) == span


def test_a_ledger_of_a_newer_version_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    with closing(Ledger(path)) as ledger:
        ledger._connection.execute("INSERT INTO migrations VALUES (99, 0)")
    with pytest.raises(ConfigError, match=f"expected schema version {len(MIGRATIONS)} or older, got 99"):
        Ledger(path)


def test_a_file_that_is_no_ledger_is_a_clear_error(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("not a database" * 100)
    with pytest.raises(ConfigError, match=r"cannot be used \(file is not a database\); move it away"):
        Ledger(path)
    assert path.read_text().startswith("not a database")
    with pytest.raises(ConfigError, match="cannot make the folder"):
        Ledger(path / "ledger.db")
    with pytest.raises(ConfigError, match=r"unable to open database file\); check space, permissions"):
        Ledger(tmp_path)


def test_operations_of_one_request_become_rows() -> None:
    made = [row_of(o) for o in operations(SpanSpec(chat(), span=1), SpanSpec(chat(), span=2))]
    assert [r and r.span_id[-1] for r in made] == [1, 2]
