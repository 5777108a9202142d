"""An agent with a tool, unaware of telemetry."""

from __future__ import annotations

import asyncio
import os
import sys

from llama_index.core.agent.workflow import FunctionAgent
from llama_index.llms.openai import OpenAI


def capital(country: str) -> str:
    """The capital of a country."""
    return f"Paris, if {country} is France"


async def main() -> None:
    model = OpenAI(model="gpt-4o", api_base=os.environ["OPENAI_BASE_URL"])
    planner = FunctionAgent(name="planner", tools=[capital], llm=model)
    sys.stdout.write(str(await planner.run("What is the capital of France?")))


asyncio.run(main())
