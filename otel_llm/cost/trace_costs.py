"""What each trace has cost so far, with what is set aside for calls that are under way. Thread-safe, bounded."""

from __future__ import annotations

import itertools
import threading
from collections import OrderedDict
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

_MOST_OPEN: Final = 4096


@dataclass(frozen=True, slots=True)
class Reservation:
    """What is set aside for a call.

    Attributes:
        id: unique within the process.
        trace_id: for which trace.
        amount: how much.
    """

    id: str
    trace_id: bytes
    amount: Decimal


class TraceCosts:
    """Sums by trace, in one currency.

    Args:
        most_traces: how many are remembered; the one that was not asked about for longest goes first.
    """

    __slots__ = ("_costs", "_lock", "_most", "_numbers", "_open")

    def __init__(self, most_traces: int) -> None:
        self._most = most_traces
        self._lock = threading.Lock()
        self._numbers = itertools.count(1)
        self._costs: OrderedDict[bytes, Decimal] = OrderedDict()
        # A call that never ends stays at what was set aside for it.
        self._open: OrderedDict[str, Reservation] = OrderedDict()

    def spent(self, trace_id: bytes) -> Decimal:
        """What a trace has cost, with what is set aside."""
        with self._lock:
            return self._costs.get(trace_id, Decimal(0))

    def reserve(self, trace_id: bytes, amount: Decimal, cap: Decimal | None) -> Reservation | None:
        """Set aside what a call may cost; None when that would take the trace past the cap.

        Looking and setting aside are one step: of many calls at once no more are let through than there is money for.
        """
        with self._lock:
            before = self._costs.get(trace_id, Decimal(0))
            if cap is not None and before + amount > cap:
                return None
            made = Reservation(f"{next(self._numbers):x}", trace_id, amount)
            self._costs[trace_id] = before + amount
            self._costs.move_to_end(trace_id)
            self._open[made.id] = made
            if len(self._costs) > self._most:
                self._costs.popitem(last=False)
            if len(self._open) > _MOST_OPEN:
                self._open.popitem(last=False)
            return made

    def settle(self, reservation_id: str, cost: Decimal | None) -> None:
        """A call has ended: what it has cost takes the place of what was set aside. Idempotent.

        Args:
            reservation_id: of the reservation.
            cost: None when it is not known: what was set aside stands.
        """
        with self._lock:
            made = self._open.pop(reservation_id, None)
            if made is not None and cost is not None and made.trace_id in self._costs:
                self._costs[made.trace_id] += cost - made.amount
