"""What a provider is to the engine: tables of endpoints, each with a few pure functions.

An extractor takes plain data and returns plain data. It may raise: the boundary loses its result, not the call.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol, TypeAlias

from otel_llm.operation import AttributeValue

Attributes: TypeAlias = "dict[str, AttributeValue]"
# The body of a request, as the app gave it; a provider's own JSON.
Body: TypeAlias = "Mapping[str, Any]"


@dataclass(slots=True)
class Content:
    """What a request or an answer says, in the conventions' shape.

    Attributes:
        messages: `{role, parts}` each; one for each choice of an answer.
        system: parts of instructions that stand apart from the messages.
        tools: definitions of the tools that were offered.
    """

    messages: Sequence[Mapping[str, object]] = ()
    system: Sequence[Mapping[str, object]] = ()
    tools: Sequence[Mapping[str, object]] = ()


class Accumulator(Protocol):
    """Collects what a stream says. One for each stream; used by one thread at a time.

    Attributes:
        output_estimate: how many output tokens the chunks so far are worth, when the provider did not say.
    """

    def add(self, chunk: Any) -> None:  # noqa: ANN401 - a chunk of any SDK
        """Take a chunk: keep it short, it runs between the app's chunks."""
        ...

    def attributes(self) -> Attributes:
        """Attributes of the answer as far as it came, as `Endpoint.response` has them."""
        ...

    def output(self) -> Content:
        """Messages of the answer as far as it came; only asked for when content is captured."""
        ...

    @property
    def output_estimate(self) -> int:
        """Output tokens that the chunks so far are worth, for streams that end before usage comes."""
        ...

    @property
    def is_complete(self) -> bool:
        """Whether the answer's own end was seen, whatever the app did afterwards."""
        ...


def no_attributes(_: Any) -> Attributes:  # noqa: ANN401 - an extractor's signature
    """For endpoints that have nothing to say."""
    return {}


def no_content(_: Any) -> Content:  # noqa: ANN401 - an extractor's signature
    """For endpoints whose content is not captured."""
    return Content()


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One operation of a provider.

    Attributes:
        name: for counts and messages, e.g. `chat`.
        operation: `gen_ai.operation.name`.
        request: attributes of a request body: the model and its parameters.
        response: attributes of an answer: id, model, finish reasons, usage.
        input: messages, instructions and tools of a request body.
        output: messages of an answer.
        accumulator: makes what collects a streamed answer; its argument is whether content is captured. None when
            there are no streams.
        replace_input: the request body with changed messages and instructions, as an admission left them; None when
            it cannot be changed. Raises ValueError when these changes cannot be made.
        constant: attributes every call has.
        model_in_span_name: False where the span's name is the operation alone.
        is_captured: False where the conventions have no place for content, as on embeddings.
        is_pending: whether an answer is only the promise of one: the call stays open until it is seen complete.
        completes: the id of the response that an answer shows complete, None when it does not.
    """

    name: str
    operation: str
    request: Callable[[Body], Attributes] = no_attributes
    response: Callable[[Any], Attributes] = no_attributes
    input: Callable[[Body], Content] = no_content
    output: Callable[[Any], Content] = no_content
    accumulator: Callable[[bool], Accumulator] | None = None
    replace_input: Callable[[Body, Content], Body] | None = None
    constant: Mapping[str, AttributeValue] = field(default_factory=dict)
    model_in_span_name: bool = True
    is_captured: bool = True
    is_pending: Callable[[Any], bool] | None = None
    completes: Callable[[Any], str | None] | None = None


@dataclass(frozen=True, slots=True)
class Server:
    """Who answers a client.

    Attributes:
        provider: `gen_ai.provider.name`.
        attributes: provider name, address and port, as every span and metric of the client has them.
    """

    provider: str
    attributes: Mapping[str, AttributeValue]


class View:
    """JSON read as an SDK's model is: `view.usage.total_tokens`; None for what is not there.

    For answers that the app takes raw: extractors written for the SDK's models read these as well.
    """

    __slots__ = ("json",)

    def __init__(self, json: Mapping[str, Any]) -> None:
        self.json = json

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - any JSON
        return _viewed(self.json.get(name))


def _viewed(value: object) -> object:
    if isinstance(value, dict):
        return View(value)
    return [_viewed(item) for item in value] if isinstance(value, list) else value


def plain(value: object) -> object:
    """An SDK's model or a View as plain JSON-like data; anything else as it is."""
    if isinstance(value, View):
        return value.json
    dump = getattr(value, "model_dump", None)
    return dump(exclude_unset=True, warnings=False) if dump is not None else value


def fields(value: object) -> Mapping[str, Any]:
    """What an answer's object holds, by name. A field that an SDK's model lacks takes microseconds to ask it for.

    Extractors that look for many fields, most of them absent, read these.
    """
    if isinstance(value, View):
        return value.json
    if isinstance(value, dict) and not hasattr(value, "__dict__"):
        return value
    known: Mapping[str, Any] = getattr(value, "__dict__", EMPTY)
    extra = getattr(value, "__pydantic_extra__", None)
    return {**extra, **known} if extra else known


def number(value: object) -> float | None:
    """A number as a double; None for anything else, sentinels of SDKs included."""
    return float(value) if type(value) in (int, float) else None  # type: ignore[arg-type] # the types were checked


def whole(value: object) -> int | None:
    """A whole number; None for anything else."""
    return value if type(value) is int else None


def text(value: object) -> str | None:
    """A text that is not empty; None for anything else."""
    return str(value) if isinstance(value, str) and value else None


def texts(value: object) -> tuple[str, ...] | None:
    """One text or several, as several; None for anything else."""
    if isinstance(value, str):
        return (value,)
    if isinstance(value, list | tuple) and value and all(isinstance(item, str) for item in value):
        return tuple(value)
    return None


Reading: TypeAlias = "tuple[str, str, Callable[[object], AttributeValue]]"


def read_fields(body: Body, table: Sequence[Reading]) -> Attributes:
    """Attributes of a body by a table of (word, key, what the value must be). The first word of a key wins."""
    found: Attributes = {}
    for word, key, convert in table:
        value = body.get(word)
        if value is not None and key not in found:
            converted = convert(value)
            if converted is not None:
                found[key] = converted
    return found


EMPTY: Final[Mapping[str, AttributeValue]] = {}
