"""The server: listening socket, TLS, the thread with the event loop, graceful shutdown."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import importlib.util
import logging
import socket
import ssl
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Final, Literal

from otel_llm.http.allocator import keep_large_blocks
from otel_llm.http.connection import Connection
from otel_llm.http.defects import describe
from otel_llm.http.message import Observer, Reason, Routes
from otel_llm.http.shared import Limits, Shared
from otel_llm.http.tls_door import TlsDoor
from otel_llm.telemetry import LogLimiter

_LOGGER = logging.getLogger(__name__)
_BACKLOG: Final = 1024
# What stopping may take beyond the deadline: closing the loop and joining threads.
_GRACE_SECONDS: Final = 2.0
_RENEWAL_SECONDS: Final = 1.0


@dataclass(frozen=True, slots=True)
class Settings:
    """How a server listens.

    Attributes:
        host: name or address; empty for all interfaces. A name is bound at its first address, IPv4 before IPv6.
        port: 0 for any free port, see `HttpServer.port`.
        tls: a server-side context, None for plain HTTP.
        renewed_tls: asked every second, on the event loop, for a context in place of the one before; None keeps that.
            Connections that are open keep theirs.
        reuse_port: let several processes share the port (SO_REUSEPORT); otherwise a second one fails to start.
        worker_threads: for requests that are not cheap.
        limits: what clients may ask.
        name: of the threads.
        event_loop: `fastest` is uvloop when it is installed; it takes half the time per request.
    """

    host: str = "127.0.0.1"
    port: int = 0
    tls: ssl.SSLContext | None = None
    renewed_tls: Callable[[], ssl.SSLContext | None] | None = None
    reuse_port: bool = False
    worker_threads: int = 4
    limits: Limits = field(default_factory=Limits)
    name: str = "http"
    event_loop: Literal["fastest", "asyncio"] = "fastest"


class NoObserver:
    """For servers whose requests nobody counts."""

    __slots__ = ()

    def answered(self, path: str, seconds: float, body_bytes: int) -> None:
        """Nothing."""

    def refused(self, path: str, reason: Reason, message: str) -> None:
        """Nothing."""


class HttpServer:
    """An HTTP/1.1 server on a thread of its own.

    `start` and `shutdown` may be called from any thread, though not at the same time; a server that was shut down does
    not start again.

    Args:
        routes: what answers a method on a path.
        settings: how it listens.
        observer: who is told what becomes of requests.
    """

    def __init__(self, routes: Routes, settings: Settings, observer: Observer | None = None) -> None:
        self._routes = routes
        self._settings = settings
        self._observer = observer or NoObserver()
        self._log = LogLimiter(_LOGGER, time.monotonic)
        self._thread: threading.Thread | None = None
        self._ready = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._shared: Shared | None = None
        self._stop: asyncio.Future[float] | None = None
        self._port = settings.port

    @property
    def port(self) -> int:
        """The port it listens on; the real one when 0 was asked for and it was started."""
        return self._port

    @property
    def open_connections(self) -> int:
        """How many clients are connected."""
        return 0 if self._shared is None else len(self._shared.connections)

    @property
    def in_flight_bytes(self) -> int:
        """How much of bodies has arrived and is not answered."""
        return 0 if self._shared is None else self._shared.in_flight_bytes

    def start(self) -> None:
        """Listen, and return when requests are answered.

        Raises:
            OSError: the address cannot be bound or the name not resolved.
        """
        listening = listening_socket(self._settings.host, self._settings.port, reuse_port=self._settings.reuse_port)
        self._port = listening.getsockname()[1]
        keep_large_blocks()
        self._thread = threading.Thread(target=self._run, args=(listening,), name=self._settings.name, daemon=True)
        self._thread.start()
        self._ready.wait()
        if self._loop is None:
            raise OSError("the server's event loop did not start; the log tells why")

    def shutdown(self, deadline_seconds: float) -> None:
        """Take no more connections, finish the requests in flight within the deadline, cut off the rest."""
        thread, loop = self._thread, self._loop
        if thread is None or loop is None:
            return
        with contextlib.suppress(RuntimeError):  # The loop is closed: shut down before.
            loop.call_soon_threadsafe(self._request_stop, deadline_seconds)
        thread.join(deadline_seconds + _GRACE_SECONDS)

    def _request_stop(self, deadline_seconds: float) -> None:
        if self._stop is not None and not self._stop.done():
            self._stop.set_result(deadline_seconds)

    def _run(self, listening: socket.socket) -> None:
        try:
            with asyncio.Runner(loop_factory=_loop_factory(self._settings.event_loop)) as runner:
                runner.run(self._serve(listening))
        finally:
            self._ready.set()

    async def _serve(self, listening: socket.socket) -> None:
        settings = self._settings
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(self._log_defect)
        pool = ThreadPoolExecutor(settings.worker_threads, thread_name_prefix=f"{settings.name}-worker")
        shared = Shared(loop, pool, self._routes, settings.limits, self._observer)
        door: TlsDoor | asyncio.AbstractServer
        if settings.tls is None:
            door = await loop.create_server(lambda: Connection(shared), sock=listening.dup())
        else:
            door = TlsDoor(listening, shared, lambda: Connection(shared), settings.tls)
        self._shared = shared
        self._loop = loop
        self._stop = loop.create_future()
        self._ready.set()
        while not self._stop.done():
            await asyncio.wait([self._stop], timeout=None if settings.renewed_tls is None else _RENEWAL_SECONDS)
            context = None if self._stop.done() or settings.renewed_tls is None else settings.renewed_tls()
            if context is not None and isinstance(door, TlsDoor):
                door.context = context
        deadline_seconds = self._stop.result()
        door.close()
        listening.close()
        await shared.drain(deadline_seconds)
        # A handler that still runs after the deadline is left behind: its client was cut off.
        pool.shutdown(wait=False, cancel_futures=True)

    def _log_defect(self, loop: asyncio.AbstractEventLoop, context: Mapping[str, object]) -> None:  # noqa: ARG002 - asyncio's signature
        """Log what the loop caught."""
        error = context.get("exception")
        if isinstance(error, OSError):
            return  # A client went away or does not speak our TLS.
        text = describe(error) if isinstance(error, BaseException) else str(context.get("message"))
        self._log.warning(text, "%s: a request failed: %s", self._settings.name, text)


def listening_socket(host: str, port: int, *, reuse_port: bool) -> socket.socket:
    """A bound TCP socket.

    Raises:
        OSError: the address cannot be bound or the name not resolved.
    """
    family, address = _resolve(host, port)
    bound = socket.socket(family, socket.SOCK_STREAM)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if reuse_port:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:
            # All interfaces means both families; one address of one family is not affected.
            bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        bound.bind(address)
        bound.listen(_BACKLOG)
        bound.settimeout(0)
    except OSError:
        bound.close()
        raise
    return bound


def _resolve(host: str, port: int) -> tuple[socket.AddressFamily, tuple[str, int]]:
    if not host:
        dual = socket.has_dualstack_ipv6()
        return (socket.AF_INET6, ("::", port)) if dual else (socket.AF_INET, ("0.0.0.0", port))  # noqa: S104 - asked for
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    found.sort(key=lambda entry: entry[0] != socket.AF_INET)
    family, _, _, _, address = found[0]
    return family, (str(address[0]), port)


def _loop_factory(event_loop: Literal["fastest", "asyncio"]) -> Callable[[], asyncio.AbstractEventLoop] | None:
    if event_loop == "asyncio" or importlib.util.find_spec("uvloop") is None:
        return None
    factory: Callable[[], asyncio.AbstractEventLoop] = importlib.import_module("uvloop").new_event_loop
    return factory
