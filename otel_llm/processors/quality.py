"""The quality processor: flags and scores on the span, rates as metrics; docs/quality.md has the definitions.

Adds `otel_llm.quality.flags` (what is raised), `otel_llm.quality.checks` (what could be told), one attribute for each
signal that is raised, and scores. A span that another otel_llm before this one has looked at stays as it is.

Where messages are in log events (`gen_ai.client.inference.operation.details`) and not on the span, it stands in a logs
pipeline, too, and what the content tells is on the event. Each span's content is counted once, wherever it came.
"""

from __future__ import annotations

from collections import Counter as Tally
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final, get_args

import msgspec

from otel_llm._generated import attributes as names
from otel_llm._generated import metrics as definitions
from otel_llm.components import Context
from otel_llm.errors import ConfigError
from otel_llm.operation import AttributeValue, Operation
from otel_llm.processors.quality_config import MAX_SCHEMA_BYTES, Config
from otel_llm.processors.quality_reading import Reader, documents_of, failed_result
from otel_llm.processors.seen import SeenSpans
from otel_llm.quality.signals import completeness, outliers, retrieval, support
from otel_llm.quality.signals.checks import Asked, Checks, Findings, Signal
from otel_llm.quality.signals.exchange import Answer, last_question, read_answer, step_of, steps_of
from otel_llm.quality.signals.tool_calls import ToolCall
from otel_llm.quality.signals.traces import DEEPEST, Traces

__all__ = ["Config", "Quality", "create"]

_INFERENCE: Final = frozenset({"chat", "generate_content", "text_completion"})
_AGENTS: Final = frozenset({"invoke_agent", "invoke_workflow"})
_ERROR_STATUS: Final = 2
_NANO: Final = 10**9
_DAY: Final = 86_400 * _NANO
# Fewer tokens say little about the rate.
_FEWEST_TOKENS: Final = 32
_VALUE_LENGTH_LIMIT: Final = 128
_DETAILS_EVENT: Final = "gen_ai.client.inference.operation.details"
# What is read off the messages of an answer; all else is told by the span.
_OF_CONTENT: Final[frozenset[Signal]] = frozenset(
    {
        "empty",
        "refusal",
        "repetition",
        "invalid_json",
        "unknown_tool",
        "invalid_tool_arguments",
        "agent_loop",
        "language_mismatch",
        "prompt_leak",
        "lexical_support",
        "missing_citation",
        "user_friction",
    }
)
# Counted only: see friction.py.
_RATE_ONLY: Final = frozenset({"user_friction"})

_SEGMENT: Final = (
    names.GEN_AI_OPERATION_NAME,
    names.GEN_AI_REQUEST_MODEL,
    names.GEN_AI_RESPONSE_MODEL,
    names.GEN_AI_PROMPT_NAME,
    names.GEN_AI_PROMPT_VERSION,
)
_KEYS: Final = {signal: f"otel_llm.quality.{signal}" for signal in get_args(Signal)}
_SIGNALS: Final[frozenset[Signal]] = frozenset(_KEYS)
_Segment = tuple[str, ...]
# What was found of how many operations: most of a request have the same checks and flags, and are counted at once.
_Counts = Tally[tuple[_Segment, tuple[Signal, ...], tuple[Signal, ...]]]


