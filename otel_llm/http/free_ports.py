"""Ports on loopback that are still free when somebody listens on them a moment later."""

from __future__ import annotations

import random
import socket
from typing import Final

HOST: Final = "127.0.0.1"
# Below what operating systems give to outgoing connections: Linux takes those from 32768 on, others from 49152 on.
# A port that the system chooses is one of those, and may be in use again before a server listens on it.
_CANDIDATES: Final = range(10_000, 32_768)
_TRIES: Final = 50


def bind_free(probe: socket.socket) -> None:
    """Bind a socket to a free port of loopback that no outgoing connection will get.

    Raises:
        OSError: no port is to be had.
    """
    probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 0)  # else two sockets that do not listen yet may share it
    for port in random.sample(_CANDIDATES, _TRIES):
        try:
            probe.bind((HOST, port))
        except OSError:
            continue
        return
    probe.bind((HOST, 0))
