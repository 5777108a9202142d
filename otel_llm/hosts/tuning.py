"""Settings of the Python runtime that suit a process that does nothing but move telemetry."""

from __future__ import annotations

import gc
from typing import Final

# A request of 512 GenAI spans makes a few thousand objects that all go when it is answered. With the default of 700,
# the collector runs several times a request and finds nothing.
_GEN0_THRESHOLD: Final = 50_000


def tune_gc() -> None:
    """Collect less often, and leave what is there at start-up out of it."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(_GEN0_THRESHOLD, 20, 50)
