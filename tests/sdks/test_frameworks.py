"""Frameworks: their spans are switched on, and one call over the wire stays one billed span."""

from __future__ import annotations

import importlib
import itertools

import pytest

from otel_llm.instrumentation.steps import STEPS
from tests.sdks.answers import Answer
from tests.sdks.billing import statuses

USAGE = {"prompt_tokens": 20, "completion_tokens": 7, "total_tokens": 27}


NUMBERS = itertools.count()


def answer(message, finish="stop"):
    return {
        "id": f"chatcmpl-0123456789abcdef{next(NUMBERS)}",
        "object": "chat.completion",
        "created": 1,
        "model": "gpt-4o-2024-08-06",
        "choices": [{"index": 0, "message": {"role": "assistant", **message}, "finish_reason": finish}],
        "usage": USAGE,
    }


PARIS = Answer(lambda: answer({"content": "Paris"}))


def need(module, distribution=None):
    reason = f"{module} is not installed; see tests/sdks/README.md"
    found = pytest.importorskip(module, reason=reason)
    if distribution is not None:
        pytest.importorskip(distribution, reason=reason)
    return found


def choice(loader, name):
    return next(one for one in loader.choices if one.library == name)


@pytest.mark.parametrize("hooks", [("langchain_core",), ("openai",), ("langchain_core", "openai")])
def test_langchain_is_billed_once_whichever_emitters_are_on(recording, server, hooks):
    """Acceptance 12."""
    chat = need("langchain_openai", "opentelemetry.instrumentation.genai.langchain").ChatOpenAI
    server.answers["/chat/completions"] = PARIS
    with recording.hooked(*hooks) as loader:
        chat(model="gpt-4o", base_url=server.url, api_key="any").invoke("Capital?")
        if "langchain_core" in hooks:
            assert choice(loader, "langchain_core").reason.startswith("opentelemetry-instrumentation-genai-langchain")
    assert statuses(recording.spans).count("priced") == 1
    assert len(server.asked) == 1


def test_langgraph_runs_are_traces_of_their_own_with_their_calls_below(recording, server, run):
    """Acceptance 5."""
    need("langgraph", "opentelemetry.instrumentation.genai.langchain")
    need("langchain_openai")
    graphs = importlib.import_module("langgraph.graph")
    chat = importlib.import_module("langchain_openai").ChatOpenAI
    server.answers["/chat/completions"] = PARIS
    model = chat(model="gpt-4o", base_url=server.url, api_key="any")

    async def node(state):
        await model.ainvoke("Hi")
        return state

    graph = graphs.StateGraph(dict)
    for name in ("a", "b"):
        graph.add_node(name, node)
    graph.add_edge(graphs.START, "a")
    graph.add_edge("a", "b")
    compiled = graph.compile()

    async def runs():
        for _ in range(2):
            await compiled.ainvoke({"x": 1})

    with recording.hooked("langchain_core", "openai"):
        run(runs())
    spans = {span.context.span_id: span for span in recording.spans}
    roots = [span for span in spans.values() if span.parent is None or span.parent.span_id not in spans]
    assert len(roots) == len({span.context.trace_id for span in spans.values()}) == 2
    assert statuses(recording.spans).count("priced") == 4


def test_taking_the_hooks_out_switches_upstream_off_again(recording, server):
    chat = need("langchain_openai", "opentelemetry.instrumentation.genai.langchain").ChatOpenAI
    server.answers["/chat/completions"] = PARIS
    with recording.hooked("langchain_core"):
        pass
    chat(model="gpt-4o", base_url=server.url, api_key="any").invoke("Capital?")
    assert recording.spans == ()


def test_without_an_instrumentation_the_reason_says_what_to_install(recording, monkeypatch):
    need("langchain_core")
    others = importlib.import_module("otel_llm.instrumentation.frameworks.others")
    monkeypatch.setattr(others, "first_installed", lambda _: None)
    importlib.import_module("langchain_core.callbacks.manager")
    with recording.hooked("langchain_core") as loader:
        found = choice(loader, "langchain_core")
    assert (found.status, "pip install opentelemetry" in found.reason) == ("missing", True)


@pytest.mark.parametrize("hooks", [("pydantic_ai",), ("pydantic_ai", "openai")])
def test_pydantic_ai_traces_itself_and_is_billed_once(recording, server, hooks):
    """Acceptance 12."""
    agents = need("pydantic_ai")
    models = importlib.import_module("pydantic_ai.models.openai")
    providers = importlib.import_module("pydantic_ai.providers.openai")
    server.answers["/chat/completions"] = PARIS
    provider = providers.OpenAIProvider(base_url=server.url, api_key="any")
    with recording.hooked(*hooks) as loader:
        result = agents.Agent(models.OpenAIChatModel("gpt-4o", provider=provider)).run_sync("Capital?")
        assert choice(loader, "pydantic_ai").status == "native"
    assert result.output == "Paris"
    assert statuses(recording.spans).count("priced") == 1
    assert not any("Paris" in str(span.attributes) for span in recording.spans)
    assert not agents.Agent._instrument_default


