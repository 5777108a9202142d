"""What compression costs, and what forwarding untouched gzip bodies as they came would save of it.

    python -m benchmarks.gzip_bodies

CPU microseconds per span in requests of 512, minimum of many: inflating (which has to be done in any case, to see
whether there is something to change) and compressing at level 1, by ISA-L and by zlib; and bytes per span.

A body could be forwarded as it came when nothing in it was changed and its batch holds nothing else. With the default
`flush_timeout_seconds` of 0.2 that can be five batches a second at most: above it, requests are joined, and have to be
compressed together. The last column is the share of a core that this saves, at five requests a second.
"""

from __future__ import annotations

import importlib
import time
import zlib
from collections.abc import Callable

from benchmarks.payloads import KINDS, request
from otel_llm.delivery.config import BatchConfig

ROUNDS = 7
GZIP = 31
SPANS = 512


def cpu_us(run: Callable[[], object], times: int = 5) -> float:
    """CPU microseconds of one call."""
    best = float("inf")
    for _ in range(ROUNDS):
        start = time.process_time()
        for _ in range(times):
            run()
        best = min(best, time.process_time() - start)
    return best / times * 1e6


def main() -> None:
    rate = 1 / BatchConfig().flush_timeout_seconds
    print(f"{'payload':9}{'by':6}{'bytes':>8}{'gzipped':>9}{'inflate us':>12}{'deflate us':>12}{'of a core':>11}")
    for kind in KINDS:
        body = request(kind, spans=SPANS)
        for name in ("isal.isal_zlib", "zlib"):
            library = importlib.import_module(name)

            def deflate(library: object = library, body: bytes = body) -> bytes:
                made = library.compressobj(1, zlib.DEFLATED, GZIP)  # type: ignore[attr-defined] # zlib and its twin
                return bytes(made.compress(body) + made.flush())

            packed = deflate()
            inflate = cpu_us(lambda library=library, packed=packed: library.decompress(packed, GZIP)) / SPANS
            cost = cpu_us(deflate) / SPANS
            print(
                f"{kind:9}{name.partition('.')[0]:6}{len(body) / SPANS:8.0f}{len(packed) / SPANS:9.0f}{inflate:12.2f}"
                f"{cost:12.2f}{cost * SPANS * rate / 1e6:11.2%}"
            )


if __name__ == "__main__":
    main()
