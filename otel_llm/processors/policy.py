"""The policy processor: what the rules say about each operation that has ended, and what is done about it.

Adds `otel_llm.policy.*`. A call that has been made cannot be stopped here: a rule that would block it is recorded as
audit, unless its stage is `export`, where the span is kept from leaving. Rules of the stage `request` stop calls before
they are made where an app asks `PolicyAdmission`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Annotated, Final, Literal

import msgspec

from otel_llm._generated import attributes as names
from otel_llm._generated.attributes import ATTRIBUTE_TYPES
from otel_llm.audit import AuditConfig, open_log
from otel_llm.audit.config import read_key
from otel_llm.components import Context
from otel_llm.credentials import Secret
from otel_llm.errors import AuditError, ConfigError
from otel_llm.operation import Operation
from otel_llm.policy.audit_sink import AuditRecord, AuditSink
from otel_llm.policy.sets import Bundle, Decision, Detection, PolicyError, decide, unaudited
from otel_llm.policy.sets.model import Stage
from otel_llm.processors.policy_findings import emit_findings
from otel_llm.processors.policy_loading import BundleSource, Means, built_in_detection, paths_of
from otel_llm.processors.policy_modify import CONTENT_KEYS, modify
from otel_llm.processors.policy_reloads import Reloads
from otel_llm.processors.policy_verdict import WRITES, Auditor, Verdicts, verdict_attributes, write_verdict

# The only thing that has not happened yet when a span gets here.
_STOPPABLE: Final[frozenset[Stage]] = frozenset({"export"})
_DROP_REASON: Final = "policy"
_CONTENT_READ: Final[dict[str, frozenset[str]]] = {
    "input.": frozenset({names.GEN_AI_INPUT_MESSAGES, names.GEN_AI_SYSTEM_INSTRUCTIONS, names.GEN_AI_TOOL_DEFINITIONS}),
    "output.": frozenset({names.GEN_AI_OUTPUT_MESSAGES}),
}


class Config(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Decides about every operation by your rules; docs/policy-guide.md is the guide."""

    paths: tuple[str, ...] = ()
    """Files of policies (YAML or JSON), and folders of such files."""

    packs: tuple[str, ...] = ()
    """Names of packs that come with otel_llm, e.g. `starter`."""

    existing: Literal["merge", "replace"] = "merge"
    """What to do with a verdict that the app or another gateway has given: `merge` keeps the more restrictive one,
    `replace` puts the new one in its place."""

    check_interval_seconds: Annotated[float, msgspec.Meta(ge=0)] = 15.0
    """How often to look whether the files have changed; 0 for never. Changed policies that cannot be used are refused,
    and those before stay in force."""

    allowed_hosts: tuple[str, ...] = ()
    """Hosts to which links and images in answers may carry data, for the detector of exfiltration."""

    key: Secret | None = None
    """The key for the operators `hash` and `tokenize` of rules that modify, at least 16 bytes, as `${env:NAME}`."""

    key_file: str | None = None
    """Or the file that the key is in; one line break at its end is not part of it."""

    finding_events: bool = False
    """Whether each verdict other than allow is also a log record, `otel_llm.policy.finding`, in the context of its
    span, for the logs pipelines."""

    audit: AuditConfig | None = None
    """The audit log in which verdicts other than allow, uses of exemptions and reloads are recorded, never content."""


class Policy:
    """Decides about operations.

    Args:
        config: the user's settings.
        loaded: the bundle in force, detectors, key and auditor.
        context: name, metrics, clock and records.
    """

    def __init__(self, config: Config, loaded: Loaded, context: Context) -> None:
        self.name = context.name
        bundle = loaded.source.bundle
        self.reads = _reads(bundle)
        modifies = any(rule.rule.action.type == "modify" for rule in bundle.rules)
        self.writes = WRITES | CONTENT_KEYS if modifies else WRITES
        self._source = loaded.source
        self._detection = loaded.detection
        self._key = loaded.key
        self._clock = context.clock
        self._replaces = config.existing == "replace"
        self._auditor = loaded.auditor
        self._open = loaded.open
        self._close = loaded.close
        self._verdicts = Verdicts(context)
        self._records = context.records if config.finding_events else None

    def start(self) -> None:
        """Open the audit log, if there is to be one, and show which bundle is in force. Idempotent.

        Raises:
            ConfigError: it cannot be opened.
        """
        self._open()

    def shutdown(self, deadline_seconds: float) -> None:
        """Look after the files no more, and show no bundle. The audit log is its host's to close: others may write it.

        Operations may still come, and are decided by the bundle there was.
        """
        self._close(deadline_seconds)

    @property
    def audit_sink(self) -> AuditSink | None:
        """Where decisions are recorded."""
        return self._auditor.sink

    def process(self, operations: Iterable[Operation]) -> None:
        """Decide about each."""
        bundle = self._source.bundle
        now = self._clock.unix_nano()
        for operation in operations:
            self._decide(bundle, operation, now)

    def _decide(self, bundle: Bundle, operation: Operation, now_unix_nano: int) -> None:
        resource = operation.resource
        service, environment = resource.get(names.SERVICE_NAME), resource.get(names.DEPLOYMENT_ENVIRONMENT_NAME)
        rules = bundle.plan(str(service or ""), str(environment or "")).of(operation)
        if not rules:
            return
        started = self._clock.monotonic()
        decision = decide(rules, bundle.variables(operation), now_unix_nano, _STOPPABLE)
        seconds = self._clock.monotonic() - started
        if not self._auditor.record(decision, bundle.id, operation, now_unix_nano, str(service or "")):
            decision = unaudited(decision, _STOPPABLE)
        self._verdicts.add(decision)
        if self._records is not None:
            emit_findings(self._records, decision, bundle.id, operation, now_unix_nano)
        write_verdict(operation, verdict_attributes(decision, bundle.id, seconds), replaces=self._replaces)
        if decision.results:
            self._act(decision, operation)

    def _act(self, decision: Decision, operation: Operation) -> None:
        for result in decision.results:
            if result.is_modifying:
                modify(operation, result.rule.rule.stage, result.rule.rule.action, self._detection, self._key)
        if decision.action == "block":
            operation.drop(_DROP_REASON)


