"""Admissions under every SDK: a changed text is changed on the wire, and a call that is denied is not made."""

from __future__ import annotations

import asyncio
import importlib
import json
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from otel_llm.admission import ALLOW, Decision
from otel_llm.errors import DeniedError
from tests.sdks.answers import Answer, Answers

SECRET = "my number is 4711"
MESSAGES = [{"role": "user", "content": SECRET}]


class Redacting:
    """Takes a number out of every text."""

    name = "redact"
    on_error = "deny"

    def admit(self, operation: Any) -> Decision:
        said = json.loads(json.dumps(operation.input_messages).replace("4711", "[gone]"))
        operation.set("gen_ai.input.messages", said)
        return ALLOW


class Denying:
    name = "deny"
    on_error = "deny"

    def admit(self, _: Any) -> Decision:
        return Decision("deny", "not_allowed")


class Failing:
    name = "failing"
    on_error = "deny"

    def admit(self, _: Any) -> Decision:
        raise RuntimeError("no")


def google(url: str) -> Any:
    genai = importlib.import_module("google.genai")
    client = genai.Client(api_key="any", vertexai=False, http_options=genai.types.HttpOptions(base_url=url))
    return client.models.generate_content(model="m", contents=SECRET)


def bedrock(url: str) -> Any:
    boto3 = importlib.import_module("boto3")
    keys = {"aws_access_key_id": "any", "aws_secret_access_key": "any"}
    return boto3.client("bedrock-runtime", region_name="us-east-1", endpoint_url=url, **keys)


def converse(url: str) -> Any:
    return bedrock(url).converse(modelId="m", messages=[{"role": "user", "content": [{"text": SECRET}]}])


def aio_bedrock(url: str, operation: str, **asked: Any) -> Any:
    async def run() -> Any:
        session = importlib.import_module("aiobotocore.session").get_session()
        keys = {"aws_access_key_id": "any", "aws_secret_access_key": "any"}
        async with session.create_client(
            "bedrock-runtime", region_name="us-east-1", endpoint_url=url, **keys
        ) as client:
            return await getattr(client, operation)(modelId="m", **asked)

    return asyncio.run(run())


def aio_converse(url: str) -> Any:
    return aio_bedrock(url, "converse", messages=[{"role": "user", "content": [{"text": SECRET}]}])


def aio_invoke(url: str) -> Any:
    return aio_bedrock(url, "invoke_model", body=json.dumps({"prompt": SECRET, "max_gen_len": 3}))


def invoke(url: str) -> Any:
    return bedrock(url).invoke_model(modelId="m", body=json.dumps({"prompt": SECRET, "max_gen_len": 3}))


def mistral(url: str) -> Any:
    try:
        kind = importlib.import_module("mistralai.client").Mistral
    except (ImportError, AttributeError):
        kind = importlib.import_module("mistralai").Mistral
    client = kind(api_key="any", server_url=url)  # early versions close when the client is garbage
    return client.chat.complete(model="m", messages=MESSAGES)


def cohere(url: str) -> Any:
    return importlib.import_module("cohere").ClientV2("any", base_url=url).chat(model="m", messages=MESSAGES)


def hub(url: str) -> Any:
    client = importlib.import_module("huggingface_hub").InferenceClient(base_url=url + "/v1", api_key="any")
    return client.chat_completion(MESSAGES)


def ollama(url: str) -> Any:
    return importlib.import_module("ollama").Client(url).chat("m", MESSAGES)


def groq(url: str) -> Any:
    client = importlib.import_module("groq").Groq(base_url=url, api_key="any", max_retries=0)
    return client.chat.completions.create(model="m", messages=MESSAGES)


def together(url: str) -> Any:
    client = importlib.import_module("together").Together(base_url=url, api_key="any", max_retries=0)
    return client.chat.completions.create(model="m", messages=MESSAGES)


def litellm(url: str) -> Any:
    return importlib.import_module("litellm").completion("openai/m", MESSAGES, api_base=url, api_key="any")


CALLS: Mapping[str, tuple[str, Callable[[str], Any]]] = {
    "google": ("google.genai", google),
    "aio_converse": ("aiobotocore", aio_converse),
    "aio_invoke": ("aiobotocore", aio_invoke),
    "converse": ("botocore", converse),
    "invoke": ("botocore", invoke),
    "mistral": ("mistralai", mistral),
    "cohere": ("cohere", cohere),
    "hub": ("huggingface_hub", hub),
    "ollama": ("ollama", ollama),
    "groq": ("groq", groq),
    "together": ("together", together),
    "litellm": ("litellm", litellm),
}


def called(name: str, server: Answers) -> None:
    """Make the call. What is answered is no answer of that provider, which is no matter here."""
    server.answers[""] = Answer({"message": "no"}, status=400)
    CALLS[name][1](server.url)


@pytest.mark.parametrize("name", CALLS)
def test_a_changed_text_is_changed_on_the_wire(recording, server, monkeypatch, name):
    """Acceptance 22: what a redaction took out does not leave the app."""
    monkeypatch.setenv("LITELLM_LOCAL_MODEL_COST_MAP", "True")
    library = CALLS[name][0]
    package = {"botocore": "boto3"}.get(library, library)
    pytest.importorskip(package, reason=f"{package} is not installed; see tests/sdks/README.md")
    with recording.hooked(library, admissions=[Redacting()]), pytest.raises(Exception):  # noqa: B017, PT011 - each SDK's own
        called(name, server)
    assert server.asked
    for asked in server.asked:
        assert b"[gone]" in asked.body
        assert b"4711" not in asked.body


@pytest.mark.parametrize("admission", [Denying(), Failing()])
@pytest.mark.parametrize("name", CALLS)
def test_a_denied_call_is_not_made(recording, server, monkeypatch, name, admission):
    monkeypatch.setenv("LITELLM_LOCAL_MODEL_COST_MAP", "True")
    library = CALLS[name][0]
    package = {"botocore": "boto3"}.get(library, library)
    pytest.importorskip(package, reason=f"{package} is not installed; see tests/sdks/README.md")
    with recording.hooked(library, admissions=[admission]), pytest.raises(DeniedError):
        called(name, server)
    assert server.asked == []
    assert recording.attributes()["error.type"] == "otel_llm.DeniedError"
