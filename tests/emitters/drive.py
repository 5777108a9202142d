"""Makes the same calls with whatever instrumentation its environment has, and exports real OTLP/HTTP.

Runs inside an emitter's environment, where neither otel_llm nor pytest is installed: `python drive.py SETUP PROVIDERS
PROVIDER_URL SINK_URL`. Each scenario's spans and log records go to `SINK_URL/<scenario>/v1/{traces,logs}`, one request
each. Scenario names and numbers are those of the dialect captures this project measures with, so that both can be
compared.
"""

from __future__ import annotations

import json
import random
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from opentelemetry import _logs, trace
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.id_generator import IdGenerator

QUESTION = {"role": "user", "content": "What is the capital of France?"}
SYSTEM = {"role": "system", "content": "You are terse."}
CITIES = {"role": "user", "content": "Weather in Paris and Rome?"}
CITY = {"role": "user", "content": "Weather in Paris?"}
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
FUNCTION = {"name": "get_weather", "description": "Get weather", "parameters": SCHEMA}
OPENAI_TOOLS = [{"type": "function", "function": FUNCTION}]
ANTHROPIC_TOOLS = [{"name": "get_weather", "description": "Get weather", "input_schema": SCHEMA}]
CALLED = {"id": "call_A1", "type": "function", "function": {"name": "get_weather", "arguments": '{"city":"Paris"}'}}
OPENAI_RESULT = [
    CITIES,
    {"role": "assistant", "tool_calls": [CALLED]},
    {"role": "tool", "tool_call_id": "call_A1", "content": '{"temp_c":12}'},
]
ANTHROPIC_RESULT = [
    CITY,
    {
        "role": "assistant",
        "content": [{"type": "tool_use", "id": "toolu_A1", "name": "get_weather", "input": {"city": "Paris"}}],
    },
    {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "toolu_A1", "content": "12C"}]},
]
ANSWER = "text=Paris is the capital of France."
OPENAI_BILL = "input=2006;cache_read=1920;output=300;reasoning=192"
ANTHROPIC_BILL = "input=18495;cache_read=16399;cache_write=2089;output=445;reasoning=0"
ANTHROPIC_TOOL_ANSWER = f"{ANTHROPIC_BILL};id=msg_FAKE2;tool_ids=toolu_A1;thinking=I should call the tool."

Call = Callable[[Any], object]


def chat(**parameters: Any) -> Call:
    """A chat completion; streams are read to their end."""

    def call(client: Any) -> object:
        answer = client.chat.completions.create(**{"model": "gpt-4o-mini", **parameters})
        return list(answer) if parameters.get("stream") else answer

    return call


def respond(**parameters: Any) -> Call:
    """A response; streams are read to their end."""

    def call(client: Any) -> object:
        answer = client.responses.create(
            model="gpt-4o-mini", input=QUESTION["content"], instructions=SYSTEM["content"], **parameters
        )
        return list(answer) if parameters.get("stream") else answer

    return call


def embed(client: Any) -> object:
    """An embedding."""
    return client.embeddings.create(
        model="text-embedding-3-small", input="The capital of France", dimensions=3, encoding_format="float"
    )


def message(**parameters: Any) -> Call:
    """A message; streams are read to their end."""

    def call(client: Any) -> object:
        answer = client.messages.create(**{"model": "claude-sonnet-4-5", "max_tokens": 64, **parameters})
        return list(answer) if parameters.get("stream") else answer

    return call


PARAMETERS = {"temperature": 0.2, "max_tokens": 50, "top_p": 0.9, "seed": 7, "stop": ["END"]}
TERSE = {"system": SYSTEM["content"], "messages": [QUESTION]}

