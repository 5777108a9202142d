"""Answers on their way to the app, under rules that act on them: real SDKs, real policies, a provider on loopback."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote

import anthropic
import openai
import pytest

from otel_llm.clock import SystemClock
from otel_llm.components import Context
from otel_llm.errors import DeniedError
from otel_llm.instrumentation.methods import Method, Request, hook_maker
from otel_llm.instrumentation.patches import Patches
from otel_llm.instrumentation.provider import Endpoint, Server
from otel_llm.loopback import LoopbackProvider
from otel_llm.processors.policy import Config
from otel_llm.processors.policy_admission import PolicyAdmission, create_admission
from otel_llm.telemetry import Metrics
from tests.instrumentation.recording import CONTENT, Recording
from tests.policy.subjects import rules, write

SECRET = "ghp_16C7e42F292c6912E7710c838347Ae178B4a"
BEFORE = "The quick brown fox jumps over the lazy dog. " * 9
AFTER = " And that was all there was to it, as far as anybody knew." * 9
ANSWER = f"{BEFORE}{SECRET}{AFTER}"
ASKED = {"model": "gpt-4o", "messages": [{"role": "user", "content": "What is the token?"}]}
LEAK = "id: leak, stage: response, when: 'finds(\"secrets\", output.text)', "
DENIES = LEAK + "verdict: deny, reason: '\"secret\"', action: {message: Ask the platform team.}"
MASKS = LEAK + "verdict: modify, action: {redact: [secrets]}"


def policy(folder: Path, *texts: str, head: str = "mode: enforce", **settings: object) -> PolicyAdmission:
    path = write(folder, rules(*texts, head=head))
    config = Config(paths=(str(path),), **settings)  # type: ignore[arg-type] # fields of Config
    return create_admission(config, Context("policy", Metrics(), SystemClock()), {"service.name": "shop"})


def says(text: str, piece: int = 7) -> dict[str, str]:
    return {"x-loopback": f"text={quote(text)};piece={piece}"}


def openai_chat(provider: LoopbackProvider, headers: dict[str, str]) -> Iterator[str]:
    with openai.OpenAI(base_url=provider.openai_base_url, api_key="any", max_retries=0) as client:
        stream = client.chat.completions.create(**ASKED, stream=True, extra_headers=headers)
        for chunk in stream:
            assert isinstance(chunk, openai.types.chat.ChatCompletionChunk)
            for choice in chunk.choices:
                yield choice.delta.content or ""


def openai_responses(provider: LoopbackProvider, headers: dict[str, str]) -> Iterator[str]:
    with openai.OpenAI(base_url=provider.openai_base_url, api_key="any", max_retries=0) as client:
        for event in client.responses.create(model="gpt-4o", input="Hi", stream=True, extra_headers=headers):
            assert SECRET not in event.model_dump_json()
            if event.type == "response.output_text.delta":
                yield event.delta


def anthropic_messages(provider: LoopbackProvider, headers: dict[str, str]) -> Iterator[str]:
    with anthropic.Anthropic(
        base_url=provider.anthropic_base_url, api_key="any", max_retries=0, open_telemetry=False
    ) as client:
        events = client.messages.create(
            model="claude-sonnet-4-5",
            max_tokens=9,
            messages=[{"role": "user", "content": "Hi"}],
            stream=True,
            extra_headers=headers,
        )
        for event in events:
            if event.type == "content_block_delta":
                yield event.delta.text


STREAMS: dict[str, tuple[str, Callable[[LoopbackProvider, dict[str, str]], Iterator[str]]]] = {
    "chat": ("openai", openai_chat),
    "responses": ("openai", openai_responses),
    "messages": ("anthropic", anthropic_messages),
}


def received(stream: Iterator[str]) -> tuple[str, DeniedError | None]:
    got: list[str] = []
    try:
        for piece in stream:
            got.append(piece)  # noqa: PERF402 - what came before a denial counts
    except DeniedError as denied:
        return "".join(got), denied
    return "".join(got), None


@pytest.mark.parametrize("name", STREAMS)
def test_26_a_secret_split_at_any_offset_never_reaches_the_app(
    recording: Recording, provider: LoopbackProvider, tmp_path: Path, name: str
) -> None:
    library, stream = STREAMS[name]
    with recording.hooked(library, admissions=[policy(tmp_path, DENIES)]):
        for offset in range(len(SECRET)):
            answer = f"{'x' * offset} {ANSWER}"
            got, denied = received(stream(provider, says(answer, len(SECRET))))
            assert denied is not None
            assert (denied.reason, denied.rule_id) == ("secret", "leak")
            assert "ghp" not in got
            assert answer.startswith(got)
    assert len(recording.spans) == len(SECRET)


@pytest.mark.parametrize("name", STREAMS)
def test_26_a_secret_is_masked_wherever_it_is_split_and_the_rest_arrives(
    recording: Recording, provider: LoopbackProvider, tmp_path: Path, name: str
) -> None:
    library, stream = STREAMS[name]
    with recording.hooked(library, admissions=[policy(tmp_path, MASKS)]):
        for size in (1, 3, 16, len(SECRET), 1000):
            got, denied = received(stream(provider, says(ANSWER, size)))
            assert denied is None
            assert got == ANSWER.replace(SECRET, "[GITHUB_TOKEN]")


def test_what_is_denied_carries_the_rules_message_and_its_span_says_why(
    recording: Recording, provider: LoopbackProvider, tmp_path: Path
) -> None:
    with recording.hooked("openai", environment=CONTENT, admissions=[policy(tmp_path, DENIES)]):
        _, denied = received(openai_chat(provider, says(ANSWER)))
    assert denied is not None
    assert str(denied) == "policy denied the call: Ask the platform team. (secret)"
    assert denied.rule_message == "Ask the platform team."
    found = recording.attributes()
    assert found["otel_llm.policy.rule.id"] == "leak"
    assert (found["otel_llm.policy.verdict.type"], found["otel_llm.policy.action.type"]) == ("deny", "block")
    assert found["error.type"] == "otel_llm.DeniedError"
    assert found["otel_llm.stream.complete"] is False
    assert SECRET not in json.dumps(found)


@pytest.mark.parametrize("mode", ["shadow", "warn"])
def test_without_an_enforced_rule_about_answers_a_stream_is_the_sdks_own(
    recording: Recording, openai_client: openai.OpenAI, tmp_path: Path, mode: str
) -> None:
    admission = policy(tmp_path, DENIES, head=f"mode: {mode}")
    with recording.hooked("openai", admissions=[admission]):
        stream = openai_client.chat.completions.create(**ASKED, stream=True, extra_headers=says(ANSWER))
        assert type(stream._iterator).__name__ == "WatchedIterator"
        assert type(stream._iterator._chunks).__name__ == "generator"
        assert "".join(chunk.choices[0].delta.content or "" for chunk in stream if chunk.choices) == ANSWER


def test_26_an_async_stream_is_stopped_too_and_its_connection_is_free_again(
    recording: Recording, provider: LoopbackProvider, tmp_path: Path
) -> None:
    async def app() -> str:
        got = ""
        async with openai.AsyncOpenAI(base_url=provider.openai_base_url, api_key="any", max_retries=0) as client:
            stream = await client.chat.completions.create(**ASKED, stream=True, extra_headers=says(ANSWER))
            with pytest.raises(DeniedError):  # noqa: PT012 - a stream is denied while it is read
                async for chunk in stream:
                    got += chunk.choices[0].delta.content or ""
            assert stream.response.is_closed
        return got

    with recording.hooked("openai", admissions=[policy(tmp_path, DENIES)]):
        got = asyncio.run(app())
    assert BEFORE.startswith(got)
    assert recording.attributes()["error.type"] == "otel_llm.DeniedError"


def test_helpers_of_the_sdks_see_what_the_app_sees(
    recording: Recording, provider: LoopbackProvider, anthropic_client: anthropic.Anthropic, tmp_path: Path
) -> None:
    del provider
    with (
        recording.hooked("anthropic", admissions=[policy(tmp_path, MASKS)]),
        anthropic_client.messages.stream(
            model="claude-sonnet-4-5",
            max_tokens=9,
            messages=[{"role": "user", "content": "Hi"}],
            extra_headers=says(ANSWER),
        ) as stream,
    ):
        assert stream.get_final_text() == ANSWER.replace(SECRET, "[GITHUB_TOKEN]")


@pytest.mark.parametrize("wanted", [DENIES, MASKS])
def test_an_answer_that_comes_whole_is_looked_at_before_the_app_has_it(
    recording: Recording,
    openai_client: openai.OpenAI,
    anthropic_client: anthropic.Anthropic,
    tmp_path: Path,
    wanted: str,
) -> None:
    calls = {
        "openai": lambda: openai_client.chat.completions.create(**ASKED, extra_headers=says(ANSWER)),
        "responses": lambda: openai_client.responses.create(model="gpt-4o", input="Hi", extra_headers=says(ANSWER)),
        "anthropic": lambda: anthropic_client.messages.create(
            model="claude-sonnet-4-5",
            max_tokens=9,
            messages=[{"role": "user", "content": "Hi"}],
            extra_headers=says(ANSWER),
        ),
        "raw": lambda: openai_client.chat.completions.with_raw_response.create(
            **ASKED, extra_headers=says(ANSWER)
        ).parse(),
    }
    admission = policy(tmp_path, wanted)
    with recording.hooked("openai", admissions=[admission]), recording.hooked("anthropic", admissions=[admission]):
        for call in calls.values():
            if wanted is DENIES:
                with pytest.raises(DeniedError):
                    call()
            else:
                said = call().model_dump_json()
                assert SECRET not in said
                assert "[GITHUB_TOKEN]" in said
    assert len(recording.spans) == len(calls)
    assert {span.attributes["otel_llm.policy.rule.id"] for span in recording.spans if span.attributes} == {"leak"}


def test_a_raw_stream_is_read_whole_before_the_app_reads_it(
    recording: Recording, openai_client: openai.OpenAI, tmp_path: Path
) -> None:
    with recording.hooked("openai", admissions=[policy(tmp_path, MASKS)]):
        raw = openai_client.chat.completions.with_raw_response.create(
            **ASKED, stream=True, extra_headers=says(ANSWER, 3)
        )
        got = "".join(chunk.choices[0].delta.content or "" for chunk in raw.parse() if chunk.choices)
    assert got == ANSWER.replace(SECRET, "[GITHUB_TOKEN]")
    with recording.hooked("openai", admissions=[policy(tmp_path, DENIES)]), pytest.raises(DeniedError):
        openai_client.chat.completions.with_raw_response.create(**ASKED, stream=True, extra_headers=says(ANSWER, 3))


def test_a_rule_about_the_tools_that_are_called_sees_the_answer_whole(
    recording: Recording, openai_client: openai.OpenAI, tmp_path: Path
) -> None:
    parameters = {"type": "object", "properties": {"path": {"type": "string"}}}
    tools = [{"type": "function", "function": {"name": "delete_file", "parameters": parameters}}]
    rule = "id: tools, stage: response, when: '\"delete_file\" in output.tool_calls', verdict: deny"
    got = []
    with recording.hooked("openai", admissions=[policy(tmp_path, rule)]):
        stream = openai_client.chat.completions.create(**ASKED, tools=tools, stream=True)  # type: ignore[call-overload] # plain data
        with pytest.raises(DeniedError):
            got += list(stream)
        assert got == []
        stream = openai_client.chat.completions.create(**ASKED, stream=True, extra_headers=says(ANSWER))
        assert "".join(chunk.choices[0].delta.content or "" for chunk in stream if chunk.choices) == ANSWER


UNJUDGED = "id: a, stage: response, when: 'output.text.size() > gen_ai.request.seed', verdict: deny"


@pytest.mark.parametrize(("failure", "is_stopped"), [("fail", True), ("ignore", False)])
def test_a_rule_that_cannot_judge_an_answer_does_what_its_set_says(
    recording: Recording, provider: LoopbackProvider, tmp_path: Path, failure: str, *, is_stopped: bool
) -> None:
    head = f"mode: enforce\nfailurePolicy: {{response: {failure}}}"
    with recording.hooked("openai", admissions=[policy(tmp_path, UNJUDGED, head=head)]):
        got, denied = received(openai_chat(provider, says(ANSWER)))
    assert (got, denied is not None) == (("", True) if is_stopped else (ANSWER, False))
    assert recording.attributes()["otel_llm.policy.verdict.type"] == "error"


def test_26_two_choices_at_once_are_looked_at_apart(
    recording: Recording, openai_client: openai.OpenAI, tmp_path: Path
) -> None:
    said: dict[int, str] = {}
    with recording.hooked("openai", admissions=[policy(tmp_path, MASKS)]):
        stream = openai_client.chat.completions.create(**ASKED, n=2, stream=True, extra_headers=says(ANSWER))
        for chunk in stream:
            for choice in chunk.choices:
                said[choice.index] = said.get(choice.index, "") + (choice.delta.content or "")
    masked = ANSWER.replace(SECRET, "[GITHUB_TOKEN]")
    assert said == {0: masked, 1: masked}


REQUEST = (
    "id: mail, stage: request, when: 'finds(\"EMAIL_ADDRESS\", input.text)', verdict: modify, "
    "action: {{redact: [EMAIL_ADDRESS], operator: {operator}}}"
)
KEY = "a key of more than sixteen bytes"


@pytest.mark.parametrize("operator", ["mask", "remove", "hash", "tokenize"])
def test_what_a_rule_takes_out_of_a_request_is_not_in_the_bytes_that_arrive(
    recording: Recording, tmp_path: Path, operator: str
) -> None:
    admission = policy(tmp_path, REQUEST.format(operator=operator), key=KEY)
    with LoopbackProvider(kept_bodies=9) as provider, recording.hooked("openai", admissions=[admission]):
        with openai.OpenAI(base_url=provider.openai_base_url, api_key="any") as client:
            client.chat.completions.create(
                model="gpt-4o",
                messages=[
                    {"role": "system", "content": "You serve ada@example.com."},
                    {"role": "user", "content": [{"type": "text", "text": "I am ada@example.com, and you?"}]},
                ],
            )
            client.responses.create(model="gpt-4o", instructions="Serve ada@example.com.", input="ada@example.com?")
        bodies = provider.bodies()
    assert len(bodies) == 2
    for body in bodies:
        assert b"ada@example" not in body
        assert (b"[EMAIL_ADDRESS" in body) is (operator != "remove")
    [first, _] = map(json.loads, bodies)
    assert first["messages"][1]["content"][0]["text"].endswith(", and you?")


class Service:
    """A library whose streams cannot be looked after."""

    def ask(self, *, model: str) -> list[str]:
        return [model]


@pytest.mark.parametrize(("failure", "is_made"), [("fail", False), ("ignore", True)])
def test_a_call_whose_answer_cannot_be_looked_after_is_made_only_where_the_set_fails_open(
    recording: Recording, tmp_path: Path, failure: str, *, is_made: bool
) -> None:
    engine = recording.engine(
        admissions=[policy(tmp_path, DENIES, head=f"mode: enforce\nfailurePolicy: {{response: {failure}}}")]
    )
    request = Request(Endpoint(name="chat", operation="chat"), Server("openai", {}), ASKED, stream=True)
    method = Method("any", "Service.ask", lambda *_: request, guards="whole")
    patches = Patches()
    patches.is_active = True
    ask = hook_maker(method, engine, patches)(Service.ask)
    if is_made:
        assert ask(Service(), model="m") == ["m"]
        assert engine.boundary.failures == 1
    else:
        with pytest.raises(DeniedError) as denied:
            ask(Service(), model="m")
        assert denied.value.reason == "admission_failed"
        assert recording.attributes()["error.type"] == "otel_llm.DeniedError"
