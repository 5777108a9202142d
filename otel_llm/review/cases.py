"""Cases for review: operations with their content, from files of OTLP JSON lines, joined with what the ledger knows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from otel_llm._generated import attributes as names
from otel_llm.codecs.json import MAX_BODY_BYTES, to_protobuf
from otel_llm.codecs.wire import decode_traces
from otel_llm.errors import ConfigError, MalformedError
from otel_llm.ledger.evaluations import StoredEvaluation
from otel_llm.operation import Operation
from otel_llm.quality.review import Case, Opinion
from otel_llm.quality.signals.exchange import last_question, read_answer

_INFERENCE: Final = frozenset({"chat", "generate_content", "text_completion"})
_CHARACTERS: Final = 20_000


@dataclass(frozen=True, slots=True)
class Content:
    """What a person is shown of an operation; texts are cut at 20,000 characters.

    Attributes:
        case: the operation.
        question: the last message of the user.
        answer: the text of the answer.
        tool_calls: names of the tools that the answer calls.
        model, service, prompt: of the operation; empty when not known.
    """

    case: Case
    question: str
    answer: str
    tool_calls: tuple[str, ...]
    model: str
    service: str
    prompt: str


def read_contents(paths: Iterable[Path], known: Iterable[StoredEvaluation], limit: int) -> list[Content]:
    """The operations in files that have an answer; the last `limit` of them, each once.

    Args:
        paths: files of OTLP JSON lines.
        known: what the ledger has of evaluations.
        limit: how many.

    Raises:
        ConfigError: a file cannot be read, or has a line that is not OTLP JSON.
    """
    opinions = _opinions(known)
    found: dict[bytes, Content] = {}
    for path in paths:
        for operation in _operations(path):
            content = _content(operation, opinions)
            if content is not None:
                found.pop(content.case.key, None)
                found[content.case.key] = content
                if len(found) > limit:
                    del found[next(iter(found))]
    return list(found.values())


def _opinions(known: Iterable[StoredEvaluation]) -> Mapping[bytes, list[Opinion]]:
    found: dict[bytes, list[Opinion]] = {}
    for one in known:
        evaluation = one.evaluation
        if one.trace_id and one.span_id and not evaluation.error_type:
            opinion = Opinion(
                evaluation.name, evaluation.score, evaluation.label, evaluation.source, evaluation.evaluator_id
            )
            found.setdefault(one.trace_id + one.span_id, []).append(opinion)
    return found


def _operations(path: Path) -> Iterator[Operation]:
    try:
        with path.open("rb") as file:
            number = 0
            while line := file.readline(MAX_BODY_BYTES + 1):
                number += 1
                # The file exporter writes all signals into one file.
                if b'"resourceSpans"' in line[:64]:
                    yield from decode_traces(to_protobuf("traces", line)).operations
    except OSError as error:
        raise ConfigError([f"{path}: cannot be read ({error.strerror}); give files of the file exporter"]) from error
    except MalformedError as error:
        raise ConfigError([f"{path}:{number}: {error}; give files of the file exporter"]) from error


def _content(operation: Operation, opinions: Mapping[bytes, Sequence[Opinion]]) -> Content | None:
    if operation.operation_name not in _INFERENCE or not (operation.trace_id and operation.span_id):
        return None
    answer = read_answer(operation.output_messages)
    if not answer.text and not answer.tool_calls:
        return None
    key = operation.trace_id + operation.span_id
    flags = operation.get(names.OTEL_LLM_QUALITY_FLAGS)
    case = Case(
        key,
        tuple(flag for flag in flags if isinstance(flag, str)) if isinstance(flags, tuple) else (),
        operation.get(names.OTEL_LLM_QUALITY_ANSWER_TYPE) == "hedged",
        tuple(opinions.get(key, ())),
    )
    return Content(
        case,
        last_question(operation.input_messages)[:_CHARACTERS],
        answer.text[:_CHARACTERS],
        tuple(call.name for call in answer.tool_calls),
        operation.response_model or operation.request_model or "",
        str(operation.resource.get(names.SERVICE_NAME) or ""),
        "@".join(filter(None, map(operation.text, (names.GEN_AI_PROMPT_NAME, names.GEN_AI_PROMPT_VERSION)))),
    )
