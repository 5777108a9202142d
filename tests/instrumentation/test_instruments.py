"""Calls are held before they are recorded, and nobody who looks at metrics can tell."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest
from opentelemetry.context import Context
from opentelemetry.metrics import Meter
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

from otel_llm._generated import attributes as names
from otel_llm._generated import metrics as definitions
from otel_llm.instrumentation.instruments import Instruments

CALL = {
    names.GEN_AI_OPERATION_NAME: "chat",
    names.GEN_AI_PROVIDER_NAME: "openai",
    names.GEN_AI_REQUEST_MODEL: "gpt-4o",
    names.GEN_AI_USAGE_INPUT_TOKENS: 10,
    names.GEN_AI_USAGE_OUTPUT_TOKENS: 3,
}
DURATION = definitions.GEN_AI_CLIENT_INFERENCE_DURATION.name
INPUT = definitions.GEN_AI_CLIENT_INFERENCE_USAGE_INPUT_TOKENS.name
FIRST_CHUNK = definitions.GEN_AI_CLIENT_INFERENCE_TIME_TO_FIRST_CHUNK.name


@pytest.fixture
def reader() -> InMemoryMetricReader:
    return InMemoryMetricReader()


@pytest.fixture
def meter(reader: InMemoryMetricReader) -> Iterator[Meter]:
    provider = MeterProvider([reader], shutdown_on_exit=False)
    yield provider.get_meter("test")
    provider.shutdown()


def collected(reader: InMemoryMetricReader) -> dict[str, Any]:
    """The one point of each metric."""
    data = reader.get_metrics_data()
    metrics = data.resource_metrics[0].scope_metrics[0].metrics if data and data.resource_metrics else []
    return {metric.name: metric.data.data_points[0] for metric in metrics}


@pytest.mark.parametrize("calls", [1, 7, 8, 9, 100])
def test_every_call_that_has_ended_is_in_the_next_collection(
    reader: InMemoryMetricReader, meter: Meter, calls: int
) -> None:
    instruments = Instruments(meter)
    for _ in range(calls):
        instruments.record(CALL, 0.5, {})
    found = collected(reader)
    assert (found[DURATION].count, found[DURATION].sum) == (calls, calls * 0.5)
    assert found[INPUT].value == calls * 10


def test_the_pace_of_a_stream_is_recorded_with_it(reader: InMemoryMetricReader, meter: Meter) -> None:
    instruments = Instruments(meter)
    instruments.record(CALL, 0.5, {}, (0.25, None))
    assert collected(reader)[FIRST_CHUNK].sum == 0.25


def test_a_forked_child_records_no_call_of_its_parent(reader: InMemoryMetricReader, meter: Meter) -> None:
    instruments = Instruments(meter)
    instruments.record(CALL, 0.5, {})
    instruments.forked()
    assert DURATION not in collected(reader)
    assert INPUT not in collected(reader)


def test_calls_that_end_on_many_threads_are_each_recorded_once(reader: InMemoryMetricReader, meter: Meter) -> None:
    instruments = Instruments(meter)
    threads = [
        threading.Thread(target=lambda: [instruments.record(CALL, 0.5, {}) for _ in range(101)]) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = collected(reader)
    assert found[DURATION].count == 808
    assert found[INPUT].value == 8080


class _EndsAnother:
    """A histogram within whose record another call ends, as when a finalizer runs there."""

    def __init__(self) -> None:
        self.recorded: list[float] = []
        self.instruments: Instruments | None = None

    def record(self, amount: float, _attributes: object, _at: Context) -> None:
        self.recorded.append(amount)
        if self.instruments is not None:
            for _ in range(8):
                self.instruments.record(CALL, 0.5, {})


def test_a_call_that_ends_within_a_record_waits_for_nobody(meter: Meter) -> None:
    instruments = Instruments(meter)
    histogram = _EndsAnother()
    histogram.instruments = instruments
    instruments._inference = histogram  # type: ignore[assignment]
    for _ in range(8):
        instruments.record(CALL, 0.5, {})
    histogram.instruments = None
    instruments.settle()
    assert len(histogram.recorded) == 8 + 8 * 8
