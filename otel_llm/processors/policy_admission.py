"""Policy before a call is made: rules of the stage `request` allow it, change it, or stop it.

A denied call is a DeniedError for the app, with the rule's id and reason. `escalate` stops a call too: nobody is there
to be asked while the caller waits, and a call that a person has to decide about is not made before. An exemption is how
that person lets it pass.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final, Literal

from otel_llm._generated import attributes as names
from otel_llm.admission import ALLOW
from otel_llm.admission import Decision as Answer
from otel_llm.components import Context
from otel_llm.operation import AttributeValue, Message, Operation
from otel_llm.policy.audit_sink import AuditSink
from otel_llm.policy.sets import Bundle, Decision, Detection, decide
from otel_llm.policy.sets.model import Stage
from otel_llm.policy.streaming import Find, StreamGuard
from otel_llm.processors.policy import Config, start
from otel_llm.processors.policy_loading import BundleSource
from otel_llm.processors.policy_modify import modify
from otel_llm.processors.policy_verdict import Auditor, Verdicts, verdict_attributes, write_verdict

_STOPPABLE: Final[frozenset[Stage]] = frozenset({"request"})
_ANSWERING: Final[frozenset[Stage]] = frozenset({"response"})
_ANSWER: Final = frozenset({"output.text", "output.messages"})
_STOPS: Final = frozenset({"block", "escalate"})


class _Request:
    """A request with the resource of the app that makes it: hooks know the call, and not who they are in."""

    __slots__ = ("_operation", "get", "resource")

    def __init__(self, operation: Operation, resource: Mapping[str, AttributeValue]) -> None:
        self._operation = operation
        self.get: Callable[[str], object] = operation.get
        self.resource: Mapping[str, object] = resource

    def keys(self) -> frozenset[str]:
        return self._operation.keys()

    @property
    def name(self) -> str:
        return self._operation.name

    @property
    def kind(self) -> int:
        return self._operation.kind

    @property
    def status_code(self) -> int:
        return self._operation.status_code

    @property
    def scope_name(self) -> str:
        return self._operation.scope_name

    @property
    def start_unix_nano(self) -> int:
        return self._operation.start_unix_nano

    @property
    def end_unix_nano(self) -> int:
        return self._operation.end_unix_nano

    @property
    def input_messages(self) -> Sequence[Message]:
        return self._operation.input_messages

    @property
    def output_messages(self) -> Sequence[Message]:
        return self._operation.output_messages


class PolicyAdmission:
    """Asks the rules before a call is made; thread-safe.

    Args:
        source: the bundle in force.
        detection: the detectors that rules may name.
        context: name, metrics and clock.
        resource: attributes of the app, `service.name` and `deployment.environment.name` among them.
        auditor: records decisions.

    Attributes:
        on_error: `deny` when a set that is enforced says `failurePolicy: {request: fail}`.
    """

    def __init__(
        self,
        source: BundleSource,
        detection: Detection,
        context: Context,
        resource: Mapping[str, AttributeValue],
        auditor: Auditor,
    ) -> None:
        self.name = context.name
        self.on_error: Literal["allow", "deny"] = _on_error(source.bundle)
        self._bundle = source.bundle
        self._source = source
        self._detection = detection
        self._clock = context.clock
        self._resource = resource
        self._service = str(resource.get(names.SERVICE_NAME) or "")
        self._environment = str(resource.get(names.DEPLOYMENT_ENVIRONMENT_NAME) or "")
        self._auditor = auditor
        self._verdicts = Verdicts(context)

    def admit(self, operation: Operation) -> Answer:
        """Decide about a call."""
        bundle = self._source.bundle
        if bundle is not self._bundle:  # policies were read anew
            self._bundle, self.on_error = bundle, _on_error(bundle)
        rules = bundle.plan(self._service, self._environment).by_stage["request"]
        if not rules:
            return ALLOW
        now = self._clock.unix_nano()
        started = self._clock.monotonic()
        decision = decide(rules, bundle.variables(_Request(operation, self._resource)), now, _STOPPABLE)
        seconds = self._clock.monotonic() - started
        self._verdicts.add(decision)
        write_verdict(operation, verdict_attributes(decision, bundle.id, seconds), replaces=False)
        self._auditor.record(decision, bundle.id, operation, now, self._service)
        return self._answer(decision, operation)

    def _answer(self, decision: Decision, operation: Operation) -> Answer:
        for result in decision.results:
            if result.action in _STOPS:
                return Answer("deny", result.reason, result.rule.rule.id)
        for result in decision.results:
            rule = result.rule.rule
            # A request without what could not be looked at is not the call that the app wanted.
            if result.action == "modify" and not modify(operation, "request", rule.action, self._detection):
                return Answer("deny", "redaction_failed", rule.id)
        return ALLOW

    def guard(self, operation: Operation) -> AnswerGuard | None:
        """What looks after the answer to a call while it arrives in pieces; None when no enforced rule would act on it.

        Rules of the stage `response` that read the answer are asked about what is held back; those that stop the call
        when they object stop the answer, and those that modify take out of it what they name.
        """
        bundle = self._source.bundle
        rules = bundle.plan(self._service, self._environment).by_stage["response"]
        acting = [one for one in rules if one.mode == "enforce" and not _ANSWER.isdisjoint(one.reads)]
        stopping = [one for one in acting if one.rule.action.type in _STOPS]
        modifying = [one for one in acting if one.rule.action.type == "modify"]
        if not stopping and not modifying:
            return None
        finders = [self._detection.select(name) for one in modifying for name in one.rule.action.redact]
        request = _Request(operation, self._resource)

        def decided(text: str) -> Decision:
            variables = bundle.variables(request)
            variables["output.text"] = text
            return decide(stopping, variables, self._clock.unix_nano(), _ANSWERING)

        return AnswerGuard(decided, lambda text: [finding for find in finders for finding in find(text)])


class AnswerGuard:
    """Guards one answer; for one thread.

    Attributes:
        denied: why the answer was stopped, None while it was not.
    """

    __slots__ = ("_decided", "_stream", "denied")

    def __init__(self, decided: Callable[[str], Decision], find: Find) -> None:
        self._decided = decided
        self._stream = StreamGuard(self._is_stopping, find)
        self.denied: Answer | None = None

    def push(self, piece: str) -> str:
        """Take a piece; what may be passed on now, often nothing."""
        return self._stream.push(piece)

    def finish(self) -> str:
        """The answer is complete: what is left of it."""
        return self._stream.finish()

    def _is_stopping(self, text: str) -> bool:
        for result in self._decided(text).results:
            if result.action in _STOPS:
                self.denied = Answer("deny", result.reason, result.rule.rule.id)
        return self.denied is not None


def _on_error(bundle: Bundle) -> Literal["allow", "deny"]:
    closed = any(
        rule.rule.stage == "request" and rule.failure_policy == "fail" and rule.mode == "enforce"
        for rule in bundle.rules
    )
    return "deny" if closed else "allow"


def create_admission(
    config: Config, context: Context, resource: Mapping[str, AttributeValue], sink: AuditSink | None = None
) -> PolicyAdmission:
    """The admission with the policies that a configuration names.

    Args:
        config: the settings, as of the processor.
        context: name, metrics and clock.
        resource: attributes of the app.
        sink: where audit records go, in place of the log that the settings name.

    Raises:
        ConfigError: there are no policies, or they or the audit log have problems.
    """
    started = start(config, context, context.name, sink)
    return PolicyAdmission(started.source, started.detection, context, resource, started.auditor)