class Quality:
    """Looks at operations.

    Args:
        config: the user's settings.
        schemas: JSON schemas of answers by prompt name.
        context: name and metrics.
    """

    reads = frozenset(
        {
            *_SEGMENT,
            names.GEN_AI_PROVIDER_NAME,
            names.GEN_AI_INPUT_MESSAGES,
            names.GEN_AI_OUTPUT_MESSAGES,
            names.GEN_AI_OUTPUT_TYPE,
            names.GEN_AI_SYSTEM_INSTRUCTIONS,
            names.GEN_AI_TOOL_DEFINITIONS,
            names.GEN_AI_TOOL_NAME,
            names.GEN_AI_TOOL_CALL_ARGUMENTS,
            names.GEN_AI_TOOL_CALL_RESULT,
            names.GEN_AI_RETRIEVAL_DOCUMENTS,
            names.GEN_AI_RETRIEVAL_QUERY_TEXT,
            names.GEN_AI_RESPONSE_FINISH_REASONS,
            names.GEN_AI_RESPONSE_TIME_TO_FIRST_CHUNK,
            names.GEN_AI_USAGE_OUTPUT_TOKENS,
            names.ERROR_TYPE,
        }
    )
    writes = frozenset(
        {
            names.OTEL_LLM_QUALITY_FLAGS,
            names.OTEL_LLM_QUALITY_CHECKS,
            names.OTEL_LLM_QUALITY_ANSWER_TYPE,
            *(key for signal, key in _KEYS.items() if signal not in _RATE_ONLY),
        }
    )

    def __init__(self, config: Config, schemas: dict[str, object], context: Context) -> None:
        self.name = context.name
        self._on = config.signals.enabled()
        self._checks = Checks(self._on, config.min_lexical_support, config.min_query_coverage)
        self._stale_nano = None if config.stale_after_days is None else int(config.stale_after_days * _DAY)
        self._schemas = schemas
        self._reader = Reader(config.max_content_size)
        self._traces = Traces(config.remembered_traces)
        self._levels = outliers.Levels()
        self._seen = SeenSpans(config.remembered_spans)
        self._seen_content = SeenSpans(config.remembered_spans)
        keys = (names.OTEL_LLM_QUALITY_SIGNAL, *_SEGMENT, names.SERVICE_NAME)
        metrics, limit = context.metrics, config.series_limit
        self._checked = metrics.counter(definitions.OTEL_LLM_QUALITY_OPERATIONS_CHECKED, keys, limit)
        self._raised = metrics.counter(definitions.OTEL_LLM_QUALITY_OPERATIONS_RAISED, keys, limit)
        self._scores = metrics.histogram(definitions.OTEL_LLM_QUALITY_SCORE, keys, limit)
        self._skipped = metrics.counter(
            definitions.OTEL_LLM_QUALITY_OPERATIONS_SKIPPED, (names.OTEL_LLM_QUALITY_SKIP_REASON,)
        )

    def process(self, operations: Iterable[Operation]) -> None:
        """Look at each of them; retrievals first, for answers are held against what was retrieved."""
        found: dict[int, Findings] = {}
        passed: list[Operation] = []
        is_complete = False
        try:
            for operation in operations:
                if operation.operation_name == "retrieval" and not _is_done(operation):
                    found[id(operation)] = findings = Findings()
                    self._retrieval(operation, findings)
                passed.append(operation)
            is_complete = True
        finally:
            if not is_complete:  # the pipeline goes on behind the one that failed, and does not come back to these
                self._each(passed, found)
        self._each(operations, found)

    def _each(self, operations: Iterable[Operation], found: Mapping[int, Findings]) -> None:
        counts: _Counts = Tally()
        try:
            for operation in operations:
                if _is_done(operation):
                    continue
                findings = found.get(id(operation)) or Findings()
                if operation.name == _DETAILS_EVENT:
                    findings = self._told_by_event(operation)
                    _write(operation, findings)
                    self._count(operation, self._fresh(operation, findings), counts)
                    continue
                is_new = self._seen.is_new(operation)
                self._look(operation, findings, is_new=is_new)
                _write(operation, findings)
                if is_new:
                    self._count(operation, self._fresh(operation, findings), counts)
        finally:
            for (segment, checked, raised), number in counts.items():
                for signal in checked:
                    self._checked.add(number, signal, *segment)
                for signal in raised:
                    self._raised.add(number, signal, *segment)

    def _told_by_event(self, operation: Operation) -> Findings:
        """What content tells; the span tells all else."""
        findings = Findings()
        has_content = operation.get(names.GEN_AI_OUTPUT_MESSAGES) is not None
        if operation.operation_name in _INFERENCE and has_content and operation.get(names.ERROR_TYPE) is None:
            self._answer(operation, findings)
        return findings.only(_OF_CONTENT)

    def _fresh(self, operation: Operation, findings: Findings) -> Findings:
        """What is to be counted: without what the same content has told before, on a span or in an event."""
        if operation.get(names.GEN_AI_OUTPUT_MESSAGES) is None or _OF_CONTENT.isdisjoint(findings.checked):
            return findings
        if operation.operation_name not in _INFERENCE or self._seen_content.is_new(operation):
            return findings
        return findings.only(_SIGNALS - _OF_CONTENT)

    def _look(self, operation: Operation, findings: Findings, *, is_new: bool) -> None:
        name = operation.operation_name
        failed = operation.status_code == _ERROR_STATUS or operation.get(names.ERROR_TYPE) is not None
        if name in _INFERENCE and not failed:
            self._answer(operation, findings)
        elif name == "execute_tool":
            failed = self._tool(operation, findings, failed=failed)
        if "agent_recursion" in self._on and name is not None:
            height = self._traces.height(*operation.identity, is_agent=name in _AGENTS)
            if name in _AGENTS:
                findings.note("agent_recursion", height >= DEEPEST)
        if name in _INFERENCE or name == "embeddings":
            self._row_of_failures(operation, operation.request_model, findings, failed=failed)
            if is_new and not failed:
                self._times(operation, name, findings)
        elif name == "execute_tool":
            self._row_of_failures(operation, operation.text(names.GEN_AI_TOOL_NAME), findings, failed=failed)

    def _answer(self, operation: Operation, findings: Findings) -> None:
        if operation.get(names.GEN_AI_OUTPUT_MESSAGES) is None:
            self._without_content(operation, findings)
            return
        if not self._is_readable(operation, names.GEN_AI_OUTPUT_MESSAGES):
            self._without_content(operation, findings)
            return
        answer = read_answer(operation.output_messages)
        self._checks.run(answer, self._asked(operation, answer), findings)

    def _is_readable(self, operation: Operation, key: str) -> bool:
        reason = self._reader.skips(operation, key)
        if reason is not None:
            self._skipped.add(1, reason)
        return reason is None

    def _without_content(self, operation: Operation, findings: Findings) -> None:
        """What the numbers alone tell."""
        if "truncated" in self._on:
            findings.note("truncated", completeness.is_truncated(operation.finish_reasons))
        if "empty" in self._on and operation.output_tokens == 0:
            findings.note("empty", raised=True)

    def _asked(self, operation: Operation, answer: Answer) -> Asked:
        instructions = self._reader.instructions(operation)
        # A history that is too long does not keep the answer from being looked at.
        messages = operation.input_messages if self._is_readable(operation, names.GEN_AI_INPUT_MESSAGES) else ()
        schema = self._reader.schema(operation)
        if schema is None and self._schemas:
            schema = self._schemas.get(operation.text(names.GEN_AI_PROMPT_NAME) or "")
        wants_loops = answer.tool_calls and "agent_loop" in self._on
        return Asked(
            question=last_question(messages),
            finish_reasons=operation.finish_reasons,
            pieces=instructions.pieces,
            wants_citations=instructions.wants_citations,
            tools=self._reader.tools(operation) if answer.tool_calls else None,
            wants_json=operation.get(names.GEN_AI_OUTPUT_TYPE) == "json",
            schema=schema,
            words=self._traces.words(operation.trace_id),
            steps=steps_of(messages, answer) if wants_loops else (),
        )

    def _retrieval(self, operation: Operation, findings: Findings) -> None:
        found = documents_of(operation)
        if found is None:
            return
        documents, metadata = found
        self._traces.retrieved(operation.trace_id, documents.all_words)
        if "empty_retrieval" in self._on:
            findings.note("empty_retrieval", not metadata)
        if "stale_retrieval" in self._on and self._stale_nano is not None and operation.start_unix_nano:
            newest = retrieval.newest_unix_nano(metadata)
            if newest is not None:
                findings.note("stale_retrieval", operation.start_unix_nano - newest > self._stale_nano)
        query = operation.text(names.GEN_AI_RETRIEVAL_QUERY_TEXT)
        if "query_coverage" in self._on and query is not None:
            coverage = support.query_coverage(query, documents)
            findings.score("query_coverage", coverage, self._checks.least_coverage)

    def _tool(self, operation: Operation, findings: Findings, *, failed: bool) -> bool:
        """Look at a tool's execution; whether it failed."""
        says = failed_result(operation)
        failed = failed or says is True
        if "tool_error" in self._on and (failed or says is not None or operation.status_code):
            findings.note("tool_error", failed)
        tool, arguments = operation.text(names.GEN_AI_TOOL_NAME), operation.get(names.GEN_AI_TOOL_CALL_ARGUMENTS)
        if "agent_loop" in self._on and tool is not None and arguments is not None:
            step = step_of(ToolCall(tool, arguments), operation.get(names.GEN_AI_TOOL_CALL_RESULT))
            findings.note("agent_loop", self._traces.stepped(operation.trace_id, operation.span_id, step))
        return failed

    def _row_of_failures(self, operation: Operation, target: str | None, findings: Findings, *, failed: bool) -> None:
        if "retry_storm" in self._on and target is not None:
            trace_id, span_id, _ = operation.identity
            findings.note("retry_storm", self._traces.called(trace_id, span_id, target, failed=failed))

    def _times(self, operation: Operation, name: str, findings: Findings) -> None:
        """Duration and rate, held against those of late."""
        seconds = (operation.end_unix_nano - operation.start_unix_nano) / _NANO
        if seconds <= 0 or not operation.start_unix_nano:
            return
        model = operation.response_model or operation.request_model
        kind = tuple((one or "")[:_VALUE_LENGTH_LIMIT] for one in (name, operation.provider_name, model))
        if "slow" in self._on:
            findings.note("slow", outliers.is_slow(self._levels.update((*kind, "seconds"), seconds)))
        rate = _tokens_a_second(operation, seconds) if "slow_output" in self._on else None
        if rate is not None:
            findings.note("slow_output", outliers.is_low(self._levels.update((*kind, "rate"), rate)))

    def _count(self, operation: Operation, findings: Findings, counts: _Counts) -> None:
        if not findings.checked:
            return
        segment = _segment(operation)
        counts[segment, tuple(findings.checked), tuple(findings.raised)] += 1
        for signal, score in findings.scores.items():
            self._scores.record(score, signal, *segment)


