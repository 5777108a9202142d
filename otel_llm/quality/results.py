"""An evaluation result: what somebody or something thought of an operation, and what makes it the same result again."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import Final, Literal

Source = Literal["code", "model", "human"]

_NAMESPACE: Final = uuid.UUID("6f1d5f0c-8f0e-5b6a-9a53-2f6d6a4f5e11")
USER_FEEDBACK: Final = "user_feedback"


@dataclass(frozen=True, slots=True)
class Target:
    """What a result is about: a span, else a whole trace, else an answer by its id.

    Attributes:
        trace_id: 16 bytes; empty when it is not known.
        span_id: 8 bytes; empty when it is not known.
        response_id: `gen_ai.response.id`; empty when it is not known.
    """

    trace_id: bytes = b""
    span_id: bytes = b""
    response_id: str = ""

    @property
    def key(self) -> str:
        """What identifies it: the most exact of what is known."""
        if self.trace_id:
            return f"{self.trace_id.hex()}:{self.span_id.hex()}"
        return f"response:{self.response_id}"


@dataclass(frozen=True, slots=True)
class Evaluation:
    """One result. An evaluator that failed says so in `error_type`, and has neither score nor label.

    Attributes:
        target: what it is about.
        name: of what was evaluated, e.g. `user_feedback`, `helpfulness`.
        score: a number, None when there is none.
        label: a word, e.g. `thumbs_down`; empty when there is none.
        explanation: free text, which may hold content; empty when there is none.
        evaluator_id: who or what evaluated.
        evaluator_version: of the evaluator, its rubric included.
        source: whether that was code, a model or a person; empty when it is not known.
        error_type: why the evaluator failed; empty when it did not.
        time_unix_nano: when.
        sampling_probability: with which the operation was chosen for it, above 0 and at most 1; None when it was not
            chosen at random.
    """

    target: Target
    name: str
    score: float | None = None
    label: str = ""
    explanation: str = ""
    evaluator_id: str = ""
    evaluator_version: str = ""
    source: Source | Literal[""] = ""
    error_type: str = ""
    time_unix_nano: int = 0
    sampling_probability: float | None = None

    @property
    def id(self) -> str:
        """The same for the same target, name and evaluator in the same version: a later result takes its place."""
        parts = (self.target.key, self.name, self.evaluator_id, self.evaluator_version)
        return str(uuid.uuid5(_NAMESPACE, "\x1f".join(part.replace("\x1f", " ") for part in parts)))
