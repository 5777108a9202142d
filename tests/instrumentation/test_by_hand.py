"""What apps say themselves: steps, context, results."""

from __future__ import annotations

import asyncio
import json
import logging
import multiprocessing
import threading
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from types import SimpleNamespace
from typing import NamedTuple

import pytest
from opentelemetry import baggage, context, trace
from opentelemetry.trace import SpanKind, StatusCode

import otel_llm
from otel_llm import errors
from otel_llm.hosts.sdk import Ambient
from otel_llm.instrumentation import ambient
from otel_llm.instrumentation.steps import STEPS
from tests.instrumentation.recording import CONTENT, Recording

EVERYTHING = {
    "session": "s-1",
    "user": "u-1",
    "tenant": "acme",
    "owner": "team-a",
    "feature": "search",
    "prompt": ("answer", "3"),
}
SAID = {
    "session.id": "s-1",
    "user.id": "u-1",
    "otel_llm.tenant.id": "acme",
    "otel_llm.owner.name": "team-a",
    "otel_llm.feature.name": "search",
    "gen_ai.prompt.name": "answer",
    "gen_ai.prompt.version": "3",
}
MESSAGES = [{"role": "user", "content": "Hi"}]


@pytest.fixture
def steps(recording):
    STEPS.use(recording.engine())
    yield recording
    STEPS.use(None)


@pytest.fixture
def captured(recording):
    STEPS.use(recording.engine(CONTENT))
    yield recording
    STEPS.use(None)


def test_steps_nest_and_are_named_as_the_conventions_have_them(steps):
    with otel_llm.workflow("answer"), otel_llm.agent("planner", model="gpt-4o"):
        with otel_llm.tool("search", description="Searches.", call_id="c1"):
            pass
        with otel_llm.retrieval("handbook", top_k=3):
            pass
        with otel_llm.task("rank"):
            pass
    tool, retrieval, task, agent, workflow = steps.spans
    names = [span.name for span in steps.spans]
    assert names == [
        "execute_tool search",
        "retrieval handbook",
        "task rank",
        "invoke_agent planner",
        "invoke_workflow answer",
    ]
    assert {span.parent.span_id for span in (tool, retrieval, task)} == {agent.context.span_id}
    assert agent.parent.span_id == workflow.context.span_id
    assert (tool.kind, retrieval.kind) == (SpanKind.INTERNAL, SpanKind.CLIENT)
    assert dict(tool.attributes) == {
        "gen_ai.operation.name": "execute_tool",
        "gen_ai.tool.name": "search",
        "gen_ai.tool.type": "function",
        "gen_ai.tool.description": "Searches.",
        "gen_ai.tool.call.id": "c1",
        "gen_ai.agent.name": "planner",
    }
    assert dict(retrieval.attributes) == {
        "gen_ai.operation.name": "retrieval",
        "gen_ai.data_source.id": "handbook",
        "gen_ai.retrieval.top_k": 3,
    }
    assert dict(task.attributes) == {"otel_llm.task.name": "rank"}
    assert not trace.get_current_span().get_span_context().is_valid


def test_steps_are_measured(steps):
    with otel_llm.context(tenant="acme", user="u-1"), otel_llm.agent("planner"):
        pass
    [point] = steps.points()["gen_ai.invoke_agent.duration"]
    assert dict(point.attributes) == {"gen_ai.agent.name": "planner", "otel_llm.tenant.id": "acme"}


def test_functions_of_every_kind_are_decorated_and_return_what_they_returned(steps):
    @otel_llm.tool
    def add(left: int, right: int) -> int:
        """Adds."""
        return left + right

    @otel_llm.agent("planner")
    async def plan():
        await asyncio.sleep(0)
        return "planned"

    @otel_llm.workflow()
    def stream():
        yield trace.get_current_span().get_span_context().span_id
        yield trace.get_current_span().get_span_context().span_id

    @otel_llm.workflow
    async def astream():
        yield 1

    async def collect():
        return [one async for one in astream()]

    assert add(1, right=2) == 3
    assert (add.__name__, add.__doc__) == ("add", "Adds.")
    assert asyncio.run(plan()) == "planned"
    seen = []
    for within in stream():
        seen.append(within)
        assert not trace.get_current_span().get_span_context().is_valid
    assert asyncio.run(collect()) == [1]
    stream_ = steps.spans[2]
    names = ["execute_tool add", "invoke_agent planner", "invoke_workflow stream", "invoke_workflow astream"]
    assert [span.name for span in steps.spans] == names
    assert seen == [stream_.context.span_id] * 2


