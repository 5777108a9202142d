"""Each tenant's share: what it may send in the long run, and what of it may be held at a time.

In the long run there is a bucket of bytes for each tenant, which requests may overdraw. A request is let in while its
tenant's bucket is not overdrawn, and charged when it is complete: so a request larger than the bucket is possible, and
whoever has sent one waits longer for the next.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from otel_llm.errors import RefusedError

_BURST_SECONDS: Final = 10.0
# Tenants come from keys, which are few; this is for a keys file with more of them than anybody has.
_MOST_TENANTS: Final = 100_000


class Quota:
    """The buckets; thread-safe.

    Args:
        bytes_per_second: what flows into each; None for no limit at all.
        monotonic: the clock.
    """

    __slots__ = ("_levels", "_lock", "_monotonic", "_rate")

    def __init__(self, bytes_per_second: int | None, monotonic: Callable[[], float]) -> None:
        self._rate = bytes_per_second
        self._monotonic = monotonic
        self._lock = threading.Lock()
        # Tenant -> level in bytes, and when it was that. A tenant that is not there has a full bucket.
        self._levels: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def check(self, tenant: str) -> None:
        """Ask before a request is read.

        Raises:
            RefusedError: the bucket is overdrawn.
        """
        if self._rate is None or not tenant:
            return
        with self._lock:
            level = self._level(tenant, self._rate)
        if level < 0:
            raise RefusedError("this tenant has sent more than its share", -level / self._rate, "over_quota")

    def charge(self, tenant: str, size_bytes: int) -> None:
        """A request was read."""
        if self._rate is None or not tenant:
            return
        with self._lock:
            self._levels[tenant] = (self._level(tenant, self._rate) - size_bytes, self._monotonic())
            self._levels.move_to_end(tenant)
            if len(self._levels) > _MOST_TENANTS:
                self._levels.popitem(last=False)

    def _level(self, tenant: str, rate: int) -> float:
        full = rate * _BURST_SECONDS
        found = self._levels.get(tenant)
        return full if found is None else min(full, found[0] + (self._monotonic() - found[1]) * rate)


class Room:
    """Bytes of each tenant that were received and are not answered; thread-safe.

    Over HTTP the server itself counts them as they arrive (`Limits.account_bytes`); gRPC shows a message when it is
    complete.

    Args:
        size_bytes: for each tenant.
    """

    __slots__ = ("_held", "_lock", "_size")

    def __init__(self, size_bytes: int) -> None:
        self._size = size_bytes
        self._lock = threading.Lock()
        self._held: dict[str, int] = {}

    @contextmanager
    def holding(self, tenant: str, size_bytes: int) -> Iterator[None]:
        """While a message is held.

        Raises:
            RefusedError: the tenant's messages take more than its room. One alone always may.
        """
        with self._lock:
            held = self._held.get(tenant, 0)
            if held and held + size_bytes > self._size:
                raise RefusedError("too many requests of this sender are in flight", reason="over_quota")
            self._held[tenant] = held + size_bytes
        try:
            yield
        finally:
            with self._lock:
                # Of two empty messages, the first that is done has already removed the tenant.
                left = self._held.pop(tenant, 0) - size_bytes
                if left:
                    self._held[tenant] = left
