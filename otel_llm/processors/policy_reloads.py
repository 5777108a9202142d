"""What is told of a bundle that comes into force: counts, its id, audit records, exemptions that end soon."""

from __future__ import annotations

import logging
import weakref
from collections.abc import Mapping, Sequence
from typing import Final, Literal

from otel_llm._generated import attributes as names
from otel_llm._generated import metrics as definitions
from otel_llm.components import Context
from otel_llm.policy.audit_sink import AuditRecord
from otel_llm.policy.sets import Bundle
from otel_llm.policy.sets.switches import turned
from otel_llm.processors.policy_verdict import Auditor
from otel_llm.telemetry import Gauge

_logger = logging.getLogger(__name__)
_DAY_NANO: Final = 86_400 * 10**9


class Reloads:
    """Listens to reloads.

    Args:
        context: name, metrics and clock.
        auditor: records them.
    """

    def __init__(self, context: Context, auditor: Auditor) -> None:
        self._context = context
        self._auditor = auditor
        self._bundle: Bundle | None = None
        self._info: dict[tuple[str, ...], float] = {}
        self._gauge: Gauge | None = None
        self._next_warning_unix_nano = 0
        self._count = context.metrics.counter(
            definitions.OTEL_LLM_POLICY_RELOADS, [names.OTEL_LLM_COMPONENT_NAME, names.OTEL_LLM_POLICY_RELOAD_OUTCOME]
        )

    @property
    def has_started(self) -> bool:
        """Whether it has been told of the first bundle."""
        return self._bundle is not None

    def start(self, bundle: Bundle) -> None:
        """The first bundle is in force. Its gauge goes with `stop`, or when whoever holds this is gone."""
        self._take(bundle)
        metrics, this = self._context.metrics, weakref.ref(self)
        registered: list[Gauge] = []

        def info() -> dict[tuple[str, ...], float]:
            alive = this()
            if alive is not None:
                return alive._info  # noqa: SLF001 - its own
            metrics.remove(registered[0])
            return {}

        keys = [names.OTEL_LLM_COMPONENT_NAME, names.OTEL_LLM_POLICY_BUNDLE_ID]
        self._gauge = metrics.gauge(definitions.OTEL_LLM_POLICY_BUNDLE_INFO, keys, info)
        registered.append(self._gauge)

    def stop(self) -> None:
        """No bundle is in force here any more. Idempotent."""
        if self._gauge is not None:
            self._context.metrics.remove(self._gauge)

    def checked(self) -> None:
        """Warn once a day of what soon ends: a process may run for longer than an exemption."""
        if self._bundle is not None and self._context.clock.unix_nano() >= self._next_warning_unix_nano:
            self._warn(self._bundle)

    def reloaded(self, bundle: Bundle | None, problems: Sequence[str]) -> None:
        """A reload has ended, with another bundle or with problems."""
        outcome = "failure" if bundle is None else "success"
        self._count.add(1, self._context.name, outcome)
        details = {"outcome": outcome, "component": self._context.name, "problems": str(len(problems))}
        self._auditor.take([self._record("reload", bundle, details)])
        if bundle is not None:
            self._take(bundle)

    def _record(
        self, kind: Literal["reload", "kill_switch"], bundle: Bundle | None, details: Mapping[str, str]
    ) -> AuditRecord:
        return AuditRecord(
            time_unix_nano=self._context.clock.unix_nano(),
            kind=kind,
            rule_id=None,
            bundle_id=None if bundle is None else bundle.id,
            verdict=None,
            action=None,
            reason=None,
            service=None,
            trace_id=None,
            span_id=None,
            details=details,
        )

    def _take(self, bundle: Bundle) -> None:
        self._info = {(self._context.name, bundle.id): 1}
        records = []
        for is_on, (kind, name, owner, reason) in turned(self._bundle, bundle):
            what = {"turned": "on" if is_on else "off", kind: name, "owner": owner, "why": reason}
            _logger.warning("kill switch for %s %s turned %s by %s", kind, name, what["turned"], owner)
            records.append(self._record("kill_switch", bundle, {"component": self._context.name, **what}))
        self._bundle = bundle
        if records:
            self._auditor.take(records)
        self._warn(bundle)

    def _warn(self, bundle: Bundle) -> None:
        now = self._context.clock.unix_nano()
        self._next_warning_unix_nano = now + _DAY_NANO
        for warning in bundle.warnings(now):
            _logger.warning("%s", warning)
