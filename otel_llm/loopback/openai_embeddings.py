"""OpenAI's Embeddings on the wire. Source: OpenAI API reference, Embeddings."""

from __future__ import annotations

import base64
import hashlib
import math
import struct
from collections.abc import Iterator, Sequence

from otel_llm.loopback.json_types import Json, JsonObject, count_at
from otel_llm.loopback.openai_errors import openai_error
from otel_llm.loopback.prompt import Prompt, Vectors
from otel_llm.loopback.reply import Reply
from otel_llm.loopback.usage import CHARACTERS_PER_TOKEN

DEFAULT_DIMENSIONS = 1536
MAX_DIMENSIONS = 3072


class Embeddings:
    """`POST /v1/embeddings`. The vectors are unit vectors that depend on the text alone; they mean nothing."""

    def read(self, model: str, body: JsonObject) -> Prompt:
        """The prompt: what to embed and how the vectors are wanted."""
        inputs = _inputs(body.get("input"))
        dimensions = min(count_at(body, "dimensions", DEFAULT_DIMENSIONS), MAX_DIMENSIONS)
        vectors = Vectors(inputs, dimensions, as_base64=body.get("encoding_format") == "base64")
        return Prompt(api="embeddings", model=model, text="".join(inputs), question="", vectors=vectors)

    def whole(self, prompt: Prompt, reply: Reply) -> JsonObject:
        """The body of an answer: one vector an input."""
        wanted = prompt.vectors or Vectors((), DEFAULT_DIMENSIONS, as_base64=False)
        vectors = (_vector(text, wanted.dimensions) for text in wanted.inputs)
        data: list[Json] = [
            {"object": "embedding", "index": index, "embedding": _base64(vector) if wanted.as_base64 else vector}
            for index, vector in enumerate(vectors)
        ]
        usage: JsonObject = {"prompt_tokens": reply.usage.input_tokens, "total_tokens": reply.usage.input_tokens}
        return {"object": "list", "data": data, "model": reply.model, "usage": usage}

    def stream(self, prompt: Prompt, reply: Reply) -> Iterator[bytes]:
        """Embeddings are never streamed: `read` never asks for it."""
        raise NotImplementedError(f"{prompt.api} of {reply.model} cannot be streamed")

    def error(self, status: int, model: str, message: str | None) -> JsonObject:
        """The body of an error."""
        return openai_error(status, model, message)


def _inputs(given: Json) -> tuple[str, ...]:
    """Texts to embed; token arrays become texts of the same number of tokens."""
    if isinstance(given, str):
        return (given,)
    if not isinstance(given, Sequence) or not given:
        return ()
    if all(isinstance(item, int) for item in given):
        return (_text_for(given),)
    return tuple(item if isinstance(item, str) else _text_for(item) for item in given)


def _text_for(tokens: Json) -> str:
    numbers = tokens if isinstance(tokens, Sequence) else ()
    return "".join(f"{number!s:>{CHARACTERS_PER_TOKEN}.{CHARACTERS_PER_TOKEN}}" for number in numbers)


def _vector(text: str, dimensions: int) -> list[float]:
    digest = hashlib.shake_256(text.encode(errors="surrogatepass")).digest(2 * dimensions)
    raw = [value / 32_768 for value in struct.unpack(f"<{dimensions}h", digest)]
    length = math.sqrt(sum(value * value for value in raw)) or 1.0
    return [round(value / length, 8) for value in raw]


def _base64(vector: list[float]) -> str:
    return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode("ascii")
