"""What goes by, readable: a table of GenAI operations on a terminal. Everything else is only counted."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from typing import Final, Literal, TextIO

import msgspec

from otel_llm.codecs.wire import decode_traces
from otel_llm.components import Context
from otel_llm.errors import MalformedError, PermanentError
from otel_llm.exporters.exporter import ExportResult
from otel_llm.exporters.operation_table import details, header, paint, row
from otel_llm.signals import SIGNALS, Payload, Signal

# The headings come again after this many lines.
_HEADER_ROWS: Final = 30

_STREAMS: Final[Mapping[str, Callable[[], TextIO]]] = {"stdout": lambda: sys.stdout, "stderr": lambda: sys.stderr}


class Config(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A readable table of what goes by."""

    verbosity: Literal["basic", "normal", "detailed"] = "normal"
    """`basic`: one line of counts for each batch. `normal`: one line for each GenAI operation. `detailed`: its
    attributes as well."""

    show_content: bool = False
    """Whether `detailed` shows prompts, completions and tool calls; else only their lengths."""

    output: Literal["stdout", "stderr"] = "stdout"
    """Where to write."""

    color: Literal["auto", "always", "never"] = "auto"
    """Whether to use colour; `auto` does on a terminal."""


class DebugExporter:
    """The exporter; see `create`.

    Args:
        config: what the user set.
        stream: where to write.
    """

    signals: frozenset[Signal] = frozenset(SIGNALS)

    def __init__(self, config: Config, stream: TextIO) -> None:
        self._verbosity = config.verbosity
        self._show_content = config.show_content
        self._stream = stream
        self._color = config.color == "always" or (config.color == "auto" and stream.isatty())
        self._rows_until_header = 0
        # Items passed over since the last line.
        self._others: dict[str, int] = {}

    def export(self, payload: Payload, timeout_seconds: float) -> ExportResult:  # noqa: ARG002 - the Exporter's call
        """Write what is to be seen of a payload.

        Raises:
            PermanentError: the payload is not a request, or the stream cannot be written.
        """
        try:
            lines = self._basic(payload) if self._verbosity == "basic" else self._table(payload)
            if lines:
                self._write("\n".join(lines) + "\n")
        except MalformedError as error:
            raise PermanentError(f"debug: {error}") from None
        except (OSError, ValueError) as error:  # ValueError: somebody closed the stream
            raise PermanentError(f"debug: the output cannot be written ({type(error).__name__})") from error
        return ExportResult()

    def shutdown(self) -> None:
        """Nothing is held."""

    def _write(self, text: str) -> None:
        encoding = self._stream.encoding or "utf-8"
        # An ASCII terminal shows a ? for what it cannot show.
        self._stream.write(text.encode(encoding, "replace").decode(encoding))
        self._stream.flush()

    def _basic(self, payload: Payload) -> list[str]:
        genai = ""
        if payload.signal == "traces":
            genai = f", {len(decode_traces(payload.join()).operations):,} of them GenAI"
        return [f"{payload.signal}: {_counted(payload.signal, payload.items)}{genai}, {payload.size_bytes:,} bytes"]

    def _table(self, payload: Payload) -> list[str]:
        operations = decode_traces(payload.join()).operations if payload.signal == "traces" else []
        self._pass_over(payload.signal, payload.items - len(operations))
        lines: list[str] = []
        for operation in operations:
            lines += self._headings()
            lines.append(row(operation, color=self._color))
            if self._verbosity == "detailed":
                lines += details(operation, content=self._show_content)
        return lines + self._others_line() if lines else []

    def _headings(self) -> list[str]:
        if self._rows_until_header:
            self._rows_until_header -= 1
            return []
        self._rows_until_header = _HEADER_ROWS - 1
        return [header(color=self._color)]

    def _pass_over(self, signal: Signal, items: int) -> None:
        if items:
            self._others[signal] = self._others.get(signal, 0) + items

    def _others_line(self) -> list[str]:
        """One line for everything else that went by since the last."""
        counts = [_counted(signal, self._others[signal], "other ") for signal in SIGNALS if signal in self._others]
        self._others.clear()
        return [paint(f"          + {', '.join(counts)}", "dim", color=self._color)] if counts else []


_NOUNS: Final[dict[Signal, str]] = {"traces": "span", "metrics": "data point", "logs": "log record"}


def _counted(signal: Signal, items: int, kind: str = "") -> str:
    return f"{items:,} {kind if signal == 'traces' else ''}{_NOUNS[signal]}{'' if items == 1 else 's'}"


def create(config: Config, context: Context) -> DebugExporter:  # noqa: ARG001 - as every component
    """Make the exporter."""
    return DebugExporter(config, _STREAMS[config.output]())
