"""How many model calls and tools a run of an agent set going itself."""

from __future__ import annotations

import asyncio
import threading
from typing import NamedTuple

import openai
import pytest
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF

import otel_llm
from otel_llm.admission import Decision
from otel_llm.errors import DeniedError
from otel_llm.instrumentation import invocations
from otel_llm.instrumentation.steps import STEPS
from tests.instrumentation.conventions import metric_problems
from tests.instrumentation.recording import Recording

MODELS = "gen_ai.invoke_agent.inference_calls"
TOOLS = "gen_ai.invoke_agent.tool_calls"
MESSAGES = [{"role": "user", "content": "Hi"}]


class Counts(NamedTuple):
    """Of a data point: how many runs, and how many calls together."""

    runs: int
    calls: int


@pytest.fixture
def engine(recording):
    engine = recording.engine()
    STEPS.use(engine)
    with recording.hooked("openai", engine=engine):
        yield engine
    STEPS.use(None)
    assert engine.boundary.failures == 0


def counts(recording: Recording, metric: str) -> dict[str | None, Counts]:
    """Of each agent, by its name."""
    found = recording.points().get(metric, [])
    return {point.attributes.get("gen_ai.agent.name"): Counts(point.count, point.sum) for point in found}


def ask(client: openai.OpenAI, model: str = "gpt-4o") -> None:
    client.chat.completions.create(model=model, messages=MESSAGES)


@otel_llm.tool
def look_up() -> None:
    pass


@pytest.mark.usefixtures("engine")
def test_calls_and_tools_are_those_of_the_nearest_agent(recording, openai_client):
    with otel_llm.context(tenant="acme"), otel_llm.workflow("answer"), otel_llm.agent("planner"):
        ask(openai_client)
        look_up()
        with otel_llm.agent("writer"):
            ask(openai_client)
            ask(openai_client)
            look_up()
            look_up()
        ask(openai_client)
    assert counts(recording, MODELS) == {"planner": Counts(1, 2), "writer": Counts(1, 2)}
    assert counts(recording, TOOLS) == {"planner": Counts(1, 1), "writer": Counts(1, 2)}
    points = recording.points()
    assert {point.attributes["otel_llm.tenant.id"] for point in (*points[MODELS], *points[TOOLS])} == {"acme"}
    assert sum(agent.calls for agent in counts(recording, MODELS).values()) == 4


@pytest.mark.usefixtures("engine")
def test_they_are_as_the_conventions_have_them(recording, openai_client):
    with otel_llm.agent("planner"):
        ask(openai_client)
        look_up()
    with otel_llm.agent():
        ask(openai_client)
    points = recording.points()
    assert list(metric_problems({name: points[name] for name in (MODELS, TOOLS)})) == []
    assert counts(recording, MODELS) == {"planner": Counts(1, 1), None: Counts(1, 1)}
    assert {type(point.sum) for point in points[MODELS]} == {int}


@pytest.mark.usefixtures("engine")
def test_what_failed_or_was_streamed_or_is_still_open_counts_and_embeddings_do_not(recording, openai_client):
    with otel_llm.agent("planner"):
        with pytest.raises(openai.APIError):
            ask(openai_client, "err500")
        with pytest.raises(ValueError, match="no"), otel_llm.tool("broken"):
            raise ValueError("no")
        stream = openai_client.chat.completions.create(model="gpt-4o", messages=MESSAGES, stream=True)
        openai_client.embeddings.create(model="text-embedding-3-small", input="a")
    assert len(list(stream)) > 1
    assert counts(recording, MODELS) == {"planner": Counts(1, 2)}
    assert counts(recording, TOOLS) == {"planner": Counts(1, 1)}


@pytest.mark.usefixtures("engine")
def test_a_call_within_a_call_is_a_part_of_it(recording, provider, openai_client):
    hooks = {"request": [lambda _: ask(openai_client)]}
    with (
        otel_llm.agent("planner"),
        openai.DefaultHttpxClient(event_hooks=hooks) as http,
        openai.OpenAI(base_url=provider.openai_base_url, api_key="any", http_client=http) as outer,
    ):
        ask(outer)
    assert [span.name for span in recording.spans] == ["chat gpt-4o", "chat gpt-4o", "invoke_agent planner"]
    assert counts(recording, MODELS) == {"planner": Counts(1, 1)}


def test_a_call_that_an_admission_stopped_was_not_made(recording, openai_client, engine):
    class Stopping:
        name = "stopping"
        on_error = "deny"

        def admit(self, _):
            return Decision("deny", "no")

    with otel_llm.agent("planner"):
        ask(openai_client)
        engine.admissions = (Stopping(),)
        with pytest.raises(DeniedError):
            ask(openai_client)
    assert counts(recording, MODELS) == {"planner": Counts(1, 1)}


@pytest.mark.usefixtures("engine")
def test_none_is_a_0_once_one_was_seen_and_nothing_before(recording, openai_client):
    with otel_llm.agent("idle"):
        pass
    assert not {MODELS, TOOLS} & recording.points().keys()
    with otel_llm.agent("planner"):
        ask(openai_client)
    with otel_llm.agent("idle"):
        pass
    assert counts(recording, MODELS) == {"planner": Counts(1, 1), "idle": Counts(1, 0)}
    assert TOOLS not in recording.points()


@pytest.mark.usefixtures("engine")
def test_tasks_threads_and_generators_of_an_agent_are_the_agents(recording, provider, openai_client):
    @otel_llm.agent("planner")
    async def plan() -> None:
        async with openai.AsyncOpenAI(base_url=provider.openai_base_url, api_key="any") as client:
            asked = (client.chat.completions.create(model="gpt-4o", messages=MESSAGES) for _ in range(3))
            await asyncio.gather(*asked)
        await asyncio.to_thread(look_up)

    @otel_llm.agent("writer")
    def write():
        ask(openai_client)
        yield 1
        ask(openai_client)

    asyncio.run(plan())
    for _ in write():
        ask(openai_client)  # not the agent's
    assert counts(recording, MODELS) == {"planner": Counts(1, 3), "writer": Counts(1, 2)}
    assert counts(recording, TOOLS) == {"planner": Counts(1, 1), "writer": Counts(1, 0)}
    assert invocations.current() is None


def test_unsampled_runs_count_as_well(openai_client):
    recording = Recording(ALWAYS_OFF)
    engine = recording.engine()
    STEPS.use(engine)
    with recording.hooked("openai", engine=engine), otel_llm.agent("planner"):
        ask(openai_client)
    STEPS.use(None)
    assert recording.spans == ()
    assert counts(recording, MODELS) == {"planner": Counts(1, 1)}


def test_no_call_is_lost_where_an_agent_calls_from_many_threads():
    run = invocations.Invocation("planner")
    start = threading.Barrier(4)

    def call() -> None:
        start.wait(10)
        for _ in range(5000):
            run.calls_model()
            run.calls_tool()

    threads = [threading.Thread(target=call) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert (run.inference_calls, run.tool_calls) == (20_000, 20_000)
