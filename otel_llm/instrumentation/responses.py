"""The end of an HTTP response that the app holds: every way to close a stream goes through its response.

The stream's own `close`, its helpers' `close` and their context managers all call `close` or `aclose` of the httpx
response, so that is where an early end is seen. The hook stands on the one object, and takes itself off.
"""

from __future__ import annotations

import weakref
from typing import Any, Protocol


class Ending(Protocol):
    """What is told that it is over."""

    def end(self, how: Any, error: BaseException | None = None) -> None:  # noqa: ANN401 - StreamEnd
        """It is over."""
        ...


def on_close(response: Any, watch: Ending, chunks: object, *, is_async: bool) -> None:  # noqa: ANN401 - an httpx response
    """Tell `watch` when somebody closes the response.

    Args:
        response: an httpx or httpx2 response.
        watch: told `closed`.
        chunks: what reads it and closes it at its own end, which is no early end: while `gi_running` or `ag_running`.
        is_async: whether it is closed by `aclose`.
    """
    # The response must not be kept alive by its own attribute.
    closing = _Closing(weakref.ref(response), watch, chunks)
    if is_async:
        response.aclose = closing.aclose
    else:
        response.close = closing.close


class _Closing:
    __slots__ = ("_chunks", "_response", "_watch")

    def __init__(self, response: weakref.ref[Any], watch: Ending, chunks: object) -> None:
        self._response = response
        self._watch = watch
        self._chunks = weakref.ref(chunks)

    def close(self) -> None:
        """The response's `close`, and word of it."""
        response = self._response()
        if response is not None:
            type(response).close(response)
        self._tell()

    async def aclose(self) -> None:
        """The response's `aclose`, and word of it."""
        response = self._response()
        try:
            if response is not None:
                await type(response).aclose(response)
        finally:
            self._tell()

    def _tell(self) -> None:
        chunks = self._chunks()
        if not (getattr(chunks, "gi_running", False) or getattr(chunks, "ag_running", False)):
            self._watch.end("closed")
