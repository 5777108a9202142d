"""Trace requests to measure with: 512 spans, deterministic, shaped as instrumentations write them.

| kind | what |
|---|---|
| content | GenAI chat spans with 2 to 8 KB of messages |
| genai | GenAI chat spans without content |
| plain | HTTP and database spans |
| mix | 10 % content, the rest plain |
"""

from __future__ import annotations

import json
import random
from typing import Literal

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

Kind = Literal["content", "genai", "plain", "mix"]
KINDS: tuple[Kind, ...] = ("content", "genai", "plain", "mix")
SPANS = 512
START = 1_790_000_000_000_000_000
WORDS = ("invoice", "retry", "shard", "gateway", "tenant", "quota", "ledger", "replica", "cursor", "window", "token")
MODELS = (
    ("openai", "gpt-4o-2024-08-06"),
    ("openai", "gpt-4.1-mini"),
    ("anthropic", "claude-sonnet-4-5"),
    ("gcp.gemini", "gemini-2.5-flash"),
)


def put(span: Span, key: str, value: object) -> None:
    attribute = span.attributes.add(key=key)
    if isinstance(value, bool):
        attribute.value.bool_value = value
    elif isinstance(value, int):
        attribute.value.int_value = value
    elif isinstance(value, float):
        attribute.value.double_value = value
    elif isinstance(value, str):
        attribute.value.string_value = value
    elif isinstance(value, list):
        attribute.value.array_value.values.extend([])
        for item in value:
            attribute.value.array_value.values.add(string_value=item)


def base(span: Span, rng: random.Random, name: str, kind: int) -> None:
    span.trace_id, span.span_id, span.parent_span_id = rng.randbytes(16), rng.randbytes(8), rng.randbytes(8)
    span.name, span.kind, span.flags = name, kind, 0x101
    span.start_time_unix_nano = START + rng.randrange(10**12)
    span.end_time_unix_nano = span.start_time_unix_nano + rng.randrange(10**6, 3 * 10**9)


