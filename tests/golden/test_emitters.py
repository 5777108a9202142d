"""The recorded requests of real emitters, whole: decode, normalise, price, encode.

What comes out is compared with `expected/`; `python -m tests.golden.update` rewrites it, for a reader to check. That
the results are right, and equal across emitters, is what test_same_call.py says.
"""

from __future__ import annotations

import pytest

from otel_llm.codecs.sdk import decode_span
from tests.golden.as_sdk import sdk_spans
from tests.golden.recorded import (
    EXPECTED,
    RECORDED_LOGS,
    RECORDINGS,
    Recording,
    log_result,
    pipeline,
    processed,
    processed_logs,
    result,
    text_of,
)

_every_recording = pytest.mark.parametrize("recording", RECORDINGS, ids=str)
_every_log = pytest.mark.parametrize("recording", RECORDED_LOGS, ids=str)


@_every_recording
def test_the_whole_spans_are_those_of_the_golden_case(recording: Recording) -> None:
    assert text_of(result(recording.traces)) == recording.expected_traces.read_text(encoding="utf-8")


@_every_log
def test_the_whole_log_records_are_those_of_the_golden_case(recording: Recording) -> None:
    assert text_of(log_result(recording.logs)) == recording.expected_logs.read_text(encoding="utf-8")


@_every_recording
def test_in_the_app_the_same_spans_change_in_the_same_way(recording: Recording) -> None:
    """The sdk codec shows finished spans of the SDK; its operations must change as those of the wire codec do."""
    on_the_wire, _ = processed(recording.traces)
    in_the_app = [operation for span in sdk_spans(recording.traces) if (operation := decode_span(span)) is not None]
    pipeline().process(in_the_app)
    assert [operation.changes for operation in in_the_app] == [operation.changes for operation in on_the_wire]
    assert any(operation.is_changed for operation in in_the_app)


@_every_recording
def test_a_second_gateway_changes_not_one_byte_of_the_spans(recording: Recording) -> None:
    _, once = processed(recording.traces)
    operations, twice = processed(once)
    assert twice == once
    assert [operation.changes for operation in operations if operation.is_changed] == []


@_every_log
def test_a_second_gateway_changes_not_one_byte_of_the_log_records(recording: Recording) -> None:
    once = processed_logs(recording.logs)
    assert processed_logs(once) == once


def test_every_golden_case_belongs_to_a_recording() -> None:
    of_recordings = {recording.expected_traces for recording in RECORDINGS}
    of_recordings |= {recording.expected_logs for recording in RECORDED_LOGS}
    assert set(EXPECTED.glob("*/*.json")) == of_recordings
    assert len(RECORDINGS) > 80
