"""Feedback over HTTP: `POST /v1/feedback`, whenever it comes; each piece becomes an evaluation result, a log record.

The body is one JSON object or a list of them:

    {"response_id": "chatcmpl-1", "score": 0, "label": "thumbs_down", "comment": "not my question"}

`trace_id` (32 hex digits), `trace_id` and `span_id` (16), or `response_id` say what it is about; with a ledger, a
response or a trace is looked up and the record stands in the context of the call that answered. What is not found is
passed on and counted as unknown; when its span comes within a while, it is passed on again in its context. The same
result twice is passed on once, as far as memory reaches; with a ledger, beyond a restart, too, but for what came with a
comment: the ledger keeps none, so whether it is the same is not known then.
"""

from __future__ import annotations

import math
import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Final, Literal, cast

import msgspec

from otel_llm._generated import attributes as names
from otel_llm._generated import metrics as definitions
from otel_llm.clock import Clock
from otel_llm.codecs.evaluations import encode_evaluations
from otel_llm.components import Context
from otel_llm.errors import LedgerError, RefusedError
from otel_llm.http.message import Reason, Request, Response, Route
from otel_llm.http.server import HttpServer, Settings
from otel_llm.http.shared import Limits
from otel_llm.ledger.row import Row
from otel_llm.ledger.store import Ledger
from otel_llm.quality.results import Evaluation, Target
from otel_llm.receivers.accounts import Accounts
from otel_llm.receivers.auth import AuthConfig
from otel_llm.receivers.endpoint import Address, TlsConfig, cannot_listen, parse_endpoint, server_context
from otel_llm.receivers.feedback_body import read_piece
from otel_llm.receivers.feedback_pending import Pending
from otel_llm.receivers.gatekeeper import Gatekeeper, http_admission
from otel_llm.receivers.tls_renewal import TlsRenewal
from otel_llm.signals import Consumer, Signal

SIGNALS: Final[frozenset[Signal]] = frozenset({"logs"})

_PATH: Final = "/v1/feedback"
_JSON: Final = "application/json"
_MOST_RESULTS: Final = 100

TargetState = Literal["known", "unknown", "unchecked"]


