"""Whether what the demo needs is installed; asked before any of it is imported."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping
from typing import Final

from otel_llm.errors import ConfigError

NEEDED: Final[Mapping[str, str]] = {
    "openai": "openai",
    "anthropic": "anthropic",
    "opentelemetry.instrumentation.genai.openai": "opentelemetry-instrumentation-genai-openai",
    "opentelemetry.exporter.otlp.proto.http": "opentelemetry-exporter-otlp",
    "google.protobuf": "protobuf",
    "grpc": "grpcio",
    "yaml": "pyyaml",
}
"""Module -> the package it is in."""


def is_installed(module: str) -> bool:
    """Whether a module can be found; its parents are imported, it is not."""
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:  # a parent is missing
        return False


def check_requirements(installed: Callable[[str], bool] = is_installed) -> None:
    """Look for everything the demo needs.

    Raises:
        ConfigError: naming all that is missing, and what to do.
    """
    missing = [package for module, package in NEEDED.items() if not installed(module)]
    if missing:
        raise ConfigError([f"demo: {', '.join(missing)} not installed; run: pip install 'otel-llm[demo]'"])
