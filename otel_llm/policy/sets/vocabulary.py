"""What rules can read: the attributes of the conventions by their own names, and what is derived from an operation.

Names of attributes are those of the registry, dots and all: `gen_ai.request.model`, `otel_llm.cost.total`. They are
read from the span, and where it has none, from its resource. An attribute that is absent is an error and not empty;
`has(gen_ai.request.model)` asks first. A value of another type than the registry's is an error too.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final, Protocol

from otel_llm.policy.cel import ABSENT, Failure, Type
from otel_llm.policy.cel.types import BOOL, BYTES, DOUBLE, DURATION, DYN, INT, STRING, TIMESTAMP, list_of, map_of
from otel_llm.policy.cel.values import Duration, Timestamp, type_name
from otel_llm.policy.sets import messages


class Subject(Protocol):
    """An operation, as far as rules look at it."""

    @property
    def get(self) -> Callable[[str], object]:
        """Gives the value of an attribute, None when there is none."""
        ...

    @property
    def resource(self) -> Mapping[str, object]:
        """Attributes of what made the span."""
        ...

    def keys(self) -> frozenset[str]:
        """Keys of all attributes."""
        ...

    @property
    def name(self) -> str:
        """Of the span."""
        ...

    @property
    def kind(self) -> int:
        """OTLP SpanKind."""
        ...

    @property
    def status_code(self) -> int:
        """OTLP StatusCode."""
        ...

    @property
    def scope_name(self) -> str:
        """Of the instrumentation."""
        ...

    @property
    def start_unix_nano(self) -> int:
        """0 when nobody said."""
        ...

    @property
    def end_unix_nano(self) -> int:
        """0 when nobody said."""
        ...

    @property
    def input_messages(self) -> Sequence[Mapping[str, object]]:
        """What went to the model."""
        ...

    @property
    def output_messages(self) -> Sequence[Mapping[str, object]]:
        """What came from it."""
        ...


Loader = Callable[[Subject], object]

_TYPES: Final[Mapping[str, Type]] = {
    "string": STRING,
    "int": INT,
    "double": DOUBLE,
    "boolean": BOOL,
    "string[]": list_of(STRING),
    "int[]": list_of(INT),
    "double[]": list_of(DOUBLE),
    "boolean[]": list_of(BOOL),
    "bytes": BYTES,
}
_ITEMS: Final[Mapping[str, type]] = {"string[]": str, "int[]": int, "double[]": float, "boolean[]": bool}
_SCALARS: Final[Mapping[str, type]] = {"string": str, "int": int, "double": float, "boolean": bool, "bytes": bytes}
_KINDS: Final = ("unspecified", "internal", "server", "client", "producer", "consumer")
_STATUSES: Final = ("unset", "ok", "error")
_MESSAGES: Final = list_of(map_of(STRING, DYN))

# Names whose values are the content of a conversation, or say who somebody is: no reason, which goes onto spans, into
# logs, the audit log and the exception of a denied call, may read them.
_CONTENT: Final = frozenset({"input.text", "output.text", "input.messages", "output.messages", "span.attributes"})
_PERSONAL: Final = frozenset(
    {
        "client.address",
        "gen_ai.conversation.id",
        "gen_ai.request.stop_sequences",
        "gen_ai.skill.source.uri",
        "mcp.resource.uri",
        "mcp.session.id",
        "otel_llm.request.output_schema",
        "otel_llm.span.name",
        "process.executable.path",
        "session.id",
        "span.name",
        "user.id",
    }
)
_CONTENT_PARTS: Final = (
    *("messages", "system_instructions", "arguments", "result", "documents", "query", "exception", "records"),
    *("definitions", "prompt.variable", "explanation", "url."),
)


def is_content(name: str) -> bool:
    """Whether a variable holds content, or may, or says who somebody is."""
    return name in _CONTENT or name in _PERSONAL or any(part in name for part in _CONTENT_PARTS)


def plain(value: object) -> object:
    """A value of an attribute with the types that expressions know: lists and dicts."""
    if isinstance(value, Mapping):
        return {str(key): plain(one) for key, one in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return [plain(one) for one in value]
    return value


def _attribute(name: str, kind: str) -> Loader:
    scalar = _SCALARS.get(kind)

    def load(subject: Subject) -> object:
        value = subject.get(name)
        if value is None:
            value = subject.resource.get(name)
            if value is None:
                return ABSENT
        if scalar is None:
            return _structured(name, kind, value)
        if type(value) is scalar:
            return value
        if scalar is float and type(value) is int:
            return float(value)
        return _wrong_type(name, kind, value)

    return load


def _structured(name: str, kind: str, value: object) -> object:
    value = plain(value)
    item = _ITEMS.get(kind)
    if item is None:
        return value
    if type(value) is list and all(type(one) is item for one in value):
        return value
    return _wrong_type(name, kind, value)


def _wrong_type(name: str, kind: str, value: object) -> Failure:
    return Failure(f"{name} is of type {type_name(value)} where the registry says {kind}")


def _duration(subject: Subject) -> object:
    start, end = subject.start_unix_nano, subject.end_unix_nano
    return Duration(end - start) if start and end >= start else ABSENT


def _start(subject: Subject) -> object:
    return Timestamp(subject.start_unix_nano) if subject.start_unix_nano else ABSENT


def _listed(names: Sequence[str], number: int) -> str:
    return names[number] if 0 <= number < len(names) else names[0]


_DERIVED: Final[Mapping[str, tuple[Type, Loader]]] = {
    "resource": (map_of(STRING, DYN), lambda subject: plain(subject.resource)),
    "span.name": (STRING, lambda subject: subject.name),
    "span.kind": (STRING, lambda subject: _listed(_KINDS, subject.kind)),
    "span.status": (STRING, lambda subject: _listed(_STATUSES, subject.status_code)),
    "span.scope": (STRING, lambda subject: subject.scope_name),
    "span.start": (TIMESTAMP, _start),
    "span.duration": (DURATION, _duration),
    "span.attributes": (
        map_of(STRING, DYN),
        lambda subject: {key: plain(subject.get(key)) for key in subject.keys()},  # noqa: SIM118 - not a dict
    ),
    "input.text": (STRING, messages.input_text),
    "input.messages": (_MESSAGES, lambda subject: plain(subject.input_messages)),
    "input.tools": (list_of(STRING), messages.offered_tools),
    "input.tool_results": (list_of(STRING), messages.answered_tools),
    "output.text": (STRING, messages.output_text),
    "output.messages": (_MESSAGES, lambda subject: plain(subject.output_messages)),
    "output.tool_calls": (list_of(STRING), messages.called_tools),
}


class Vocabulary:
    """Names, types, and how each is read.

    Args:
        attribute_types: the registry's types by key.
    """

    def __init__(self, attribute_types: Mapping[str, str]) -> None:
        self.types: Mapping[str, Type] = {
            **{name: _TYPES.get(kind, DYN) for name, kind in attribute_types.items()},
            **{name: type_ for name, (type_, _) in _DERIVED.items()},
        }
        self.loaders: Mapping[str, Loader] = {
            **{name: _attribute(name, kind) for name, kind in attribute_types.items()},
            **{name: load for name, (_, load) in _DERIVED.items()},
        }