def _is_done(operation: Operation) -> bool:
    """Whether another otel_llm has looked at it."""
    return operation.get(names.OTEL_LLM_QUALITY_CHECKS) is not None


def _write(operation: Operation, findings: Findings) -> None:
    checked = [signal for signal in findings.checked if signal not in _RATE_ONLY]
    if not checked:
        return
    raised = [signal for signal in findings.raised if signal not in _RATE_ONLY]
    added: dict[str, AttributeValue] = {
        names.OTEL_LLM_QUALITY_CHECKS: tuple(checked),
        names.OTEL_LLM_QUALITY_FLAGS: tuple(raised),
    }
    for signal in raised:
        if signal not in findings.scores:
            added[_KEYS[signal]] = True
    for signal, score in findings.scores.items():
        added[_KEYS[signal]] = round(score, 4)
    if findings.answer_type not in (None, "answered"):
        added[names.OTEL_LLM_QUALITY_ANSWER_TYPE] = findings.answer_type
    operation.update(added)


def _segment(operation: Operation) -> _Segment:
    service = operation.resource.get(names.SERVICE_NAME)
    values = [*map(operation.text, _SEGMENT), service]
    return tuple("" if value is None else str(value)[:_VALUE_LENGTH_LIMIT] for value in values)


def _tokens_a_second(operation: Operation, seconds: float) -> float | None:
    """Output tokens a second, from the first chunk on where that is known."""
    tokens = operation.output_tokens
    first = operation.get(names.GEN_AI_RESPONSE_TIME_TO_FIRST_CHUNK)
    if isinstance(first, float) and 0 < first < seconds:
        seconds -= first
    return tokens / seconds if tokens is not None and tokens >= _FEWEST_TOKENS else None


def create(config: Config, context: Context) -> Quality:
    """The processor.

    Raises:
        ConfigError: a schema file cannot be read.
    """
    schemas: dict[str, object] = {}
    problems: list[str] = []
    for prompt, path in config.output_schemas.items():
        setting = f"processors.{context.name}.output_schemas.{prompt}"
        try:
            text = Path(path).expanduser().read_bytes()
            if len(text) > MAX_SCHEMA_BYTES:
                problems.append(f"{setting}: expected at most {MAX_SCHEMA_BYTES} bytes, got {len(text)}; {path}")
                continue
            schemas[prompt] = msgspec.json.decode(text)
        except (OSError, msgspec.DecodeError, RecursionError) as error:
            problems.append(f"{setting}: cannot read {path} as JSON ({type(error).__name__}); give a JSON schema")
    if problems:
        raise ConfigError(problems)
    return Quality(config, schemas, context)
