"""OpenAI beside text: embeddings, images, speech, transcription, moderation, videos, and jobs that run later.

The conventions have names for embeddings alone; the other operations have those that otel_llm prices by.
Source: OpenAI API reference.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from otel_llm._generated import attributes as names
from otel_llm.dialects.messages import text_messages
from otel_llm.instrumentation.provider import (
    Attributes,
    Body,
    Content,
    Endpoint,
    Reading,
    read_fields,
    text,
    texts,
    whole,
)
from otel_llm.instrumentation.providers.openai_usage import read_identity, read_usage
from otel_llm.instrumentation.replace import replace_texts

_FIELDS: Final[Sequence[Reading]] = (
    ("model", names.GEN_AI_REQUEST_MODEL, text),
    ("encoding_format", names.GEN_AI_REQUEST_ENCODING_FORMATS, texts),
    ("dimensions", names.GEN_AI_EMBEDDINGS_DIMENSION_COUNT, whole),
    ("n", names.GEN_AI_REQUEST_CHOICE_COUNT, lambda value: whole(value) if value != 1 else None),
)


def request(body: Body) -> Attributes:
    """The model and what else these requests have in common."""
    return read_fields(body, _FIELDS)


def answer(found_in: Any) -> Attributes:  # noqa: ANN401 - the SDK's model
    """Id, model and usage, as far as an answer has them; a text, bytes or None has nothing."""
    found: Attributes = {}
    if found_in is not None and not isinstance(found_in, str | bytes):
        read_identity(found_in, found)
        usage = getattr(found_in, "usage", None)
        read_usage(usage, found)
        seconds = getattr(usage, "seconds", None)
        if isinstance(seconds, int | float) and not isinstance(seconds, bool):
            found[names.OTEL_LLM_USAGE_AUDIO_SECONDS] = float(seconds)
    return found


def images(found_in: Any) -> Attributes:  # noqa: ANN401 - the SDK's model
    """As `answer`, and how many images there are."""
    found = answer(found_in)
    data = getattr(found_in, "data", None)
    if isinstance(data, list):
        found[names.OTEL_LLM_USAGE_IMAGES] = len(data)
    return found


def _given(key: str) -> Any:  # noqa: ANN401 - an extractor
    def read(body: Body) -> Content:
        given = body.get(key)
        items = [given] if isinstance(given, str) else given if isinstance(given, list) else []
        return Content([one for item in items if isinstance(item, str) for one in text_messages(item, "user")])

    return read


def _transcript(found_in: Any) -> Content:  # noqa: ANN401 - the SDK's model
    said = found_in if isinstance(found_in, str) else getattr(found_in, "text", None)
    return Content(text_messages(said, "assistant") if isinstance(said, str) else ())


class LastUsage:
    """Collects streams of images and transcripts: what counts stands in the last event.

    Args:
        captured: whether the texts are wanted; they are not kept.
    """

    __slots__ = ("_last", "_pieces", "is_complete")

    def __init__(self, captured: bool) -> None:  # noqa: ARG002, FBT001 - the accumulator's signature
        self._last: Any = None
        self._pieces = 0
        self.is_complete = False

    def add(self, event: Any) -> None:  # noqa: ANN401 - the SDK's model
        """Take an event."""
        kind = getattr(event, "type", None)
        if isinstance(kind, str) and kind.endswith((".done", ".completed")):
            self._last = event
            self.is_complete = True
        else:
            self._pieces += 1

    @property
    def output_estimate(self) -> int:
        """Nobody can tell."""
        return 0

    def attributes(self) -> Attributes:
        """What the last event says."""
        return answer(self._last)

    def output(self) -> Content:
        """Nothing."""
        return Content()


def _endpoint(name: str, operation: str, **more: Any) -> Endpoint:  # noqa: ANN401 - Endpoint's fields
    return Endpoint(name=name, operation=operation, request=request, **{"response": answer, **more})


def _says(key: str) -> dict[str, Any]:
    """The fields of an endpoint whose content stands under one key."""
    read = _given(key)
    return {"input": read, "replace_input": replace_texts(read, key)}


EMBEDDINGS: Final = _endpoint("embeddings", "embeddings", is_captured=False, **_says("input"))
IMAGES: Final = _endpoint(
    "images",
    "image_generation",
    response=images,
    accumulator=LastUsage,
    **_says("prompt"),
    constant={names.GEN_AI_OUTPUT_TYPE: "image"},
)
SPEECH: Final = _endpoint(
    "speech",
    "speech",
    response=lambda _: {},
    constant={names.GEN_AI_OUTPUT_TYPE: "speech"},
    **_says("input"),
)
TRANSCRIPTION: Final = _endpoint(
    "transcription",
    "transcription",
    input=_given("prompt"),
    output=_transcript,
    accumulator=LastUsage,
    constant={names.GEN_AI_OUTPUT_TYPE: "text"},
)
MODERATION: Final = _endpoint("moderation", "moderation", **_says("input"))
VIDEOS: Final = _endpoint("videos", "video_generation", **_says("prompt"))
BATCH: Final = _endpoint("batch", "create_batch")
COUNT_TOKENS: Final = Endpoint(name="count_tokens", operation="count_tokens", request=request)
