"""Print the JSON schema of the configuration, for editors.

It covers every component that is installed here, those of other packages included.
"""

from __future__ import annotations

import argparse
import json

from otel_llm.config.schema import configuration_schema


def configure(parser: argparse.ArgumentParser) -> None:
    """No arguments."""
    del parser


def run(options: argparse.Namespace) -> int:
    """Print it."""
    del options
    print(json.dumps(configuration_schema(), indent=2, ensure_ascii=False))
    return 0
