from collections.abc import Callable, Mapping
from typing import TypeVar

from otel_llm.codecs.wire_source import ResourceAttributes, Scope
from otel_llm.operation import AttributeValue, Event

class Shapes:
    def __init__(self, decode: Callable[[bytes], object], odd: object) -> None: ...

class Reading:
    body: bytes
    payload: int
    end: int
    trace_id: bytes
    span_id: bytes
    parent_span_id: bytes
    name: str
    kind: int
    start_unix_nano: int
    end_unix_nano: int
    status: list[bytes]
    scope_name: str
    scope_version: str
    resource_attributes: ResourceAttributes
    events_read: tuple[Event, ...] | None
    @property
    def identity(self) -> tuple[bytes, bytes, bytes]: ...
    @property
    def size(self) -> int: ...
    @property
    def raw(self) -> bytes: ...
    def get(self, key: str) -> AttributeValue: ...
    def keys(self) -> frozenset[str]: ...
    def has_exactly(self, keys: frozenset[str]) -> bool: ...
    def encoded(self, key: str) -> bytes | None: ...

_ReadingType = TypeVar("_ReadingType", bound=Reading)

def read_span(
    kind: type[_ReadingType],
    body: bytes,
    start: int,
    end: int,
    scope: Scope,
    resource: ResourceAttributes,
    shapes: Shapes,
) -> _ReadingType | None: ...
def join_entries(
    overlay: Mapping[str, object],
    texts: Mapping[str, Mapping[str, bytes]],
    doubles: Mapping[str, bytes],
    encode: Callable[[str, object], bytes],
) -> bytes: ...
