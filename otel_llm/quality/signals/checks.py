"""The pass over one exchange: which signals apply, which are raised, and the scores.

A signal that does not apply or cannot be told is not among the `checked`: not raised is not the same as not known.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

import msgspec

from otel_llm.quality.signals import completeness, friction, language, leakage, refusal, repetition, retrieval, support
from otel_llm.quality.signals.exchange import Answer
from otel_llm.quality.signals.json_schema import breaks
from otel_llm.quality.signals.loops import Step, is_loop
from otel_llm.quality.signals.tool_calls import Tools, fault

Signal = Literal[
    "empty",
    "truncated",
    "refusal",
    "repetition",
    "invalid_json",
    "unknown_tool",
    "invalid_tool_arguments",
    "tool_error",
    "retry_storm",
    "agent_loop",
    "agent_recursion",
    "language_mismatch",
    "prompt_leak",
    "lexical_support",
    "query_coverage",
    "empty_retrieval",
    "stale_retrieval",
    "missing_citation",
    "slow",
    "slow_output",
    "user_friction",
]

_MAX_JSON: Final = 1024 * 1024
_FENCED: Final = ("```json", "```")


@dataclass(slots=True)
class Findings:
    """What was found; filled by `note`.

    Attributes:
        checked: the signals that applied and could be told.
        raised: those of them that are raised.
        scores: of the signals that are a share, 0 to 1.
        answer_type: what kind of answer it was, None when that was not looked at.
    """

    checked: list[Signal] = field(default_factory=list)
    raised: list[Signal] = field(default_factory=list)
    scores: dict[Signal, float] = field(default_factory=dict)
    answer_type: refusal.AnswerType | None = None

    def note(self, signal: Signal, raised: bool | None) -> None:  # noqa: FBT001 - the finding itself
        """Take a finding in; None is unknown, and not noted."""
        if raised is not None:
            self.checked.append(signal)
            if raised:
                self.raised.append(signal)

    def score(self, signal: Signal, value: float | None, least: float) -> None:
        """Take a share in; raised below `least`."""
        if value is not None:
            self.scores[signal] = value
            self.note(signal, value < least)

    def only(self, signals: frozenset[Signal]) -> Findings:
        """The findings about these signals."""
        return Findings(
            [signal for signal in self.checked if signal in signals],
            [signal for signal in self.raised if signal in signals],
            {signal: score for signal, score in self.scores.items() if signal in signals},
            self.answer_type if "refusal" in signals else None,
        )


# A msgspec struct and not a dataclass: one is made per operation, and a frozen dataclass takes five times as long.
class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """What the answer is held against. Empty and None mean that it is not known, and what needs it is not checked.

    Attributes:
        question: the user's last message.
        finish_reasons: as the span has them.
        pieces: of the system instructions, see leakage.py.
        wants_citations: whether the instructions ask for sources.
        tools: that were offered.
        wants_json: whether the answer is to be JSON.
        schema: that the answer is to follow.
        words: of the documents that were retrieved for it.
        steps: the agent's last tool calls, those of the answer last.
    """

    question: str = ""
    finish_reasons: Sequence[str] = ()
    pieces: frozenset[str] = frozenset()
    wants_citations: bool = False
    tools: Tools | None = None
    wants_json: bool = False
    schema: object = None
    words: frozenset[str] | None = None
    steps: Sequence[Step] = ()


@dataclass(frozen=True, slots=True)
class Checks:
    """The pass.

    Attributes:
        enabled: the signals that are on.
        least_support: below it, `lexical_support` is raised.
        least_coverage: below it, `query_coverage` is raised.
    """

    enabled: frozenset[Signal]
    least_support: float = 0.4
    least_coverage: float = 0.3

    def run(self, answer: Answer, asked: Asked, findings: Findings) -> None:
        """Look at an answer."""
        self._completeness(answer, asked, findings)
        if answer.text:
            self._text(answer.text, asked, findings)
            if asked.words:
                self._documents(answer.text, asked, asked.words, findings)
        if answer.tool_calls:
            self._tool_calls(answer, asked, findings)
        if "user_friction" in self.enabled and asked.question:
            findings.note("user_friction", friction.is_friction(asked.question))

    def _completeness(self, answer: Answer, asked: Asked, findings: Findings) -> None:
        on = self.enabled
        reasons = asked.finish_reasons or answer.finish_reasons
        if "empty" in on:
            is_text_only = not answer.tool_calls and not answer.has_more
            findings.note("empty", is_text_only and completeness.is_empty(answer.text))
        if "truncated" in on:
            findings.note("truncated", completeness.is_truncated(reasons))

    def _text(self, text: str, asked: Asked, findings: Findings) -> None:
        on = self.enabled
        if asked.wants_json or asked.schema is not None:
            if "invalid_json" in on and "truncated" not in findings.raised:
                findings.note("invalid_json", is_invalid_json(text, asked.schema))
            return  # JSON is in no language and declines nothing
        if "refusal" in on:
            findings.answer_type = refusal.classify(text)
            findings.note("refusal", findings.answer_type == "refused")
        if "repetition" in on:
            findings.note("repetition", repetition.is_repetitive(text))
        if "language_mismatch" in on and asked.question:
            findings.note("language_mismatch", language.is_mismatch(asked.question, text))
        if "prompt_leak" in on and asked.pieces:
            findings.note("prompt_leak", leakage.is_leak(text, asked.pieces))

    def _documents(self, text: str, asked: Asked, words: frozenset[str], findings: Findings) -> None:
        on = self.enabled
        if "lexical_support" in on and findings.answer_type in (None, "answered"):
            findings.score("lexical_support", support.lexical_support(text, words), self.least_support)
        if "missing_citation" in on and asked.wants_citations and findings.answer_type in (None, "answered"):
            findings.note("missing_citation", not retrieval.has_citation(text))

    def _tool_calls(self, answer: Answer, asked: Asked, findings: Findings) -> None:
        on = self.enabled
        if asked.tools is not None:
            faults = {fault(call, asked.tools) for call in answer.tool_calls}
            if "unknown_tool" in on:
                findings.note("unknown_tool", "unknown_tool" in faults)
            if "invalid_tool_arguments" in on:
                findings.note("invalid_tool_arguments", "invalid_tool_arguments" in faults)
        if "agent_loop" in on and asked.steps:
            findings.note("agent_loop", is_loop(asked.steps))


def is_invalid_json(text: str, schema: object) -> bool | None:
    """Whether a text is no JSON, or breaks its schema; None when that cannot be told within bounds.

    A fence of Markdown around it is no fault: clients strip it.
    """
    if len(text) > _MAX_JSON:
        return None
    body = text.strip()
    if body.startswith("```") and body.endswith("```"):
        body = body.removeprefix(_FENCED[0]).removeprefix(_FENCED[1]).removesuffix("```")
    try:
        value = msgspec.json.decode(body.encode("utf-8", "replace"))
    except msgspec.DecodeError:
        return True
    except RecursionError:
        return None
    return False if schema is None else breaks(value, schema)
