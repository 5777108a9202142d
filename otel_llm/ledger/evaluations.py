"""Evaluation results beside the operations: what people, judges and users thought of them, whenever it comes.

A result says what it is about by ids and is kept whether or not the operation is there: it is joined when it is read,
so that feedback may come before the span, or days after. Explanations are not kept: they may hold content.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Literal, NamedTuple

from otel_llm.ledger.database import Statements
from otel_llm.ledger.row import NAMES, Row
from otel_llm.quality.results import Evaluation, Target

EvaluationDimension = Literal[
    "name", "label", "evaluator_id", "evaluator_version", "source", "service", "model", "prompt_name", "prompt_version"
]  # fmt: skip

_INT64_MAX: Final = 2**63 - 1

# The operation that a result is about: by its span; by the id of its answer; of a trace, the call that answered last.
_OPERATION: Final = """coalesce(
    (SELECT o.{row_id} FROM operations o WHERE e.span_id IS NOT NULL AND o.trace_id = e.trace_id
        AND o.span_id = e.span_id),
    (SELECT o.{row_id} FROM operations o WHERE e.span_id IS NULL AND e.response_id IS NOT NULL
        AND o.response_id = e.response_id ORDER BY o.start_unix_nano DESC LIMIT 1),
    (SELECT o.{row_id} FROM operations o WHERE e.span_id IS NULL AND o.trace_id = e.trace_id
        AND o.operation IN ('chat', 'generate_content', 'text_completion') ORDER BY o.start_unix_nano DESC LIMIT 1)
)"""


def _joined(statements: Statements) -> str:
    """Results with the operation that each is about."""
    dialect = statements.dialect
    return f"evaluations e {dialect.join.format(row=_OPERATION.format(row_id=dialect.row_id))}"


_COLUMNS: Final = (
    "id", "trace_id", "span_id", "response_id", "name", "evaluator_id", "evaluator_version", "source", "score", "label",
    "error_type", "time_unix_nano", "sampling_probability",
)  # fmt: skip
_CHANGED: Final = ("response_id", "source", "score", "label", "error_type", "time_unix_nano", "sampling_probability")
_UPSERT: Final = (
    f"INSERT INTO evaluations VALUES ({', '.join('?' * len(_COLUMNS))}) ON CONFLICT (id) DO UPDATE SET "  # noqa: S608
    f"{', '.join(f'{name} = excluded.{name}' for name in _CHANGED)} "
    "WHERE excluded.time_unix_nano >= evaluations.time_unix_nano"
)
_FORGET_EARLY: Final = (
    "DELETE FROM evaluations WHERE trace_id IS NULL AND response_id = ? AND name = ? AND evaluator_id = ? "
    "AND evaluator_version = ?"
)
_FIND: Final[Mapping[str, str]] = {
    "span": "trace_id = ? AND span_id = ?",
    "response": "response_id = ? ORDER BY start_unix_nano DESC",
    "trace": "trace_id = ? AND operation IN ('chat', 'generate_content', 'text_completion') "
    "ORDER BY start_unix_nano DESC",
}
_EXPRESSIONS: Final[Mapping[str, str]] = {
    "model": "coalesce(o.response_model, o.request_model)",
    "service": "o.service",
    "prompt_name": "o.prompt_name",
    "prompt_version": "o.prompt_version",
}


@dataclass(frozen=True, slots=True)
class Recorded:
    """What became of a result.

    Attributes:
        evaluation: the result.
        is_new: whether it was not there before: one that takes the place of an earlier one is not new.
        operation: what it is about; None when that is not in the ledger (yet).
    """

    evaluation: Evaluation
    is_new: bool
    operation: Row | None


@dataclass(frozen=True, slots=True)
class EvaluationTotals:
    """Sums over a group of results; those whose evaluator failed are counted apart.

    Attributes:
        group: the group's value of each dimension, None where results or operations have none.
        results: results, failed ones left out.
        failed: results whose evaluator failed.
        scored: results with a score.
        mean_score: of those, None when there are none.
        unknown_targets: results, of both kinds, whose operation is not in the ledger.
    """

    group: Mapping[str, str | None]
    results: int
    failed: int
    scored: int
    mean_score: float | None
    unknown_targets: int


class StoredEvaluation(NamedTuple):
    """A result as the ledger has it, with the operation it is about: its span when that is known."""

    evaluation: Evaluation
    trace_id: bytes
    span_id: bytes


def find_operation(statements: Statements, target: Target) -> Row | None:
    """The operation that a target means; of a whole trace, the call that answered last."""
    select = f"SELECT {', '.join(NAMES)} FROM operations WHERE"  # noqa: S608 - constants
    found = None
    if target.span_id:
        found = statements.execute(f"{select} {_FIND['span']}", (target.trace_id, target.span_id)).fetchone()
        return None if found is None else Row._make(found)
    if target.response_id:
        found = statements.execute(f"{select} {_FIND['response']} LIMIT 1", (target.response_id,)).fetchone()
    if found is None and target.trace_id:
        found = statements.execute(f"{select} {_FIND['trace']} LIMIT 1", (target.trace_id,)).fetchone()
    return None if found is None else Row._make(found)


def record_evaluations(statements: Statements, evaluations: Iterable[Evaluation]) -> list[Recorded]:
    """Write results, within a transaction of the caller's; a later one takes the place of an earlier one."""
    recorded = []
    for one in evaluations:
        is_new = statements.execute("SELECT 1 FROM evaluations WHERE id = ?", (one.id,)).fetchone() is None
        statements.execute(_UPSERT, _values(one))
        if one.target.span_id and one.target.response_id:
            # The same that came before its span did, when only the response was known.
            early = (one.target.response_id, one.name, one.evaluator_id, one.evaluator_version)
            is_new = statements.execute(_FORGET_EARLY, early).rowcount == 0 and is_new
        recorded.append(Recorded(one, is_new, find_operation(statements, one.target)))
    return recorded


