"""What forwarding untouched gzip bodies as they came would save: the compression of a batch that is one request.

    python -m benchmarks.gzip_forwarding

CPU microseconds per request of 512 spans without GenAI spans, minimum of many: inflating it (which has to be done in
any case, to see that there is nothing in it to change), walking it, and compressing it again, by ISA-L and by zlib.
The last column is how many requests a second there can be at most for a batch to hold only one of them, with the
default `flush_timeout_seconds` of 0.2: above it, requests are joined, and have to be compressed together. The saving is
what one compression takes, times that rate.
"""

from __future__ import annotations

import importlib
import time
import zlib
from collections.abc import Callable

from benchmarks.payloads import request
from otel_llm.codecs.wire import decode_traces
from otel_llm.delivery.config import BatchConfig

ROUNDS = 7
GZIP = 31


def cpu_us(run: Callable[[], object], times: int = 40) -> float:
    """CPU microseconds of one call."""
    best = float("inf")
    for _ in range(ROUNDS):
        start = time.process_time()
        for _ in range(times):
            run()
        best = min(best, time.process_time() - start)
    return best / times * 1e6


def main() -> None:
    body = request("plain", spans=512)
    rate = 1 / BatchConfig().flush_timeout_seconds
    walk = cpu_us(lambda: decode_traces(body).encode())
    print(f"a request of {len(body) / 1000:.0f} KB; reading and encoding it takes {walk:.0f} us")
    print(f"{'':8}{'inflate us':>12}{'deflate us':>12}{'KB':>7}{'requests/s at most':>20}{'of a core saved':>17}")
    for name in ("isal.isal_zlib", "zlib"):
        library = importlib.import_module(name)

        def deflate(library: object = library) -> bytes:
            made = library.compressobj(1, zlib.DEFLATED, GZIP)  # type: ignore[attr-defined] # zlib and its twin
            return bytes(made.compress(body) + made.flush())

        packed = deflate()
        inflate = cpu_us(lambda library=library, packed=packed: library.decompress(packed, GZIP))
        cost = cpu_us(deflate)
        print(
            f"{name.rpartition('.')[2][:8]:8}{inflate:12.0f}{cost:12.0f}{len(packed) / 1000:7.0f}{rate:20.0f}"
            f"{cost * rate / 1e6:17.2%}"
        )


if __name__ == "__main__":
    main()