def _reads(bundle: Bundle) -> frozenset[str]:
    """The attributes that rules read, for the check of the processors' order."""
    found: set[str] = {names.GEN_AI_OPERATION_NAME, names.GEN_AI_REQUEST_MODEL}
    for rule in bundle.rules:
        for name in rule.reads:
            if name in ATTRIBUTE_TYPES:
                found.add(name)
            for prefix, keys in _CONTENT_READ.items():
                if name.startswith(prefix):
                    found |= keys
    return frozenset(found)


def create(config: Config, context: Context, sink: AuditSink | None = None) -> Policy:
    """The processor with the policies that its configuration names.

    Args:
        config: the settings.
        context: name, metrics and clock.
        sink: where audit records go, in place of the log that the settings name.

    Raises:
        ConfigError: there are no policies, or they or the key of the audit log have problems.
    """
    return Policy(config, load(config, context, f"processors.{context.name}", sink), context)


@dataclass(frozen=True, slots=True)
class Loaded:
    """What both the processor and the admission are made of.

    Attributes:
        source: the bundle in force.
        detection: the detectors that rules may name.
        key: for the operators that need one, None when nobody gave one.
        auditor: records decisions.
        open: opens the audit log, and tells of the first bundle; settings may be checked beside a process that writes.
        close: ends what looks after the files, within so many seconds, and tells of no bundle any more.
    """

    source: BundleSource
    detection: Detection
    key: bytes | None
    auditor: Auditor
    open: Callable[[], None]
    close: Callable[[float], None]


def load(config: Config, context: Context, path: str, sink: AuditSink | None) -> Loaded:
    """Load the policies; opens no audit log yet.

    Args:
        config: the settings.
        context: name, metrics and clock.
        path: where the settings stand, for messages.
        sink: see `create`.

    Raises:
        ConfigError: see `create`.
    """
    if not config.paths and not config.packs:
        raise ConfigError([f"{path}: no policies; expected paths of files, or the names of packs"])
    detection = built_in_detection(config.allowed_hosts)
    audit = config.audit if sink is None else None
    if audit is not None:
        read_key(audit.key, audit.key_file, f"{path}.audit")
    auditor = Auditor(sink if audit is None else _Unopened(), context)
    reloads = Reloads(context, auditor)
    key = None if config.key is None and config.key_file is None else read_key(config.key, config.key_file, path)
    means = Means(key=key, is_audited=auditor.sink is not None)
    try:
        paths = paths_of(config.paths, config.packs)
        source = BundleSource(paths, detection, context.clock, config.check_interval_seconds, reloads, means)
    except PolicyError as error:
        raise ConfigError([f"{path}: {problem}" for problem in error.problems]) from None

    def open_audit() -> None:
        if audit is not None and isinstance(auditor.sink, _Unopened):
            auditor.sink = open_log(audit, context.clock, f"{path}.audit")
        if not reloads.has_started:
            reloads.start(source.bundle)
            source.watch()

    def close(deadline_seconds: float) -> None:
        reloads.stop()
        source.stop(deadline_seconds)

    return Loaded(source, detection, key, auditor, open_audit, close)


class _Unopened:
    """In place of an audit log until it is opened: nothing may pass unrecorded for that."""

    def record(self, record: AuditRecord) -> None:  # noqa: ARG002 - as sinks have it
        """Refuse it."""
        raise AuditError("the audit log is not open: the processor was not started")
