"""Token counts of one answer; inclusive: what is cached is part of the input, what was reasoned of the output."""

from __future__ import annotations

from dataclasses import dataclass

CHARACTERS_PER_TOKEN = 4
CACHE_MINIMUM_TOKENS = 1024
"""The shortest prompt that is cached. Source: the prompt caching guides of OpenAI and Anthropic (most models)."""
CACHE_STEP_TOKENS = 128
"""OpenAI reports cached tokens in steps of this size."""


@dataclass(frozen=True, slots=True)
class Usage:
    """What the provider bills for one answer, in tokens.

    Attributes:
        input_tokens: all input, cache reads and writes included.
        output_tokens: all output, reasoning included.
        cache_read_tokens: part of the input that was read from a cache.
        cache_write_tokens: part of the input that was written to a cache.
        cache_write_1h_tokens: part of `cache_write_tokens` that is kept for an hour instead of five minutes.
        reasoning_tokens: part of the output.
    """

    input_tokens: int
    output_tokens: int
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    cache_write_1h_tokens: int = 0
    reasoning_tokens: int = 0

    @property
    def fresh_input_tokens(self) -> int:
        """Input that was neither read from nor written to a cache: Anthropic's `input_tokens`."""
        return max(0, self.input_tokens - self.cache_read_tokens - self.cache_write_tokens)

    @property
    def total_tokens(self) -> int:
        """Input and output together."""
        return self.input_tokens + self.output_tokens


def count_tokens(text: str) -> int:
    """The length of a text in tokens of this provider: a quarter of its characters, rounded up."""
    return -(-len(text) // CHARACTERS_PER_TOKEN)
