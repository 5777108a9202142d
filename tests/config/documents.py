"""Configurations for tests: written as YAML, loaded from a real file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from otel_llm.config import Settings, load
from otel_llm.errors import ConfigError

# The smallest one that is right.
SMALL = """\
receivers:
  otlp:
exporters:
  otlp_http:
    endpoint: https://otlp.example.com
service:
  pipelines:
    traces:
      receivers: [otlp]
      exporters: [otlp_http]
"""


class Folder:
    """Loads texts as configuration files.

    Args:
        path: where the files are written.
    """

    def __init__(self, path: Path) -> None:
        self._path = path / "gateway.yaml"

    def load(self, text: str, environment: Mapping[str, str] | None = None, *overrides: str) -> Settings:
        self._path.write_text(text, encoding="utf-8")
        return load(str(self._path), environment or {}, overrides)

    def problems(self, text: str, environment: Mapping[str, str] | None = None, *overrides: str) -> list[str]:
        """What is wrong with it, with the path of the file as FILE."""
        with pytest.raises(ConfigError) as raised:
            self.load(text, environment, *overrides)
        return [problem.replace(str(self._path), "FILE") for problem in raised.value.problems]
