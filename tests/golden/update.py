"""Writes what the gateway makes of every recorded request to `expected/`: `python -m tests.golden.update`.

Read the difference before committing it: a wrong value is a defect to mark, not a result to bless.
"""

from __future__ import annotations

from tests.golden.recorded import RECORDED_LOGS, RECORDINGS, log_result, result, text_of


def main() -> None:
    """Write all of them; files of recordings that are gone have to go by hand."""
    for recording in RECORDINGS:
        recording.expected_traces.parent.mkdir(parents=True, exist_ok=True)
        recording.expected_traces.write_text(text_of(result(recording.traces)), encoding="utf-8")
    for recording in RECORDED_LOGS:
        recording.expected_logs.write_text(text_of(log_result(recording.logs)), encoding="utf-8")


if __name__ == "__main__":
    main()
