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
from otel_llm.policy.sets import Bundle, CompiledRule, Decision, RuleResult, decide, rolled_up, unaudited, unmodified
from otel_llm.policy.sets.model import Stage
from otel_llm.processors.policy import Config, Loaded, load
from otel_llm.processors.policy_answers import ANSWERING, PolicyAnswerGuard, guarding, stopped, with_answer
from otel_llm.processors.policy_modify import modify
from otel_llm.processors.policy_verdict import Verdicts, verdict_attributes, write_verdict

_STOPPABLE: Final[frozenset[Stage]] = frozenset({"request"})


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
        started = self._clock.monotonic()
        decision = decide(
            rules, bundle.variables(_Request(operation, self._resource)), self._clock.unix_nano(), _STOPPABLE
        )
        decision = self._taken(decision, bundle, operation, _STOPPABLE, started)
        unread = [
            unmodified(result.rule, _STOPPABLE)
            for result in decision.results
            if result.is_modifying
            and not modify(operation, "request", result.rule.rule.action, self._detection, self._key)
        ]
        if unread and decision.stopping is None:
            # A request without what could not be looked at is not the call that the app wanted.
            decision = self._taken(rolled_up(decision.evaluated, unread), bundle, operation, _STOPPABLE, started)
        return ALLOW if decision.stopping is None else stopped(decision.stopping)

    def guard(self, operation: Operation) -> PolicyAnswerGuard | None:
        """What looks after the answer to a call on its way to the app; None when no enforced rule would act on it."""
        bundle = self._source.bundle
        rules = guarding(bundle.plan(self._service, self._environment).by_stage["response"])
        if not rules:
            return None
        request = _Request(operation, self._resource)

        def asked(rules: Sequence[CompiledRule], messages: Sequence[Message], known: frozenset[str]) -> Decision:
            started = self._clock.monotonic()
            variables = bundle.variables(with_answer(request, messages))
            decision = decide(rules, variables, self._clock.unix_nano(), ANSWERING)
            new = [result for result in decision.results if result.rule.rule.id not in known]
            if not new:
                return decision
            found = self._taken(rolled_up(decision.evaluated, new), bundle, operation, ANSWERING, started)
            rest = [result for result in decision.results if result.rule.rule.id in known]
            return rolled_up(decision.evaluated, [*rest, *found.results])

        def failed(result: RuleResult) -> None:
            self._taken(rolled_up(1, [result]), bundle, operation, ANSWERING, self._clock.monotonic())

        return PolicyAnswerGuard(rules, asked, failed, self._detection, self._key)

    def _taken(
        self, decision: Decision, bundle: Bundle, operation: Operation, stoppable: frozenset[Stage], started: float
    ) -> Decision:
        """A decision that is recorded, counted, and on the operation; or what is left of it without a record."""
        seconds = self._clock.monotonic() - started
        if not self._auditor.record(decision, bundle.id, operation, self._clock.unix_nano(), self._service):
            decision = unaudited(decision, stoppable)
        self._verdicts.add(decision)
        write_verdict(operation, verdict_attributes(decision, bundle.id, seconds), replaces=False)
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
