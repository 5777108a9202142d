"""Print the versions of otel-llm and of what it stands on."""

from __future__ import annotations

import argparse
import platform
from importlib.metadata import PackageNotFoundError, version

from otel_llm import __version__
from otel_llm.cli.tables import Column, render_table

# What a report of a problem should say.
_PACKAGES = ("opentelemetry-api", "opentelemetry-sdk", "protobuf", "grpcio", "msgspec", "uvloop", "isal")


def configure(parser: argparse.ArgumentParser) -> None:
    """No arguments."""
    del parser


def run(options: argparse.Namespace) -> int:
    """Print a table."""
    del options
    rows = [["otel-llm", __version__], ["python", platform.python_version()]]
    rows += [[package, _version(package)] for package in _PACKAGES]
    print(render_table((Column("package"), Column("version")), rows), end="")
    return 0


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"
