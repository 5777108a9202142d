"""See all of it work, without an account and without a network.

Starts the gateway, a model provider on this machine and a small application with the real SDKs of OpenAI and Anthropic;
prints a table of its calls with their cost and what was noticed about the answers of a batch job: a signal, a drift
alarm, a judgement. Checks all of it against the provider's own count, and says where to look next.
It stops by itself within seconds. With OTEL_EXPORTER_OTLP_ENDPOINT set, the spans go there as well.
"""

from __future__ import annotations

import argparse
import logging
import shutil
import signal
import sys
import textwrap
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from queue import SimpleQueue
from typing import TYPE_CHECKING, Final

from otel_llm.cli.tables import Column, display_width, is_rich, render_table
from otel_llm.demo.requirements import check_requirements

if TYPE_CHECKING:
    from otel_llm.demo.report import Call
    from otel_llm.demo.session import Session

_UNKNOWN_WIDTH: Final = 1000  # into a file or a pipe, nothing is left out
_NARROWEST_MODEL: Final = 10
_COLORS: Final = {"unpriced": "\x1b[33m", "partial": "\x1b[33m", "error": "\x1b[31m", "failed": "\x1b[31m"}
_RESET: Final = "\x1b[0m"
_FAILED: Final = 1


@dataclass(frozen=True, slots=True)
class _Field:
    """A column of the table, and its cell of a call."""

    column: Column
    cell: Callable[[Call], str]


_SERVICE: Final = _Field(Column("service"), lambda call: call.service)
_MODEL: Final = _Field(Column("model"), lambda call: call.model)
_STATUS: Final = _Field(Column("status"), lambda call: call.status)
_CONVENTION: Final = _Field(Column("convention"), lambda call: call.convention)
_ALL: Final[tuple[_Field, ...]] = (
    _Field(Column("time UTC"), lambda call: call.time),
    _SERVICE,
    _Field(Column("operation"), lambda call: call.operation),
    _Field(Column("provider"), lambda call: call.provider),
    _MODEL,
    _Field(Column("in", "right"), lambda call: call.input),
    _Field(Column("cached", "right"), lambda call: call.cached),
    _Field(Column("out", "right"), lambda call: call.output),
    _Field(Column("cost", "right"), lambda call: call.cost),
    _STATUS,
    _Field(Column("latency", "right"), lambda call: call.latency),
    _CONVENTION,
)
# What takes the place of a column, or None to leave it out, when the terminal is too narrow; one step after the other.
_NARROWER: Final[tuple[tuple[_Field, _Field | None], ...]] = (
    (_CONVENTION, None),
    (_SERVICE, None),
    (_MODEL, _Field(_MODEL.column, lambda call: call.requested)),
    (_STATUS, _Field(_STATUS.column, lambda call: call.status.partition(":")[0])),
)


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("--keep", action="store_true", help="leave gateway and provider running until Ctrl-C")
    parser.add_argument("--content", action="store_true", help="capture prompts and answers as well")


def run(options: argparse.Namespace) -> int:
    """Run it; 1 when the application failed, or the ledger does not say what the provider served.

    Raises:
        ConfigError: something is not installed, a port cannot be had, OTEL_EXPORTER_OTLP_* is wrong.
    """
    check_requirements()
    # Not at the top: the line above is to be reached when what it looks for is not there.
    from otel_llm.demo.child import AppError  # noqa: PLC0415 - see above
    from otel_llm.demo.report import is_as_it_should_be  # noqa: PLC0415 - see above
    from otel_llm.demo.session import running_demo  # noqa: PLC0415 - see above

    signal.signal(signal.SIGTERM, _end)
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    logging.getLogger("otel_llm.processors.drift").setLevel(logging.ERROR)  # its alarm is part of the result
    try:
        with running_demo(_say, capture_content=options.content) as session:
            _show(session)
            if options.keep:
                _keep(session)
    except AppError as error:
        sys.stderr.write(f"otel-llm: demo: {error}\n")
        return _FAILED
    return 0 if is_as_it_should_be(session.outcome.rows, session.outcome.comparison) else _FAILED


def _end(number: int, frame: object) -> None:
    """Leave by way of everything that has to be stopped, as Ctrl-C does."""
    del frame
    sys.exit(128 + number)


def _say(line: str) -> None:
    """A line about what is going on, beside the result."""
    sys.stderr.write(f"· {line}\n")
    sys.stderr.flush()


def _keep(session: Session) -> None:
    """Leave it running until a signal says otherwise."""
    signals: SimpleQueue[int] = SimpleQueue()  # a signal handler may do nothing that takes a lock
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda received, _: signals.put(received))
    ports = session.ports
    _section(
        "Running until Ctrl-C",
        (
            ("OTLP in", f"{ports.otlp_url} (HTTP), 127.0.0.1:{ports.grpc} (gRPC)"),
            ("provider", f"{session.provider_url} (OpenAI SDK: {session.provider_url}/v1, any API key)"),
            ("metrics", ports.metrics_url),
        ),
    )
    signals.get()
    _say("stopping; what was accepted is delivered first")


