"""`python -m otel_llm.demo`: run the application, against a loopback provider of its own unless it is told of another.

Its spans go to OTEL_EXPORTER_OTLP_ENDPOINT.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from typing import Final

from otel_llm.demo.app import Turn, run
from otel_llm.demo.batch import run_batch
from otel_llm.loopback import LoopbackProvider

DEFAULT_ENDPOINT: Final = "http://127.0.0.1:4318"
_NOT_TOLD: Final = 3


def main(arguments: Sequence[str] | None = None) -> int:
    """Run all turns and print what was answered; 3 when `--wait` was ended without a line."""
    options = _parser().parse_args(arguments)
    if options.wait and not sys.stdin.readline():
        return _NOT_TOLD
    turns = _run(options.provider_url, capture_content=options.capture_content)
    if options.batch:
        turns = (*turns, Turn("summarise tickets", _run_batch(options.provider_url)))
    width = max(len(turn.name) for turn in turns)
    for turn in turns:
        sys.stdout.write(f"{turn.name:{width}}  {turn.answer}\n")
    return 0


def _run(provider_url: str | None, *, capture_content: bool) -> Sequence[Turn]:
    endpoint = os.environ.get("OTEL_EXPORTER_OTLP_ENDPOINT") or DEFAULT_ENDPOINT
    if provider_url is not None:
        return run(provider_url, endpoint, capture_content=capture_content)
    with LoopbackProvider() as provider:
        return run(provider.url, endpoint, capture_content=capture_content)


def _run_batch(provider_url: str | None) -> str:
    endpoint = os.environ.get("OTEL_EXPORTER_OTLP_ENDPOINT") or DEFAULT_ENDPOINT
    if provider_url is not None:
        return run_batch(provider_url, endpoint)
    with LoopbackProvider() as provider:
        return run_batch(provider.url, endpoint)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m otel_llm.demo", description="A traced support assistant, without an account."
    )
    parser.add_argument(
        "--provider-url", metavar="URL", help="a loopback provider that runs already (default: start one)"
    )
    parser.add_argument("--batch", action="store_true", help="run the batch job after the conversation")
    parser.add_argument("--capture-content", action="store_true", help="put messages into the spans")
    # Importing the SDKs takes longer than all calls: with this, it can be done while the rest is started.
    parser.add_argument("--wait", action="store_true", help="begin when a line comes on standard input")
    return parser


if __name__ == "__main__":
    sys.exit(main())
