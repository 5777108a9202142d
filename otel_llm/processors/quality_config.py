"""The settings of the quality processor."""

from __future__ import annotations

from typing import Annotated, Final, cast

import msgspec

from otel_llm.quality.signals.checks import Signal


class Signals(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Which signals are on; docs/quality.md says how often each is right."""

    empty: bool = True
    """The answer holds no text, no tool call and nothing else."""

    truncated: bool = True
    """The finish reason says that the answer was cut off."""

    refusal: bool = True
    """The model declined to answer. English; hedged and clarifying answers are told apart."""

    repetition: bool = True
    """The answer repeats itself in a loop."""

    invalid_json: bool = True
    """JSON was asked for and the answer is none, or breaks its schema."""

    unknown_tool: bool = True
    """A tool call names a tool that was not offered."""

    invalid_tool_arguments: bool = True
    """The arguments of a tool call are no JSON object or break the tool's schema."""

    tool_error: bool = True
    """A tool failed, or said in its result that it did."""

    retry_storm: bool = True
    """A model or tool failed four times or more in a row within the trace."""

    agent_loop: bool = True
    """The agent made the same one to four tool calls three times in a row, with the same results. Pagination and
    polling are not that."""

    agent_recursion: bool = True
    """Ten agents or more stand upon each other within the trace."""

    language_mismatch: bool = True
    """The answer is in another language than the question, unasked."""

    prompt_leak: bool = True
    """The answer repeats a passage of the system instructions word for word, 165 characters or more."""

    lexical_support: bool = True
    """Share of the answer's words that occur in what was retrieved in the same trace; raised below
    `min_lexical_support`."""

    query_coverage: bool = True
    """Share of the question's words that the best retrieved document has; raised below `min_query_coverage`."""

    empty_retrieval: bool = True
    """A retrieval brought back no document."""

    stale_retrieval: bool = True
    """The newest dated document of a retrieval is older than `stale_after_days`; needs that setting."""

    missing_citation: bool = True
    """The instructions ask for sources, documents were retrieved, and the answer names none."""

    slow: bool = True
    """The call took far longer than calls of its model and operation have of late (4 standard deviations of the
    logarithm)."""

    slow_output: bool = True
    """The output came at far fewer tokens a second than that of its model and operation has of late."""

    user_friction: bool = True
    """The user's last message sounds like trouble. Counted as a rate and never put on a span: it is right one time in
    five."""

    def enabled(self) -> frozenset[Signal]:
        """The names of those that are on."""
        return frozenset(cast("Signal", name) for name in self.__struct_fields__ if getattr(self, name))


class Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Signals of whether an answer was any good: no model, no download, microseconds."""

    signals: Signals = Signals()
    """Which signals are on; all by default."""

    min_lexical_support: Annotated[float, msgspec.Meta(ge=0, le=1)] = 0.4
    """Share of the answer's words in the retrieved documents below which `lexical_support` is raised."""

    min_query_coverage: Annotated[float, msgspec.Meta(ge=0, le=1)] = 0.3
    """Share of the question's words in the best document below which `query_coverage` is raised."""

    stale_after_days: Annotated[float, msgspec.Meta(gt=0)] | None = None
    """How old the newest dated document of a retrieval may be. Dates are read from the documents' metadata
    (`updated_at`, `date`, ...)."""

    output_schemas: dict[str, str] = {}
    """Paths of JSON schemas by `gen_ai.prompt.name`: answers to that prompt are held against them. A span may name its
    own in `otel_llm.request.output_schema`."""

    max_content_size: Annotated[int, msgspec.Meta(ge=1024)] = 1024 * 1024
    """Characters of the largest message attribute that is read; operations with larger ones are counted as skipped."""

    remembered_traces: Annotated[int, msgspec.Meta(ge=1)] = 5_000
    """How many traces are remembered for what spans operations: words of retrieved documents, tool calls, failures.
    Some 50 KB each at most, and 100 MB in all for words: where documents are long, fewer traces."""

    remembered_spans: Annotated[int, msgspec.Meta(ge=0)] = 100_000
    """How many spans are remembered to count each of them once when senders retry; some 150 bytes each."""

    series_limit: Annotated[int, msgspec.Meta(ge=1)] = 2000
    """How many series one metric may have; the rest is summed up in one series with `otel.metric.overflow`."""


MAX_SCHEMA_BYTES: Final = 256 * 1024
