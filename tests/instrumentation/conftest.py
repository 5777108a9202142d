from __future__ import annotations

from collections.abc import Iterator

import anthropic
import openai
import pytest

from otel_llm.loopback import LoopbackProvider
from tests.instrumentation.recording import Recording


@pytest.fixture
def recording() -> Recording:
    return Recording()


@pytest.fixture
def provider() -> Iterator[LoopbackProvider]:
    with LoopbackProvider() as provider:
        yield provider


@pytest.fixture
def openai_client(provider: LoopbackProvider) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=provider.openai_base_url, api_key="any", max_retries=0) as client:
        yield client


@pytest.fixture
def anthropic_client(provider: LoopbackProvider) -> Iterator[anthropic.Anthropic]:
    with anthropic.Anthropic(
        base_url=provider.anthropic_base_url, api_key="any", max_retries=0, open_telemetry=False
    ) as client:
        yield client
