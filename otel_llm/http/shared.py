"""What all connections of one server share: limits, routes, the read buffer, the accounts, the sweep for deadlines.

Everything here but the mailbox lives on the event loop's thread and is touched from no other.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from email.utils import formatdate
from typing import Final, Protocol

from otel_llm.http.mailbox import Mailbox
from otel_llm.http.message import HttpError, Observer, Routes
from otel_llm.http.sized import BLOCK_BYTES, BlockPool

_COME_BACK: Final = (("retry-after", "1"),)


@dataclass(frozen=True, slots=True)
class Limits:
    """What a client may ask of the server. Times are seconds.

    Attributes:
        head_bytes: request line and header fields.
        body_bytes: one body, in its content coding.
        in_flight_bytes: bodies that have arrived, complete or not, and are not answered; over all connections. A
            claimed length does not count, so nobody can take room without sending.
        account_bytes: the same for one account (see `Route.admit`), so that one sender cannot take all the room.
        connections: open at the same time.
        idle_seconds: between two requests.
        head_seconds: from the first byte of a request to the end of its head.
        body_seconds: from the end of the head to the end of the body.
        answer_seconds: how long a client may leave an answer unread.
        linger_seconds: how long to read on, and throw away, after a refusal, so that a client that is still sending
            gets to read it and not a connection reset.
        gzip_bytes: answers of at least this size are compressed for clients that accept it.
    """

    head_bytes: int = 32 * 1024
    body_bytes: int = 20 * 1024 * 1024
    in_flight_bytes: int = 128 * 1024 * 1024
    account_bytes: int = 128 * 1024 * 1024
    connections: int = 1024
    idle_seconds: float = 60.0
    head_seconds: float = 10.0
    body_seconds: float = 60.0
    answer_seconds: float = 30.0
    linger_seconds: float = 2.0
    gzip_bytes: int = 1024

    def sweep_seconds(self) -> float:
        """How often deadlines are looked at: often enough to be late by a quarter at most."""
        shortest = min(
            self.idle_seconds, self.head_seconds, self.body_seconds, self.answer_seconds, self.linger_seconds, 4.0
        )
        return shortest / 4


class Sweepable(Protocol):
    """A connection, as the sweep and the shutdown see it."""

    deadline: float

    def expire(self) -> None:
        """The deadline has passed."""
        ...

    def drain(self) -> None:
        """Close as soon as nothing is in flight."""
        ...

    def abort(self) -> None:
        """Close now."""
        ...


class Shared:
    """The state that all connections of one server share.

    Args:
        loop: the running loop.
        pool: where requests go that are not cheap.
        routes: what answers.
        limits: what clients may ask.
        observer: who is told.

    Attributes:
        scratch: reads of all connections go here, unless into the block of a large body; used up before the next read.
        blocks: see `sized.py`.
        mailbox: where other threads leave work for the loop.
        date: the `date` field line of this second.
        in_flight_bytes: see Limits.
        accounts: the part of each account in them; none that has nothing in flight.
        draining: no new requests are taken.
        connections: all that are open.
    """

    __slots__ = (
        "_all_closed",
        "_sweep_timer",
        "accounts",
        "blocks",
        "connections",
        "date",
        "draining",
        "in_flight_bytes",
        "limits",
        "loop",
        "mailbox",
        "observer",
        "pool",
        "routes",
        "scratch",
        "scratch_view",
    )

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        pool: ThreadPoolExecutor,
        routes: Routes,
        limits: Limits,
        observer: Observer,
    ) -> None:
        self.loop = loop
        self.pool = pool
        self.routes = routes
        self.limits = limits
        self.observer = observer
        self.blocks = BlockPool()
        self.mailbox = Mailbox(loop)
        self.scratch = bytearray(BLOCK_BYTES)
        self.scratch_view = memoryview(self.scratch)
        self.in_flight_bytes = 0
        self.accounts: dict[str, int] = {}
        self.draining = False
        self.connections: set[Sweepable] = set()
        self._all_closed = asyncio.Event()
        self.date = ""
        self._sweep_timer: asyncio.TimerHandle | None = None
        self.sweep()

    def hold(self, account: str, size_bytes: int) -> None:
        """Account for a part of a body; give it back with `release` even when this raises.

        Raises:
            HttpError: 429, there is too much.
        """
        if not size_bytes:
            return
        self.in_flight_bytes += size_bytes
        held = self.accounts[account] = self.accounts.get(account, 0) + size_bytes
        if self.in_flight_bytes > self.limits.in_flight_bytes:
            raise HttpError(429, "queue_full", "too many requests are in flight", _COME_BACK)
        if held > self.limits.account_bytes:
            raise HttpError(429, "over_quota", "too many requests of this sender are in flight", _COME_BACK)

    def release(self, account: str, size_bytes: int) -> None:
        """A body is done with."""
        if size_bytes:
            self.in_flight_bytes -= size_bytes
            held = self.accounts[account] - size_bytes
            if held:
                self.accounts[account] = held
            else:
                del self.accounts[account]

    def sweep(self) -> None:
        """Look for deadlines that have passed, now and from now on."""
        self.date = f"date: {formatdate(usegmt=True)}\r\n"
        now = self.loop.time()
        for connection in list(self.connections):
            if connection.deadline <= now:
                connection.expire()
        self._sweep_timer = self.loop.call_later(self.limits.sweep_seconds(), self.sweep)

    def closed(self, connection: Sweepable) -> None:
        """A connection is gone."""
        self.connections.discard(connection)
        if self.draining and not self.connections:
            self._all_closed.set()

    async def drain(self, deadline_seconds: float) -> None:
        """Finish what is in flight, then close; what is not finished in time is cut off."""
        self.draining = True
        for connection in list(self.connections):
            connection.drain()
        if self.connections:
            try:
                await asyncio.wait_for(self._all_closed.wait(), deadline_seconds)
            except TimeoutError:
                for connection in list(self.connections):
                    connection.abort()
        if self._sweep_timer is not None:
            self._sweep_timer.cancel()
