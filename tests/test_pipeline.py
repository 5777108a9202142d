from __future__ import annotations

import logging
from collections.abc import Iterable

import pytest

from otel_llm.clock import SystemClock
from otel_llm.errors import PipelineOrderError
from otel_llm.operation import Operation
from otel_llm.pipeline import Pipeline
from otel_llm.telemetry import Metrics
from tests.spans import SpanSpec, operations

ERRORS = "otel_llm.processing.errors"


class Step:
    """A processor made of a function over one operation."""

    def __init__(self, name: str, reads: Iterable[str] = (), writes: Iterable[str] = ()) -> None:
        self.name = name
        self.reads = frozenset(reads)
        self.writes = frozenset(writes)
        self.seen: list[str] = []

    def one(self, operation: Operation) -> None:
        operation.set(f"{self.name}.done", value=True)

    def process(self, operations: Iterable[Operation]) -> None:
        for operation in operations:
            self.seen.append(operation.name)
            self.one(operation)


class Fragile(Step):
    def one(self, operation: Operation) -> None:
        if operation.name.startswith("bad"):
            raise ValueError("prompt text that must not be logged")
        super().one(operation)


class WholeBatch(Step):
    def process(self, operations: Iterable[Operation]) -> None:
        if any(operation.name.startswith("bad") for operation in list(operations)):
            raise KeyError("x")


def pipeline(*steps: Step, metrics: Metrics | None = None) -> Pipeline:
    return Pipeline(steps, metrics or Metrics(), SystemClock())


def spans(*names: str) -> list[Operation]:
    return operations(*(SpanSpec(name=name, span=number) for number, name in enumerate(names, 1)))


def test_a_processor_that_raises_loses_one_operation_and_not_the_batch(caplog: pytest.LogCaptureFixture) -> None:
    fragile, after = Fragile("fragile"), Step("after")
    batch = spans("a", "bad 1", "b", "bad 2", "c")
    with caplog.at_level(logging.WARNING):
        pipeline(fragile, after).process(batch)
    assert [operation.get("fragile.done") for operation in batch] == [True, None, True, None, True]
    assert [operation.get(ERRORS) for operation in batch] == [
        None,
        ("fragile:ValueError",),
        None,
        ("fragile:ValueError",),
        None,
    ]
    assert all(operation.get("after.done") for operation in batch)
    assert len(caplog.records) == 1, "one line per interval, not one per span"
    assert "fragile failed with ValueError at" in caplog.text
    assert "must not be logged" not in caplog.text


def test_a_processor_that_takes_the_whole_batch_fails_for_the_whole_batch() -> None:
    batch = spans("a", "bad", "c")
    pipeline(WholeBatch("whole")).process(batch)
    assert [operation.get(ERRORS) for operation in batch] == [("whole:KeyError",)] * 3


def test_a_failure_in_a_second_loop_blames_the_operation_of_that_loop() -> None:
    class TwoLoops(Step):
        def process(self, operations: Iterable[Operation]) -> None:
            self.names = [operation.name for operation in operations]
            for operation in operations:
                if operation.name == "bad":
                    raise ValueError
                operation.set("done", value=True)

    batch = spans("a", "bad", "c")
    pipeline(TwoLoops("two")).process(batch)
    assert [operation.get("done") for operation in batch] == [True, None, True]
    assert [operation.get(ERRORS) for operation in batch] == [None, ("two:ValueError",), None]


def test_failures_and_work_are_counted_by_component() -> None:
    metrics = Metrics()
    pipeline(Fragile("fragile"), metrics=metrics).process(spans("a", "bad", "c"))
    counts = {
        (family.definition.name, *(value for _, value in series.attributes)): series.value
        for family in metrics.collect()
        for series in family.series
        if isinstance(series.value, int | float)
    }
    assert counts["otel_llm.processor.operations.failed", "fragile", "traces", "ValueError"] == 1
    assert counts["otel_llm.processor.operations.processed", "fragile", "traces"] == 3


def test_dropped_operations_are_not_shown_to_later_processors() -> None:
    class Dropper(Step):
        def one(self, operation: Operation) -> None:
            if operation.name == "b":
                operation.drop("unwanted")

    after = Step("after")
    pipeline(Dropper("drop"), after).process(spans("a", "b", "c"))
    assert after.seen == ["a", "c"]


def test_errors_of_several_processors_are_all_kept() -> None:
    batch = spans("bad")
    pipeline(Fragile("one"), Fragile("two")).process(batch)
    assert batch[0].get(ERRORS) == ("one:ValueError", "two:ValueError")


def test_a_wrong_order_is_refused_with_the_attribute_and_who_should_have_written_it() -> None:
    cost = Step("cost", reads=["gen_ai.usage.input_tokens"], writes=["otel_llm.cost.total"])
    normalize = Step("normalize", reads=["gen_ai.usage.input_tokens"], writes=["gen_ai.usage.input_tokens"])
    budget = Step("budget", reads=["otel_llm.cost.total"])
    with pytest.raises(PipelineOrderError) as caught:
        pipeline(budget, cost, normalize)
    assert caught.value.problems == (
        "processors: budget reads otel_llm.cost.total, which only cost after it writes; put cost before budget",
        (
            "processors: cost reads gen_ai.usage.input_tokens, which only normalize after it writes; "
            "put normalize before cost"
        ),
    )
    pipeline(normalize, cost, budget)


def test_reading_what_nobody_writes_is_fine_because_the_span_may_bring_it() -> None:
    pipeline(Step("cost", reads=["gen_ai.usage.input_tokens"]))
