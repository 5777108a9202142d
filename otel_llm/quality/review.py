"""Which cases people should look at: where opinions differ, where they are unsure, and some at random.

Only those picked at random say something about all the others; each carries the probability with which it was picked,
and they stand between the rest, so that whoever stops half-way has seen some.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

from otel_llm.quality.results import Source

Reason = Literal["disagreement", "low_confidence", "random"]

# Signals that speak of the answer itself; a slow answer may be a good one.
_BAD: Final = frozenset(
    {
        "empty", "truncated", "refusal", "repetition", "invalid_json", "unknown_tool", "invalid_tool_arguments",
        "agent_loop", "language_mismatch", "prompt_leak", "lexical_support", "missing_citation",
    }
)  # fmt: skip
_GOOD_LABELS: Final = frozenset({"good", "pass", "passed", "yes", "correct", "true", "thumbs_up", "helpful"})
_BAD_LABELS: Final = frozenset({"bad", "fail", "failed", "no", "incorrect", "false", "thumbs_down", "unhelpful"})
_UNSURE_LABELS: Final = frozenset({"unsure", "unknown", "cannot_tell", "can't tell", "maybe", "partial"})
_UNSURE_SCORES: Final = (0.35, 0.65)
_MIDDLE: Final = 0.5
# One case in so many that somebody else has labelled is given to a second person, to see how far people agree.
_SECOND_OPINION: Final = 0.1
_RANDOM_EVERY: Final = 5


@dataclass(frozen=True, slots=True)
class Opinion:
    """What somebody said of a case before."""

    name: str
    score: float | None
    label: str
    source: Source | Literal[""]
    evaluator_id: str

    @property
    def is_good(self) -> bool | None:
        """Whether it speaks for the answer; None when that is not clear, or it is on another scale than 0 to 1."""
        if self.label.lower() in _GOOD_LABELS | _BAD_LABELS:
            return self.label.lower() in _GOOD_LABELS
        return self.score >= _MIDDLE if self.score is not None and 0 <= self.score <= 1 else None

    @property
    def is_unsure(self) -> bool:
        """Whether it says that it is not sure."""
        low, high = _UNSURE_SCORES
        return self.label.lower() in _UNSURE_LABELS or (self.score is not None and low < self.score < high)


@dataclass(frozen=True, slots=True)
class Case:
    """One operation, without its content.

    Attributes:
        key: trace id and span id.
        flags: the quality signals that are raised.
        is_hedged: whether the answer begins with a reservation.
        opinions: of judges, users and people.
    """

    key: bytes
    flags: tuple[str, ...] = ()
    is_hedged: bool = False
    opinions: tuple[Opinion, ...] = ()


@dataclass(frozen=True, slots=True)
class Queued:
    """A case to look at.

    Attributes:
        case: the case.
        reason: why.
        probability: with which it was picked, for cases picked at random.
    """

    case: Case
    reason: Reason
    probability: float | None = None


def make_queue(cases: Sequence[Case], name: str, reviewer: str, limit: int) -> list[Queued]:
    """The cases that a person should look at, in order.

    Args:
        cases: all there are.
        name: of the evaluation that people make.
        reviewer: who is going to look; what this person has labelled is left out.
        limit: how many at most.
    """
    waiting = [case for case in cases if _waits(case, name, reviewer)]
    others = [(case, _reason(case, name)) for case in waiting]
    chosen = [Queued(case, reason) for case, reason in others if reason is not None]
    chosen.sort(key=lambda one: (one.reason != "disagreement", _fraction(one.case, name)))
    rest = sorted((case for case, reason in others if reason is None), key=lambda case: _fraction(case, name))
    number = min(len(rest), max(limit - len(chosen), -(-limit // _RANDOM_EVERY)))
    drawn = [Queued(case, "random", number / len(rest)) for case in rest[:number]]
    return _mixed(chosen, drawn)[:limit]


def _waits(case: Case, name: str, reviewer: str) -> bool:
    labelled_by = {one.evaluator_id for one in case.opinions if one.source == "human" and one.name == name}
    if reviewer in labelled_by:
        return False
    return not labelled_by or _fraction(case, f"{name}/second") < _SECOND_OPINION


def _reason(case: Case, name: str) -> Reason | None:
    views = {view for one in case.opinions if one.name != name and (view := one.is_good) is not None}
    raised = not _BAD.isdisjoint(case.flags)
    if views == {True, False} or (views == {True} and raised) or (views == {False} and not raised):
        return "disagreement"
    if case.is_hedged or any(one.is_unsure for one in case.opinions):
        return "low_confidence"
    return None


def _mixed(chosen: Sequence[Queued], drawn: Sequence[Queued]) -> list[Queued]:
    """One drawn at random after each four chosen, until either is used up."""
    mixed: list[Queued] = []
    step = _RANDOM_EVERY - 1
    for start, one in enumerate(drawn):
        mixed += chosen[start * step : (start + 1) * step]
        mixed.append(one)
    return mixed + list(chosen[len(drawn) * step :])


def _fraction(case: Case, salt: str) -> float:
    """A number from 0 to 1 that is the same for the same case each time, and says nothing about it."""
    digest = hashlib.blake2b(case.key, digest_size=8, person=hashlib.blake2b(salt.encode(), digest_size=16).digest())
    return int.from_bytes(digest.digest(), "big") / 2**64
