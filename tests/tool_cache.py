"""Where tests keep the programs they build or fetch, and which of them they may build now.

The folder is `OTEL_LLM_TOOL_CACHE`, else `~/.cache/otel-llm`; what is in it is used. `OTEL_LLM_BUILD_TOOLS` names what
may be built or fetched when it is not there: `all` (the default), `none`, or names with commas between, such as
`otelcol,kafka`. Some first builds take ten minutes, which `.ci/run` does not have.
"""

from __future__ import annotations

import os
from pathlib import Path


def tool_cache() -> Path:
    """The folder."""
    return Path(os.environ.get("OTEL_LLM_TOOL_CACHE") or Path.home() / ".cache" / "otel-llm")


def why_not_built(name: str) -> str | None:
    """Why a tool that is not there may not be built now; None when it may."""
    allowed = os.environ.get("OTEL_LLM_BUILD_TOOLS", "all").split(",")
    if name in allowed or "all" in allowed:
        return None
    return f"{name} is not in the tool cache, and OTEL_LLM_BUILD_TOOLS does not have it built; see CONTRIBUTING.md"
