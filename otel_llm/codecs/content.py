"""What rewrites the content of spans, log records and metrics, as codecs ask for it; they know where content stands."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Protocol

from otel_llm.operation import AttributeValue

# In place of a name that could not be looked at: without one, a span is useless.
FAILED: Final = "redaction_failed"


class Content(Protocol):
    """Rewrites what is in a request, and keeps count; for one request at a time."""

    def text(self, text: str, name: str | None) -> str | None:
        """A text; the same object when it stays, None when it must go."""
        ...

    def value(self, value: AttributeValue, name: str | None) -> tuple[AttributeValue, bool]:
        """A value of any type, and whether it may stay."""
        ...

    def key(self, key: str) -> str | None:
        """An attribute's key; None when the whole attribute must go."""
        ...

    def begin_item(self) -> None:
        """A span, log record or metric begins."""
        ...

    def end_item(self, noted: Mapping[str, AttributeValue]) -> Mapping[str, AttributeValue]:
        """It ends.

        Args:
            noted: attributes that an earlier pass wrote about the item.

        Returns:
            attributes to write about it, in place of those; none when nothing was rewritten.
        """
        ...

    def item_changed(self, trace_id: bytes, span_id: bytes, written: Mapping[str, AttributeValue]) -> None:
        """The item that just ended was rewritten; its ids, empty when it has none, and what was written about it."""
        ...
