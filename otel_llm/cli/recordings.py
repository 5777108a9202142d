"""Recorded telemetry, as file exporters write it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from otel_llm.codecs.json import to_protobuf
from otel_llm.errors import ConfigError, MalformedError

_MOST_LINE_BYTES: Final = 64 * 1024 * 1024


def bodies(path: Path) -> Iterator[bytes]:
    """The trace requests of a file, as protobuf: lines of OTLP JSON, or one request in protobuf (`*.pb`).

    Raises:
        ConfigError: the file cannot be read, or is no recording.
    """
    try:
        if path.suffix == ".pb":
            yield path.read_bytes()
            return
        with path.open("rb") as file:
            for number, line in enumerate(file, 1):
                if b'"resourceSpans"' not in line:  # metrics and logs may be in the same file
                    continue
                try:
                    yield to_protobuf("traces", line, _MOST_LINE_BYTES)
                except MalformedError as error:
                    raise ConfigError([f"{path}: line {number}: no OTLP JSON: {error}"]) from None
    except OSError as error:
        raise ConfigError([f"{path}: cannot be read: {error.strerror or error}"]) from None
