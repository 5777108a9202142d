"""What apps say themselves: `otel_llm.workflow`, `agent`, `tool`, `retrieval`, `task`, `context`, `feedback` and more.

with otel_llm.context(session="s-1", tenant="acme", feature="search", prompt=("answer", "3")):
    with otel_llm.workflow("answer") as step:
        step.input(question)
        ...

@otel_llm.tool                      # or @otel_llm.tool("search", description="...")
def search(query: str) -> list[str]: ...

@otel_llm.retrieval("handbook")     # a Chroma, Qdrant or pgvector call: its query and documents are read
def find(query: str): return collection.query(query_texts=[query])
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import Any, TypeVar, overload

from opentelemetry import context as otel_context
from opentelemetry.trace import SpanKind

from otel_llm._generated import attributes as names
from otel_llm.instrumentation import ambient, results
from otel_llm.instrumentation.ambient import Ambient, carrier, headers
from otel_llm.instrumentation.steps import Step
from otel_llm.operation import AttributeValue
from otel_llm.quality.results import USER_FEEDBACK, Source

__all__ = [
    "agent",
    "carrier",
    "context",
    "evaluation",
    "feedback",
    "headers",
    "restore",
    "retrieval",
    "task",
    "tool",
    "workflow",
]

F = TypeVar("F", bound="Callable[..., Any]")


def _made(kind: str, name: Any, attributes: Mapping[str, AttributeValue]) -> Any:  # noqa: ANN401 - a Step, or a function
    is_function = callable(name)
    span_kind = SpanKind.CLIENT if kind == "retrieval" else SpanKind.INTERNAL
    step = Step(kind, None if is_function else name, attributes, span_kind)
    return step(name) if is_function else step


@overload
def workflow(name: F) -> F: ...
@overload
def workflow(name: str | None = None) -> Step: ...
def workflow(name: Any = None) -> Any:
    """A whole run: a chain, a graph, a request of the app that calls models. Its name is of low cardinality."""
    return _made("invoke_workflow", name, {})


@overload
def agent(name: F) -> F: ...
@overload
def agent(name: str | None = None, *, description: str | None = None, model: str | None = None) -> Step: ...
def agent(name: Any = None, *, description: str | None = None, model: str | None = None) -> Any:
    """One run of an agent: the model calls and tools that belong to it are below."""
    return _made("invoke_agent", name, {names.GEN_AI_AGENT_DESCRIPTION: description, names.GEN_AI_REQUEST_MODEL: model})


@overload
def tool(name: F) -> F: ...
@overload
def tool(
    name: str | None = None, *, description: str | None = None, call_id: str | None = None, type: str = ...
) -> Step: ...
def tool(
    name: Any = None,
    *,
    description: str | None = None,
    call_id: str | None = None,
    type: str = "function",  # noqa: A002 - the conventions' word
) -> Any:
    """One execution of a tool that a model asked for."""
    found = {
        names.GEN_AI_TOOL_DESCRIPTION: description,
        names.GEN_AI_TOOL_CALL_ID: call_id,
        names.GEN_AI_TOOL_TYPE: type,
    }
    return _made("execute_tool", name, found)


@overload
def retrieval(name: F) -> F: ...
@overload
def retrieval(
    name: str | None = None, *, top_k: int | None = None, provider: str | None = None, model: str | None = None
) -> Step: ...
def retrieval(
    name: Any = None, *, top_k: int | None = None, provider: str | None = None, model: str | None = None
) -> Any:
    """A search in a data source, such as a vector database. The name is the data source's id."""
    found = {
        names.GEN_AI_RETRIEVAL_TOP_K: top_k,
        names.GEN_AI_PROVIDER_NAME: provider,
        names.GEN_AI_REQUEST_MODEL: model,
    }
    return _made("retrieval", name, found)


@overload
def task(name: F) -> F: ...
@overload
def task(name: str | None = None) -> Step: ...
def task(name: Any = None) -> Any:
    """A step of a workflow that is nothing of the above."""
    return _made("task", name, {})


