"""An agent with a tool, unaware of telemetry."""

from __future__ import annotations

import sys

from pydantic_ai import Agent
from pydantic_ai.models.openai import OpenAIChatModel

planner = Agent(OpenAIChatModel("gpt-4o"), name="planner")


@planner.tool_plain
def capital(country: str) -> str:
    """The capital of a country."""
    return f"Paris, if {country} is France"


sys.stdout.write(planner.run_sync("What is the capital of France?").output)
