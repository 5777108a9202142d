from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from otel_llm.components import Context
from otel_llm.errors import PermanentError, RetryableError
from otel_llm.exporters.exporter import ExportResult
from otel_llm.exporters.ledger import Config, LedgerExporter, create
from otel_llm.ledger.sqlite import SqliteDatabase
from otel_llm.signals import Payload
from otel_llm.testing import FakeClock
from tests.spans import NOON, SpanSpec, chat, request


@contextmanager
def exporting(context: Context, path: Path, **config: object) -> Iterator[LedgerExporter]:
    exporter = create(Config(path=str(path), **config), context)  # type: ignore[arg-type] # fields of Config
    try:
        yield exporter
    finally:
        exporter.shutdown()


def in_the_file(exporter: LedgerExporter, statement: str) -> None:
    """Something that no ledger does by itself."""
    database = exporter.ledger._database
    assert isinstance(database, SqliteDatabase)
    database.execute(statement)


def payload(*specs: SpanSpec) -> Payload:
    return Payload.of("traces", (request(specs),), len(specs))


def test_genai_operations_become_rows_and_other_spans_do_not(context: Context, tmp_path: Path) -> None:
    with exporting(context, tmp_path / "l.db") as exporter:
        web = SpanSpec({"http.request.method": "GET"}, span=2, scope="http")
        assert exporter.export(payload(SpanSpec(chat(), span=1), web), 5) == ExportResult()
        assert [row.span_id[-1] for row in exporter.ledger.rows()] == [1]


def test_a_replay_is_not_counted_twice(context: Context, tmp_path: Path) -> None:
    with exporting(context, tmp_path / "l.db") as exporter:
        for _ in range(3):
            exporter.export(payload(SpanSpec(chat())), 5)
        (total,) = exporter.ledger.totals()
    assert total.calls == 1


def test_ownership_is_read_from_the_keys_the_user_names(context: Context, tmp_path: Path) -> None:
    with exporting(context, tmp_path / "l.db", tenant_keys=("x.customer", "service.name")) as exporter:
        exporter.export(payload(SpanSpec(chat() | {"x.customer": "acme"}, span=1), SpanSpec(chat(), span=2)), 5)
        assert [row.tenant for row in exporter.ledger.rows()] == ["acme", "shop"]


def test_a_locked_file_is_retryable_and_loses_nothing(context: Context, tmp_path: Path) -> None:
    path = tmp_path / "l.db"
    with exporting(context, path) as exporter, closing(sqlite3.connect(path)) as other:
        in_the_file(exporter, "PRAGMA busy_timeout = 10")
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(RetryableError, match="database is locked"):
            exporter.export(payload(SpanSpec(chat())), 5)
        other.rollback()
        exporter.export(payload(SpanSpec(chat())), 5)
        assert len(exporter.ledger.rows()) == 1


def test_a_full_disk_is_retryable(context: Context, tmp_path: Path) -> None:
    with exporting(context, tmp_path / "l.db") as exporter:
        in_the_file(exporter, "PRAGMA max_page_count = 10")
        with pytest.raises(RetryableError, match="full"):
            exporter.export(payload(*(SpanSpec(chat(), span=span) for span in range(1, 1000))), 5)


def test_a_payload_that_is_none_and_a_broken_file_are_permanent(context: Context, tmp_path: Path) -> None:
    with exporting(context, tmp_path / "l.db") as exporter:
        with pytest.raises(PermanentError, match="protobuf"):
            exporter.export(Payload.of("traces", (b"\x0a\xff",), 1), 5)
        in_the_file(exporter, "DROP TABLE operations")
        with pytest.raises(PermanentError, match="move the file away"):
            exporter.export(payload(SpanSpec(chat())), 5)


def test_spans_without_ids_are_rejected_and_counted(context: Context, tmp_path: Path) -> None:
    with exporting(context, tmp_path / "l.db") as exporter:
        message = ExportTraceServiceRequest.FromString(request([SpanSpec(chat()), SpanSpec(chat(), span=2)]))
        message.resource_spans[0].scope_spans[0].spans[0].span_id = b""
        result = exporter.export(Payload.of("traces", (message.SerializeToString(),), 2), 5)
        assert result.rejected == 1
        assert len(exporter.ledger.rows()) == 1


def test_old_rows_are_forgotten_once_an_hour(context: Context, tmp_path: Path) -> None:
    clock = FakeClock(NOON)
    old = SpanSpec(chat(), span=1, start=NOON - 10 * 86_400 * 10**9)
    with exporting(replace(context, clock=clock), tmp_path / "l.db", retention_days=7) as exporter:
        exporter.export(payload(old), 5)
        assert exporter.ledger.rows() == []
        exporter.export(payload(old), 5)
        assert len(exporter.ledger.rows()) == 1
        clock.advance(3600)
        exporter.export(payload(SpanSpec(chat(), span=2)), 5)
        assert [row.span_id[-1] for row in exporter.ledger.rows()] == [2]
