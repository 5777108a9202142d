"""Put back, in recorded telemetry, what the history processor has replaced by references to other spans.

    otel-llm history traces.jsonl > whole.jsonl

Reads OTLP JSON lines, as file exporters write them, or *.pb; writes the spans as OTLP JSON lines, each with all of its
input, in the order they were recorded in. The files may be in any order: give all of those that a conversation is in.
A span of which a part is in none of them is written as it was recorded, and named on standard error; then the exit
code is 1. Metrics and logs are left out.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from otel_llm._generated import attributes as names
from otel_llm.cli.recordings import bodies
from otel_llm.codecs.json import to_json
from otel_llm.codecs.wire import TraceBatch, decode_traces
from otel_llm.history import MissingError, Record, Restorer
from otel_llm.operation import Operation

_INPUT: Final = names.GEN_AI_INPUT_MESSAGES
_OUTPUT: Final = names.GEN_AI_OUTPUT_MESSAGES
_VALUES: Final = (names.GEN_AI_SYSTEM_INSTRUCTIONS, names.GEN_AI_TOOL_DEFINITIONS)
_TEXTS: Final = frozenset({_INPUT, _OUTPUT, *_VALUES})


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument(
        "recordings", metavar="FILE", nargs="+", help="OTLP JSON lines, as file exporters write them, or *.pb"
    )


def run(options: argparse.Namespace) -> int:
    """Write the spans; 1 when a part of one is missing.

    Raises:
        ConfigError: a recording cannot be read.
    """
    restorer = Restorer()
    for batch in _batches(options.recordings):
        for operation in batch.operations:
            restorer.add(_record(operation))
    missing = 0
    for batch in _batches(options.recordings):
        for operation in batch.operations:
            missing += not _restore(operation, restorer)
        sys.stdout.write(to_json("traces", batch.encode().join()).decode() + "\n")
    if missing:
        print(f"spans with a part missing: {missing}", file=sys.stderr)
    return 1 if missing else 0


def _batches(paths: list[str]) -> Iterator[TraceBatch]:
    for path in paths:
        for body in bodies(Path(path)):
            yield decode_traces(body)


def _record(operation: Operation) -> Record:
    keys = _keys(operation, names.OTEL_LLM_HISTORY_REPLACED)
    values = {key: text for key in _VALUES if (text := operation.text(key)) is not None}
    return Record(
        operation.trace_id + operation.span_id,
        operation.text(_INPUT),
        operation.text(_OUTPUT),
        values,
        is_input_short=_INPUT in keys,
        replaced=keys & frozenset(_VALUES),
        is_cut=not _TEXTS.isdisjoint(_keys(operation, names.OTEL_LLM_SHORTENED_KEYS)),
    )


def _keys(operation: Operation, attribute: str) -> frozenset[str]:
    """The keys that an attribute lists."""
    value = operation.get(attribute)
    return frozenset(key for key in value if isinstance(key, str)) if isinstance(value, tuple) else frozenset()


def _restore(operation: Operation, restorer: Restorer) -> bool:
    """Put back what was replaced, all of it or nothing; whether it was there."""
    record = _record(operation)
    if record.is_whole:
        return True
    try:
        whole = {key: restorer.value(record, key) for key in record.replaced}
        if record.is_input_short:
            whole[_INPUT] = restorer.input(record)
    except MissingError as error:
        print(f"span {operation.trace_id.hex()}/{operation.span_id.hex()}: {error}", file=sys.stderr)
        return False
    operation.update(whole)
    operation.remove(names.OTEL_LLM_HISTORY_REPLACED)
    operation.remove(names.OTEL_LLM_HISTORY_MESSAGES)
    return True
