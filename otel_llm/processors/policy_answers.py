"""Policy while an answer is on its way to the app: enforced rules of the stage `response` stop it, or take out of it.

Rules are asked about each text as it comes, a window of it at a time. Where a rule reads the messages or the tools that
the model wants called, nothing can be said before the answer is complete, and it is held until then.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Final, Protocol

from otel_llm._generated import attributes as names
from otel_llm.admission import Decision as Answer
from otel_llm.operation import Message
from otel_llm.policy.findings import Finding
from otel_llm.policy.redaction import Operator, operator
from otel_llm.policy.sets import CompiledRule, Decision, Detection, RuleResult, Subject, unmodified
from otel_llm.policy.sets.decision import RULE_FAILURES
from otel_llm.policy.sets.model import Stage
from otel_llm.policy.streaming import StreamGuard

# What can still be stopped while an answer is on its way.
ANSWERING: Final[frozenset[Stage]] = frozenset({"response"})
_WHOLE: Final = frozenset({"output.messages", "output.tool_calls", names.GEN_AI_OUTPUT_MESSAGES})
_READS: Final = _WHOLE | {"output.text"}


def guarding(rules: Sequence[CompiledRule]) -> tuple[CompiledRule, ...]:
    """The rules, of those of the stage `response`, that have to be asked before the app gets an answer."""
    return tuple(
        one
        for one in rules
        if one.mode == "enforce"
        and not _READS.isdisjoint(one.reads)
        and (one.rule.action.type in ("block", "escalate", "modify") or one.failure_policy == "fail")
    )


def stopped(result: RuleResult) -> Answer:
    """A denial."""
    rule = result.rule.rule
    return Answer("deny", result.reason, rule.id, message=rule.action.message)


def with_answer(subject: Subject, messages: Sequence[Message]) -> Subject:
    """A request, with an answer."""
    return _Answered(subject, messages)


class _Answered:
    """A request with what was answered so far."""

    __slots__ = ("_messages", "_subject", "resource")

    def __init__(self, subject: Subject, messages: Sequence[Message]) -> None:
        self._subject = subject
        self._messages = messages
        self.resource = subject.resource

    @property
    def get(self) -> Callable[[str], object]:
        return self._get

    def _get(self, key: str) -> object:
        return self._messages if key == names.GEN_AI_OUTPUT_MESSAGES else self._subject.get(key)

    def keys(self) -> frozenset[str]:
        return self._subject.keys() | {names.GEN_AI_OUTPUT_MESSAGES}

    @property
    def name(self) -> str:
        return self._subject.name

    @property
    def kind(self) -> int:
        return self._subject.kind

    @property
    def status_code(self) -> int:
        return self._subject.status_code

    @property
    def scope_name(self) -> str:
        return self._subject.scope_name

    @property
    def start_unix_nano(self) -> int:
        return self._subject.start_unix_nano

    @property
    def end_unix_nano(self) -> int:
        return self._subject.end_unix_nano

    @property
    def input_messages(self) -> Sequence[Message]:
        return self._subject.input_messages

    @property
    def output_messages(self) -> Sequence[Message]:
        return self._messages


class Asked(Protocol):
    """Asks the rules about messages of the answer, and records what is new."""

    def __call__(self, rules: Sequence[CompiledRule], messages: Sequence[Message], known: frozenset[str]) -> Decision:
        """The decision of these rules; those that are known were recorded before."""
        ...


class PolicyAnswerGuard:
    """Guards one answer; for one thread.

    Args:
        rules: those that are asked.
        asked: asks them.
        failed: told of a rule that could not look at everything it is to take something out of.
        detection: finds what rules take out.
        key: for operators that need one.

    Attributes:
        is_whole: whether a rule has to see the answer whole.
        denied: why the answer was stopped, None while it was not.
    """

    __slots__ = (
        "_asked",
        "_detection",
        "_failed",
        "_findings",
        "_key",
        "_modifying",
        "_operators",
        "_recorded",
        "_rules",
        "denied",
        "is_whole",
    )

    def __init__(
        self,
        rules: Sequence[CompiledRule],
        asked: Asked,
        failed: Callable[[RuleResult], None],
        detection: Detection,
        key: bytes | None,
    ) -> None:
        self.is_whole = any(not _WHOLE.isdisjoint(one.reads) for one in rules)
        self.denied: Answer | None = None
        self._rules = rules
        # Those that the answer as a whole has met: all of its texts are changed.
        self._modifying: tuple[CompiledRule, ...] = ()
        self._asked = asked
        self._failed = failed
        self._detection = detection
        self._key = key
        self._findings: list[Finding] = []
        self._operators: dict[str, Operator] = {}
        self._recorded: frozenset[str] = frozenset()

    def text(self) -> StreamGuard:
        """A guard for one text of the answer."""
        return StreamGuard(self._is_stopped_by, lambda _: self._findings, self._marker)

    def whole(self, messages: Sequence[Message]) -> None:
        """Decide about an answer that is complete. Rules that need it so are not asked about its texts one by one."""
        decision = self._decide(messages)
        self._rules = [one for one in self._rules if _WHOLE.isdisjoint(one.reads)]
        if decision is not None:
            self._modifying = tuple(result.rule for result in decision.results if result.action == "modify")

    def _is_stopped_by(self, text: str) -> bool:
        decision = self._decide([{"role": "assistant", "parts": [{"type": "text", "content": text}]}])
        if decision is None:
            return True
        self._findings = []
        met = [*self._modifying, *(result.rule for result in decision.results if result.action == "modify")]
        for rule in {one.rule.id: one for one in met}.values():
            try:
                self._findings += self._found(rule, text)
            except RULE_FAILURES:
                # An answer without what could not be looked at is not one to pass on.
                unread = unmodified(rule, ANSWERING)
                self._failed(unread)
                self.denied = stopped(unread)
                return True
        return False

    def _decide(self, messages: Sequence[Message]) -> Decision | None:
        """What the rules say; None when the answer is stopped."""
        if self.denied is not None:
            return None
        decision = self._asked(self._rules, messages, self._recorded)
        self._recorded |= {result.rule.rule.id for result in decision.results}
        if decision.stopping is not None:
            self.denied = stopped(decision.stopping)
            return None
        return decision

    def _found(self, rule: CompiledRule, text: str) -> Iterator[Finding]:
        action = rule.rule.action
        for name in action.redact:
            for finding in self._detection.select(name)(text):
                if finding.type not in self._operators:
                    self._operators[finding.type] = operator(action.operator, self._key)
                yield finding

    def _marker(self, type_: str, text: str) -> str:
        return self._operators[type_](type_, text)
