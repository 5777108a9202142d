"""An MCP client: `mcp_client_app.py TRANSPORT PORT`. For stdio it starts the server, with its own environment."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

from mcp import ClientSession
from mcp.client.sse import sse_client
from mcp.client.stdio import StdioServerParameters, stdio_client

try:
    from mcp.client.streamable_http import streamable_http_client
except ImportError:  # before 1.24
    from mcp.client.streamable_http import streamablehttp_client as streamable_http_client

TRANSPORT, PORT = sys.argv[1], int(sys.argv[2])


def transport():
    if TRANSPORT == "stdio":
        server = str(Path(__file__).with_name("mcp_server_app.py"))
        return stdio_client(
            StdioServerParameters(command=sys.executable, args=[server, "stdio", "0"], env=dict(os.environ))
        )
    if TRANSPORT == "sse":
        return sse_client(f"http://127.0.0.1:{PORT}/sse")
    return streamable_http_client(f"http://127.0.0.1:{PORT}/mcp")


async def main() -> None:
    async with transport() as streams, ClientSession(*streams[:2]) as session:
        await session.initialize()
        result = await session.call_tool("look", {})
        sys.stdout.write(result.content[0].text)


asyncio.run(main())