# Scenario -> what the provider is told, and the call.
SCENARIOS: dict[str, dict[str, tuple[str, Call]]] = {
    "openai": {
        "openai_chat": (f"{OPENAI_BILL};id=chatcmpl-FAKE1", chat(messages=[SYSTEM, QUESTION], **PARAMETERS)),
        "openai_chat_tools": (
            f"{OPENAI_BILL};id=chatcmpl-FAKE2;tool_ids=call_A1,call_B2",
            chat(messages=[CITIES], tools=OPENAI_TOOLS),
        ),
        "openai_chat_tool_result": (
            f"{OPENAI_BILL};id=chatcmpl-FAKE1;{ANSWER}",
            chat(messages=OPENAI_RESULT, tools=OPENAI_TOOLS),
        ),
        "openai_chat_stream_usage": (
            f"{OPENAI_BILL};id=chatcmpl-FAKE3",
            chat(messages=[SYSTEM, QUESTION], stream=True, stream_options={"include_usage": True}),
        ),
        "openai_chat_stream_nousage": (
            f"{OPENAI_BILL};id=chatcmpl-FAKE3",
            chat(messages=[SYSTEM, QUESTION], stream=True),
        ),
        "openai_chat_stream_tools": (
            f"{OPENAI_BILL};id=chatcmpl-FAKE3;tools=one;tool_ids=call_A1",
            chat(messages=[CITIES], tools=OPENAI_TOOLS, stream=True, stream_options={"include_usage": True}),
        ),
        "openai_responses": (f"{OPENAI_BILL};id=resp_FAKE1", respond()),
        "openai_responses_stream": (f"{OPENAI_BILL};id=resp_FAKE1", respond(stream=True)),
        "openai_embeddings": ("input=5", embed),
        "openai_err429": ("retry_after=1", chat(model="err429", messages=[SYSTEM, QUESTION])),
    },
    "anthropic": {
        "anthropic_msg": (f"{ANTHROPIC_BILL};id=msg_FAKE1", message(**TERSE)),
        "anthropic_tools": (ANTHROPIC_TOOL_ANSWER, message(messages=[CITY], tools=ANTHROPIC_TOOLS)),
        "anthropic_tool_result": (
            f"{ANTHROPIC_BILL};id=msg_FAKE1;{ANSWER}",
            message(messages=ANTHROPIC_RESULT, tools=ANTHROPIC_TOOLS),
        ),
        "anthropic_stream": (f"{ANTHROPIC_BILL};id=msg_FAKE1", message(**TERSE, stream=True)),
        "anthropic_stream_tools": (ANTHROPIC_TOOL_ANSWER, message(messages=[CITY], tools=ANTHROPIC_TOOLS, stream=True)),
        "anthropic_err429": ("retry_after=1", message(model="err429", messages=[QUESTION])),
    },
}


def client_for(provider: str, url: str, directives: str) -> Any:
    """A client whose default headers carry the directives: headers of a single call end up in some emitters' spans."""
    if provider == "openai":
        import openai  # noqa: PLC0415 - not in every environment

        return openai.OpenAI(
            base_url=f"{url}/v1", api_key="any", max_retries=0, default_headers={"x-loopback": directives}
        )
    import anthropic  # noqa: PLC0415 - as above

    return anthropic.Anthropic(base_url=url, api_key="any", max_retries=0, default_headers={"x-loopback": directives})


def genai_openai() -> None:
    from opentelemetry.instrumentation.genai.openai import OpenAIInstrumentor  # noqa: PLC0415 - not in every environment

    OpenAIInstrumentor().instrument()


def genai_anthropic() -> None:
    from opentelemetry.instrumentation.genai.anthropic import AnthropicInstrumentor  # noqa: PLC0415 - as above

    AnthropicInstrumentor().instrument()


def nothing() -> None:
    """Switch nothing on: the SDK traces itself."""


def openllmetry() -> None:
    from opentelemetry.instrumentation.openai import OpenAIInstrumentor  # noqa: PLC0415 - as above

    OpenAIInstrumentor().instrument()


