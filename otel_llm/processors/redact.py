"""The processor that takes personal data and secrets out of everything that leaves.

In the gateway it rewrites whole requests, after all processors of the pipeline, whatever their order: spans of any
kind, events, links, status, logs, metrics, resource and scope (otel_llm.codecs.redacting). In the app there are no
requests: a host has `rewrite_span`, `rewrite_record` and `rewrite_metrics` for what the SDK exports
(otel_llm/hosts/redacting.py), and `process` rewrites the attributes of operations.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Final

from otel_llm._generated import attributes as names
from otel_llm._generated import metrics as definitions
from otel_llm.audit import open_log
from otel_llm.clock import Clock
from otel_llm.components import Context
from otel_llm.errors import AuditError, RefusedError
from otel_llm.operation import AttributeValue, Operation
from otel_llm.policy.audit_sink import AuditRecord, AuditSink
from otel_llm.policy.redaction import Dropped, Redactor, Tally
from otel_llm.processors.redact_config import Config
from otel_llm.processors.redact_setup import make_redactor
from otel_llm.signals import Payload, Signal
from otel_llm.telemetry import LogLimiter

if TYPE_CHECKING:
    from opentelemetry.sdk._logs import ReadableLogRecord
    from opentelemetry.sdk.metrics.export import MetricsData
    from opentelemetry.sdk.trace import ReadableSpan

    from otel_llm.codecs.redacting import Rewriting

_logger = logging.getLogger(__name__)

_NOTES: Final = (names.OTEL_LLM_REDACTION_TYPES, names.OTEL_LLM_REDACTION_COUNT)


_Changed = tuple[bytes, bytes, Mapping[str, AttributeValue]]


class _Content:
    """What is in one request."""

    __slots__ = ("_item", "_prefixes", "_redactor", "_removed", "changed", "tally")

    def __init__(self, redactor: Redactor, removed: frozenset[str], prefixes: tuple[str, ...]) -> None:
        self._redactor = redactor
        self._removed = removed
        self._prefixes = prefixes
        self.tally = Tally()
        self.changed: list[_Changed] = []
        self._item = self.tally

    def text(self, text: str, name: str | None) -> str | None:
        new = self._redactor.text(text, name, self._item)
        return None if isinstance(new, Dropped) else new

    def value(self, value: AttributeValue, name: str | None) -> tuple[AttributeValue, bool]:
        new = self._redactor.value(value, name, self._item)
        return (None, False) if isinstance(new, Dropped) else (new, True)

    def key(self, key: str) -> str | None:
        if key in self._removed or key.startswith(self._prefixes):
            return None
        return self._redactor.key(key, self._item)

    def begin_item(self) -> None:
        self._item = Tally()

    def end_item(self, noted: Mapping[str, AttributeValue]) -> Mapping[str, AttributeValue]:
        item, self._item = self._item, self.tally
        self.tally.found.update(item.found)
        self.tally.failed.update(item.failed)
        return _notes(item, noted) if item.found else {}

    def item_changed(self, trace_id: bytes, span_id: bytes, written: Mapping[str, AttributeValue]) -> None:
        self.changed.append((trace_id, span_id, written))


def _notes(item: Tally, noted: Mapping[str, AttributeValue]) -> dict[str, AttributeValue]:
    """What is written on an item, with what an earlier pass wrote."""
    types, count = (noted.get(key) for key in _NOTES)
    before = [one for one in types if isinstance(one, str)] if isinstance(types, tuple) else []
    total = item.found.total() + (count if type(count) is int else 0)
    return dict(zip(_NOTES, (tuple(sorted({*before, *item.found})), total), strict=True))


class Redact:
    """Rewrites requests, or operations where there are none; thread-safe.

    Args:
        config: the settings.
        redactor: as the settings have it.
        context: name, metrics and clock.
        sink: where changed items are recorded; by default the audit log of the settings, opened by `start`.

    Attributes:
        raw_exporters: those that get what came.
    """

    reads: frozenset[str] = frozenset()
    writes: frozenset[str] = frozenset()

    def __init__(self, config: Config, redactor: Redactor, context: Context, sink: AuditSink | None = None) -> None:
        self.name = context.name
        self._sink = sink
        self._audit_config = config.audit
        self._audit_required = config.audit_required
        self._clock: Clock = context.clock
        self._log = LogLimiter(_logger, context.clock.monotonic)
        self.raw_exporters = frozenset(config.raw_exporters)
        self._redactor = redactor
        self._removed = frozenset(key for key in config.remove if not key.endswith("*"))
        self._prefixes = tuple(key[:-1] for key in config.remove if key.endswith("*"))
        self._genai_only = config.spans == "genai"
        self._keep_unknown = config.unknown_fields == "keep"
        self._rewriting: Rewriting | None = None
        keys = (names.OTEL_LLM_COMPONENT_NAME, names.OTEL_LLM_SIGNAL)
        metrics = context.metrics
        self._found = metrics.counter(definitions.OTEL_LLM_REDACTION_FINDINGS, (*keys, names.OTEL_LLM_REDACTION_TYPE))
        self._failed = metrics.counter(
            definitions.OTEL_LLM_REDACTION_FAILURES, (*keys, names.OTEL_LLM_REDACTION_DETECTOR)
        )
        self._unreadable = metrics.counter(definitions.OTEL_LLM_REDACTION_ITEMS_UNREADABLE, keys)
        self._unrecorded = metrics.counter(definitions.OTEL_LLM_AUDIT_FAILURES, keys[:1])
        self._unknown = metrics.counter(definitions.OTEL_LLM_REDACTION_FIELDS_UNKNOWN, keys)

    def start(self) -> None:
        """Open the audit log, if there is to be one.

        Raises:
            ConfigError: it cannot be opened.
        """
        if self._sink is None and self._audit_config is not None:
            self._sink = open_log(self._audit_config, self._clock, f"processors.{self.name}.audit")

    @property
    def audit_sink(self) -> AuditSink | None:
        """Where changed items are recorded, once it has started."""
        return self._sink

    def rewrite(self, payload: Payload) -> Payload:
        """A request without what is to be taken out.

        Raises:
            MalformedError: its structure down to its items is broken.
            RefusedError: the audit log is required and cannot take records.
        """
        content = self._content()
        result = self._requests().rewrite(payload, content)
        self._settle(content, payload.signal)
        if result.unreadable:
            self._unreadable.add(result.unreadable, self.name, payload.signal)
        if result.unknown:
            self._unknown.add(result.unknown, self.name, payload.signal)
        return result.payload

    def rewrite_span(self, span: ReadableSpan) -> ReadableSpan:
        """A span of the SDK, of whatever kind, without what is to be taken out; as a new one. For hosts in the app.

        Raises:
            RefusedError: the audit log is required and cannot take records.
        """
        from otel_llm.codecs.sdk_redacting import rewrite_span  # noqa: PLC0415 - hosts without the SDK need it not

        content = self._content()
        rewritten = rewrite_span(span, content)
        self._settle(content, "traces")
        return rewritten

    def rewrite_record(self, record: ReadableLogRecord) -> ReadableLogRecord:
        """A log record of the SDK without what is to be taken out; as a new one.

        Raises:
            RefusedError: the audit log is required and cannot take records.
        """
        from otel_llm.codecs.sdk_redacting_signals import rewrite_record  # noqa: PLC0415 - see above

        content = self._content()
        rewritten = rewrite_record(record, content)
        self._settle(content, "logs")
        return rewritten

    def rewrite_metrics(self, data: MetricsData) -> MetricsData:
        """Metrics of the SDK without what is to be taken out; as new ones."""
        from otel_llm.codecs.sdk_redacting_signals import rewrite_metrics  # noqa: PLC0415 - see above

        content = self._content()
        rewritten = rewrite_metrics(data, content)
        self._settle(content, "metrics")
        return rewritten

    def _settle(self, content: _Content, signal: Signal) -> None:
        """Record what was changed, and count it."""
        if self._sink is not None and content.changed:
            self._audit(self._sink, content.changed)
        self._count(content.tally, signal)

    def _requests(self) -> Rewriting:
        """Made when first needed: it takes protobuf, which an app need not have. Two threads may make it twice."""
        if self._rewriting is None:
            from otel_llm.codecs.redacting import Rewriting  # noqa: PLC0415 - see above

            self._rewriting = Rewriting(genai_only=self._genai_only, keep_unknown=self._keep_unknown)
        return self._rewriting

    def process(self, operations: Iterable[Operation]) -> None:
        """Rewrite the attributes of operations, where no request is rewritten.

        Raises:
            RefusedError: the audit log is required and cannot take records.
        """
        for operation in operations:
            content = self._content()
            content.begin_item()
            for key in operation.keys():  # noqa: SIM118 - no mapping
                _rewrite_attribute(operation, key, content)
            noted = {key: operation.get(key) for key in _NOTES}
            written = content.end_item({key: value for key, value in noted.items() if value is not None})
            operation.update(written)
            if self._sink is not None and written:
                self._audit(self._sink, [(operation.trace_id, operation.span_id, written)])
            self._count(content.tally, "traces")

    def _audit(self, sink: AuditSink, changed: Iterable[_Changed]) -> None:
        now = self._clock.unix_nano()
        try:
            for trace_id, span_id, written in changed:
                sink.record(_record(now, self.name, trace_id, span_id, written))
        except AuditError as error:
            self._unrecorded.add(1, self.name)
            self._log.warning("audit", "processor %s: %s", self.name, error)
            if self._audit_required:
                text = f"processor {self.name}: the audit log cannot take records"
                raise RefusedError(text, reason="disk_failing") from error

    def _content(self) -> _Content:
        return _Content(self._redactor, self._removed, self._prefixes)

    def _count(self, tally: Tally, signal: str) -> None:
        for type_, count in tally.found.items():
            self._found.add(count, self.name, signal, type_)
        for detector, count in tally.failed.items():
            self._failed.add(count, self.name, signal, detector)


def _record(
    now_unix_nano: int, name: str, trace_id: bytes, span_id: bytes, written: Mapping[str, AttributeValue]
) -> AuditRecord:
    types, count = (written.get(key) for key in _NOTES)
    return AuditRecord(
        time_unix_nano=now_unix_nano,
        kind="action",
        rule_id=name,
        bundle_id=None,
        verdict=None,
        action="modify",
        reason="redaction",
        service=None,
        trace_id=trace_id.hex() or None,
        span_id=span_id.hex() or None,
        details={"types": ",".join(map(str, types)) if isinstance(types, tuple) else "", "count": str(count)},
    )


def _rewrite_attribute(operation: Operation, key: str, content: _Content) -> None:
    value = operation.get(key)
    new_key = content.key(key)
    new, stays = content.value(value, key)
    if new_key is None or not stays:
        operation.remove(key)
    elif new_key != key or new != value:
        operation.remove(key)
        operation.set(new_key, new)


def create(config: Config, context: Context) -> Redact:
    """The processor.

    Raises:
        ConfigError: types, keys, patterns, detectors or the audit log cannot be used; with every problem.
    """
    return Redact(config, make_redactor(config, f"processors.{context.name}"), context)


__all__ = ["Config", "Redact", "create"]
