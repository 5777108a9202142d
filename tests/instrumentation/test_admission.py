"""Admissions before a call: asked with the request as an Operation, obeyed before anything is sent."""

from __future__ import annotations

import asyncio

import openai
import pytest
from opentelemetry import context
from opentelemetry.trace import StatusCode

from otel_llm.admission import ALLOW, Decision, Route
from otel_llm.errors import DeniedError
from otel_llm.testing import ScriptedAdmission

QUESTION = [
    {"role": "system", "content": "You serve Ada Lovelace."},
    {"role": "user", "content": [{"type": "text", "text": "My name is Ada Lovelace."}]},
]
ASKED = {"model": "gpt-4o", "messages": QUESTION}


def denies(_):
    return Decision("deny", reason="model_not_allowed", rule_id="models")


def test_an_admission_sees_the_request_in_the_conventions_words(recording, openai_client):
    admission = ScriptedAdmission()
    with recording.hooked("openai", admissions=[admission]):
        openai_client.chat.completions.create(**ASKED)
    [(model, messages)] = admission.asked
    assert model == "gpt-4o"
    assert messages == ({"role": "user", "parts": [{"type": "text", "content": "My name is Ada Lovelace."}]},)


def test_a_denied_call_is_not_made_and_its_span_says_why(recording, openai_client, provider):
    with recording.hooked("openai", admissions=[ScriptedAdmission(denies)]), pytest.raises(DeniedError) as denied:
        openai_client.chat.completions.create(**ASKED)
    assert (denied.value.reason, denied.value.rule_id) == ("model_not_allowed", "models")
    assert provider.served() == ()
    span = recording.span()
    assert span.status.status_code is StatusCode.ERROR
    assert span.attributes["error.type"] == "otel_llm.DeniedError"
    assert "gen_ai.usage.input_tokens" not in span.attributes


def test_a_denied_async_call_is_not_made(recording, provider):
    async def app():
        async with openai.AsyncOpenAI(base_url=provider.openai_base_url, api_key="any") as client:
            with pytest.raises(DeniedError):
                await client.chat.completions.create(**ASKED, stream=True)

    with recording.hooked("openai", admissions=[ScriptedAdmission(denies)]):
        asyncio.run(app())
    assert provider.served() == ()


def test_the_first_denial_ends_the_asking(recording, openai_client):
    second = ScriptedAdmission()
    with recording.hooked("openai", admissions=[ScriptedAdmission(denies), second]), pytest.raises(DeniedError):
        openai_client.chat.completions.create(**ASKED)
    assert second.asked == []


def redacts(operation):
    messages = [
        {**message, "parts": [{**part, "content": "My name is [PERSON]."} for part in message["parts"]]}
        for message in operation.input_messages
    ]
    operation.set("gen_ai.input.messages", messages)
    operation.set("gen_ai.system_instructions", [{"type": "text", "content": "You serve [PERSON]."}])
    operation.set("otel_llm.policy.verdict.type", "modify")
    return ALLOW


def test_changed_messages_are_what_is_sent_and_attributes_go_onto_the_span(recording, provider, openai_client):
    sent = []
    second = ScriptedAdmission(lambda operation: sent.append(operation.input_messages) or ALLOW)
    with recording.hooked("openai", admissions=[ScriptedAdmission(redacts), second]):
        openai_client.chat.completions.create(**ASKED, extra_headers={"x-loopback": "text=ok"})
    assert recording.attributes()["otel_llm.policy.verdict.type"] == "modify"
    assert QUESTION[1]["content"][0]["text"] == "My name is Ada Lovelace."  # the app's own objects are untouched
    [served] = provider.served()
    assert served.usage.input_tokens < len("You serve Ada Lovelace. My name is Ada Lovelace.") / 4


def adds_a_message(operation):
    operation.set("gen_ai.input.messages", [*operation.input_messages, *operation.input_messages])
    return ALLOW


def raises(_):
    raise RuntimeError("a defect")


@pytest.mark.parametrize("admit", [raises, adds_a_message])
def test_what_fails_closed_stops_the_call(recording, openai_client, provider, admit):
    """A change that cannot be carried out must not let the original pass."""
    admission = ScriptedAdmission(admit, on_error="deny")
    with recording.hooked("openai", admissions=[admission]), pytest.raises(DeniedError) as denied:
        openai_client.chat.completions.create(**ASKED)
    assert denied.value.reason == "admission_failed"
    assert provider.served() == ()


def test_a_reroute_asks_the_same_provider_for_another_model(recording, openai_client, provider):
    def elsewhere(_):
        return Decision("reroute", reason="canary", route=Route("openai", "gpt-4o-mini"))

    with recording.hooked("openai", admissions=[ScriptedAdmission(elsewhere)]):
        openai_client.chat.completions.create(**ASKED)
    assert [served.request_model for served in provider.served()] == ["gpt-4o-mini"]
    assert recording.span().name == "chat gpt-4o-mini"


def test_a_reroute_never_sends_one_providers_key_to_another(recording, openai_client, provider):
    def elsewhere(_):
        return Decision("reroute", route=Route("anthropic", "claude", "https://elsewhere.example"))

    admission = ScriptedAdmission(elsewhere, on_error="deny")
    with recording.hooked("openai", admissions=[admission]), pytest.raises(DeniedError):
        openai_client.chat.completions.create(**ASKED)
    assert provider.served() == ()


def test_a_hook_that_cannot_ask_fails_closed_where_an_admission_does(recording, openai_client, provider):
    engine = recording.engine(admissions=[ScriptedAdmission(on_error="deny")])
    engine._outlets = None
    with recording.hooked("openai", engine=engine), pytest.raises(DeniedError) as denied:
        openai_client.chat.completions.create(**ASKED)
    assert denied.value.reason == "admission_failed"
    assert provider.served() == ()


def test_a_hook_that_cannot_ask_fails_open_where_all_admissions_do(recording, openai_client, provider):
    engine = recording.engine(admissions=[ScriptedAdmission(on_error="allow")])
    engine._outlets = None
    with recording.hooked("openai", engine=engine):
        openai_client.chat.completions.create(**ASKED)
    assert len(provider.served()) == 1


def test_suppressed_telemetry_suppresses_no_admission(recording, openai_client, provider):
    token = context.attach(context.set_value("suppress_instrumentation", value=True))
    try:
        with recording.hooked("openai", admissions=[ScriptedAdmission(denies)]), pytest.raises(DeniedError):
            openai_client.chat.completions.create(**ASKED)
    finally:
        context.detach(token)
    assert provider.served() == ()
    assert recording.spans == ()
