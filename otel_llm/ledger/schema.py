"""The ledger's tables, as numbered migrations. One that was released is never edited; changes go to the end."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from otel_llm.clock import Clock
from otel_llm.errors import ConfigError
from otel_llm.ledger.database import Statements

_FIRST: Final = (
    """
    CREATE TABLE operations (
        trace_id BLOB NOT NULL,
        span_id BLOB NOT NULL,
        parent_span_id BLOB,
        start_unix_nano INTEGER NOT NULL,
        duration_nano INTEGER,
        service TEXT,
        environment TEXT,
        owner TEXT,
        tenant TEXT,
        user TEXT,
        feature TEXT,
        operation TEXT,
        provider TEXT,
        request_model TEXT,
        response_model TEXT,
        response_id TEXT,
        conversation_id TEXT,
        input_tokens INTEGER,
        output_tokens INTEGER,
        cache_read_tokens INTEGER,
        cache_write_tokens INTEGER,
        reasoning_tokens INTEGER,
        usage_source TEXT,
        cost_status TEXT,
        cost_reason TEXT,
        cost_currency TEXT,
        cost_total INTEGER,
        cost_input INTEGER,
        cost_output INTEGER,
        cost_cache_read INTEGER,
        cost_cache_write INTEGER,
        cost_input_audio INTEGER,
        cost_output_audio INTEGER,
        cost_input_image INTEGER,
        cost_output_image INTEGER,
        cost_web_search INTEGER,
        cost_request INTEGER,
        cost_other INTEGER,
        cost_source TEXT,
        price_version TEXT,
        is_cost_estimated INTEGER,
        status TEXT,
        error_type TEXT,
        time_to_first_chunk_seconds REAL,
        verdict TEXT,
        quality_flags TEXT,
        prompt_name TEXT,
        prompt_version TEXT,
        dialect TEXT,
        PRIMARY KEY (trace_id, span_id)
    )
    """,
    "CREATE INDEX operations_by_start ON operations (start_unix_nano)",
)

# Results of evaluations: ids of what they are about, which may never come.
_EVALUATIONS: Final = (
    """
    CREATE TABLE evaluations (
        id TEXT PRIMARY KEY,
        trace_id BLOB,
        span_id BLOB,
        response_id TEXT,
        name TEXT NOT NULL,
        evaluator_id TEXT NOT NULL,
        evaluator_version TEXT NOT NULL,
        source TEXT,
        score REAL,
        label TEXT,
        error_type TEXT,
        time_unix_nano INTEGER NOT NULL,
        sampling_probability REAL
    )
    """,
    "CREATE INDEX evaluations_by_time ON evaluations (time_unix_nano)",
    "CREATE INDEX evaluations_by_response ON evaluations (response_id) WHERE response_id IS NOT NULL",
    "CREATE INDEX operations_by_response ON operations (response_id) WHERE response_id IS NOT NULL",
)

MIGRATIONS: Final[tuple[tuple[str, ...], ...]] = (_FIRST, _EVALUATIONS)

_TABLE: Final = (
    "CREATE TABLE IF NOT EXISTS migrations (version INTEGER PRIMARY KEY, applied_unix_nano INTEGER NOT NULL)"
)


def migrate(
    statements: Statements, place: str, clock: Clock, translate: Callable[[str], str] = lambda statement: statement
) -> None:
    """Bring the tables to this version, within a transaction of which there is one at a time.

    Args:
        statements: of the transaction.
        place: names the ledger in messages.
        clock: dates the migrations.
        translate: a statement of the schema, as the database has it.

    Raises:
        ConfigError: a newer otel_llm wrote this ledger.
    """
    statements.execute(translate(_TABLE))
    version: int = statements.execute("SELECT coalesce(max(version), 0) FROM migrations").fetchone()[0]
    if version > len(MIGRATIONS):
        problem = (
            f"ledger {place}: expected schema version {len(MIGRATIONS)} or older, got {version}; "
            "use the otel_llm that wrote it, or another one"
        )
        raise ConfigError([problem])
    for number, migration in enumerate(MIGRATIONS[version:], version + 1):
        for statement in migration:
            statements.execute(translate(statement))
        statements.execute("INSERT INTO migrations VALUES (?, ?)", (number, clock.unix_nano()))
