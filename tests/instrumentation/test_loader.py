"""Putting hooks in and out, whatever the order of imports and whoever else is there. Acceptance 42, 44, 46, 48."""

from __future__ import annotations

import functools
import importlib
import types

import openai
import openai._base_client as base
import pytest

from otel_llm.admission import Decision
from otel_llm.errors import DeniedError
from otel_llm.instrumentation.libraries import LIBRARIES
from otel_llm.instrumentation.loader import Loader
from otel_llm.instrumentation.outlet import SCOPE
from otel_llm.instrumentation.patches import Patches
from otel_llm.instrumentation.providers import openai as table
from otel_llm.instrumentation.settings import settings_from
from otel_llm.testing import ScriptedAdmission

ASKED = {"model": "gpt-4o", "messages": [{"role": "user", "content": "hi"}]}
METHODS = [
    (base.SyncAPIClient, "request"),
    (base.AsyncAPIClient, "request"),
    (base.SyncAPIClient, "_sleep_for_retry"),
    (base.AsyncAPIClient, "_sleep_for_retry"),
]


def originals():
    return [vars(owner)[name] for owner, name in METHODS]


def test_uninstrumenting_puts_the_very_same_functions_back(recording, openai_client):
    """Acceptance 46."""
    before = originals()
    with recording.hooked("openai"):
        assert originals() != before
        openai_client.chat.completions.create(**ASKED)
    assert all(now is then for now, then in zip(originals(), before, strict=True))
    openai_client.chat.completions.create(**ASKED)
    assert len(recording.spans) == 1


def test_loading_twice_is_loading_once(recording, openai_client):
    """Acceptance 46: a notebook's cell that runs again."""
    with recording.hooked("openai") as loader:
        loader.load()
        openai_client.chat.completions.create(**ASKED)
    assert len(recording.spans) == 1


def test_clients_made_before_and_bound_methods_kept_before_are_traced(recording, openai_client):
    create = openai_client.chat.completions.create
    with recording.hooked("openai"):
        create(**ASKED)
    assert len(recording.spans) == 1


def test_a_subclass_of_the_client_is_one_span(recording, provider):
    class Mine(openai.OpenAI):
        def request(self, *args, **kwargs):
            return super().request(*args, **kwargs)

    with recording.hooked("openai"), Mine(base_url=provider.openai_base_url, api_key="k") as client:
        client.chat.completions.create(**ASKED)
    assert len(recording.spans) == 1


def test_an_app_that_wraps_the_sdk_after_us_keeps_its_wrapper_and_our_hook_goes_quiet(recording, openai_client):
    seen = []
    before = base.SyncAPIClient.request
    try:
        with recording.hooked("openai"):
            inner = base.SyncAPIClient.request

            @functools.wraps(inner)
            def apps_own(self, *args, **kwargs):
                seen.append(args)
                return inner(self, *args, **kwargs)

            base.SyncAPIClient.request = apps_own
            openai_client.chat.completions.create(**ASKED)
        assert base.SyncAPIClient.request is apps_own
        openai_client.chat.completions.create(**ASKED)
    finally:
        base.SyncAPIClient.request = before
    assert len(seen) == 2
    assert len(recording.spans) == 1


def test_a_version_without_a_method_is_instrumented_for_the_rest_and_says_so(recording, caplog):
    """Acceptance 44: a method that is missing or renamed."""

    class Sync:
        def request(self) -> str:
            return "sync"

    class Async:
        def _sleep_for_retry(self) -> None:
            return None

    other = types.SimpleNamespace(SyncAPIClient=Sync, AsyncAPIClient=Async)
    before = Sync.request
    patches = Patches()
    missing = table.LIBRARY.install(recording.engine(), patches, other)
    assert missing == ["AsyncAPIClient.request", "SyncAPIClient._sleep_for_retry"]
    assert Sync.request is not before
    patches.restore()
    assert Sync.request is before
    assert caplog.records == []


