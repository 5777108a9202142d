"""An agent with a tool, unaware of telemetry."""

from __future__ import annotations

import asyncio
import sys

from agents import Agent, OpenAIChatCompletionsModel, Runner, function_tool
from openai import AsyncOpenAI


@function_tool
def capital(country: str) -> str:
    """The capital of a country."""
    return f"Paris, if {country} is France"


async def main() -> None:
    model = OpenAIChatCompletionsModel("gpt-4o", AsyncOpenAI())
    planner = Agent("planner", model=model, tools=[capital])
    result = await Runner.run(planner, "What is the capital of France?")
    sys.stdout.write(result.final_output)


asyncio.run(main())
