"""Beside other tools that watch the same app, whoever is there first. Acceptance 42, 43, 45 and 46.

What the app sees is the same, nothing is logged, each tool gets what it got without us, and a call has one span where
spans of both go the same way.
"""

from __future__ import annotations

import gzip
import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import msgspec
import pytest

from tests.sdks.answers import Answer, Answers
from tests.sdks.running import APPS, EXEC, PLAIN, Done, Sent, World, tree, world

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

APP = str(APPS / "beside_app.py")
ORDERS = ("exec", "ours_first", "theirs_first")
OURS = "otel_llm.instrumentation"
CALLS = 4
PRICED = 3


@dataclass(frozen=True, slots=True)
class Beside:
    """An app, a tool that watches it, and where that tool reports to."""

    here: World
    vendor: Answers

    def run(self, tool: str, order: str, **more: str) -> Done:
        """The app, with the tool and us there in an order; `bare` is without us."""
        pytest.importorskip(tool, reason=f"{tool} is not installed; see tests/sdks/README.md")
        url = self.vendor.url
        environment = {
            "SENTRY_DSN": f"http://key@127.0.0.1:{self.vendor.port}/1",
            "DD_TRACE_AGENT_URL": url,
            "DD_INSTRUMENTATION_TELEMETRY_ENABLED": "false",
            "DD_REMOTE_CONFIGURATION_ENABLED": "false",
            "LOGFIRE_TOKEN": "token",
            "LOGFIRE_BASE_URL": url,
            "LANGFUSE_BASE_URL": url,
            "LANGFUSE_PUBLIC_KEY": "public",
            "LANGFUSE_SECRET_KEY": "secret",
            "TRACELOOP_BASE_URL": url,
            "TRACELOOP_API_KEY": "key",
            "TRACELOOP_TELEMETRY": "false",
            **more,
        }
        return self.here.run([*(EXEC if order == "exec" else PLAIN), APP, tool, order], **environment)

    def bodies(self, end: str) -> list[bytes]:
        """What the tool has sent to a path."""
        return [
            gzip.decompress(asked.body) if asked.headers.get("content-encoding") == "gzip" else asked.body
            for asked in self.vendor.asked
            if asked.path.partition("?")[0].endswith(end)
        ]

    def spans(self) -> list[Sent]:
        """The spans that the tool has sent by OTLP."""
        return self.here.read_spans(self.bodies("/v1/traces"))


@pytest.fixture
def beside() -> Iterator[Beside]:
    with world() as here, Answers() as vendor:
        vendor.answers["/v1/info"] = Answer({"project_name": "app", "project_url": vendor.url})
        vendor.answers[""] = Answer({})
        yield Beside(here, vendor)


def same(beside: Beside, tool: str, order: str, **more: str) -> None:
    """What the app shows is what it shows without us."""
    bare = beside.run(tool, "bare")
    beside.vendor.asked.clear()
    beside.here.destination.received.clear()
    done = beside.run(tool, order, **more)
    assert (bare.code, done.code) == (0, 0), done.err
    assert done.out.splitlines()[-CALLS:] == bare.out.splitlines()[-CALLS:]
    assert done.err == bare.err
    assert len(beside.here.provider.served()) == 2 * CALLS


def scopes(spans: list[Sent]) -> Counter[str]:
    return Counter(span.scope for span in spans)


@pytest.mark.parametrize("order", ORDERS)
def test_sentry_has_its_spans_and_we_have_ours(beside, order):
    same(beside, "sentry_sdk", order)
    lines = [line for body in beside.bodies("/envelope/") for line in body.splitlines() if line.startswith(b"{")]
    items = [item for line in lines for item in json.loads(line).get("items", ())]
    assert Counter(item["name"] for item in items) == {"chat gpt-4o": PRICED, "chat err400": 1}
    assert len(beside.here.priced()) == PRICED
    assert scopes(beside.here.spans()) == {OURS: CALLS}


@pytest.mark.parametrize("order", ORDERS)
def test_ddtrace_has_its_spans_and_we_have_ours(beside, order):
    same(beside, "ddtrace", order)
    # Datadog's 0.5 format: a table of words, and spans whose second field is the number of their name.
    sent = [msgspec.msgpack.decode(body) for body in beside.bodies("/v0.5/traces")]
    named = [words[span[1]] for words, traces in sent for spans in traces for span in spans]
    # It sees the requests of our exporter, too, as it sees those of any.
    assert Counter(name for name in named if "openai" in name or name == "work") == {"work": 1, "openai.request": CALLS}
    assert len(beside.here.priced()) == PRICED
    assert scopes(beside.here.spans()) == {OURS: CALLS}


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize(
    ("tool", "scope"),
    [("langfuse", "langfuse-sdk"), ("traceloop.sdk", "opentelemetry.instrumentation.openai.v1")],
)
def test_a_tool_that_makes_spans_of_the_calls_gets_none_of_ours_beside_them(beside, tool, scope, order):
    same(beside, tool, order)
    found = scopes(beside.spans())
    assert found[scope] == CALLS + (scope == "langfuse-sdk"), tree(beside.spans())
    assert found[OURS] == 0
    assert beside.here.spans() == []


@pytest.mark.parametrize("order", ORDERS)
def test_logfire_suppresses_what_is_below_its_spans(beside, order):
    same(beside, "logfire", order)
    # It exports to OTEL_EXPORTER_OTLP_ENDPOINT as well; a stream has a second span, for its end.
    ended = [span for span in beside.spans() if span.attributes.get("logfire.span_type") != "pending_span"]
    assert scopes(ended) == scopes(beside.here.spans()) == {"logfire": 1, "logfire.openai": CALLS + 1}


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("tool", ["langfuse", "traceloop.sdk"])
def test_providers_of_our_own_leave_a_tools_pipeline_as_it_was(beside, tool, order):
    """Acceptance 42: only what we own reaches our exporter, and links to spans of theirs are kept."""
    beside.run(tool, "bare")
    before = scopes(beside.spans())
    beside.vendor.asked.clear()
    beside.here.destination.received.clear()
    done = beside.run(tool, order, OTEL_LLM_PROVIDERS="private")
    assert done.code == 0
    assert scopes(beside.spans()) == before
    assert scopes(beside.here.spans()) == {OURS: CALLS}
    assert len(beside.here.priced()) == PRICED
    assert {span.trace_id for span in beside.here.spans()} == {span.trace_id for span in beside.spans()}
    assert all(span.parent_id in {one.span_id for one in beside.spans()} for span in beside.here.spans())
