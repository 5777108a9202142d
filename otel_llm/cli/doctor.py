"""Send one synthetic call the way an app's calls go, and name what is wrong: endpoint, protocol, key, sampler and more.

It reads the OTEL_* variables, so run it where the app runs, with the app's environment. Name libraries to have them
imported and to see who makes their spans, and why nobody does. The exit code is 1 when something is wrong.
"""

from __future__ import annotations

import argparse
import logging
import os
from typing import Final

from otel_llm.errors import ConfigError

_MARKS: Final = {"ok": "ok     ", "note": "note   ", "problem": "WRONG  "}


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("libraries", nargs="*", metavar="LIBRARY", help="import it and look at its hooks, e.g. openai")


def run(options: argparse.Namespace) -> int:
    """Print what was found; 1 when something is wrong.

    Raises:
        ConfigError: what the check itself needs is not installed.
    """
    try:
        from otel_llm.hosts.diagnosis import diagnose  # noqa: PLC0415 - help needs none of it
    except ImportError as error:
        raise ConfigError([f"doctor: needs {error.name}; pip install opentelemetry-sdk"]) from error
    logging.getLogger("otel_llm").addHandler(logging.NullHandler())  # what is logged on the way is said in findings
    findings = diagnose(os.environ, options.libraries)
    width = max(len(finding.about) for finding in findings)
    for finding in findings:
        print(f"{_MARKS[finding.status]}{finding.about:<{width}}  {finding.text}")
    wrong = sum(finding.status == "problem" for finding in findings)
    print(f"\n{wrong} wrong" if wrong else "\nall well")
    return int(wrong > 0)
