"""What a delivery says about itself, for `otel-llm status`."""

from __future__ import annotations

import msgspec

from otel_llm.delivery.account import Balance
from otel_llm.signals import Signal


class SignalStatus(msgspec.Struct, frozen=True):
    """The account of one signal, in items; always accepted = exported + dropped + queued."""

    accepted: int
    exported: int
    queued: int
    dropped: dict[str, int] = {}


class DeliveryStatus(msgspec.Struct, frozen=True):
    """One exporter.

    Attributes:
        name: in the configuration.
        queue: where it is.
        size_bytes: what it holds; on disk, what its files take.
        capacity_bytes: the most it may hold.
        signals: the account of each signal that had any.
        failing_seconds: for how long the destination has not taken what it is sent; None while it does.
        problem: what it said last while it fails, or what the disk says; empty when nothing is wrong.
        retry_in_seconds: when a failing destination is tried again.
        dead_letter_items: what the destination refused for good and is kept.
        damaged_segments: damaged files that were found at the start.
        worker: whose it is, from 1 on, when the host has several; else 0.
    """

    name: str
    queue: str
    size_bytes: int
    capacity_bytes: int
    signals: dict[Signal, SignalStatus]
    failing_seconds: float | None = None
    problem: str = ""
    retry_in_seconds: float | None = None
    dead_letter_items: int = 0
    damaged_segments: int = 0
    worker: int = 0


class ReceiverStatus(msgspec.Struct, frozen=True):
    """A receiver that fetches what it receives.

    Attributes:
        name: in the configuration.
        group: of consumers, which it is one of.
        partitions: how many it has now.
        lag: messages of these that are not committed; None when that is not known.
        waiting_seconds: for how long what it fetched has found no room; None while it does.
        problem: what the brokers said last while something is wrong; empty when nothing is.
        dead_letter_messages: those since the start that could not be read as requests.
        worker: whose it is, from 1 on, when the host has several; else 0.
    """

    name: str
    group: str
    partitions: int
    lag: int | None = None
    waiting_seconds: float | None = None
    problem: str = ""
    dead_letter_messages: int = 0
    worker: int = 0


class HostStatus(msgspec.Struct, frozen=True):
    """A host.

    Attributes:
        version: of otel-llm.
        up_seconds: since its start.
        not_ready: why it takes no telemetry; None when it does.
        exporters: in the order of the configuration.
        receivers: those that fetch, in the order of the configuration.
    """

    version: str
    up_seconds: float
    not_ready: str | None
    exporters: list[DeliveryStatus]
    receivers: list[ReceiverStatus] = []


def signal_status(balance: Balance) -> SignalStatus:
    """A balance as it is shown."""
    return SignalStatus(balance.accepted, balance.exported, balance.queued, dict(balance.dropped))
