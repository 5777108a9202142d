"""The application as a process of its own, which knows an OTLP endpoint and a provider's URL and nothing else of us."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Final, Self

_LAST_LINES: Final = 12
_KILL_SECONDS: Final = 5.0
# What is set here for the user's own applications would change what the demo sends, or send it elsewhere: exporters and
# samplers, API keys and base URLs, proxies.
_SETTINGS_OF_OTHERS: Final = ("OTEL_", "OPENAI_", "ANTHROPIC_")


class AppError(Exception):
    """The application did not do what it should; the message ends with the last lines it printed."""


class App:
    """The running application: makes its imports at once, its calls after `begin`. Use with `with`.

    Args:
        provider_url: where its models are.
        otlp_url: where its spans go.
        output: the file that gets what it prints.
        capture_content: whether messages are put into the spans.
    """

    def __init__(self, provider_url: str, otlp_url: str, output: Path, *, capture_content: bool) -> None:
        command = [sys.executable, "-m", "otel_llm.demo", "--wait", "--batch", "--provider-url", provider_url]
        if capture_content:
            command.append("--capture-content")
        self._output = output
        with output.open("wb") as log:
            self._process = subprocess.Popen(  # noqa: S603 - our own module
                command,
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=app_environment(os.environ, otlp_url),
            )

    def begin(self) -> None:
        """Let it make its calls."""
        if self._process.stdin is not None:
            try:
                self._process.stdin.write(b"begin\n")
                self._process.stdin.close()
            except OSError:
                pass  # it has ended already; `wait` says why

    def wait(self, timeout_seconds: float) -> None:
        """Until it has ended, which it does after all its spans were taken.

        Raises:
            AppError: it failed, or did not end in time.
        """
        try:
            code = self._process.wait(timeout_seconds)
        except subprocess.TimeoutExpired:
            raise AppError(f"the application did not end within {timeout_seconds:.0f} s{self._said()}") from None
        if code:
            raise AppError(f"the application ended with exit code {code}{self._said()}")

    def _said(self) -> str:
        lines = self._output.read_text("utf-8", "replace").splitlines()[-_LAST_LINES:]
        return "".join([":", *(f"\n    {line}" for line in lines)]) if lines else ""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait(_KILL_SECONDS)
        if self._process.stdin is not None and not self._process.stdin.closed:
            self._process.stdin.close()


def app_environment(environment: Mapping[str, str], otlp_url: str) -> dict[str, str]:
    """The environment of the application: ours, without what would lead it elsewhere."""
    kept = {
        name: value
        for name, value in environment.items()
        if not name.startswith(_SETTINGS_OF_OTHERS) and not name.lower().endswith("_proxy")
    }
    return {**kept, "OTEL_EXPORTER_OTLP_ENDPOINT": otlp_url, "NO_PROXY": "*"}
