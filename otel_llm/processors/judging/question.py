"""One answer that is to be judged, and where it came from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from otel_llm.operation import Message
from otel_llm.quality.compare.stakes import Arm
from otel_llm.quality.judges import Rubric


@dataclass(frozen=True, slots=True)
class Question:
    """An answer to be judged.

    Attributes:
        rubric: by which rubric.
        conversation: what was asked, as text.
        answer: what was answered, as text.
        trace_id, span_id, response_id: whose answer it was.
        probability: with which it was sampled.
        is_flagged: whether a quality signal was raised on it.
        is_of_all: whether it is of the sample that is taken of all answers alike.
        segment: where it belongs.
        arms: the comparisons it belongs to, by their place, and on which side.
    """

    rubric: Rubric
    conversation: str
    answer: str
    trace_id: bytes
    span_id: bytes
    response_id: str
    probability: float
    is_flagged: bool
    is_of_all: bool
    segment: tuple[str, ...]
    arms: tuple[tuple[int, Arm], ...] = ()

    @property
    def size_bytes(self) -> int:
        """About what it takes in memory."""
        return 500 + len(self.conversation) + len(self.answer)


@dataclass(frozen=True, slots=True)
class Reply:
    """What a judge has said.

    Attributes:
        text: as it came.
        input_tokens, output_tokens: what it says to have used; None when it does not say.
    """

    text: str
    input_tokens: int | None = None
    output_tokens: int | None = None


class Judge(Protocol):
    """Somebody who can be asked; thread-safe.

    Attributes:
        model: whose answers these are; another model's are others.
    """

    model: str

    @property
    def is_stuck(self) -> bool:
        """Whether so much of what it was asked hangs that it is not to be asked now."""
        ...

    def ask(self, instructions: str, material: str, schema: Mapping[str, object]) -> Reply:
        """The answer, within its own time limit.

        Raises:
            RetryableError: it may answer later.
            PermanentError: it will not.
        """
        ...

    def close(self) -> None:
        """End what is going on. Idempotent."""
        ...


def as_text(messages: Sequence[Message], most_characters: int) -> str:
    """Messages as lines of who and what; the last ones when there are too many characters."""
    lines: list[str] = []
    left = most_characters
    for message in reversed(messages):
        line = f"{message.get('role') or 'unknown'}: {_parts(message)}"[:left]
        lines.append(line)
        left -= len(line) + 1
        if left <= 0:
            break
    return "\n".join(reversed(lines))


def _parts(message: Message) -> str:
    parts = message.get("parts")
    if not isinstance(parts, Sequence) or isinstance(parts, str | bytes):
        return ""
    return " ".join(filter(None, (_part(part) for part in parts if isinstance(part, Mapping))))


def _part(part: Mapping[str, object]) -> str:
    kind, content = part.get("type"), part.get("content")
    if kind == "text":
        return content if isinstance(content, str) else ""
    if kind == "tool_call":
        return f"[calls {part.get('name')}({str(part.get('arguments'))[:2000]})]"
    if kind == "tool_call_response":
        return f"[result: {str(part.get('response'))[:2000]}]"
    return f"[{kind}]"
