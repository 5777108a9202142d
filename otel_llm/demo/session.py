"""The demo as one thing: gateway, provider and application, started together, and what came of their calls."""

from __future__ import annotations

import json
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from otel_llm._generated.events import OTEL_LLM_DRIFT_CHANGE
from otel_llm.demo.checks import Comparison, compare
from otel_llm.demo.child import App
from otel_llm.demo.gateway import LEDGER, Files, Ports, choose_ports, demo_settings, forwarding
from otel_llm.demo.tracing import BATCH_SERVICE_NAME, SERVICE_NAME
from otel_llm.ledger.evaluations import StoredEvaluation
from otel_llm.ledger.row import Row
from otel_llm.ledger.store import Ledger
from otel_llm.ledger.totals import Totals
from otel_llm.loopback import LoopbackProvider

if TYPE_CHECKING:
    from otel_llm.hosts.gateway import Gateway

_APP_SECONDS: Final = 60.0
_LEDGER_SECONDS: Final = 15.0
_FORWARD_SECONDS: Final = 2.0
_AFTERWARDS_SECONDS: Final = 5.0
_LOOK_SECONDS: Final = 0.1
_MOST_ROWS: Final = 10_000

Say = Callable[[str], None]
"""Takes a line about what is going on."""


@dataclass(frozen=True, slots=True)
class Forwarded:
    """What became of the spans for one destination of OTEL_EXPORTER_OTLP_*.

    Attributes:
        address: where to.
        exported: spans confirmed there.
        missing: spans that were not, at the time of asking.
    """

    address: str
    exported: int
    missing: int


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of the calls.

    Attributes:
        rows: of the ledger, in the order of their start.
        totals: sums of these rows; None when there are none.
        comparison: with the provider's own count.
        forwarded: one for each destination besides the ledger.
        batch: rows of the batch job; not among the others.
        evaluations: what a judge said of calls.
        alarms: bodies of drift alarms.
    """

    rows: tuple[Row, ...]
    totals: Totals | None
    comparison: Comparison
    forwarded: tuple[Forwarded, ...]
    batch: tuple[Row, ...] = ()
    evaluations: tuple[StoredEvaluation, ...] = ()
    alarms: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Session:
    """A demo that has made its calls and still runs.

    Attributes:
        outcome: what came of them.
        ports: where the gateway listens.
        files: what is left behind.
        provider_url: where the provider listens.
    """

    outcome: Outcome
    ports: Ports
    files: Files
    provider_url: str


@contextmanager
def running_demo(say: Say, *, capture_content: bool) -> Iterator[Session]:
    """Start everything and let the application make its calls; afterwards stop, with what was accepted delivered.

    Raises:
        ConfigError: a port cannot be had, or OTEL_EXPORTER_OTLP_* is wrong.
        AppError: the application failed.
    """
    ports = choose_ports(os.environ)
    files = Files(Path(tempfile.mkdtemp(prefix="otel-llm-demo-")))
    with (
        LoopbackProvider() as provider,
        LoopbackProvider() as judge,
        # Before the gateway: it imports its SDKs while that one starts.
        App(provider.url, ports.otlp_url, files.app_output, capture_content=capture_content) as app,
        _gateway(ports, files, judge.openai_base_url) as gateway,
    ):
        _announce(say, ports, provider)
        app.begin()
        app.wait(_APP_SECONDS)
        yield Session(_outcome(gateway, files, provider), ports, files, provider.url)


@contextmanager
def _gateway(ports: Ports, files: Files, judge_url: str) -> Iterator[Gateway]:
    from otel_llm.hosts.gateway import Gateway  # noqa: PLC0415 - takes long, and the application is to start before

    gateway = Gateway(demo_settings(ports, files, os.environ, judge_url))
    gateway.start()
    try:
        yield gateway
    finally:
        gateway.shutdown()


def _announce(say: Say, ports: Ports, provider: LoopbackProvider) -> None:
    moved = " and ".join(map(str, ports.moved))
    note = f" ({moved} not free: taken, or where OTEL_EXPORTER_OTLP_* sends to)" if moved else ""
    say(f"gateway         OTLP/HTTP on {ports.http}, OTLP/gRPC on {ports.grpc}{note}")
    say(f"model provider  {provider.url}, speaks the wire formats of OpenAI and Anthropic")
    say("application     a support assistant with the real SDKs is starting; it knows these two addresses only")


def _outcome(gateway: Gateway, files: Files, provider: LoopbackProvider) -> Outcome:
    """What is known once the application has ended: it ends when the gateway has taken all its spans."""
    gateway.delivery(LEDGER).force_flush(_LEDGER_SECONDS)
    forwarded = tuple(_forwarded(gateway, id_, address) for id_, address in forwarding(gateway.settings).items())
    ledger = Ledger(files.ledger)
    try:
        rows = tuple(ledger.rows(limit=_MOST_ROWS))
        totals = next((one for one in ledger.totals(["service"]) if one.group["service"] == SERVICE_NAME), None)
        evaluations, alarms = _afterwards(gateway, files, ledger)
    finally:
        ledger.close()
    return Outcome(
        tuple(row for row in rows if row.service != BATCH_SERVICE_NAME),
        totals,
        compare(rows, provider.served()),
        forwarded,
        tuple(row for row in rows if row.service == BATCH_SERVICE_NAME),
        evaluations,
        alarms,
    )


def _afterwards(gateway: Gateway, files: Files, ledger: Ledger) -> tuple[tuple[StoredEvaluation, ...], tuple[str, ...]]:
    """What is said of calls after they have passed: judgements and alarms come a moment later."""
    deadline = time.monotonic() + _AFTERWARDS_SECONDS
    while True:
        for id_ in (LEDGER, "file"):
            gateway.delivery(id_).force_flush(_FORWARD_SECONDS)
        evaluations, alarms = tuple(ledger.evaluations()), tuple(_alarms(files.telemetry))
        if (evaluations and alarms) or time.monotonic() > deadline:
            return evaluations, alarms
        time.sleep(_LOOK_SECONDS)


def _alarms(telemetry: Path) -> Iterator[str]:
    """What drift alarms say, from the file that the gateway writes."""
    for line in telemetry.read_text("utf-8").splitlines() if telemetry.exists() else ():
        if OTEL_LLM_DRIFT_CHANGE not in line:
            continue
        for holder in json.loads(line).get("resourceLogs", ()):
            for group in holder["scopeLogs"]:
                for record in group["logRecords"]:
                    if record.get("eventName") == OTEL_LLM_DRIFT_CHANGE:
                        yield record["body"]["stringValue"]


def _forwarded(gateway: Gateway, id_: str, address: str) -> Forwarded:
    delivery = gateway.delivery(id_)
    delivery.force_flush(_FORWARD_SECONDS)
    balance = delivery.balance("traces")
    return Forwarded(address, balance.exported, balance.accepted - balance.exported)
