"""`python -m otel_llm.demo`: run the application against a loopback provider of its own.

Its spans go to OTEL_EXPORTER_OTLP_ENDPOINT.
"""

from __future__ import annotations

import argparse
import os
import sys

from otel_llm.demo.app import run
from otel_llm.loopback import LoopbackProvider

DEFAULT_ENDPOINT = "http://127.0.0.1:4318"


def main(arguments: list[str] | None = None) -> int:
    """Run all turns and print what was answered."""
    parser = argparse.ArgumentParser(
        prog="python -m otel_llm.demo", description="A traced support assistant, without an account."
    )
    parser.add_argument("--provider-url", help="a loopback provider that runs already (default: start one)")
    parser.add_argument("--capture-content", action="store_true", help="put messages into the spans")
    options = parser.parse_args(arguments)
    endpoint = os.environ.get("OTEL_EXPORTER_OTLP_ENDPOINT") or DEFAULT_ENDPOINT
    with LoopbackProvider() as provider:
        turns = run(options.provider_url or provider.url, endpoint, capture_content=options.capture_content)
    width = max(len(turn.name) for turn in turns)
    for turn in turns:
        sys.stdout.write(f"{turn.name:{width}}  {turn.answer}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
