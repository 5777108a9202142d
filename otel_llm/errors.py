"""Every exception that otel_llm raises on purpose.

    OtelLlmError
     ├─ ConfigError            start-up: the configuration is wrong; holds every problem found
     ├─ PipelineOrderError     start-up: a processor reads what nobody before it writes
     ├─ MalformedError         a request cannot be read; the sender must not send it again (400, INVALID_ARGUMENT)
     ├─ RefusedError           a request cannot be taken now; the sender may try again (429, RESOURCE_EXHAUSTED)
     ├─ AuditError             the audit log cannot take a record; whoever asked for it fails closed
     ├─ StoreError             the store of counters cannot be reached or used now; sums wait until it can
     ├─ LedgerError            the ledger cannot be read or written; says whether that may pass
     ├─ DeniedError            a call of the app, or its answer, was stopped; the one error meant for the app
     └─ ExportError            an export did not succeed
         ├─ RetryableError     may succeed later
         │   └─ CredentialsError  once somebody has mended who we say we are
         ├─ TooLargeError      may succeed when split
         └─ PermanentError     will not succeed
             └─ RejectedError  for something in the payload; the rest of it may

Start-up fails with these; running code turns them into counts, answers to the sender, and rate-limited log lines.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, TypeAlias


class OtelLlmError(Exception):
    """Base of all errors raised by otel_llm."""


class ConfigError(OtelLlmError):
    """The configuration is wrong.

    Attributes:
        problems: one line for each problem, each starting with the path of the setting.
    """

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(self.problems))


class PipelineOrderError(ConfigError):
    """A processor reads an attribute that only a later processor writes."""


class MalformedError(OtelLlmError):
    """A request cannot be read. The message says what was expected; it never quotes the request."""


Shortage: TypeAlias = Literal["queue_full", "disk_failing", "over_quota", "overload", "shutting_down"]


class RefusedError(OtelLlmError):
    """A request cannot be taken now.

    Attributes:
        retry_after_seconds: when the sender should try again.
        reason: what there is none of; the words of `otel_llm.refusal.reason`.
    """

    def __init__(
        self,
        message: str,
        retry_after_seconds: float = 1.0,
        reason: Shortage = "queue_full",
    ) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds
        self.reason: Shortage = reason


class AuditError(OtelLlmError):
    """The audit log cannot be opened, or cannot take a record. The message holds nothing of the record."""


class StoreError(OtelLlmError):
    """The store of counters cannot be reached or used now. The message names it, without credentials."""


class LedgerError(OtelLlmError):
    """The ledger cannot be read or written. The message names it, without credentials, and holds nothing of a row.

    Attributes:
        may_pass: whether the same may succeed later: the file is locked, the disk full, the server away.
    """

    def __init__(self, message: str, *, may_pass: bool) -> None:
        super().__init__(message)
        self.may_pass = may_pass


class DeniedError(OtelLlmError):
    """A policy or a budget stopped a call before it was made, or its answer before the app had it.

    Attributes:
        reason: low-cardinality reason, e.g. `model_not_allowed`; never content.
        rule_id: the rule or budget that decided, None when an admission failed and is to fail closed.
        rule_message: what the rule's author wrote for whoever made the call, None when that is nothing.
    """

    def __init__(self, message: str, reason: str, rule_id: str | None = None, rule_message: str | None = None) -> None:
        super().__init__(message)
        self.reason = reason
        self.rule_id = rule_id
        self.rule_message = rule_message


class ExportError(OtelLlmError):
    """An export did not succeed. The message names destination and answer, never headers or content."""


class RetryableError(ExportError):
    """The destination may take the same payload later.

    Attributes:
        retry_after_seconds: what the destination asked for, None when it did not say.
    """

    def __init__(self, message: str, retry_after_seconds: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


class CredentialsError(RetryableError):
    """The destination does not accept who we are (401, 403): a token has run out, or a setting is wrong.

    What was sent is not at fault, so it is worth keeping until somebody has mended that.
    """


class TooLargeError(ExportError):
    """The destination limits the size of a request; the same items may pass in smaller ones."""


class PermanentError(ExportError):
    """The destination will never take this payload."""


class RejectedError(PermanentError):
    """The destination finds something in this payload wrong; what is right may pass without it."""
