"""A graph of two nodes whose model calls a tool, unaware of telemetry."""

from __future__ import annotations

import sys

from langchain_core.messages import HumanMessage, ToolMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from langgraph.graph import END, START, MessagesState, StateGraph


@tool
def capital(country: str) -> str:
    """The capital of a country."""
    return f"Paris, if {country} is France"


model = ChatOpenAI(model="gpt-4o").bind_tools([capital])


def ask(state: MessagesState) -> MessagesState:
    return {"messages": [model.invoke(state["messages"])]}


def act(state: MessagesState) -> MessagesState:
    calls = state["messages"][-1].tool_calls
    return {"messages": [ToolMessage(capital.invoke(call["args"]), tool_call_id=call["id"]) for call in calls]}


graph = StateGraph(MessagesState)
graph.add_node("ask", ask)
graph.add_node("act", act)
graph.add_edge(START, "ask")
graph.add_conditional_edges("ask", lambda state: "act" if state["messages"][-1].tool_calls else END)
graph.add_edge("act", "ask")
answer = graph.compile().invoke({"messages": [HumanMessage("What is the capital of France?")]})
sys.stdout.write(f"{answer['messages'][-1].content}")