def test_a_step_that_raises_says_what_and_raises_it(steps):
    with pytest.raises(ZeroDivisionError), otel_llm.tool("divide"):
        1 / 0  # noqa: B018 - it raises
    span = steps.span()
    assert span.status.status_code is StatusCode.ERROR
    assert span.attributes["error.type"] == "ZeroDivisionError"


def test_a_cancelled_step_is_no_error(steps):
    async def cancelled():
        started = asyncio.Event()

        @otel_llm.agent("slow")
        async def slow():
            started.set()
            await asyncio.Event().wait()

        task = asyncio.create_task(slow())
        await started.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(cancelled())
    span = steps.span()
    assert span.status.status_code is StatusCode.UNSET
    assert span.attributes["error.type"] == "asyncio.CancelledError"


def test_generators_left_anywhere_leave_no_context_behind(steps, caplog):
    """Acceptance 4."""

    @otel_llm.workflow("stream")
    async def stream():
        for number in range(10):
            yield number

    async def leave():
        chunks = stream()
        async for _ in chunks:
            break
        await asyncio.create_task(chunks.aclose())
        return trace.get_current_span().get_span_context().is_valid

    with caplog.at_level(logging.DEBUG, "opentelemetry.context"):
        for _ in range(200):
            assert asyncio.run(leave()) is False
    assert caplog.records == []
    assert len(steps.spans) == 200


def test_content_is_captured_only_when_asked_for(steps):
    otel_llm.tool(lambda query: query)("secret")
    assert not any("secret" in str(value) for value in steps.attributes().values())


def test_arguments_results_and_documents_are_captured_when_asked_for(captured):
    @otel_llm.tool("search")
    def search(query: str, limit: int = 3) -> dict:
        return {"hits": [query] * limit}

    @otel_llm.retrieval("handbook")
    def find(query: str):
        assert query
        return [{"id": "d1", "score": 0.9, "text": "Paris"}]

    search("capital", limit=1)
    find("capital")
    with otel_llm.agent("planner") as step:
        step.input("Hi").output([{"role": "assistant", "content": "Hello"}])
    tool, retrieval, agent = (dict(span.attributes) for span in captured.spans)
    assert json.loads(tool["gen_ai.tool.call.arguments"]) == {"query": "capital", "limit": 1}
    assert json.loads(tool["gen_ai.tool.call.result"]) == {"hits": ["capital"]}
    assert retrieval["gen_ai.retrieval.query.text"] == "capital"
    assert json.loads(retrieval["gen_ai.retrieval.documents"]) == [{"id": "d1", "score": 0.9, "content": "Paris"}]
    [said] = json.loads(agent["gen_ai.input.messages"])
    assert said == {"role": "user", "parts": [{"type": "text", "content": "Hi"}]}


class Row(NamedTuple):
    id: str
    content: str
    distance: float


class Document:
    def __init__(self, content: str, **metadata: object) -> None:
        self.id = "d1"
        self.page_content = content
        self.metadata = metadata


