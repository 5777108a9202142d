"""What a user sets for the delivery of an exporter: the sections `sending_queue` and `retry_on_failure`."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

MIB = 1024 * 1024


class BatchConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How payloads are put together into one request."""

    max_size_bytes: Annotated[int, msgspec.Meta(ge=1024)] = 3_670_016
    """Largest request, in bytes before compression. The default, 3.5 MiB, stays below gRPC's usual limit of 4 MiB.
    Larger ones are split; a single item that is larger is sent alone."""

    max_items: Annotated[int, msgspec.Meta(ge=1)] = 8192
    """Most spans, data points or log records that are put together. One larger request is not split for this."""

    flush_timeout_seconds: Annotated[float, msgspec.Meta(ge=0)] = 0.2
    """How long an item may wait for others, in seconds. 0 sends at once."""


class DiskConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A queue on disk: what was accepted is delivered also after a crash or a restart."""

    directory: str
    """Where queues are kept, one folder below it for each exporter. On a disk of this machine, not on a network share;
    one process at a time uses a folder."""

    size_bytes: Annotated[int, msgspec.Meta(ge=1024 * 1024)] = 1024 * MIB
    """Most bytes on disk, reserved ones included. When they are used, `on_full` says what happens."""

    sync: Literal["always", "interval", "never"] = "always"
    """When the disk is told to keep what was written. `always`: before the sender is told OK; nothing acknowledged is
    lost. `interval`: a crash of the process loses nothing, a loss of power what was accepted since the last sync.
    `never`: as the system sees fit, usually within 30 seconds."""

    sync_interval_seconds: Annotated[float, msgspec.Meta(gt=0)] = 1.0
    """How often to sync with `sync: interval`, in seconds."""

    dead_letters_size_bytes: Annotated[int, msgspec.Meta(ge=0)] = 256 * MIB
    """Most bytes of what the destination refuses for good, kept beside `size_bytes`; see `otel-llm queue`. When they
    are used, further such items are dropped."""


class QueueConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The queue in front of an exporter."""

    size_bytes: Annotated[int, msgspec.Meta(ge=1024)] = 64 * MIB
    """Most bytes that wait or are being sent in memory; with `disk`, more waits there. One larger request is taken when
    nothing else waits."""

    disk: DiskConfig | None = None
    """Keep the queue on disk. Without it, it is in memory and lost with the process."""

    on_full: Literal["refuse", "drop"] = "refuse"
    """What happens when it is full: `refuse` tells the sender to try again later, for all exporters of the pipeline;
    `drop` gives up the items for this exporter only, so that a dead destination does not hold up the others."""

    batch: BatchConfig = BatchConfig()
    """How payloads are put together."""


class RetryConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What happens after a failure that may pass."""

    initial_interval_seconds: Annotated[float, msgspec.Meta(gt=0)] = 1.0
    """Upper end of the random wait before the first retry, in seconds; doubles with each further one."""

    max_interval_seconds: Annotated[float, msgspec.Meta(gt=0)] = 30.0
    """Upper end of the random wait before any retry, in seconds. A destination's own Retry-After may be longer."""

    max_elapsed_seconds: Annotated[float, msgspec.Meta(ge=0)] | None = None
    """Give up this many seconds after the first attempt; without it never. 0 means no retries."""

    when_unauthorized: Literal["hold", "give_up"] = "hold"
    """What happens when the destination does not accept who we are (401, 403, UNAUTHENTICATED, PERMISSION_DENIED).
    `hold` keeps the items and tries again, as after a failure that may pass: a token that has run out loses nothing.
    `give_up` parks or drops them at once, as OTLP has it for these answers."""


class Config(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The delivery of one exporter."""

    sending_queue: QueueConfig = QueueConfig()
    """The queue in front of the exporter."""

    retry_on_failure: RetryConfig = RetryConfig()
    """What happens after a failure that may pass."""
