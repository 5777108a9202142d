"""What a call used, in the quantities providers bill."""

from __future__ import annotations

from typing import NoReturn

#: More of anything in one call is an emitter's mistake (a negative count read as unsigned, a clock's nanoseconds).
QUANTITY_BITS = 40
MAXIMUM_QUANTITY = 2**QUANTITY_BITS - 1


class _Text:
    """A field of `Usage.text`."""

    __slots__ = ("_index",)

    def __init__(self, index: int) -> None:
        self._index = index

    def __get__(self, usage: Usage, owner: type[Usage]) -> int | None:
        return usage.text[self._index]


class _Count:
    """A count in `Usage.other`."""

    __slots__ = ("_index",)

    def __init__(self, index: int) -> None:
        self._index = index

    def __get__(self, usage: Usage, owner: type[Usage]) -> int | None:
        return (usage.other or _NO_OTHER)[self._index]  # type: ignore[return-value]  # counts stand before amounts


class _Amount:
    """An amount in `Usage.other`."""

    __slots__ = ("_index",)

    def __init__(self, index: int) -> None:
        self._index = index

    def __get__(self, usage: Usage, owner: type[Usage]) -> float | None:
        return (usage.other or _NO_OTHER)[self._index]


#: `Usage.other` of a call that used nothing but text: one request, and nothing else reported.
_NO_OTHER: tuple[float | None, ...] = (1, *([None] * 16))


class Usage:
    """The billable quantities of one call. None means "not reported", which is never the same as 0.

    All counts are inclusive, as in the conventions: `input_tokens` holds the cached, audio, image and video input,
    `cache_write` holds `cache_write_1h`, `output_tokens` holds the reasoning. A caller whose source counts otherwise
    adds first. Values are not checked here; `Catalogue.quote` refuses what is not a whole number from 0 to
    2^40 - 1, or a part greater than its whole, with the reason `invalid_usage`.

    Attributes:
        input_tokens: all input tokens.
        output_tokens: all output tokens.
        cache_read: input tokens read from a prompt cache.
        cache_write: input tokens written to a prompt cache, whatever their lifetime.
        cache_write_1h: those of `cache_write` that are kept for an hour.
        reasoning: output tokens spent on reasoning.
        requests: calls this usage is of; models with a fee a request are charged that many.
        input_audio: input tokens that are audio.
        output_audio: output tokens that are audio.
        input_image: input tokens that are images.
        output_image: output tokens that are images.
        input_video: input tokens that are video.
        output_video: output tokens that are video.
        cache_read_audio: those of `cache_read` that are audio too.
        cache_read_image: those of `cache_read` that are images too.
        citation: output tokens spent on citations.
        web_searches: searches the provider ran on the web.
        file_searches: searches the provider ran in stored files.
        characters: characters of text (speech synthesis).
        pages: document pages read.
        images: images made, for models priced by the image.
        audio_seconds: audio transcribed or spoken, in seconds; may be fractional.
        provider_cost: what the provider says the call cost, in USD; it then is the price.

    Immutable. Not a dataclass, because one is built and priced for every span: kept in two tuples, a text call (which
    nearly all are) costs 0.6 µs to build instead of 3.9 µs, and is recognised and taken apart in one step.
    """

    __slots__ = ("other", "text")

    #: The first six fields.
    text: tuple[int | None, int | None, int | None, int | None, int | None, int | None]
    #: All other fields; None when they hold nothing.
    other: tuple[float | None, ...] | None

    def __init__(  # noqa: PLR0913, PLR0917 - one argument a quantity, all optional, given by name
        self,
        input_tokens: int | None = None,
        output_tokens: int | None = None,
        cache_read: int | None = None,
        cache_write: int | None = None,
        cache_write_1h: int | None = None,
        reasoning: int | None = None,
        requests: int = 1,
        input_audio: int | None = None,
        output_audio: int | None = None,
        input_image: int | None = None,
        output_image: int | None = None,
        input_video: int | None = None,
        output_video: int | None = None,
        cache_read_audio: int | None = None,
        cache_read_image: int | None = None,
        citation: int | None = None,
        web_searches: int | None = None,
        file_searches: int | None = None,
        characters: int | None = None,
        pages: int | None = None,
        images: int | None = None,
        audio_seconds: float | None = None,
        provider_cost: float | None = None,
    ) -> None:
        _set(self, "text", (input_tokens, output_tokens, cache_read, cache_write, cache_write_1h, reasoning))
        other = (
            requests,
            input_audio,
            output_audio,
            input_image,
            output_image,
            input_video,
            output_video,
            cache_read_audio,
            cache_read_image,
            citation,
            web_searches,
            file_searches,
            characters,
            pages,
            images,
            audio_seconds,
            provider_cost,
        )
        _set(self, "other", None if other == _NO_OTHER else other)

    input_tokens = _Text(0)
    output_tokens = _Text(1)
    cache_read = _Text(2)
    cache_write = _Text(3)
    cache_write_1h = _Text(4)
    reasoning = _Text(5)
    requests = _Count(0)
    input_audio = _Count(1)
    output_audio = _Count(2)
    input_image = _Count(3)
    output_image = _Count(4)
    input_video = _Count(5)
    output_video = _Count(6)
    cache_read_audio = _Count(7)
    cache_read_image = _Count(8)
    citation = _Count(9)
    web_searches = _Count(10)
    file_searches = _Count(11)
    characters = _Count(12)
    pages = _Count(13)
    images = _Count(14)
    audio_seconds = _Amount(15)
    provider_cost = _Amount(16)

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError(f"Usage is immutable; build another one instead of setting {name}")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Usage) and self.text == other.text and self.other == other.other

    def __hash__(self) -> int:
        return hash((self.text, self.other))

    def __repr__(self) -> str:
        known = ((name, getattr(self, name)) for name in FIELDS)
        return f"Usage({', '.join(f'{name}={value!r}' for name, value in known if value is not None)})"


_set = object.__setattr__
#: The quantities, in the order of the arguments.
FIELDS: tuple[str, ...] = tuple(
    name for name, field in vars(Usage).items() if isinstance(field, _Text | _Count | _Amount)
)
