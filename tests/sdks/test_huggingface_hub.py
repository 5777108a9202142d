"""The InferenceClient of huggingface_hub under our hook, over a server on loopback."""

from __future__ import annotations

import inspect
import json
import re
import subprocess
import sys

import pytest

hub = pytest.importorskip("huggingface_hub", reason="huggingface_hub is not installed; see tests/sdks/README.md")

from otel_llm.instrumentation.providers.huggingface_hub import TASKS, WAIVED  # noqa: E402
from tests.instrumentation.recording import CONTENT  # noqa: E402
from tests.sdks.answers import Answer, events  # noqa: E402

MESSAGES = [{"role": "user", "content": "Hi"}]
USAGE = {"prompt_tokens": 20, "completion_tokens": 7, "total_tokens": 27}
MESSAGE = {"role": "assistant", "content": "Paris"}
ANSWER = {
    "id": "h-1",
    "object": "chat.completion",
    "created": 1,
    "model": "llama",
    "system_fingerprint": "x",
    "choices": [{"index": 0, "message": MESSAGE, "finish_reason": "stop"}],
    "usage": USAGE,
}


def chunk(text="", finish=None, **more):
    choice = {"index": 0, "delta": {"role": "assistant", "content": text}, "finish_reason": finish}
    base = {"id": "h-1", "object": "x", "created": 1, "model": "llama", "system_fingerprint": "x"}
    return {**base, "choices": [choice], **more}


@pytest.fixture
def hooked(recording):
    with recording.hooked("huggingface_hub"):
        yield recording


@pytest.fixture
def client(server):
    return hub.InferenceClient(base_url=server.url + "/v1", api_key="any")


def test_a_chat_is_one_span(hooked, client, server):
    server.answers["/chat/completions"] = Answer(ANSWER)
    answer = client.chat.completions.create(messages=MESSAGES, model="llama", temperature=0, max_tokens=9)
    assert answer.choices[0].message.content == "Paris"
    found = hooked.attributes()
    assert found["gen_ai.provider.name"] == "huggingface"
    assert found["gen_ai.usage.input_tokens"] == 20
    assert found["gen_ai.request.max_tokens"] == 9
    assert found["gen_ai.response.finish_reasons"] == ("stop",)


@pytest.mark.parametrize("asynchronous", [False, True])
def test_a_stream_is_one_span(hooked, client, server, run, asynchronous):
    answer = events(chunk("a"), chunk("b"), chunk(finish="stop", usage=USAGE), done=True)
    server.answers["/chat/completions"] = answer

    async def stream():
        client = hub.AsyncInferenceClient(base_url=server.url + "/v1", api_key="any")
        return [one async for one in await client.chat_completion(MESSAGES, stream=True)]

    chunks = run(stream()) if asynchronous else list(client.chat_completion(MESSAGES, stream=True))
    assert [one.choices[0].delta.content for one in chunks] == ["a", "b", ""]
    found = hooked.attributes()
    assert found["gen_ai.usage.output_tokens"] == 7
    assert found["gen_ai.request.stream"] is True
    assert found["otel_llm.stream.complete"] is True


def test_an_abandoned_stream_is_one_span(hooked, client, server):
    """Acceptance 1."""
    server.answers["/chat/completions"] = events(*(chunk("word ") for _ in range(50)), done=True)
    stream = client.chat_completion(MESSAGES, stream=True)
    next(stream)
    stream.close()
    del stream
    assert hooked.attributes()["otel_llm.usage.source"] == "estimated"


def test_text_generation_has_the_details_it_is_given(recording, server):
    client = hub.InferenceClient(model=server.url + "/models/gpt2")
    details = {"finish_reason": "length", "generated_tokens": 7, "prefill": [], "tokens": []}
    server.answers["/models/gpt2"] = Answer([{"generated_text": " Paris", "details": details}])
    with recording.hooked("huggingface_hub", environment=CONTENT):
        client.text_generation("Capital?", details=True, max_new_tokens=9)
    found = recording.attributes()
    assert found["gen_ai.operation.name"] == "text_completion"
    assert found["gen_ai.usage.output_tokens"] == 7
    assert found["gen_ai.response.finish_reasons"] == ("length",)
    [message] = json.loads(found["gen_ai.output.messages"])
    assert message["parts"][0]["content"] == " Paris"


def test_embeddings_are_seen_and_classification_is_waived(hooked, server):
    client = hub.InferenceClient(model=server.url + "/models/e")
    server.answers["/models/e"] = Answer([[0.1, 0.2]])
    try:
        client.feature_extraction("a")
    except ImportError:
        pytest.skip("feature_extraction needs numpy")
    assert hooked.attributes()["gen_ai.operation.name"] == "embeddings"
    server.answers["/models/e"] = Answer([[{"label": "x", "score": 0.5}]])
    client.text_classification("a")
    assert len(hooked.spans) == 1


def test_an_error_is_the_librarys_own(hooked, client, server):
    server.answers["/chat/completions"] = Answer({"error": "no"}, status=400)
    with pytest.raises(Exception, match="Bad") as raised:
        client.chat_completion(MESSAGES)
    assert hooked.attributes()["error.type"] == f"{type(raised.value).__module__}.{type(raised.value).__qualname__}"


# What asks no model anything.
ADMINISTRATION = {
    "chat",
    "close",
    "get_endpoint_info",
    "get_model_status",
    "health_check",
    "list_deployed_models",
    "post",
}


def test_every_method_has_tasks_that_are_traced_or_waived_by_name():
    """`chat` holds `chat_completion` by another name; `post` of early versions is a request of the app's own."""
    for client in (hub.InferenceClient, hub.AsyncInferenceClient):
        public = {name: value for name, value in vars(client).items() if not name.startswith("_")}
        for name in public.keys() - ADMINISTRATION:
            tasks = re.findall(r'task="([a-z0-9-]+)"', inspect.getsource(public[name]))
            assert tasks, name
            assert set(tasks) <= TASKS.keys() | set(WAIVED), name
    assert TASKS.keys() & set(WAIVED) == set()


ONE_CLIENT = """
import otel_llm.hosts.app, sys
otel_llm.hosts.app.instrument()
import huggingface_hub
client = getattr(huggingface_hub, sys.argv[1])
print(client._inner_post.__code__.co_filename.replace(chr(92), "/"))
"""


@pytest.mark.parametrize("client", ["InferenceClient", "AsyncInferenceClient"])
def test_an_app_that_has_one_of_the_clients_only_has_its_hook(client):
    """The modules of the two do not import each other, and what the last test has imported tells nothing of it."""
    arguments = [sys.executable, "-c", ONE_CLIENT, client]
    found = subprocess.run(arguments, capture_output=True, text=True, check=True, timeout=60)
    assert found.stdout.strip().endswith("otel_llm/instrumentation/methods.py"), found.stderr
