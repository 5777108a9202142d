"""A batch job beside the assistant: it summarises tickets, until a new version of its model begins to refuse them.

Its tickets are made up, so their texts are captured whatever the demo was asked: without texts nobody can tell a
refusal.
"""

from __future__ import annotations

from typing import Final
from urllib.parse import quote

import openai

from otel_llm.demo.tracing import BATCH_SERVICE_NAME, traced

CALL_TIMEOUT_SECONDS: Final = 10.0
GOOD_CALLS: Final = 24
REFUSED_CALLS: Final = 12
MODEL: Final = "gpt-4o-mini"
_REFUSAL: Final = "I'm sorry, but I can't help with that request."


def run_batch(provider_url: str, otlp_endpoint: str) -> str:
    """Summarise all tickets and send the spans before returning; a line about it.

    Args:
        provider_url: the loopback provider, without a path.
        otlp_endpoint: an OTLP/HTTP receiver, without `/v1/traces`.

    Raises:
        openai.OpenAIError: a call to the provider failed.
    """
    with (
        traced(otlp_endpoint, capture_content=True, service_name=BATCH_SERVICE_NAME) as tracing,
        openai.OpenAI(
            base_url=f"{provider_url}/v1", api_key="demo", max_retries=0, timeout=CALL_TIMEOUT_SECONDS
        ) as client,
    ):
        for number in range(GOOD_CALLS + REFUSED_CALLS):
            if number == GOOD_CALLS:
                tracing.force_flush()  # a drift is watched for over time: what comes at one instant is one look
            told = {"x-loopback": f"text={quote(_REFUSAL)}"} if number >= GOOD_CALLS else {}
            client.chat.completions.create(
                model=MODEL,
                messages=[{"role": "user", "content": f"Please summarise ticket {number}: the parcel came late."}],
                extra_headers=told,
            )
    return f"{GOOD_CALLS + REFUSED_CALLS} tickets, {REFUSED_CALLS} of them refused"
