"""Does the gateway's ledger say what the provider served? The provider knows; the gateway saw only telemetry."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from otel_llm.ledger.row import Row
from otel_llm.loopback import Served


@dataclass(frozen=True, slots=True)
class Comparison:
    """What the ledger and the provider say about the same calls.

    Attributes:
        agreed: calls for which both count the same tokens.
        differences: one line for each call that is missing or counted differently.
        untold: models of calls that were served, but whose usage was told to nobody.
        refused: calls that both know as failed.
    """

    agreed: int
    differences: tuple[str, ...]
    untold: tuple[str, ...]
    refused: int

    @property
    def compared(self) -> int:
        """Calls that could agree."""
        return self.agreed + len(self.differences)


def compare(rows: Iterable[Row], served: Sequence[Served]) -> Comparison:
    """Find each call's row, by the response's id or else by model and order, and compare."""
    left = list(rows)
    agreed, refused, differences, untold = 0, 0, [], []
    # Those that have an id first, so that none of them is taken for another.
    for call in sorted(served, key=lambda one: not any(row.response_id == one.response_id for row in left)):
        row = _take(left, call)
        difference = "no row in the ledger" if row is None else _difference(row, call)
        if difference is not None:
            differences.append(f"{call.request_model}: {difference}")
        elif call.usage is None:
            refused += 1
        elif not call.usage_reported:
            untold.append(call.request_model)
        else:
            agreed += 1
    differences += [f"{row.request_model}: a row for a call that the provider did not serve" for row in left]
    return Comparison(agreed, tuple(differences), tuple(untold), refused)


def _take(rows: list[Row], call: Served) -> Row | None:
    """The row of a call, which is no longer among the rows then."""
    found = next((row for row in rows if row.response_id and row.response_id == call.response_id), None)
    if found is None:  # embeddings and failures have no id
        alike = (row for row in rows if not row.response_id and row.request_model == call.request_model)
        found = next(alike, None)
    if found is not None:
        rows.remove(found)
    return found


def _difference(row: Row, call: Served) -> str | None:
    """What is not the same; None when all is."""
    if call.usage is None:
        return None if row.status == "error" else f"refused with {call.status}, but not a failure in the ledger"
    if not call.usage_reported:
        return None
    usage = call.usage
    pairs = (
        ("input", row.input_tokens, usage.input_tokens),
        ("cache read", row.cache_read_tokens, usage.cache_read_tokens),
        ("cache write", row.cache_write_tokens, usage.cache_write_tokens),
        ("output", row.output_tokens, usage.output_tokens),
        ("reasoning", row.reasoning_tokens, usage.reasoning_tokens),
    )
    # Instrumentations leave out what is none.
    wrong = [f"{name} {ours} instead of {theirs}" for name, ours, theirs in pairs if (ours or 0) != theirs]
    return ", ".join(wrong) or None