def openllmetry_events() -> None:
    from opentelemetry.instrumentation.openai import OpenAIInstrumentor  # noqa: PLC0415 - as above

    OpenAIInstrumentor(use_attributes=False).instrument()


def openinference() -> None:
    from openinference.instrumentation.openai import OpenAIInstrumentor  # noqa: PLC0415 - as above

    OpenAIInstrumentor().instrument()


def openlit() -> None:
    """Prices come from a file of ours: by default openlit fetches them from the network when it starts."""
    import openlit as package  # noqa: PLC0415 - as above

    prices = {"chat": {"gpt-4o-mini": {"promptPrice": 0.00015, "completionPrice": 0.0006}}, "embeddings": {}}
    with tempfile.NamedTemporaryFile("w", suffix=".json", delete=False) as file:
        json.dump(prices, file)
    try:
        package.init(
            pricing_json=file.name, disable_metrics=True, disabled_instrumentors=["httpx", "urllib3", "requests"]
        )
    finally:
        Path(file.name).unlink()


SETUPS: dict[str, Callable[[], None]] = {
    setup.__name__: setup
    for setup in (genai_openai, genai_anthropic, nothing, openllmetry, openllmetry_events, openinference, openlit)
}


class SeededIds(IdGenerator):
    """Ids that depend on the scenario alone."""

    def __init__(self) -> None:
        self.random = random.Random(0)

    def generate_span_id(self) -> int:
        return self.random.getrandbits(64) or 1

    def generate_trace_id(self) -> int:
        return self.random.getrandbits(128) or 1


class Redirected:
    """An exporter whose destination changes with the scenario: everything is handed to `current`."""

    def __init__(self) -> None:
        self.current: Any = None

    def export(self, batch: Any) -> Any:
        return self.current.export(batch)

    def shutdown(self) -> None:
        """Each destination is shut down when its scenario ends."""

    def force_flush(self, timeout_millis: int = 10_000) -> bool:
        return bool(self.current.force_flush(timeout_millis))


def scenarios(providers: list[str]) -> Iterator[tuple[str, str, str, Call]]:
    for provider in providers:
        for name, (directives, call) in SCENARIOS[provider].items():
            yield provider, name, directives, call


def main(setup: str, providers: str, provider_url: str, sink_url: str) -> None:
    """Run all scenarios; any failure but the expected HTTP 429 ends the process."""
    ids, spans, records = SeededIds(), Redirected(), Redirected()
    resource = Resource.create({"service.name": "emitter", "service.instance.id": "emitter-1"})
    tracing = TracerProvider(resource=resource, id_generator=ids)
    tracing.add_span_processor(BatchSpanProcessor(spans, schedule_delay_millis=60_000))
    logging = LoggerProvider(resource=resource)
    logging.add_log_record_processor(BatchLogRecordProcessor(records, schedule_delay_millis=60_000))
    trace.set_tracer_provider(tracing)
    _logs.set_logger_provider(logging)
    SETUPS[setup]()
    for provider, name, directives, call in scenarios(providers.split(",")):
        ids.random.seed(name)
        spans.current = OTLPSpanExporter(endpoint=f"{sink_url}/{name}/v1/traces")
        records.current = OTLPLogExporter(endpoint=f"{sink_url}/{name}/v1/logs")
        with client_for(provider, provider_url, directives) as client:
            run(call, client, sys.modules[provider].RateLimitError, expect_429=name.endswith("_err429"))
        tracing.force_flush()
        logging.force_flush()
        spans.current.shutdown()
        records.current.shutdown()


def run(call: Call, client: Any, refusal: type[Exception], *, expect_429: bool) -> None:
    """Make a call that must succeed, or must fail with `refusal`, the SDK's exception for HTTP 429."""
    try:
        call(client)
    except refusal:
        if not expect_429:
            raise
        return
    if expect_429:
        raise RuntimeError("the provider was told to answer 429, and the call succeeded")


if __name__ == "__main__":
    main(*sys.argv[1:])
