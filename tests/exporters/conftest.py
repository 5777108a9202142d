from __future__ import annotations

import pytest

from otel_llm.clock import SystemClock
from otel_llm.components import Context
from otel_llm.telemetry import Metrics
from tests.exporters import certificates


@pytest.fixture(scope="session")
def pem(tmp_path_factory: pytest.TempPathFactory) -> certificates.Certificates:
    return certificates.make(tmp_path_factory.mktemp("pem"))


@pytest.fixture
def context() -> Context:
    return Context("test", Metrics(), SystemClock())