def test_a_library_whose_table_breaks_is_reported_and_leaves_the_app_alone(recording, openai_client):
    loader = Loader(recording.engine(), {"openai": LIBRARIES["openai"]}, {})
    loader.engine.boundary.run("x", lambda: None)
    broken = LIBRARIES["openai"].__class__("otel_llm.instrumentation.providers.nowhere", "openai._base_client")
    loader.libraries = {"openai": broken}
    loader.load()
    [choice] = loader.choices
    assert choice.status == "missing"
    openai_client.chat.completions.create(**ASKED)


def test_what_is_switched_off_is_left_alone(recording, openai_client):
    settings = {"OTEL_PYTHON_DISABLED_INSTRUMENTATIONS": "requests, otel_llm.openai"}
    with recording.hooked("openai", environment=settings) as loader:
        openai_client.chat.completions.create(**ASKED)
    assert [choice.status for choice in loader.choices] == ["removed"] or loader.choices[0].status == "disabled"
    assert recording.spans == ()


def test_the_name_of_another_instrumentation_switches_ours_not_off():
    assert settings_from({"OTEL_PYTHON_DISABLED_INSTRUMENTATIONS": "openai"}).disabled == {"openai"}


@pytest.mark.parametrize("theirs", ["first", "last"])
def test_two_instrumentations_are_never_stacked(recording, openai_client, theirs):
    """Acceptance 12 and 46: ours steps aside for upstream's, whoever comes first, and says so."""
    upstream = pytest.importorskip("opentelemetry.instrumentation.genai.openai").OpenAIInstrumentor()

    def switch_on():
        upstream.instrument(tracer_provider=recording.tracers, meter_provider=recording.meters, skip_dep_check=True)

    if theirs == "first":
        switch_on()
    try:
        with recording.hooked("openai") as loader:
            if theirs == "last":
                switch_on()
            openai_client.chat.completions.create(**ASKED)
            [choice] = loader.choices
            [span] = recording.spans
            assert span.instrumentation_scope.name.startswith("opentelemetry.instrumentation.")
            assert choice.status == "other"
            assert "opentelemetry.instrumentation.genai.openai" in choice.reason
            upstream.uninstrument()
            openai_client.chat.completions.create(**ASKED)
            assert [one.status for one in loader.choices] == ["instrumented"]
    finally:
        upstream.uninstrument()
    assert [span.instrumentation_scope.name for span in recording.spans[1:]] == [SCOPE]
    durations = recording.points()["gen_ai.client.inference.duration"]
    assert sum(point.count for point in durations) <= 2  # each call once, theirs or ours


def test_admissions_are_asked_whoever_makes_the_spans(recording, openai_client):
    """A rule holds beside any other tool."""
    upstream = pytest.importorskip("opentelemetry.instrumentation.genai.openai").OpenAIInstrumentor()
    upstream.instrument(tracer_provider=recording.tracers, skip_dep_check=True)
    denies = ScriptedAdmission(lambda _: Decision("deny", "not_today"))
    try:
        with recording.hooked("openai", admissions=[denies]), pytest.raises(DeniedError):
            openai_client.chat.completions.create(**ASKED)
    finally:
        upstream.uninstrument()
    [span] = recording.spans
    assert span.instrumentation_scope.name != SCOPE
    assert "gen_ai.client.inference.duration" not in recording.points()


def test_whoever_wraps_the_sdk_and_makes_no_spans_of_opentelemetry_is_no_reason_to_step_aside(recording, openai_client):
    """Acceptance 42: ddtrace wraps with wrapt as well, and reports elsewhere."""
    wrapt = pytest.importorskip("wrapt")
    completions = importlib.import_module("openai.resources.chat.completions").Completions
    original = vars(completions)["create"]
    wrapt.wrap_function_wrapper(completions, "create", lambda wrapped, _, args, kwargs: wrapped(*args, **kwargs))
    try:
        with recording.hooked("openai") as loader:
            openai_client.chat.completions.create(**ASKED)
            assert [choice.status for choice in loader.choices] == ["instrumented"]
    finally:
        completions.create = original
    assert len(recording.spans) == 1