def text(rng: random.Random, size: int) -> str:
    return " ".join(rng.choice(WORDS) for _ in range(size // 6))[:size]


def genai(span: Span, rng: random.Random, *, content: bool) -> None:
    provider, model = rng.choice(MODELS)
    base(span, rng, f"chat {model}", Span.SPAN_KIND_CLIENT)
    tokens = rng.randrange(50, 4000)
    output = rng.randrange(10, 1500)
    attributes: dict[str, object] = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": provider,
        "gen_ai.request.model": model,
        "gen_ai.response.model": model,
        "gen_ai.response.id": f"resp-{rng.randbytes(12).hex()}",
        "gen_ai.request.temperature": 0.2,
        "gen_ai.request.top_p": 0.95,
        "gen_ai.request.max_tokens": 2048,
        "gen_ai.request.seed": 42,
        "gen_ai.request.stream": True,
        "gen_ai.response.finish_reasons": ["stop"],
        "gen_ai.usage.input_tokens": tokens,
        "gen_ai.usage.output_tokens": output,
        "gen_ai.usage.cache_read.input_tokens": tokens // 3,
        "gen_ai.usage.reasoning.output_tokens": output // 4,
        "gen_ai.conversation.id": rng.randbytes(16).hex(),
        "gen_ai.output.type": "text",
        "gen_ai.response.time_to_first_chunk": 0.31,
        "openai.response.service_tier": "default",
        "server.address": "api.example.com",
        "server.port": 443,
        "user.id": f"u-{rng.randrange(10000)}",
        "session.id": rng.randbytes(8).hex(),
    }
    if content:
        size = rng.randrange(2048, 8192)
        attributes["gen_ai.input.messages"] = json.dumps(
            [
                {"role": "system", "parts": [{"type": "text", "content": text(rng, size // 4)}]},
                {"role": "user", "parts": [{"type": "text", "content": text(rng, size // 2)}]},
            ]
        )
        attributes["gen_ai.output.messages"] = json.dumps(
            [{"role": "assistant", "parts": [{"type": "text", "content": text(rng, size // 4)}]}]
        )
    for key, value in attributes.items():
        put(span, key, value)


def plain(span: Span, rng: random.Random) -> None:
    if rng.random() < 0.6:
        base(span, rng, "GET /api/v1/orders/{id}", Span.SPAN_KIND_SERVER)
        attributes: dict[str, object] = {
            "http.request.method": "GET",
            "http.route": "/api/v1/orders/{id}",
            "url.scheme": "https",
            "url.path": f"/api/v1/orders/{rng.randrange(10**6)}",
            "url.query": "page=1&size=20",
            "http.response.status_code": 200,
            "server.address": "orders.internal.example.com",
            "server.port": 8443,
            "client.address": f"10.0.{rng.randrange(255)}.{rng.randrange(255)}",
            "client.port": rng.randrange(1024, 65535),
            "network.peer.address": "10.0.1.7",
            "network.peer.port": 55555,
            "network.protocol.name": "http",
            "network.protocol.version": "1.1",
            "user_agent.original": "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36",
            "http.request.body.size": 512,
            "http.response.body.size": 4096,
            "thread.id": 140123,
            "thread.name": "worker-7",
            "user.id": f"u-{rng.randrange(10000)}",
        }
    else:
        base(span, rng, "SELECT orders", Span.SPAN_KIND_CLIENT)
        attributes = {
            "db.system.name": "postgresql",
            "db.namespace": "shop",
            "db.operation.name": "SELECT",
            "db.collection.name": "orders",
            "db.query.text": "SELECT id, customer, total FROM orders WHERE customer = ? AND created > ? LIMIT ?",
            "db.query.summary": "SELECT orders",
            "db.response.status_code": "00000",
            "db.response.returned_rows": 20,
            "server.address": "pg-0.internal",
            "server.port": 5432,
            "network.peer.address": "10.0.3.9",
            "network.peer.port": 5432,
            "network.transport": "tcp",
            "network.type": "ipv4",
            "db.client.connection.pool.name": "main",
            "thread.id": 140123,
            "thread.name": "worker-7",
            "code.function.name": "shop.orders.list",
            "code.file.path": "/srv/shop/orders.py",
            "code.line.number": 120,
        }
    for key, value in attributes.items():
        put(span, key, value)


def request(kind: Kind, *, spans: int = SPANS, seed: int = 7) -> bytes:
    """One serialized request: two resources, and in each one scope per instrumentation, as an SDK groups them."""
    rng = random.Random(seed)
    message = ExportTraceServiceRequest()
    for number in range(2):
        resource = message.resource_spans.add()
        for key, value in (
            ("service.name", f"shop-{number}"),
            ("service.version", "1.2.3"),
            ("service.instance.id", rng.randbytes(16).hex()),
            ("deployment.environment.name", "prod"),
            ("telemetry.sdk.language", "python"),
            ("host.name", f"ip-10-0-1-{number}"),
            ("k8s.pod.name", f"shop-7f9c-{number}"),
            ("cloud.region", "eu-west-1"),
        ):
            resource.resource.attributes.add(key=key).value.string_value = value
        kinds = [kind if kind != "mix" else ("content" if rng.random() < 0.1 else "plain") for _ in range(spans // 2)]
        for scope, members in (
            ("opentelemetry.instrumentation.asgi", ("plain",)),
            ("opentelemetry.instrumentation.genai.openai", ("content", "genai")),
        ):
            mine = [one for one in kinds if one in members]
            if not mine:
                continue
            group = resource.scope_spans.add()
            group.scope.name, group.scope.version = scope, "1.3b0"
            for one in mine:
                span = group.spans.add()
                if one == "plain":
                    plain(span, rng)
                else:
                    genai(span, rng, content=one == "content")
    return message.SerializeToString()
