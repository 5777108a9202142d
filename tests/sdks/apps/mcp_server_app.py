"""An MCP server whose tool asks a model: `mcp_server_app.py TRANSPORT PORT`. It knows nothing of telemetry."""

from __future__ import annotations

import sys

import openai

try:
    from mcp.server import MCPServer
except ImportError:  # before 2.0
    from mcp.server.fastmcp import FastMCP as MCPServer

TRANSPORT, PORT = sys.argv[1], int(sys.argv[2])
server = MCPServer("tools")


@server.tool()
def look() -> str:
    """Asks a model."""
    with openai.OpenAI() as client:
        answer = client.chat.completions.create(model="gpt-4o", messages=[{"role": "user", "content": "Hi"}])
    return answer.choices[0].message.content or ""


if hasattr(server.settings, "port"):  # before 2.0
    server.settings.port = PORT
    server.run(TRANSPORT)
elif TRANSPORT == "stdio":
    server.run(TRANSPORT)
else:
    server.run(TRANSPORT, port=PORT)
