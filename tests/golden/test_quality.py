"""What the quality processor says of the recorded requests of real emitters: the same through both codecs, and once.

`expected_quality.json` holds, for each recording, what is raised and what could be told, span by span;
`python -m tests.golden.test_quality` writes it anew, for a reader to check.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

import pytest

from otel_llm.clock import SystemClock
from otel_llm.codecs.sdk import decode_span
from otel_llm.codecs.wire import decode_traces
from otel_llm.components import Context
from otel_llm.operation import AttributeValue, Operation
from otel_llm.pipeline import Pipeline
from otel_llm.processors import normalize, quality
from otel_llm.telemetry import Metrics
from tests.golden.as_sdk import sdk_spans
from tests.golden.recorded import RECORDINGS, Recording

_EXPECTED = Path(__file__).with_name("expected_quality.json")
_every_recording = pytest.mark.parametrize("recording", RECORDINGS, ids=str)


def _processed(operations: list[Operation]) -> list[Operation]:
    metrics, clock = Metrics(), SystemClock()
    processors = [
        normalize.create(normalize.Config(), Context("normalize", metrics, clock)),
        quality.create(quality.Config(), Context("quality", metrics, clock)),
    ]
    Pipeline(processors, metrics, clock).process(operations)
    return operations


def _found(operations: Iterable[Operation]) -> list[dict[str, str]]:
    """Flags and checks of each operation that has any."""
    return [
        {"flags": _names(one.get("otel_llm.quality.flags")), "checks": _names(one.get("otel_llm.quality.checks"))}
        for one in operations
        if one.get("otel_llm.quality.checks") is not None
    ]


def _names(value: AttributeValue) -> str:
    return " ".join(map(str, value)) if isinstance(value, tuple | list) else ""


def _on_the_wire(recording: Recording) -> list[dict[str, str]]:
    return _found(_processed(decode_traces(recording.traces).operations))


@_every_recording
def test_flags_and_checks_are_those_of_the_golden_case(recording: Recording) -> None:
    assert _on_the_wire(recording) == json.loads(_EXPECTED.read_text(encoding="utf-8"))[str(recording)]


@_every_recording
def test_in_the_app_the_same_is_found(recording: Recording) -> None:
    in_the_app = [one for span in sdk_spans(recording.traces) if (one := decode_span(span)) is not None]
    assert _found(_processed(in_the_app)) == _on_the_wire(recording)


@_every_recording
def test_a_second_gateway_changes_not_one_byte(recording: Recording) -> None:
    batch = decode_traces(recording.traces)
    _processed(batch.operations)
    once = batch.encode().join()
    again = decode_traces(once)
    _processed(again.operations)
    assert again.encode().join() == once


if __name__ == "__main__":
    found = {str(recording): _on_the_wire(recording) for recording in RECORDINGS}
    _EXPECTED.write_text(json.dumps(found, indent=1, sort_keys=True) + "\n", encoding="utf-8")
