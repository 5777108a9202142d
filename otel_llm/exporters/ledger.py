"""Writes each GenAI operation and each evaluation result into the ledger; see otel_llm/ledger.

Other spans and log records are passed over.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Final, TypeVar

import msgspec

from otel_llm._generated import attributes as names
from otel_llm._generated import metrics as definitions
from otel_llm.codecs.evaluations import read_evaluations
from otel_llm.codecs.wire import decode_traces
from otel_llm.components import Context
from otel_llm.credentials import Secret, read_secret_file
from otel_llm.errors import ConfigError, LedgerError, MalformedError, PermanentError, RetryableError
from otel_llm.exporters.exporter import ExportResult
from otel_llm.ledger.evaluations import Recorded
from otel_llm.ledger.row import OWNERSHIP_KEYS, Row, row_of
from otel_llm.ledger.store import Ledger, is_on_a_server
from otel_llm.signals import Payload, Signal

_logger = logging.getLogger(__name__)
_CLEAN_UP_SECONDS: Final = 3600.0
_VALUE_LENGTH_LIMIT: Final = 128
_RESULT_KEYS: Final = (
    names.GEN_AI_EVALUATION_NAME,
    names.GEN_AI_EVALUATION_SCORE_LABEL,
    names.OTEL_LLM_EVALUATION_EVALUATOR_SOURCE,
    names.OTEL_LLM_EVALUATION_TARGET,
    names.GEN_AI_OPERATION_NAME,
    names.GEN_AI_REQUEST_MODEL,
    names.GEN_AI_RESPONSE_MODEL,
    names.GEN_AI_PROMPT_NAME,
    names.GEN_AI_PROMPT_VERSION,
    names.SERVICE_NAME,
)
_SCORE_KEYS: Final = tuple(key for key in _RESULT_KEYS if key != names.GEN_AI_EVALUATION_SCORE_LABEL)
_Result = TypeVar("_Result")

SIGNALS: Final[frozenset[Signal]] = frozenset({"traces", "logs"})


class Config(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The ledger: one row for each GenAI operation, and evaluation results beside them, in SQLite or PostgreSQL."""

    path: str = "otel-llm-ledger.db"
    """A SQLite file, made when it is not there, where `~` is the home folder; or PostgreSQL, for gateways on several
    machines: `postgresql://user@host:5432/database`, with parameters of libpq such as `?sslmode=verify-full`."""

    password: Secret | None = None
    """With PostgreSQL: the password, as `${env:NAME}`. Without one, libpq's PGPASSWORD or password file."""

    password_file: str | None = None
    """Or the file with the password."""

    retention_days: Annotated[float, msgspec.Meta(gt=0)] | None = None
    """Delete rows of operations that started more than this many days ago. Keep all without it."""

    owner_keys: tuple[str, ...] = OWNERSHIP_KEYS["owner"]
    """Attributes that say whose an operation is: the first that is there, on the span or else on its resource."""

    tenant_keys: tuple[str, ...] = OWNERSHIP_KEYS["tenant"]
    """Attributes that say for which tenant it was; found as for `owner_keys`."""

    user_keys: tuple[str, ...] = OWNERSHIP_KEYS["user"]
    """Attributes that say for which user it was; found as for `owner_keys`."""

    feature_keys: tuple[str, ...] = OWNERSHIP_KEYS["feature"]
    """Attributes that say which feature of the application it belongs to; found as for `owner_keys`."""


