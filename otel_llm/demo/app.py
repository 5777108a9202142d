"""A support assistant that talks to two providers: the kinds of calls whose cost is easy to get wrong, in a few turns.

Chat, streams with and without usage, a tool call and its result, a prompt written to and read from the cache, hidden
reasoning, embeddings, an error, and a model nobody has a price for.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import anthropic
import openai
from openai.types.chat import ChatCompletionMessageParam, ChatCompletionToolParam
from opentelemetry.trace import Tracer

from otel_llm.demo.tracing import SERVICE_NAME, traced

CALL_TIMEOUT_SECONDS: Final = 10.0
HOUSE_RULES: Final = (
    "You answer for the support desk of a parcel service. Be brief. Promise no dates. Never ask for card numbers. " * 60
)
"""Long enough that providers cache it (more than 1024 tokens)."""

ORDER_TOOL: Final[ChatCompletionToolParam] = {
    "type": "function",
    "function": {
        "name": "get_order_status",
        "description": "Where a parcel is",
        "parameters": {"type": "object", "properties": {"order": {"type": "string"}}, "required": ["order"]},
    },
}


@dataclass(frozen=True, slots=True)
class Clients:
    """The SDK clients every turn uses."""

    openai: openai.OpenAI
    anthropic: anthropic.Anthropic


def ask(clients: Clients) -> str:
    """A plain question to a small model."""
    answer = clients.openai.chat.completions.create(
        model="gpt-4o-mini",
        messages=[_system("Be brief."), _user("How long does delivery take?")],
        temperature=0.2,
    )
    return answer.choices[0].message.content or ""


def stream_with_usage(clients: Clients) -> str:
    """A streamed answer that reports its usage, because the application asks for it."""
    chunks = clients.openai.chat.completions.create(
        model="gpt-4o", messages=[_user("Can I get a refund?")], stream=True, stream_options={"include_usage": True}
    )
    return "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)


def stream_without_usage(clients: Clients) -> str:
    """A streamed answer as most applications ask for it: OpenAI then reports no usage at all."""
    chunks = clients.openai.chat.completions.create(
        model="gpt-4.1-mini", messages=[_user("Can I get a refund for a broken parcel?")], stream=True
    )
    return "".join(chunk.choices[0].delta.content or "" for chunk in chunks)


def look_up_an_order(clients: Clients) -> str:
    """A tool call, and the answer made of its result: two model calls."""
    messages: list[ChatCompletionMessageParam] = [_user("Where is order A-1042?")]
    asked = clients.openai.chat.completions.create(model="gpt-4o-mini", messages=messages, tools=[ORDER_TOOL])
    calls = [call for call in asked.choices[0].message.tool_calls or [] if call.type == "function"]
    messages.append(
        {
            "role": "assistant",
            "tool_calls": [
                {
                    "id": call.id,
                    "type": "function",
                    "function": {"name": call.function.name, "arguments": call.function.arguments},
                }
                for call in calls
            ],
        }
    )
    messages += [
        {"role": "tool", "tool_call_id": call.id, "content": '{"place":"depot","due":"tomorrow"}'} for call in calls
    ]
    answered = clients.openai.chat.completions.create(model="gpt-4o-mini", messages=messages, tools=[ORDER_TOOL])
    return answered.choices[0].message.content or ""


def cached_prompt(clients: Clients) -> str:
    """The same long instructions twice: written to the cache by the first call, read from it by the second."""
    texts = []
    for question in ("How long does delivery take?", "And a refund?"):
        message = clients.anthropic.messages.create(
            model="claude-haiku-4-5",
            max_tokens=256,
            system=[{"type": "text", "text": HOUSE_RULES, "cache_control": {"type": "ephemeral"}}],
            messages=[{"role": "user", "content": question}],
        )
        texts += [block.text for block in message.content if block.type == "text"]
    return " ".join(texts)


def stream_a_message(clients: Clients) -> str:
    """A streamed message, whose usage is cumulative."""
    with clients.anthropic.messages.stream(
        model="claude-opus-5",
        max_tokens=256,
        messages=[{"role": "user", "content": "Please summarise the conversation."}],
    ) as stream:
        return stream.get_final_text()


def reason(clients: Clients) -> str:
    """A reasoning model, which bills tokens nobody sees."""
    return clients.openai.responses.create(
        model="o4-mini", input="Summarise: the customer asked where the parcel is."
    ).output_text


def embed(clients: Clients) -> str:
    """Embeddings of two articles of the help centre."""
    answer = clients.openai.embeddings.create(
        model="text-embedding-3-small", input=["Refunds", "Delivery times"], dimensions=256
    )
    return f"{len(answer.data)} vectors"


def rate_limited(clients: Clients) -> str:
    """A provider that refuses; the application apologises."""
    limited = clients.openai.with_options(default_headers={"x-loopback": "error=429;retry_after=1"})
    try:
        limited.chat.completions.create(model="gpt-4o", messages=[_user("Are you there?")])
    except openai.RateLimitError as error:
        return f"Sorry, busy (HTTP {error.status_code})"
    return "The provider was expected to refuse."


def unknown_model(clients: Clients) -> str:
    """A model of one's own behind the same API: there is no price for it."""
    answer = clients.openai.chat.completions.create(
        model="acme-support-7b", messages=[_user("How long does delivery take?")]
    )
    return answer.choices[0].message.content or ""


TURNS: Final[tuple[Callable[[Clients], str], ...]] = (
    ask,
    stream_with_usage,
    look_up_an_order,
    cached_prompt,
    stream_a_message,
    reason,
    embed,
    stream_without_usage,
    unknown_model,
    rate_limited,
)
"""The conversation, in order: 12 model calls."""


@dataclass(frozen=True, slots=True)
class Turn:
    """One turn that was made, and what the customer was told."""

    name: str
    answer: str


def run(provider_url: str, otlp_endpoint: str, *, capture_content: bool) -> tuple[Turn, ...]:
    """Make every turn, and send its spans before returning.

    Args:
        provider_url: the loopback provider, without a path.
        otlp_endpoint: an OTLP/HTTP receiver, without `/v1/traces`.
        capture_content: whether messages are put into the spans.

    Raises:
        openai.OpenAIError: a call to the provider failed that should not.
        anthropic.AnthropicError: likewise.
    """
    with traced(otlp_endpoint, capture_content=capture_content) as tracing:
        tracer = tracing.get_tracer(SERVICE_NAME)
        clients_openai = openai.OpenAI(
            base_url=f"{provider_url}/v1", api_key="demo", max_retries=0, timeout=CALL_TIMEOUT_SECONDS
        )
        clients_anthropic = anthropic.Anthropic(
            base_url=provider_url,
            api_key="demo",
            max_retries=0,
            timeout=CALL_TIMEOUT_SECONDS,
            open_telemetry={
                "tracer_provider": tracing,
                "traces": {"content_mode": "content" if capture_content else "metadata_only"},
            },
        )
        with clients_openai, clients_anthropic:
            clients = Clients(clients_openai, clients_anthropic)
            return tuple(_traced_turn(tracer, turn, clients) for turn in TURNS)


def _traced_turn(tracer: Tracer, turn: Callable[[Clients], str], clients: Clients) -> Turn:
    """A turn inside a span of the application, which passes the gateway untouched."""
    name = turn.__name__.replace("_", " ")
    with tracer.start_as_current_span(f"turn: {name}"):
        return Turn(name, turn(clients))


def _user(text: str) -> ChatCompletionMessageParam:
    return {"role": "user", "content": text}


def _system(text: str) -> ChatCompletionMessageParam:
    return {"role": "system", "content": text}