def _values(one: Evaluation) -> tuple[object, ...]:
    target = one.target
    values = (
        one.id, target.trace_id or None, target.span_id or None, target.response_id or None, one.name, one.evaluator_id,
        one.evaluator_version, one.source or None, one.score, one.label or None, one.error_type or None,
        min(one.time_unix_nano, _INT64_MAX), one.sampling_probability,
    )  # fmt: skip
    # Databases take only what UTF-8 can hold.
    return tuple(value.encode("utf-8", "replace").decode() if isinstance(value, str) else value for value in values)


def read_evaluations(statements: Statements, since_unix_nano: int, limit: int) -> list[StoredEvaluation]:
    """Results that came at or after a time, the newest first."""
    columns = ", ".join(f"e.{name}" for name in _COLUMNS)
    statement = (
        f"SELECT {columns}, o.trace_id, o.span_id FROM {_joined(statements)} WHERE e.time_unix_nano >= ? "  # noqa: S608 - constants
        "ORDER BY e.time_unix_nano DESC LIMIT ?"
    )
    return [_stored(values) for values in statements.execute(statement, (since_unix_nano, limit))]


def find_evaluation(statements: Statements, evaluation_id: str) -> Evaluation | None:
    """The result of this id; None when there is none."""
    columns = ", ".join(f"e.{name}" for name in _COLUMNS)
    statement = f"SELECT {columns}, NULL, NULL FROM evaluations e WHERE e.id = ?"  # noqa: S608 - constants
    found = statements.execute(statement, (evaluation_id,)).fetchone()
    return None if found is None else _stored(found).evaluation


def _stored(values: Sequence[object]) -> StoredEvaluation:
    row = dict(zip((*_COLUMNS, "operation_trace_id", "operation_span_id"), values, strict=True))
    target = Target(row["trace_id"] or b"", row["span_id"] or b"", row["response_id"] or "")  # type: ignore[arg-type] # as the table has them
    evaluation = Evaluation(
        target,
        name=row["name"],  # type: ignore[arg-type] # as above
        score=row["score"],  # type: ignore[arg-type] # as above
        label=row["label"] or "",  # type: ignore[arg-type] # as above
        evaluator_id=row["evaluator_id"],  # type: ignore[arg-type] # as above
        evaluator_version=row["evaluator_version"],  # type: ignore[arg-type] # as above
        source=row["source"] or "",  # type: ignore[arg-type] # as above
        error_type=row["error_type"] or "",  # type: ignore[arg-type] # as above
        time_unix_nano=row["time_unix_nano"],  # type: ignore[arg-type] # as above
        sampling_probability=row["sampling_probability"],  # type: ignore[arg-type] # as above
    )
    trace_id = row["operation_trace_id"] or target.trace_id
    span_id = row["operation_span_id"] or target.span_id
    return StoredEvaluation(evaluation, trace_id, span_id)  # type: ignore[arg-type] # as above


def read_evaluation_totals(
    statements: Statements, by: Sequence[EvaluationDimension], since_unix_nano: int
) -> list[EvaluationTotals]:
    """Totals for each combination of the dimensions' values, the largest first."""
    groups = [_EXPRESSIONS.get(name, f"e.{name}") for name in by]
    sums = (
        "count(*) FILTER (WHERE e.error_type IS NULL)", "count(*) FILTER (WHERE e.error_type IS NOT NULL)",
        "count(e.score)", "avg(e.score)", "count(*) FILTER (WHERE o.trace_id IS NULL)",
    )  # fmt: skip
    statement = (
        f"SELECT {', '.join([*groups, *sums])} FROM {_joined(statements)} WHERE e.time_unix_nano >= ?"  # noqa: S608 - checked names
        f"{' GROUP BY ' + ', '.join(groups) if groups else ''} ORDER BY count(*) DESC"
    )
    return [
        EvaluationTotals(MappingProxyType(dict(zip(by, values, strict=False))), *values[len(by) :])
        for values in statements.execute(statement, (since_unix_nano,))
        if values[len(by)] or values[len(by) + 1]
    ]
