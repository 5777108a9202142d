from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from opentelemetry import baggage, context

from tests.instrumentation.recording import Recording
from tests.sdks.answers import Answers


@pytest.fixture
def recording() -> Recording:
    return Recording()


@pytest.fixture
def server() -> Iterator[Answers]:
    with Answers() as answers:
        yield answers


@pytest.fixture
def run() -> Callable[[Any], Any]:
    return asyncio.run


@pytest.fixture
def with_baggage() -> Iterator[None]:
    token = context.attach(baggage.set_baggage("session.id", "secret-session"))
    yield
    context.detach(token)
