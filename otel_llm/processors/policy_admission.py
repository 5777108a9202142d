"""Policy before a call is made: rules of the stage `request` allow it, change it, or stop it; then, its answer.

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
from otel_llm.policy.sets import Bundle, Decision, decide, rolled_up, unaudited
from otel_llm.policy.sets.model import Stage
from otel_llm.processors.policy import Config, Loaded, load
from otel_llm.processors.policy_answers import STOPS, PolicyAnswerGuard, guarding, stopped, with_answer
from otel_llm.processors.policy_modify import modify
from otel_llm.processors.policy_verdict import Verdicts, verdict_attributes, write_verdict

_STOPPABLE: Final[frozenset[Stage]] = frozenset({"request"})
_ANSWERING: Final[frozenset[Stage]] = frozenset({"response"})


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
        loaded: the bundle in force, detectors, key and auditor.
        context: name, metrics and clock.
        resource: attributes of the app, `service.name` and `deployment.environment.name` among them.

    Attributes:
        on_error: `deny` when a set that is enforced says `failurePolicy: {request: fail}`.
        on_answer_error: likewise for `response`.
    """

    def __init__(self, loaded: Loaded, context: Context, resource: Mapping[str, AttributeValue]) -> None:
        self.name = context.name
        self._source = loaded.source
        self._bundle = loaded.source.bundle
        self.on_error: Literal["allow", "deny"] = _on_error(self._bundle, "request")
        self.on_answer_error: Literal["allow", "deny"] = _on_error(self._bundle, "response")
        self._detection = loaded.detection
        self._key = loaded.key
        self._clock = context.clock
        self._resource = resource
        self._service = str(resource.get(names.SERVICE_NAME) or "")
        self._environment = str(resource.get(names.DEPLOYMENT_ENVIRONMENT_NAME) or "")
        self._auditor = loaded.auditor
        self._verdicts = Verdicts(context)

    def admit(self, operation: Operation) -> Answer:
        """Decide about a call."""
        bundle = self._source.bundle
        if bundle is not self._bundle:  # policies were read anew
            self._bundle = bundle
            self.on_error, self.on_answer_error = _on_error(bundle, "request"), _on_error(bundle, "response")
        rules = bundle.plan(self._service, self._environment).by_stage["request"]
        if not rules:
            return ALLOW
        now = self._clock.unix_nano()
        started = self._clock.monotonic()
        decision = decide(rules, bundle.variables(_Request(operation, self._resource)), now, _STOPPABLE)
        seconds = self._clock.monotonic() - started
        decision = self._recorded(decision, bundle.id, operation, now, _STOPPABLE)
        write_verdict(operation, verdict_attributes(decision, bundle.id, seconds), replaces=False)
        return self._answer(decision, operation)

    def _answer(self, decision: Decision, operation: Operation) -> Answer:
        answer = ALLOW
        for result in decision.results:
            rule = result.rule.rule
            if result.action in STOPS and answer is ALLOW:
                answer = stopped(rule.id, result.reason, rule.action.message)
            # Also where the call is stopped: its span may show what the app wanted to send.
            if result.action == "modify" and not modify(operation, "request", rule.action, self._detection, self._key):
                # A request without what could not be looked at is not the call that the app wanted.
                answer = stopped(rule.id, "redaction_failed", rule.action.message) if answer is ALLOW else answer
        return answer

    def guard(self, operation: Operation) -> PolicyAnswerGuard | None:
        """What looks after the answer to a call on its way to the app; None when no enforced rule would act on it."""
        bundle = self._source.bundle
        rules = guarding(bundle.plan(self._service, self._environment).by_stage["response"])
        if not rules:
            return None
        request = _Request(operation, self._resource)

        def asked(messages: Sequence[Message], known: frozenset[str]) -> Decision:
            started = self._clock.monotonic()
            now = self._clock.unix_nano()
            variables = bundle.variables(with_answer(request, messages))
            decision = decide(rules, variables, now, _ANSWERING)
            new = [result for result in decision.results if result.rule.rule.id not in known]
            if not new:
                return decision
            found = self._recorded(rolled_up(decision.evaluated, new), bundle.id, operation, now, _ANSWERING)
            seconds = self._clock.monotonic() - started
            write_verdict(operation, verdict_attributes(found, bundle.id, seconds), replaces=False)
            rest = [result for result in decision.results if result.rule.rule.id in known]
            return rolled_up(decision.evaluated, [*rest, *found.results])

        return PolicyAnswerGuard(rules, asked, self._detection, self._key)

    def _recorded(
        self, decision: Decision, bundle_id: str, operation: Operation, now: int, stoppable: frozenset[Stage]
    ) -> Decision:
        """A decision that is in the audit log; where it cannot be, what is left of it."""
        if not self._auditor.record(decision, bundle_id, operation, now, self._service):
            decision = unaudited(decision, stoppable)
        self._verdicts.add(decision)
        return decision


def _on_error(bundle: Bundle, stage: Stage) -> Literal["allow", "deny"]:
    closed = any(
        rule.rule.stage == stage and rule.failure_policy == "fail" and rule.mode == "enforce" for rule in bundle.rules
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
    loaded = load(config, context, context.name, sink)
    loaded.open()
    return PolicyAdmission(loaded, context, resource)
