"""See all of it work, without an account and without a network.

Starts the gateway, a model provider on loopback and a small application with the real SDKs; prints a table of the calls
with their cost, and where to look next. It stops by itself.
"""

from __future__ import annotations

import argparse
import importlib
from typing import Protocol, cast

# The gateway, the provider and the application in one: it is of no use to anything but this command.
_DEMO = "otel_llm.hosts.demo"


class _Demo(Protocol):
    def run(self, *, keep: bool, content: bool) -> int: ...


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("--keep", action="store_true", help="leave everything running until Ctrl-C")
    parser.add_argument("--content", action="store_true", help="capture prompts and answers as well")


def run(options: argparse.Namespace) -> int:
    """Run it."""
    demo = cast("_Demo", importlib.import_module(_DEMO))
    return demo.run(keep=options.keep, content=options.content)