def _show(session: Session) -> None:
    from otel_llm.demo.report import agreement, batch_notes, calls, notes, total_call  # noqa: PLC0415 - as in run

    outcome = session.outcome
    total = None if outcome.totals is None else total_call(outcome.rows, outcome.totals)
    width = _terminal_width()
    print()
    print(_table(calls(outcome.rows), total, width))
    _items(notes(outcome.rows, outcome.totals), width)
    noticed = tuple(batch_notes(outcome.batch, outcome.evaluations, outcome.alarms))
    if noticed:
        print(f"\nticket-summaries, a batch of {len(outcome.batch)} calls, some refused in the end; what was noticed")
        _items(noticed, width)
    first, *others = agreement(outcome.comparison)
    print(f"\n{first}")
    _items(others, width)
    for sent in outcome.forwarded:
        missing = f"; {sent.missing} did not arrive, see the lines above" if sent.missing else ""
        print(f"sent on to {sent.address}: {sent.exported} spans{missing}")
    _section("Where to look next", _next_steps(session))


def _items(lines: Iterable[str], width: int) -> None:
    for line in lines:
        print(textwrap.fill(line, width, initial_indent="  · ", subsequent_indent="    "))


def _next_steps(session: Session) -> Iterable[tuple[str, str]]:
    known = next((row for row in session.outcome.rows if row.cost_status == "priced" and row.request_model), None)
    yield "otel-llm run", "the same for your own applications: start them with"
    yield "", "OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:4318"
    if known is not None:
        counts = f"--input {known.input_tokens or 0} --output {known.output_tokens or 0}"
        yield f"otel-llm price {known.request_model} {counts}", "the sum behind a line"
    yield "otel-llm demo --keep", "leave it running, with metrics for Prometheus"
    yield "otel-llm demo --content", "with prompts and answers in the spans"
    yield str(session.files.ledger), "the ledger: one row a call (SQLite)"
    yield str(session.files.telemetry), "the spans as they left (OTLP JSON)"
    yield "README.md, docs/", "Jaeger, Grafana, a Collector; every setting"


def _section(title: str, lines: Iterable[tuple[str, str]]) -> None:
    pairs = tuple(lines)
    width = max(len(what) for what, _ in pairs)
    print(f"\n{title}")
    for what, why in pairs:
        print(f"  {what:<{width}}  {why}")
    sys.stdout.flush()


def _terminal_width() -> int:
    return shutil.get_terminal_size((_UNKNOWN_WIDTH, 24)).columns


def _table(calls: Sequence[Call], total: Call | None, width: int) -> str:
    """The table, as wide as the terminal takes."""
    fields = _ALL
    text = _render(fields, calls, total)
    for field, instead in _NARROWER:
        if _width(text) <= width:
            break
        fields = tuple(found for one in fields if (found := instead if one is field else one) is not None)
        text = _render(fields, calls, total)
    if _width(text) > width:
        text = _render(fields, calls, total, gap=" ")
    over = _width(text) - width
    if over > 0:
        fields = tuple(_cut(field, calls, over) if field.column == _MODEL.column else field for field in fields)
        text = _render(fields, calls, total, gap=" ")
    return _colored(text, calls) if is_rich() else text


def _render(fields: Sequence[_Field], calls: Sequence[Call], total: Call | None, gap: str = "  ") -> str:
    return render_table(
        [field.column for field in fields],
        [[field.cell(call) for field in fields] for call in calls],
        footer=None if total is None else [field.cell(total) for field in fields],
        gap=gap,
        bold=is_rich(),
    )


def _cut(field: _Field, calls: Sequence[Call], by: int) -> _Field:
    """The column of models narrower; other columns hold figures, which are never cut."""
    longest = max((display_width(field.cell(call)) for call in calls), default=0)
    return replace(field, column=replace(field.column, width=max(_NARROWEST_MODEL, longest - by)))


def _width(text: str) -> int:
    """Columns that the table takes. The first line may hold codes for bold, and is never the longest."""
    return max((display_width(line) for line in text.splitlines()[1:]), default=0)


def _colored(text: str, calls: Sequence[Call]) -> str:
    """The lines of calls without a price in colour."""
    lines = text.splitlines(keepends=True)
    for number, call in enumerate(calls, 1):
        color = _COLORS.get(call.state.value)
        if color is not None:
            lines[number] = f"{color}{lines[number].rstrip()}{_RESET}\n"
    return "".join(lines)