NODE = SimpleNamespace(node=SimpleNamespace(node_id="d1", text="Paris", metadata={"page": 3}), score=0.9)
PARIS = {"id": "d1", "content": "Paris"}
RETURNED = {
    "chroma query": (
        {
            "ids": [["d1"]],
            "documents": [["Paris"]],
            "distances": [[0.2]],
            "metadatas": [[{"page": 3}]],
            "embeddings": None,
        },
        {**PARIS, "metadata": {"page": 3, "distance": 0.2}},
    ),
    "chroma get": ({"ids": ["d1"], "documents": ["Paris"], "metadatas": None}, PARIS),
    "chroma without texts": ({"ids": [["d1"]], "documents": None, "distances": [[0.2]]}, None),
    "qdrant points": (
        SimpleNamespace(points=[SimpleNamespace(id=1, score=0.9, payload={"text": "Paris", "page": 3})]),
        {"id": "1", "score": 0.9, "content": "Paris", "metadata": {"text": "Paris", "page": 3}},
    ),
    "langchain": ([Document("Paris", page=3)], {**PARIS, "metadata": {"page": 3}}),
    "langchain with score": ([(Document("Paris"), 0.9)], {**PARIS, "score": 0.9}),
    "llama index": ([NODE], {**PARIS, "score": 0.9, "metadata": {"page": 3}}),
    "pgvector rows": ([("d1", "Paris", 0.2)], PARIS),
    "pgvector named rows": ([Row("d1", "Paris", 0.2)], {**PARIS, "metadata": {"distance": 0.2}}),
    "pgvector mappings": ([{**PARIS, "embedding": [0.1, 0.2], "score": 0.9}], {**PARIS, "score": 0.9}),
}


@pytest.mark.parametrize("database", RETURNED)
def test_documents_of_every_database_are_read(captured, database):
    returned, expected = RETURNED[database]
    assert otel_llm.retrieval("kb")(lambda query: returned if query else None)("capital") is returned
    [document] = json.loads(captured.attributes()["gen_ai.retrieval.documents"])
    assert document == (expected or {"id": "d1", "metadata": {"distance": 0.2}})


def test_a_retrieval_that_returns_nothing_that_is_known_is_no_failure(captured):
    for returned in (None, 3, "text", [], [None], {}):
        otel_llm.retrieval("kb")(lambda query, returned=returned: returned if query else None)("capital")
    assert len(captured.spans) == 6


def test_redacted_content_keeps_nothing_of_a_tools_arguments(recording):
    STEPS.use(recording.engine({**CONTENT, "OTEL_LLM_CONTENT": "redacted"}))
    try:
        otel_llm.tool("mail")(lambda to: {"sent": to})("ada@example.org")
    finally:
        STEPS.use(None)
    assert not any("ada" in str(value) for value in recording.attributes().values())


def test_what_fails_on_our_side_does_not_reach_the_app(steps, caplog):
    class Bad:
        def __repr__(self):
            raise RuntimeError("no")

        __str__ = __repr__

    STEPS.use(steps.engine(CONTENT))
    with caplog.at_level(logging.CRITICAL):
        assert isinstance(otel_llm.tool("bad")(lambda value: value)(Bad()), Bad)
    assert steps.span().name == "execute_tool bad"


# Context.


def test_context_reaches_every_span_and_metric_below(recording, openai_client):
    """Acceptance 54."""
    with recording.hooked("openai") as loader, otel_llm.context(**EVERYTHING):
        STEPS.use(loader.engine)
        with otel_llm.workflow("answer"):
            openai_client.chat.completions.create(model="gpt-4o", messages=MESSAGES)
    STEPS.use(None)
    for span in recording.spans:
        assert SAID.items() <= dict(span.attributes).items()
    [point] = recording.points()["gen_ai.client.inference.duration"]
    assert point.attributes["otel_llm.tenant.id"] == "acme"
    assert point.attributes["gen_ai.prompt.version"] == "3"
    assert not {"session.id", "user.id"} & point.attributes.keys()


def test_context_reaches_the_spans_of_others_through_the_span_processor():
    """Acceptance 54."""
    recording = Recording(processors=[Ambient()])
    with otel_llm.context(**EVERYTHING):
        recording.tracers.get_tracer("theirs").start_span("chat").end()
    assert recording.attributes() == SAID


def test_inner_context_wins_within_its_block_and_nowhere_else():
    with otel_llm.context(tenant="outer", feature="a"):
        with otel_llm.context(tenant="inner"):
            found = dict(ambient.attributes())
        after = dict(ambient.attributes())
    assert found == {"otel_llm.tenant.id": "inner", "otel_llm.feature.name": "a"}
    assert after == {"otel_llm.tenant.id": "outer", "otel_llm.feature.name": "a"}
    assert dict(ambient.attributes()) == {}


