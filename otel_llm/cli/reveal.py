"""Bring back what redaction has tokenized: reads text, writes it with the values that its tokens stand for.

    otel-llm reveal --key-file FILE < spans.jsonl

The key is the one that the redact processor has, and should be kept where spans are not. Tokens of another key stay.
"""

from __future__ import annotations

import argparse
import sys

from otel_llm.audit.config import read_key
from otel_llm.errors import ConfigError
from otel_llm.policy.redaction import KeyProblem, reveal


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("--key-file", metavar="FILE", required=True, help="the file that the key is in")


def run(options: argparse.Namespace) -> int:
    """Write the text.

    Raises:
        ConfigError: the key cannot be used.
    """
    key = read_key(None, options.key_file, "reveal")
    for line in sys.stdin:
        try:
            sys.stdout.write(reveal(line, key))
        except KeyProblem as error:
            raise ConfigError([f"reveal: {error}"]) from error
    return 0