def context(
    *,
    session: str | None = None,
    user: str | None = None,
    tenant: str | None = None,
    owner: str | None = None,
    feature: str | None = None,
    prompt: tuple[str, str] | None = None,
) -> Ambient:
    """What holds for everything below, as a `with` block or a decorator: on every span, and but for session and user
    on every metric. Inner ones win over outer ones, within their block. See `ambient` for where it goes and where not.

    Args:
        session: `session.id`.
        user: `user.id`.
        tenant: whose data it is.
        owner: who pays.
        feature: what part of the app.
        prompt: name and version of the prompt.
    """  # noqa: D205 - one sentence does not fit a line
    name, version = prompt or (None, None)
    return Ambient(
        {
            names.SESSION_ID: session,
            names.USER_ID: user,
            names.OTEL_LLM_TENANT_ID: tenant,
            names.OTEL_LLM_OWNER_NAME: owner,
            names.OTEL_LLM_FEATURE_NAME: feature,
            names.GEN_AI_PROMPT_NAME: name,
            names.GEN_AI_PROMPT_VERSION: version,
        }
    )


@contextmanager
def _within(carried: Mapping[str, str]) -> Any:  # noqa: ANN401 - a context manager
    token = otel_context.attach(ambient.arrived(carried))
    try:
        yield
    finally:
        otel_context.detach(token)


def restore(carried: Mapping[str, str]) -> AbstractContextManager[None]:
    """A `with` block in the context that `otel_llm.carrier()` took along elsewhere: in a job, a message, a request."""
    found: AbstractContextManager[None] = _within(carried)
    return found


def evaluation(  # noqa: PLR0913 - each is a word of the event, by name and optional
    name: str,
    *,
    score: float | None = None,
    label: str | None = None,
    explanation: str | None = None,
    trace_id: str | int | None = None,
    span_id: str | int | None = None,
    response_id: str | None = None,
    evaluator: str | None = None,
    version: str | None = None,
    source: Source | None = None,
    error: str | None = None,
) -> str:
    """A result of an evaluation, now or days later, of an answer named by trace (and span) or by response id.

    Args:
        name: what was evaluated, e.g. `helpfulness`.
        score: a number.
        label: a word.
        explanation: why; free text, which is exported as it is given.
        trace_id: of the evaluated trace; the current span is the target when neither this nor `response_id` is given.
        span_id: of the evaluated span in it.
        response_id: the provider's id of the answer.
        evaluator: who or what evaluated.
        version: of the evaluator.
        source: whether that was code, a model or a person.
        error: why the evaluator failed, of low cardinality; it then has neither score nor label.

    Returns:
        The result's id: the same again for the same target, name and evaluator in the same version.

    Raises:
        ValueError: there is neither a score nor a label nor an error, or no target.
    """
    if score is None and label is None and error is None:
        raise ValueError("an evaluation has a score, a label or an error")
    found = {
        names.GEN_AI_EVALUATION_SCORE_VALUE: None if score is None else float(score),
        names.GEN_AI_EVALUATION_SCORE_LABEL: label,
        names.GEN_AI_EVALUATION_EXPLANATION: explanation,
        names.OTEL_LLM_EVALUATION_EVALUATOR_SOURCE: source,
        names.ERROR_TYPE: error,
    }
    target = results.target_of(trace_id, span_id, response_id)
    return results.emit(name, target, found, evaluator=(evaluator, version))


def feedback(  # noqa: PLR0913 - as above
    score: float | None = None,
    *,
    label: str | None = None,
    comment: str | None = None,
    trace_id: str | int | None = None,
    span_id: str | int | None = None,
    response_id: str | None = None,
    user: str | None = None,
    name: str = USER_FEEDBACK,
) -> str:
    """What a person thought of an answer: an evaluation by a human. Several users of one answer are told apart.

    Returns and raises as `evaluation`.
    """
    return evaluation(
        name,
        score=score,
        label=label,
        explanation=comment,
        trace_id=trace_id,
        span_id=span_id,
        response_id=response_id,
        evaluator=user,
        source="human",
    )
