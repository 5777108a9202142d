"""Small apps of frameworks, started through `otel-llm exec`: one trace, its agents and tools, each call billed once.

Acceptance 5, 12 and 46: what the framework imports starts the hooks while the framework itself is half imported.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.sdks.running import APPS, EXEC, PLAIN, Done, World, roots, tree, world

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

# App -> what it needs, the span all others are below, the span of its tool.
EXPECTED = {
    "crewai_app": (("crewai", "openinference.instrumentation.crewai"), "Crew_", "capital.run"),
    "langgraph_app": (
        ("langgraph", "opentelemetry.instrumentation.genai.langchain"),
        "invoke_workflow LangGraph",
        "execute_tool capital",
    ),
    "llama_index_app": (
        ("llama_index.core", "opentelemetry.instrumentation.genai.llama_index"),
        "invoke_agent planner",
        "execute_tool capital",
    ),
    "openai_agents_app": (
        ("agents", "opentelemetry.instrumentation.genai.openai_agents"),
        "invoke_workflow Agent workflow",
        "execute_tool capital",
    ),
    "pydantic_ai_app": (("pydantic_ai",), "invoke_agent planner", "execute_tool capital"),
}
QUIET = {"CREWAI_DISABLE_TELEMETRY": "true"}
# What the Agents SDK says, more or less often, as it cannot reach its maker's traces from here.
UNREACHED = "[non-fatal] Tracing"


@pytest.fixture
def there() -> Iterator[World]:
    with world() as found:
        yield found


def complaints(done: Done) -> list[str]:
    return [line for line in done.err.splitlines() if not line.startswith(UNREACHED)]


@pytest.mark.parametrize("app", EXPECTED)
def test_an_agent_is_one_trace_and_each_of_its_calls_is_billed_once(there, app):
    needed, root, tool = EXPECTED[app]
    for module in needed:
        pytest.importorskip(module, reason=f"{module} is not installed; see tests/sdks/README.md")
    path = str(APPS / f"{app}.py")
    bare = there.run([*PLAIN, path], **QUIET)
    served = len(there.provider.served())
    done = there.run([*EXEC, path], **QUIET)
    assert (done.code, done.out, complaints(done)) == (bare.code, bare.out, complaints(bare))
    assert (bare.code, served) == (0, 2)
    spans = there.spans()
    found = tree(spans)
    assert [span.name.startswith(root) for span in roots(spans)] == [True], found
    assert any(span.name == tool for span in spans), found
    assert len(there.priced()) == len(there.provider.served()) - served == 2, found
