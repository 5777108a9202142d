"""The processor that makes spans of any source convention speak the one pinned generation of OpenTelemetry's."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from typing import Final, Literal, TypeAlias

import msgspec

from otel_llm._generated import attributes as names
from otel_llm.components import Context
from otel_llm.dialects import TWINS, Normalizer
from otel_llm.dialects.messages import dump
from otel_llm.dialects.messages_described import described, have_media, may_hold_media, without_media
from otel_llm.operation import Operation

Twin: TypeAlias = Literal[
    "gen_ai.system",
    "gen_ai.usage.cache_creation.input_tokens",
    "gen_ai.usage.prompt_tokens",
    "gen_ai.usage.completion_tokens",
]


class Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Rewrites every source convention to the one pinned generation of OpenTelemetry's."""

    compatibility: tuple[Twin, ...] = ()
    """Older attribute names to write beside the current ones, for backends that read only those."""

    keep_originals: bool = False
    """Whether to leave a source convention's own attributes on the span when their meaning has been moved to a current
    one. Secrets go in any case."""

    media: Literal["keep", "describe"] = "keep"
    """What becomes of images, recordings and documents in messages and in what tools have answered: `keep` leaves their
    bytes, `describe` puts their size and the SHA-256 of their base64 text in their place, as our instrumentation
    does."""


# What it may write. What it reads are the source conventions' own keys, which no processor before it writes.
_WRITES: Final = frozenset(key for key in names.ATTRIBUTE_TYPES if key.startswith("gen_ai.")) | frozenset(
    {
        names.ERROR_TYPE,
        names.OPENAI_API_TYPE,
        names.OPENAI_REQUEST_SERVICE_TIER,
        names.OPENAI_RESPONSE_SERVICE_TIER,
        names.OPENAI_RESPONSE_SYSTEM_FINGERPRINT,
        names.OTEL_LLM_DIALECT,
        names.OTEL_LLM_USAGE_CACHE_WRITE_1H_INPUT_TOKENS,
        names.OTEL_LLM_USAGE_COMPLETE,
        names.OTEL_LLM_USAGE_INPUT_SEMANTICS,
        names.OTEL_LLM_USAGE_SERVICE_TIER,
        names.OTEL_LLM_USAGE_SOURCE,
        names.OTEL_LLM_USAGE_WEB_SEARCHES,
        names.SERVER_ADDRESS,
        names.SERVER_PORT,
        names.USER_ID,
        *TWINS,
    }
)


class Normalize:
    """Rewrites every span in place.

    Args:
        config: the settings.
        name: its id in the configuration.
    """

    reads: frozenset[str] = frozenset()
    writes: frozenset[str] = _WRITES

    def __init__(self, config: Config | None = None, name: str = "normalize") -> None:
        config = config or Config()
        self.name = name
        self._normalizer = Normalizer(config.compatibility, keep_originals=config.keep_originals)
        self._describes = config.media == "describe"

    def process(self, operations: Iterable[Operation]) -> None:
        """Rewrite them."""
        normalize = self._normalizer.normalize
        for operation in operations:
            normalize(operation)
            if self._describes:
                _describe(operation)


def _describe(operation: Operation) -> None:
    """Put what media are in the place of their bytes."""
    for key, messages in (
        (names.GEN_AI_INPUT_MESSAGES, operation.input_messages),
        (names.GEN_AI_OUTPUT_MESSAGES, operation.output_messages),
    ):
        if have_media(messages):
            operation.set(key, dump([described(message) for message in messages]))
    for key in (names.GEN_AI_TOOL_CALL_ARGUMENTS, names.GEN_AI_TOOL_CALL_RESULT):
        value = operation.get(key)
        if isinstance(value, str):
            parsed = _parsed(value)
            if may_hold_media(parsed):
                shown = without_media(parsed)
                operation.set(key, shown if isinstance(shown, str) else dump(shown))


def _parsed(text: str) -> object:
    """What a text says, where that is JSON with something in it."""
    if text[:1] in ("[", "{"):
        with suppress(msgspec.DecodeError, UnicodeError, RecursionError):
            return msgspec.json.decode(text)
    return text


def create(config: Config, context: Context) -> Normalize:
    """The processor."""
    return Normalize(config, context.name)
