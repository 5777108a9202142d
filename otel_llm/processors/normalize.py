"""The processor that makes spans of any source convention speak the one pinned generation of OpenTelemetry's."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, Literal, TypeAlias

import msgspec

from otel_llm._generated import attributes as names
from otel_llm.components import Context
from otel_llm.dialects import TWINS, Normalizer
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

    def process(self, operations: Iterable[Operation]) -> None:
        """Rewrite them."""
        normalize = self._normalizer.normalize
        for operation in operations:
            normalize(operation)


def create(config: Config, context: Context) -> Normalize:
    """The processor."""
    return Normalize(config, context.name)
