"""A model provider on the loopback interface that speaks the wire formats of OpenAI and Anthropic.

For demos and tests: no account, no network, no cost; the same requests in the same order get the same answers. It
answers plain and streamed chat, responses, embeddings and messages, with tool calls, cached and reasoning tokens and
errors, as the request or its directives (`otel_llm.loopback.directives`) ask for, and keeps a ledger of what a real
provider would have billed.

    with LoopbackProvider() as provider:
        client = openai.OpenAI(base_url=provider.openai_base_url, api_key="any")
"""

from __future__ import annotations

from otel_llm.loopback.ledger import Served
from otel_llm.loopback.server import LoopbackProvider
from otel_llm.loopback.usage import Usage

__all__ = ["LoopbackProvider", "Served", "Usage"]
