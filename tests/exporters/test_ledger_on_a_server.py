"""The ledger in PostgreSQL, away and back: a clear message, back-pressure rather than loss."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest

from otel_llm.components import Context
from otel_llm.delivery.config import Config as DeliveryConfig
from otel_llm.delivery.config import RetryConfig
from otel_llm.delivery.delivery import Delivery
from otel_llm.errors import ConfigError, PermanentError, RetryableError
from otel_llm.exporters.ledger import Config, create
from otel_llm.signals import Payload
from otel_llm.telemetry import Metrics
from tests.ledger.postgres_server import PostgresServer, needs_postgres
from tests.spans import SpanSpec, chat, request

COST = {"otel_llm.cost.status": "priced", "otel_llm.cost.currency": "USD", "otel_llm.cost.total": 0.1}


def payload(*spans: int) -> Payload:
    return Payload.of("traces", (request(SpanSpec(chat() | COST, span=span) for span in spans),), len(spans))


@pytest.fixture
def server() -> Iterator[PostgresServer]:
    with PostgresServer() as started:
        yield started


@needs_postgres
def test_a_server_that_goes_away_and_comes_back_loses_nothing(
    server: PostgresServer, context: Context, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    exporter = create(Config(path=server.url()), context)
    retry = RetryConfig(initial_interval_seconds=0.01, max_interval_seconds=0.05)
    delivery = Delivery("ledger", exporter, DeliveryConfig(retry_on_failure=retry), Metrics())
    delivery.start()
    delivery.offer(payload(1, 2))
    assert delivery.force_flush(20)
    server.stop()
    for span in range(3, 8):
        delivery.offer(payload(span))
    assert not delivery.force_flush(0.2)  # it is tried, and waits
    assert delivery.balance().queued == 5
    server.start()
    assert delivery.force_flush(20)
    balance = delivery.balance()
    assert (balance.accepted, balance.exported, dict(balance.dropped)) == (7, 7, {})
    (total,) = exporter.ledger.totals()
    assert (total.calls, total.costs) == (7, {"USD": Decimal("0.7")})
    delivery.shutdown(20)
    assert "ledger postgresql://app@/postgres: " in caplog.text


@needs_postgres
def test_a_server_that_is_not_there_at_the_start_is_waited_for_and_named(context: Context) -> None:
    exporter = create(Config(path="postgresql://app@127.0.0.1:9/ledger", password="geheim"), context)
    with pytest.raises(RetryableError, match=r"ledger postgresql://app@127\.0\.0\.1:9/ledger: .*refused") as caught:
        exporter.export(payload(1), 5)
    assert "geheim" not in str(caught.value)
    exporter.shutdown()


@needs_postgres
def test_what_a_server_will_never_take_says_nothing_of_the_row(server: PostgresServer, context: Context) -> None:
    exporter = create(Config(path=server.url()), context)
    with exporter.ledger._database.writing() as statements:
        statements.execute("ALTER TABLE operations ADD CHECK (request_model <> 'geheim')")

    secret = SpanSpec(chat(gen_ai__request__model="geheim"))
    with pytest.raises(PermanentError, match="CheckViolation 23514") as caught:
        exporter.export(Payload.of("traces", (request([secret]),), 1), 5)
    assert "geheim" not in str(caught.value)
    exporter.shutdown()


@pytest.mark.parametrize(
    ("config", "problem"),
    [
        (Config(password="x"), "exporters.test: a password is for PostgreSQL"),
        (Config(path="postgresql://a@b/c", password="x", password_file="y"), "expected one of them"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(
    config: Config, problem: str, context: Context, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=problem):
        create(config, context)


def test_a_password_in_the_url_is_refused_and_not_shown(context: Context) -> None:
    pytest.importorskip("psycopg", reason="psycopg is not installed")
    with pytest.raises(ConfigError, match="expected no password in the URL") as caught:
        create(Config(path="postgresql://app:geheim@db/ledger"), context)
    assert "geheim" not in str(caught.value)
