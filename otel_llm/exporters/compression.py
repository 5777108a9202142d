"""gzip at level 1, with ISA-L when it is installed.

Compressing costs more than everything else a gateway does to a span. On 6.4 KB of content: zlib level 6 takes 260 us,
level 1 59, ISA-L level 1 18, for a third more bytes than level 6.
"""

from __future__ import annotations

import importlib
import importlib.util
import zlib
from collections.abc import Iterable
from typing import Protocol

from otel_llm.signals import Buffer

_GZIP_WINDOW = 31
_LEVEL = 1


class _Compressor(Protocol):
    def compress(self, data: Buffer, /) -> bytes: ...

    def flush(self) -> bytes: ...


# Both have the same functions.
_zlib = importlib.import_module("isal.isal_zlib") if importlib.util.find_spec("isal") else zlib


def gzip_pieces(pieces: Iterable[Buffer]) -> bytes:
    """The pieces, joined, as one gzip member."""
    compressor: _Compressor = _zlib.compressobj(_LEVEL, zlib.DEFLATED, _GZIP_WINDOW)
    out = [compressor.compress(piece) for piece in pieces]
    out.append(compressor.flush())
    return b"".join(out)
