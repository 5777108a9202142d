"""The readers of spans there are: the portable one, and the compiled one where it was built.

Both give the same for every legal span; tests run over both.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from typing import Final, TypeAlias

from otel_llm.codecs.wire_source import ResourceAttributes, Scope, SpanSource, WireSource

# Reads the span between two indices of a request; raises MalformedError when the bytes are not a Span.
Reader: TypeAlias = Callable[[bytes, int, int, Scope, ResourceAttributes], SpanSource]


def read_portable(body: bytes, start: int, end: int, scope: Scope, resource: ResourceAttributes) -> SpanSource:
    """A span, read by protobuf."""
    return WireSource(body[start:end], scope, resource)


def _readers() -> dict[str, Reader]:
    """By name, the fastest first."""
    if find_spec("otel_llm.codecs._compiled") is None:
        return {"portable": read_portable}
    from otel_llm.codecs.compiled import read_compiled  # noqa: PLC0415 - there is nothing to import when it was not built

    return {"compiled": read_compiled, "portable": read_portable}


READERS: Final = _readers()
FASTEST: Final = next(iter(READERS.values()))
