from __future__ import annotations

import pytest

from otel_llm.clock import SystemClock
from otel_llm.components import Context
from otel_llm.telemetry import Metrics


@pytest.fixture
def context() -> Context:
    return Context("test", Metrics(), SystemClock())
