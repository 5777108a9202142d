"""The queue of one person: the next case, and a label for it, which goes into the ledger at once."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal, get_args

from otel_llm.clock import Clock
from otel_llm.ledger.store import Ledger
from otel_llm.quality.results import Evaluation, Target
from otel_llm.quality.review import Queued, make_queue
from otel_llm.review.cases import Content

Label = Literal["good", "bad", "unsure"]
LABELS: Final[tuple[Label, ...]] = get_args(Label)
_SCORES: Final[dict[Label, float | None]] = {"good": 1.0, "bad": 0.0, "unsure": None}
_TRACE_BYTES: Final = 16


@dataclass(frozen=True, slots=True)
class Item:
    """A case to look at.

    Attributes:
        number: its place in the queue, from 1.
        total: how many there are.
        content: what to show.
        queued: why it is there.
    """

    number: int
    total: int
    content: Content
    queued: Queued


class Session:
    """One person's review. Thread-safe.

    Args:
        contents: all cases.
        ledger: where labels go.
        name: of the evaluation that is made.
        reviewer: who makes it.
        limit: how many cases at most.
        clock: for the time of a label.
    """

    def __init__(
        self, contents: Sequence[Content], ledger: Ledger, *, name: str, reviewer: str, limit: int, clock: Clock
    ) -> None:
        by_key = {content.case.key: content for content in contents}
        queue = make_queue([content.case for content in contents], name, reviewer, limit)
        self._items = [
            Item(number, len(queue), by_key[queued.case.key], queued) for number, queued in enumerate(queue, 1)
        ]
        self._ledger = ledger
        self._name, self._reviewer, self._clock = name, reviewer, clock
        self._lock = threading.Lock()
        self._position = 0
        self._labelled = 0

    @property
    def labelled(self) -> int:
        """How many labels were given."""
        return self._labelled

    def current(self) -> Item | None:
        """The case to look at now; None when there are no more."""
        with self._lock:
            return self._items[self._position] if self._position < len(self._items) else None

    def answer(self, number: int, label: Label | None) -> None:
        """Label a case, or pass it over; the next one is then current.

        A number that is not the current one does nothing: a page was sent twice.

        Raises:
            LedgerError: the ledger cannot be written now; the case stays current.
        """
        with self._lock:
            if self._position >= len(self._items) or number != self._position + 1:
                return
            if label is not None:
                self._ledger.record_evaluations([self._evaluation(self._items[self._position].queued, label)])
                self._labelled += 1
            self._position += 1

    def _evaluation(self, queued: Queued, label: Label) -> Evaluation:
        key = queued.case.key
        return Evaluation(
            Target(key[:_TRACE_BYTES], key[_TRACE_BYTES:]),
            self._name,
            _SCORES[label],
            label,
            evaluator_id=self._reviewer,
            source="human",
            time_unix_nano=self._clock.unix_nano(),
            sampling_probability=queued.probability,
        )


def about(item: Item) -> list[str]:
    """What a person is told of a case besides its texts, one short piece each."""
    content = item.content
    pieces = [content.model, content.service, content.prompt, f"because: {item.queued.reason}"]
    if content.case.flags:
        pieces.append(f"signals: {', '.join(content.case.flags)}")
    pieces += [_opinion(one.name, one.label, one.score) for one in content.case.opinions]
    return [piece for piece in pieces if piece]


def _opinion(name: str, label: str, score: float | None) -> str:
    said = " ".join(filter(None, (label, "" if score is None else f"{score:g}")))
    return f"{name}: {said}"
