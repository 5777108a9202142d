"""`python -m otel_llm.loopback --port N`: serve until interrupted; the first line on standard output is the URL."""

from __future__ import annotations

import argparse
import signal
import sys
import threading

from otel_llm.loopback.server import LoopbackProvider


def main(arguments: list[str] | None = None) -> int:
    """Serve until SIGINT or SIGTERM; 2 when the port cannot be opened."""
    parser = argparse.ArgumentParser(
        prog="python -m otel_llm.loopback", description="A model provider for demos and tests, on loopback."
    )
    parser.add_argument("--port", type=int, default=0, help="port to listen on; 0 (the default) takes a free one")
    parser.add_argument("--host", default="127.0.0.1", help="interface to listen on (default: 127.0.0.1)")
    options = parser.parse_args(arguments)
    try:
        provider = LoopbackProvider(options.port, options.host)
    except (OSError, OverflowError) as error:
        sys.stderr.write(
            f"--port {options.port} on {options.host} cannot be opened: {error}. Choose another, or 0 for a free one.\n"
        )
        return 2
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    with provider:
        sys.stdout.write(f"{provider.url}\n")
        sys.stdout.flush()
        stop.wait()
    return 0


if __name__ == "__main__":
    sys.exit(main())
