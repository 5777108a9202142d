"""SIGTERM without a handler of the app's: what is waiting is sent, then the process ends as it would have.

Python's default for SIGTERM ends a process without `atexit`, and with it the spans of its last seconds.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from types import FrameType
from typing import Final

_LONGEST_SECONDS: Final = 0.5


def flush_at_sigterm(flush: Callable[[float], object]) -> bool:
    """Flush when SIGTERM comes; whether that could be arranged.

    It is arranged only where the app has no handler, and a handler that the app sets later takes its place.

    Args:
        flush: sends what is waiting within so many seconds.
    """
    is_main = threading.current_thread() is threading.main_thread()
    if not is_main or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        return False

    def terminated(number: int, _: FrameType | None) -> None:
        # On a thread of its own: what the signal interrupted may hold a lock that flushing waits for.
        thread = threading.Thread(target=flush, args=(_LONGEST_SECONDS,), daemon=True)
        thread.start()
        thread.join(_LONGEST_SECONDS)
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)

    signal.signal(signal.SIGTERM, terminated)
    return True
