"""Where clients of a port with TLS come in: counted when they arrive, and not when they have shown that they speak TLS.

asyncio's own servers tell nobody of a client before the handshake is over, so that those who connect and stay silent
would take any number of descriptors, whatever the limit of connections says.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Callable
from typing import Final

from otel_llm.http.shared import Shared

# When there is no descriptor left, asking at once again would be a busy loop.
_PAUSE_SECONDS: Final = 0.2


class TlsDoor:
    """Accepts clients of one listening socket; on the event loop's thread.

    Args:
        listening: bound, listening, not blocking; not closed here.
        shared: what connections share; its limits hold for those who still shake hands as well.
        connect: makes the protocol of a client that has shaken hands.
        context: who we are.

    Attributes:
        context: who we are to those who come from now on.
    """

    def __init__(
        self,
        listening: socket.socket,
        shared: Shared,
        connect: Callable[[], asyncio.BaseProtocol],
        context: ssl.SSLContext,
    ) -> None:
        self.context = context
        self._listening = listening
        self._shared = shared
        self._connect = connect
        self._handshakes: set[asyncio.Task[None]] = set()
        self._accepting = shared.loop.create_task(self._accept())

    async def _accept(self) -> None:
        while True:
            try:
                client, _ = await self._shared.loop.sock_accept(self._listening)
            except OSError:
                await asyncio.sleep(_PAUSE_SECONDS)
                continue
            limit = self._shared.limits.connections
            if len(self._shared.connections) + len(self._handshakes) >= limit:
                client.close()
                self._shared.observer.refused("", "queue_full", f"there are more than {limit} connections")
                continue
            handshake = self._shared.loop.create_task(self._shake_hands(client))
            self._handshakes.add(handshake)
            handshake.add_done_callback(self._handshakes.discard)

    async def _shake_hands(self, client: socket.socket) -> None:
        with contextlib.suppress(OSError):  # it went away, was too slow, or does not speak our TLS
            client.setblocking(False)  # noqa: FBT003 - socket's signature
            await self._shared.loop.connect_accepted_socket(
                self._connect,
                client,
                ssl=self.context,
                ssl_handshake_timeout=self._shared.limits.head_seconds,
            )

    def close(self) -> None:
        """Accept nobody more, and let go of those who have not shaken hands."""
        for task in (self._accepting, *self._handshakes):
            task.cancel()