class Config(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Feedback of users and other late results, over HTTP."""

    endpoint: str = "127.0.0.1:4320"
    """Where to listen, as host:port. Feedback is posted to `/v1/feedback`."""

    tls: TlsConfig | None = None
    """Certificate and key for HTTPS. Plain HTTP without it."""

    auth: AuthConfig | None = None
    """Who may send. Without it, whoever reaches the port."""

    ledger: str | None = None
    """The ledger to look operations up in that feedback is about: the `path` of the `ledger` exporter. The password of
    a server is then taken from PGPASSWORD, or from libpq's password file.
    Without it, targets stay as they were given."""

    resolve_within_seconds: Annotated[float, msgspec.Meta(ge=0)] = 600.0
    """How long to look in the ledger for an operation that feedback came before; it is then passed on again, in the
    context of that operation. 0 does not look again."""

    max_request_body_size: Annotated[int, msgspec.Meta(ge=1024)] = 256 * 1024
    """Bytes of the largest body taken; larger ones get 413."""

    max_results_per_second: Annotated[float, msgspec.Meta(gt=0)] = 200.0
    """Pieces of feedback taken a second, over ten seconds; senders get 429 beyond it."""

    remembered_results: Annotated[int, msgspec.Meta(ge=0)] = 50_000
    """How many results are remembered to pass each of them on once; some 150 bytes each."""


@dataclass(frozen=True, slots=True)
class _Piece:
    """A piece of feedback with the state of its target and the service it belongs to, if known."""

    evaluation: Evaluation
    target: TargetState
    service: str


class FeedbackReceiver:
    """The receiver; see `create`.

    Args:
        config: the user's settings.
        ledger: where targets are looked up, None for nowhere.
        context: name, metrics and clock.

    Attributes:
        pending: feedback whose operation has not come yet.
    """

    def __init__(self, config: Config, ledger: Ledger | None, context: Context) -> None:
        self._config = config
        self._ledger = ledger
        self._setting = f"receivers.{context.name}"
        self._address = parse_endpoint(config.endpoint, f"{self._setting}.endpoint")
        self._gatekeeper = Gatekeeper(config.auth, f"{self._setting}.auth")
        self._accounts = Accounts(context.metrics, context.name)
        self._name = context.name
        self._clock = context.clock
        self._bucket = _Bucket(config.max_results_per_second, context.clock)
        self._known = _Known(config.remembered_results)
        self._results = context.metrics.counter(
            definitions.OTEL_LLM_FEEDBACK_RESULTS,
            (names.OTEL_LLM_COMPONENT_NAME, names.OTEL_LLM_FEEDBACK_OUTCOME, names.OTEL_LLM_EVALUATION_TARGET),
        )
        self._server: HttpServer | None = None
        self._consumer: Consumer | None = None
        seconds = 0.0 if ledger is None else config.resolve_within_seconds
        self.pending = Pending(seconds, context.clock, self._resolve_late)

    @property
    def endpoint(self) -> str:
        """Where it listens, as host:port, with the real port after `start`."""
        port = self._address.port if self._server is None else self._server.port
        return str(Address(self._address.host, port))

    def start(self, consumer: Consumer) -> None:
        """Listen.

        Raises:
            ConfigError: the address cannot be bound, or the TLS files cannot be used.
        """
        tls = self._config.tls
        renewal = None if tls is None else TlsRenewal(tls, f"{self._setting}.tls")
        settings = Settings(
            host=self._address.host,
            port=self._address.port,
            tls=None if tls is None else server_context(tls, f"{self._setting}.tls"),
            renewed_tls=None if renewal is None else renewal.context,
            worker_threads=1,
            limits=Limits(body_bytes=self._config.max_request_body_size, connections=256),
            name="feedback",
        )
        # On the worker thread: the ledger is a disk.
        self._consumer = consumer
        route = Route(
            lambda request: self._answer(request, consumer),
            lambda request: False,  # noqa: ARG005 - a handler's signature
            http_admission(self._gatekeeper),
        )
        server = HttpServer({("POST", _PATH): route}, settings, self)
        try:
            server.start()
        except OSError as error:
            why = error.strerror or str(error)
            raise cannot_listen(self._address, f"{self._setting}.endpoint", why) from error
        self._server = server
        self.pending.start()

    def shutdown(self, deadline_seconds: float) -> None:
        """Stop listening and answer what is in flight."""
        if self._server is not None:
            self._server.shutdown(deadline_seconds)
        self.pending.stop(1.0)
        if self._ledger is not None:
            self._ledger.close()

    # What the server tells.

    def answered(self, path: str, seconds: float, body_bytes: int) -> None:  # noqa: ARG002 - the Observer's signature
        """Count an answer."""
        self._accounts.answered("logs", seconds, body_bytes)

    def refused(self, path: str, reason: Reason, message: str) -> None:  # noqa: ARG002 - as above
        """Count a refusal."""
        self._accounts.refused("logs", reason, message)

    def _answer(self, request: Request, consumer: Consumer) -> Response:
        try:
            given = msgspec.json.decode(request.body)
            items = given if isinstance(given, list) else [given]
            found = [read_piece(item, f"[{n}]." if item is not given else "") for n, item in enumerate(items)]
        except (msgspec.DecodeError, RecursionError):
            self._count(1, "invalid")
            return _problem(400, "expected a JSON object, or a list of them")
        problems = [one for one in found if isinstance(one, str)]
        if problems or not found or len(found) > _MOST_RESULTS:
            self._count(max(len(found), 1), "invalid")
            return _problem(400, "; ".join(problems[:10]) or f"expected 1 to {_MOST_RESULTS} pieces of feedback")
        if not self._bucket.take(len(found)):
            self._count(len(found), "refused")
            return _problem(429, "too much feedback at once", ("retry-after", "1"))
        now = self._clock.unix_nano()
        pieces = [self._resolved(replace(cast("Evaluation", one), time_unix_nano=now)) for one in found]
        return self._take(pieces, request.account, consumer)

    def _pass_on(self, pieces: Sequence[_Piece], tenant: str, consumer: Consumer) -> None:
        body = encode_evaluations((one.evaluation, one.service) for one in pieces)
        consumer.consume("logs", self._gatekeeper.take(tenant, body, len(body)))

    def _take(self, pieces: Sequence[_Piece], tenant: str, consumer: Consumer) -> Response:
        for piece in pieces:
            self._recall(piece.evaluation)
        fresh = [piece for piece in pieces if not self._known.has(piece.evaluation)]
        if fresh:
            try:
                self._pass_on(fresh, tenant, consumer)
            except RefusedError as error:
                self._count(len(pieces), "refused")
                return _problem(429, str(error), ("retry-after", str(math.ceil(error.retry_after_seconds))))
        answers = []
        for piece in pieces:
            is_fresh = self._known.add(piece.evaluation)
            if is_fresh and piece.target == "unknown" and not piece.evaluation.target.span_id:
                self.pending.add(piece.evaluation, tenant)
            outcome: names.OtelLlmFeedbackOutcome = "accepted" if is_fresh else "duplicate"
            self._count(1, outcome, piece.target)
            answers.append({"id": piece.evaluation.id, "outcome": outcome, "target": piece.target})
        return Response(200, msgspec.json.encode({"results": answers}), _JSON)

    def _recall(self, evaluation: Evaluation) -> None:
        """Know a result from before a restart by the ledger, if it is there and the same."""
        # What is remembered is newer than what has reached the ledger.
        if self._ledger is None or evaluation.explanation or self._known.remembers(evaluation):
            return
        try:
            stored = self._ledger.find_evaluation(evaluation.id)
        except LedgerError:  # it is passed on once more, and is the same for whoever gets it
            return
        if stored is not None and (stored.score, stored.label) == (evaluation.score, evaluation.label):
            self._known.add(evaluation)

    def _count(self, number: int, outcome: names.OtelLlmFeedbackOutcome, target: str = "") -> None:
        self._results.add(number, self._name, outcome, target)

    def _resolved(self, evaluation: Evaluation) -> _Piece:
        """The evaluation in the context of the operation it is about, as far as that is known."""
        row: Row | None = None
        if self._ledger is not None:
            try:
                row = self._ledger.find(evaluation.target)
            except LedgerError:  # locked for too long, away or broken: feedback is passed on all the same
                return _Piece(evaluation, "unchecked", "")
        if row is None:
            return _Piece(evaluation, "unchecked" if self._ledger is None else "unknown", "")
        target = Target(row.trace_id, row.span_id, row.response_id or evaluation.target.response_id)
        return _Piece(replace(evaluation, target=target), "known", row.service or "")

    def _resolve_late(self, evaluation: Evaluation, tenant: str) -> bool:
        """Pass on again what came before its operation; whether it is settled."""
        piece = self._resolved(evaluation)
        if piece.target != "known" or self._consumer is None:
            return False
        try:
            self._pass_on([piece], tenant, self._consumer)
        except RefusedError:  # no room now: it is tried again
            return False
        self._known.add(piece.evaluation)
        self._count(1, "resolved", piece.target)
        return True


class _Bucket:
    """Lets a number of results a second through, over ten seconds. Thread-safe."""

    __slots__ = ("_at", "_clock", "_lock", "_per_second", "_room")

    _SECONDS: Final = 10.0

    def __init__(self, per_second: float, clock: Clock) -> None:
        self._per_second = per_second
        self._room = per_second * self._SECONDS
        self._clock = clock
        self._at = clock.monotonic()
        self._lock = threading.Lock()

    def take(self, number: int) -> bool:
        with self._lock:
            now = self._clock.monotonic()
            self._room = min(self._room + (now - self._at) * self._per_second, self._per_second * self._SECONDS)
            self._at = now
            if number > self._room:
                return False
            self._room -= number
            return True


class _Known:
    """The results passed on of late. Thread-safe."""

    __slots__ = ("_limit", "_lock", "_results")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._lock = threading.Lock()
        self._results: OrderedDict[str, int] = OrderedDict()

    def has(self, evaluation: Evaluation) -> bool:
        with self._lock:
            return self._results.get(evaluation.id) == _content(evaluation)

    def remembers(self, evaluation: Evaluation) -> bool:
        """Whether it is known, in whatever form."""
        with self._lock:
            return evaluation.id in self._results

    def add(self, evaluation: Evaluation) -> bool:
        """Remember a result; whether it was not known in this form."""
        content = _content(evaluation)
        with self._lock:
            is_fresh = self._results.get(evaluation.id) != content
            self._results[evaluation.id] = content
            self._results.move_to_end(evaluation.id)
            if len(self._results) > self._limit:
                self._results.popitem(last=False)
            return is_fresh


def _content(evaluation: Evaluation) -> int:
    return hash((evaluation.score, evaluation.label, evaluation.explanation))


def _problem(status: int, text: str, *headers: tuple[str, str]) -> Response:
    return Response(status, msgspec.json.encode({"error": text}), _JSON, headers)


def create(config: Config, context: Context) -> FeedbackReceiver:
    """The receiver; it listens when started.

    Raises:
        ConfigError: the endpoint is not host:port, or the ledger cannot be opened.
    """
    ledger = None if config.ledger is None else Ledger(config.ledger, clock=context.clock, busy_timeout_seconds=1.0)
    return FeedbackReceiver(config, ledger, context)