@pytest.mark.parametrize("hooks", [("agents",), ("agents", "openai")])
def test_openai_agents_are_billed_at_most_once(recording, server, run, hooks):
    """Acceptance 12: upstream makes no span of the model's call, so it is our hook's."""
    agents = need("agents", "opentelemetry.instrumentation.genai.openai_agents")
    openai = importlib.import_module("openai")
    server.answers["/chat/completions"] = PARIS
    agents.set_tracing_export_api_key("none")
    with recording.hooked(*hooks):
        client = openai.AsyncOpenAI(base_url=server.url, api_key="any")
        model = agents.OpenAIChatCompletionsModel("gpt-4o", client)
        run(agents.Runner.run(agents.Agent("planner", model=model), "Capital?"))
    assert any("planner" in span.name for span in recording.spans)
    assert statuses(recording.spans).count("priced") == ("openai" in hooks)


# MCP.


def mcp_calls(run, calls):
    """Runs `calls(session, seen)` against a server whose tool looks where it is."""
    need("mcp")
    seen = []
    try:
        fast = importlib.import_module("mcp.server.fastmcp").FastMCP
        memory = importlib.import_module("mcp.shared.memory").create_connected_server_and_client_session
    except ImportError:
        fast, memory = importlib.import_module("mcp.server").MCPServer, None
    server = fast("tools")

    @server.tool()
    def look(fail: bool = False) -> str:  # noqa: FBT001, FBT002 - a tool's parameter
        from opentelemetry import trace  # noqa: PLC0415

        from otel_llm.instrumentation import ambient  # noqa: PLC0415

        seen.append((trace.get_current_span().get_span_context(), dict(ambient.attributes())))
        if fail:
            raise RuntimeError("no")
        return "here"

    async def go():
        if memory:
            connected = memory(server._mcp_server)
        else:
            transport = importlib.import_module("mcp.client._memory").InMemoryTransport(server)
            connected = importlib.import_module("mcp").Client(transport)
        async with connected as session:
            await calls(session)

    run(go())
    return seen


@pytest.fixture
def globally(recording, monkeypatch):
    """The SDK of MCP makes its tracer when it is imported, of the global provider."""
    from opentelemetry import trace  # noqa: PLC0415

    monkeypatch.setattr(trace, "_TRACER_PROVIDER", recording.tracers)
    try:
        otel = importlib.import_module("mcp.shared._otel")
    except ImportError:
        return recording
    monkeypatch.setattr(otel, "_tracer", recording.tracers.get_tracer("mcp-python-sdk"))
    return recording


def test_a_tool_called_by_mcp_is_one_trace_from_client_to_server(globally, run):
    """Acceptance 56."""
    import otel_llm  # noqa: PLC0415

    async def calls(session):
        with otel_llm.agent("planner"):
            await session.call_tool("look", {})

    with globally.hooked("mcp") as loader:
        STEPS.use(loader.engine)
        [(within, _)] = mcp_calls(run, calls)
        STEPS.use(None)
    named = {(span.kind.name, span.attributes.get("mcp.method.name")): span for span in globally.spans}
    client, server = named["CLIENT", "tools/call"], named["SERVER", "tools/call"]
    assert server.parent.span_id == client.context.span_id
    assert within.span_id == server.context.span_id
    assert {client.context.trace_id, server.context.trace_id} == {within.trace_id}
    assert server.attributes["gen_ai.tool.name"] == "look"
    assert server.attributes["gen_ai.operation.name"] == "execute_tool"


@pytest.mark.parametrize("own", [False, True])
@pytest.mark.usefixtures("with_baggage")
def test_what_holds_reaches_an_mcp_server_only_when_it_is_ones_own(globally, run, monkeypatch, own):
    """Acceptance 28 and 54."""
    import otel_llm  # noqa: PLC0415

    if own:
        monkeypatch.setenv("OTEL_LLM_MCP_CONTEXT", "true")
    carried = []

    async def calls(session):
        from opentelemetry import baggage, context  # noqa: PLC0415

        with otel_llm.context(tenant="acme"):
            token = context.attach(baggage.set_baggage("api_key", "secret"))
            await session.call_tool("look", {})
            context.detach(token)

    arrived = importlib.import_module("otel_llm.instrumentation.ambient").arrived

    def noting(found, *rest):
        carried.append(dict(found))
        return arrived(found, *rest)

    monkeypatch.setattr("otel_llm.instrumentation.ambient.arrived", noting)
    with globally.hooked("mcp"):
        mcp_calls(run, calls)
    said = [one["baggage"] for one in carried if "baggage" in one]
    assert bool(said) is own
    assert any("acme" in one for one in said) is own
    assert not any("api_key" in one for one in said)


def test_a_tool_that_fails_is_an_error_of_the_tool(globally, run):
    async def calls(session):
        await session.call_tool("look", {"fail": True})

    with globally.hooked("mcp"):
        mcp_calls(run, calls)
    [server] = [span for span in globally.spans if span.kind.name == "SERVER" and "look" in span.name]
    assert server.attributes["error.type"] == "tool_error"
