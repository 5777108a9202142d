"""Calls of the app as operations, for admissions: what is known of one is its attributes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from otel_llm.operation import AttributeValue, Event


class EndedCall:
    """A call that has ended, as the source of an Operation.

    Args:
        attributes: those of its span.
        start_unix_nano: its time, for prices.
    """

    name = ""
    kind = 3
    end_unix_nano = 0
    status_message = ""
    scope_name = ""
    scope_version = ""
    status_code = 0
    trace_id = span_id = parent_span_id = b""
    identity = (b"", b"", b"")
    resource: Mapping[str, AttributeValue] = MappingProxyType({})
    events: Sequence[Event] = ()

    __slots__ = ("_attributes", "start_unix_nano")

    def __init__(self, attributes: Mapping[str, AttributeValue], start_unix_nano: int) -> None:
        self._attributes = attributes
        self.start_unix_nano = start_unix_nano

    def keys(self) -> frozenset[str]:
        """The keys of its attributes."""
        return frozenset(self._attributes)

    def has_exactly(self, keys: frozenset[str]) -> bool:
        """Whether these are the keys."""
        return self.keys() == keys

    def get(self, key: str) -> AttributeValue:
        """The value of an attribute."""
        return self._attributes.get(key)
