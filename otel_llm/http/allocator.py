"""Keeps the C library from handing large blocks back to the kernel after every request.

glibc maps a block above a threshold (128 KiB at first) freshly for each allocation and unmaps it when it is freed, and
every fresh page costs a fault: 500 KB a request took 530 us instead of 170. The threshold rises to the size of the
largest mapped block that was ever freed, so one such block, never touched, is enough. Elsewhere this does nothing.
Source: mallopt(3), M_MMAP_THRESHOLD.
"""

from __future__ import annotations

from typing import Final

# Below the greatest size to which glibc raises the threshold, 32 MiB. The memory that may stay unused is twice this.
_BLOCK_BYTES: Final = 16 * 1024 * 1024


def keep_large_blocks() -> None:
    """Raise the threshold for the process; may be called again."""
    bytes(_BLOCK_BYTES)
