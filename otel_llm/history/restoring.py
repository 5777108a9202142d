"""Whole inputs again, from a recording in any order. What is not there is said, never made up."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from otel_llm.history.references import Reference, as_input, join, read_message, read_value, split


class MissingError(Exception):
    """What a reference leads to is not in the recording, or nobody can say which of two things it is."""


@dataclass(frozen=True, slots=True)
class Record:
    """What a span holds of its conversation, as it was recorded.

    Attributes:
        span: its trace id and span id.
        input: its input, a JSON array of messages; None when it has none.
        output: its answer, likewise.
        values: its other texts, by key.
        is_input_short: whether the input begins with a reference. Its look does not tell: a user may have typed one.
        replaced: keys of those values that are references.
        is_cut: whether texts of it were cut on the way, so that it no longer holds what others refer to.
    """

    span: bytes
    input: str | None
    output: str | None
    values: Mapping[str, str] = field(default_factory=dict)
    is_input_short: bool = False
    replaced: frozenset[str] = frozenset()
    is_cut: bool = False

    @property
    def is_whole(self) -> bool:
        """Whether it refers to nothing."""
        return not (self.is_input_short or self.replaced)


@dataclass(frozen=True, slots=True)
class _Held:
    """The messages of a span: those of another one first, then its own, of which some are its answer."""

    reference: Reference | None
    own: list[bytes]

    @property
    def before(self) -> int:
        return (self.reference.messages or 0) if self.reference is not None else 0


class Restorer:
    """Follows references among the spans that were added; add all of them first."""

    __slots__ = ("_ambiguous", "_held", "_records")

    def __init__(self) -> None:
        self._records: dict[bytes, Record] = {}
        self._ambiguous: set[bytes] = set()
        # Taken apart once: each turn of a conversation is behind the references of all that follow.
        self._held: dict[bytes, _Held] = {}

    def add(self, record: Record) -> None:
        """Take a span as one that others may refer to. One that comes again is the same; a whole one is preferred."""
        known = self._records.setdefault(record.span, record)
        if known.is_whole == record.is_whole:
            if known != record:
                self._ambiguous.add(record.span)
        elif record.is_whole:
            self._records[record.span] = record
            self._ambiguous.discard(record.span)

    def input(self, record: Record) -> str:
        """The whole input of a span whose input is short.

        Raises:
            MissingError: a part of it is not there.
        """
        held = _held(record, is_with_answer=False)
        parts = [held.own]
        seen: set[bytes] = set()
        while held.reference is not None:
            wanted = held.before
            while True:  # down to the span that has some of what is wanted as its own
                span = held.reference.span
                record = self._target(span, seen)
                held = self._held.get(span) or self._held.setdefault(span, _held(record, is_with_answer=True))
                if held.reference is None or held.before < wanted:
                    break
            own = held.own[: wanted - held.before]
            if len(own) != wanted - held.before:
                raise MissingError(f"span {_name(span)} has fewer messages than are referred to")
            parts.append(own)
        return join([piece for part in reversed(parts) for piece in part])

    def value(self, record: Record, key: str) -> str:
        """The whole value of a span that has a reference there.

        Raises:
            MissingError: it is not there.
        """
        seen: set[bytes] = set()
        while key in record.replaced:
            reference = read_value(record.values.get(key, ""))
            if reference is None:
                raise MissingError(f"no reference in {key}")
            record = self._target(reference.span, seen)
        if key not in record.values:
            raise MissingError(f"span {_name(record.span)} has no {key}")
        return record.values[key]

    def _target(self, span: bytes, seen: set[bytes]) -> Record:
        if span in seen:
            raise MissingError(f"span {_name(span)} refers to itself")
        seen.add(span)
        if span in self._ambiguous:
            raise MissingError(f"span {_name(span)} is there more than once, with different messages")
        record = self._records.get(span)
        if record is None:
            raise MissingError(f"span {_name(span)} is not in the recording")
        if record.is_cut:
            raise MissingError(f"span {_name(span)} was cut, as it was too large for its destination")
        return record


def _held(record: Record, *, is_with_answer: bool) -> _Held:
    pieces = split(record.input) if record.input is not None else None
    if pieces is None:
        raise MissingError(f"span {_name(record.span)} has no list of messages")
    reference = None
    if record.is_input_short:
        reference = read_message(pieces[0]) if pieces else None
        if reference is None or (reference.messages or 0) < 1:
            raise MissingError(f"span {_name(record.span)} does not begin with a reference")
        pieces = pieces[1:]
    answer = as_input(split(record.output) or []) if is_with_answer and record.output is not None else []
    return _Held(reference, [*pieces, *answer])


def _name(span: bytes) -> str:
    return f"{span[:16].hex()}/{span[16:].hex()}"
