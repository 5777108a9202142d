"""A crew of one agent with a tool, unaware of telemetry."""

from __future__ import annotations

import os
import sys

from crewai import LLM, Agent, Crew, Task
from crewai.tools import tool


@tool("capital")
def capital(country: str) -> str:
    """The capital of a country."""
    return f"Paris, if {country} is France"


model = LLM(model="openai/gpt-4o", base_url=os.environ["OPENAI_BASE_URL"], api_key="any")
planner = Agent(role="planner", goal="Answer questions", backstory="Knows capitals", llm=model, tools=[capital])
task = Task(description="What is the capital of France?", expected_output="One city", agent=planner)
sys.stdout.write(str(Crew(agents=[planner], tasks=[task], verbose=False).kickoff()))