def test_concurrent_requests_do_not_mix():
    async def request(tenant):
        with otel_llm.context(tenant=tenant):
            await asyncio.sleep(0)
            return await asyncio.gather(*(asyncio.to_thread(lambda: dict(ambient.attributes())) for _ in range(3)))

    async def requests():
        return await asyncio.gather(*(request(f"t{number}") for number in range(20)))

    for number, found in enumerate(asyncio.run(requests())):
        assert found == [{"otel_llm.tenant.id": f"t{number}"}] * 3


def test_context_decorates_functions_of_both_kinds():
    @otel_llm.context(tenant="acme")
    def sync():
        return dict(ambient.attributes())

    @otel_llm.context(tenant="acme")
    async def asynchronous():
        return dict(ambient.attributes())

    assert sync() == asyncio.run(asynchronous()) == {"otel_llm.tenant.id": "acme"}
    assert dict(ambient.attributes()) == {}


def test_threads_and_pools_have_the_context_they_were_started_in(recording):
    """Acceptance 5 and 54: threads of a pool keep nothing of the first task."""
    seen = []

    def look():
        seen.append((trace.get_current_span().get_span_context().span_id, dict(ambient.attributes())))

    with recording.hooked("threading") as loader, ThreadPoolExecutor(1) as pool:
        STEPS.use(loader.engine)
        with otel_llm.context(tenant="acme"), otel_llm.workflow("a") as step:
            span_id = step.span.get_span_context().span_id
            pool.submit(look).result()
            thread = threading.Thread(target=look)
            thread.start()
            thread.join()
        pool.submit(look).result()
        STEPS.use(None)
    expected = (span_id, {"otel_llm.tenant.id": "acme"})
    assert seen == [expected, expected, (0, {})]
    assert threading.Thread.start.__qualname__ == "Thread.start"


def test_daemons_keep_nothing_of_the_request_that_started_them(recording):
    """They serve a queue, mostly: what they do later belongs to others."""
    seen = []
    with recording.hooked("threading"), otel_llm.context(tenant="acme"):
        thread = threading.Thread(target=lambda: seen.append(dict(ambient.attributes())), daemon=True)
        thread.start()
        thread.join()
    assert seen == [{}]


def whereabouts() -> tuple[int, dict[str, object]]:
    return trace.get_current_span().get_span_context().trace_id, dict(ambient.attributes())


def report(queue: multiprocessing.Queue) -> None:
    queue.put(whereabouts())


def test_pools_of_processes_have_the_context_of_each_function(recording):
    """Acceptance 54."""
    spawn = multiprocessing.get_context("spawn")
    with recording.hooked("multiprocessing") as loader, ProcessPoolExecutor(1, mp_context=spawn) as pool:
        STEPS.use(loader.engine)
        with otel_llm.context(tenant="acme"), otel_llm.workflow("a") as step:
            trace_id = step.span.get_span_context().trace_id
            found = pool.submit(whereabouts).result(timeout=50)
        STEPS.use(None)
        assert found == (trace_id, {"otel_llm.tenant.id": "acme"})


def test_a_carrier_takes_only_what_is_allowed_along():
    token = context.attach(baggage.set_baggage("api_key", "secret"))
    try:
        with otel_llm.context(tenant="acmé, ltd"):
            carried = otel_llm.carrier()
    finally:
        context.detach(token)
    assert "secret" not in str(carried)
    with otel_llm.restore(carried):
        assert dict(ambient.attributes()) == {"otel_llm.tenant.id": "acmé, ltd"}
    with otel_llm.restore({"baggage": "api_key=secret,session.id=s-1,user.id=" + "x" * 1000}):
        found = dict(ambient.attributes())
    assert found == {"session.id": "s-1", "user.id": "x" * 256}
    assert dict(ambient.attributes()) == {}


def test_baggage_that_arrived_from_another_service_is_read_when_it_is_allowed():
    token = context.attach(baggage.set_baggage("session.id", "s-1", baggage.set_baggage("other", "x")))
    try:
        assert dict(ambient.attributes()) == {"session.id": "s-1"}
    finally:
        context.detach(token)