class LedgerExporter:
    """The exporter; see `create`.

    Attributes:
        ledger: the ledger it writes to.
    """

    def __init__(
        self, ledger: Ledger, ownership: Mapping[str, Sequence[str]], retention_days: float | None, context: Context
    ) -> None:
        self.signals = SIGNALS
        self.ledger = ledger
        self._ownership = ownership
        self._retention_days = retention_days
        self._clock = context.clock
        self._next_clean_up = self._clock.monotonic()
        self._results = context.metrics.counter(definitions.OTEL_LLM_EVALUATION_RESULTS, _RESULT_KEYS)
        self._scores = context.metrics.histogram(definitions.OTEL_LLM_EVALUATION_SCORE, _SCORE_KEYS)

    def export(self, payload: Payload, timeout_seconds: float) -> ExportResult:  # noqa: ARG002 - databases wait as opened
        """Record the operations or the evaluation results of a payload, all or none.

        Raises:
            RetryableError: the file is locked, the disk full or the server away, for now.
            PermanentError: the payload cannot be read, or the ledger is broken.
        """
        try:
            if payload.signal == "logs":
                return self._export_evaluations(payload)
            operations = decode_traces(payload.join()).operations
        except MalformedError as error:
            raise PermanentError(f"ledger: {error}") from None
        rows = [row_of(operation, self._ownership) for operation in operations]
        known = [row for row in rows if row is not None]
        self._record(known)
        self._clean_up()
        nameless = len(rows) - len(known)
        return ExportResult(nameless, "spans without trace or span id have no row") if nameless else ExportResult()

    def shutdown(self) -> None:
        """Let go of the ledger."""
        self.ledger.close()

    def _export_evaluations(self, payload: Payload) -> ExportResult:
        evaluations, unreadable = read_evaluations(payload.join())
        for recorded in self._written(lambda: self.ledger.record_evaluations(evaluations)) if evaluations else ():
            if recorded.is_new:
                name, label, *rest = _series(recorded)
                self._results.add(1, name, label, *rest)
                if recorded.evaluation.score is not None:
                    self._scores.record(recorded.evaluation.score, name, *rest)
        self._clean_up()
        return ExportResult(unreadable, "evaluation results need a name and a target" if unreadable else "")

    def _record(self, rows: list[Row]) -> None:
        if rows:
            self._written(lambda: self.ledger.record(rows))

    def _written(self, write: Callable[[], _Result]) -> _Result:
        try:
            return write()
        except LedgerError as error:
            raise (RetryableError if error.may_pass else PermanentError)(str(error)) from error

    def _clean_up(self) -> None:
        """Forget old rows, at the first export and then once an hour."""
        now = self._clock.monotonic()
        if self._retention_days is None or now < self._next_clean_up:
            return
        self._next_clean_up = now + _CLEAN_UP_SECONDS
        try:
            self.ledger.forget(self._retention_days)
        except LedgerError as error:  # the rows of this payload are safe; it is tried again in an hour
            _logger.warning("old rows were not deleted: %s", error)


def _series(recorded: Recorded) -> tuple[str, ...]:
    one, row = recorded.evaluation, recorded.operation
    known = (None,) * 6 if row is None else (
        row.operation, row.request_model, row.response_model, row.prompt_name, row.prompt_version, row.service
    )  # fmt: skip
    target = "unknown" if row is None else "known"
    values = (one.name, one.label, one.source, target, *known)
    return tuple((value or "")[:_VALUE_LENGTH_LIMIT] for value in values)


def create(config: Config, context: Context) -> LedgerExporter:
    """Make the exporter and open the file; a server is connected to when there is something to write.

    Raises:
        ConfigError: the file cannot be used, or the settings contradict each other.
    """
    setting = f"exporters.{context.name}"
    password = _password(config, setting)
    ownership = {
        "owner": config.owner_keys,
        "tenant": config.tenant_keys,
        "user": config.user_keys,
        "feature": config.feature_keys,
    }
    ledger = Ledger(config.path, clock=context.clock, password=password)
    return LedgerExporter(ledger, ownership, config.retention_days, context)


def _password(config: Config, setting: str) -> str | None:
    if config.password is None and config.password_file is None:
        return None
    if not is_on_a_server(config.path):
        raise ConfigError([f"{setting}: a password is for PostgreSQL; expected path: postgresql://…, or no password"])
    if config.password is not None and config.password_file is not None:
        raise ConfigError([f"{setting}: password and password_file; expected one of them"])
    return config.password if config.password_file is None else read_secret_file(config.password_file, setting)
