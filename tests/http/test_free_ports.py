"""A port that is chosen now is still free when a server listens on it later."""

from __future__ import annotations

import socket
from contextlib import ExitStack
from pathlib import Path

import pytest

from otel_llm.http.free_ports import HOST, bind_free

RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")
LOWEST = int(RANGE.read_text().split()[0]) if RANGE.exists() else 49152


@pytest.mark.skipif(LOWEST < 32768, reason=f"outgoing connections have ports from {LOWEST} here: none is out of reach")
def test_no_outgoing_connection_gets_a_chosen_port_and_no_two_sockets_do():
    with socket.create_server((HOST, 0)) as server, ExitStack() as kept:
        chosen = set()
        for _ in range(200):
            probe = kept.enter_context(socket.socket())
            bind_free(probe)
            chosen.add(probe.getsockname()[1])
        outgoing = set()
        for _ in range(200):
            connection = kept.enter_context(socket.create_connection(server.getsockname()))
            outgoing.add(connection.getsockname()[1])
            kept.enter_context(server.accept()[0])
    assert len(chosen) == 200
    assert max(chosen) < min(outgoing)