@pytest.mark.parametrize(
    ("url", "is_ours"),
    [
        ("https://api.openai.com/v1", False),
        ("http://10.1.2.3:8000/mcp", True),
        ("http://localhost:8000", True),
        ("http://tools/mcp", True),
        ("http://search.svc.cluster.local", True),
        ("https://mcp.corp.example.com", True),
        ("https://evilcorp.example.com", False),
        ("http://[::1]:1", True),
        ("not a url", False),
        ("http://[broken", False),
    ],
)
def test_headers_go_to_hosts_of_ones_own_and_to_no_others(url, is_ours):
    """Acceptance 28."""
    with otel_llm.context(session="s-1"):
        found = ambient.headers(url, {"OTEL_LLM_INTERNAL_HOSTS": "corp.example.com"})
    assert bool(found) is is_ours
    assert ("baggage" in found) is is_ours


def test_context_is_no_baggage_that_http_clients_would_send():
    """Acceptance 28."""
    with otel_llm.context(**EVERYTHING):
        assert baggage.get_all() == {}


# Results.


def test_feedback_is_a_record_in_the_spans_context_and_the_same_one_again(steps):
    """Acceptance 60."""
    trace_id, span_id = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
    first = otel_llm.feedback(0, label="thumbs_down", comment="wrong", trace_id=trace_id, span_id=span_id, user="u-1")
    again = otel_llm.feedback(1, label="thumbs_up", trace_id=int(trace_id, 16), span_id=int(span_id, 16), user="u-1")
    other = otel_llm.feedback(1, trace_id=trace_id, span_id=span_id, user="u-2")
    assert first == again != other
    record, *_ = steps.events()
    assert record.event_name == "gen_ai.evaluation.result"
    assert (record.trace_id, record.span_id) == (int(trace_id, 16), int(span_id, 16))
    assert dict(record.attributes) == {
        "gen_ai.evaluation.name": "user_feedback",
        "gen_ai.evaluation.score.value": 0.0,
        "gen_ai.evaluation.score.label": "thumbs_down",
        "gen_ai.evaluation.explanation": "wrong",
        "otel_llm.evaluation.id": first,
        "otel_llm.evaluation.evaluator.id": "u-1",
        "otel_llm.evaluation.evaluator.source": "human",
    }
    assert type(record.attributes["gen_ai.evaluation.score.value"]) is float


def test_an_evaluation_names_its_target_by_response_or_by_where_it_is(steps):
    otel_llm.evaluation("helpfulness", score=0.8, response_id="chatcmpl-1", evaluator="judge", version="3")
    with otel_llm.workflow("a") as step:
        otel_llm.evaluation("grounded", label="yes", source="code")
        here = step.span.get_span_context()
    by_response, by_place = steps.events()
    assert by_response.attributes["gen_ai.response.id"] == "chatcmpl-1"
    assert by_response.attributes["otel_llm.evaluation.evaluator.version"] == "3"
    assert by_response.trace_id in (0, None)
    assert (by_place.trace_id, by_place.span_id) == (here.trace_id, here.span_id)


def test_an_evaluation_of_a_whole_trace_has_no_span(steps):
    otel_llm.evaluation("resolved", label="yes", trace_id="0af7651916cd43dd8448eb211c80319c")
    [record] = steps.events()
    assert (record.trace_id, record.span_id) == (0x0AF7651916CD43DD8448EB211C80319C, 0)


@pytest.mark.parametrize(
    "wrong",
    [{}, {"score": 1}, {"score": 1, "trace_id": "zz"}, {"score": 1, "trace_id": "0" * 32}, {"trace_id": "1" * 32}],
)
def test_an_evaluation_without_target_or_result_is_refused(steps, wrong):
    with pytest.raises(ValueError):  # noqa: PT011 - several messages
        otel_llm.evaluation("helpfulness", **wrong)
    assert steps.events() == []


def test_a_failed_evaluator_is_an_error_and_no_score(steps):
    otel_llm.evaluation("helpfulness", error="timeout", response_id="r")
    [record] = steps.events()
    assert record.attributes["error.type"] == "timeout"
    assert "gen_ai.evaluation.score.value" not in record.attributes


def test_the_error_of_a_denied_call_is_found_where_the_rest_is() -> None:
    assert otel_llm.DeniedError is errors.DeniedError
    with pytest.raises(AttributeError, match="no attribute 'Denied'"):
        _ = otel_llm.Denied  # type: ignore[attr-defined]
