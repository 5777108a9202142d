"""What detectors must not do: find things in clean text, and work without bound on a hostile one."""

from __future__ import annotations

import sys
from collections import Counter
from types import FrameType

import pytest

from benchmarks.clean_text import clean_text
from benchmarks.detectors import ADVERSARIAL
from otel_llm.policy.detectors import ATTACK_TYPES, PERSONAL_TYPES, SECRET_TYPES, DetectorSet, built_in
from otel_llm.policy.detectors.detector_set import MOST_FINDINGS
from otel_llm.policy.detectors.gate import Engine, uses_compiled

ENGINES: list[Engine] = ["re", *(["compiled"] if uses_compiled(None) else [])]  # type: ignore[list-item] # literals
CODE = '''
def retry(call, attempts=3, base_seconds=0.25):
    """Call again after 0.25, 0.5, 1.0 seconds; see RFC 9110, section 15.6.4 (503)."""
    for attempt in range(attempts):
        response = call(timeout=30.0, headers={"Authorization": f"Bearer {token}", "x-api-key": os.environ["KEY"]})
        if response.status_code not in (429, 500, 502, 503, 504):
            return response.json()["items"][0:10]
        time.sleep(min(8, base_seconds * 2**attempt) + random.uniform(0, 0.1))
    raise TimeoutError(f"{attempts} attempts, last status {response.status_code}")

SELECT id, total::numeric(12, 2) FROM orders WHERE created_at >= '2026-11-01 00:00:00+00' AND id = ANY($1) LIMIT 100;
std::vector<std::pair<int, double>> best{{1, 0.9983}, {2, 0.9716}};  // 10.0.0.1:8080, ::1, fe80::1, 127.0.0.1
password = getpass.getpass(); secret = os.getenv("CLIENT_SECRET"); token: str | None = None
'''


@pytest.mark.parametrize("engine", ENGINES)
def test_clean_technical_text_has_at_most_five_findings_a_megabyte(engine: Engine) -> None:
    """UUIDs, digests, timestamps, versions, trace ids, numbers of all kinds, and code; a piece is a message of 4 KB."""
    detectors = DetectorSet(built_in(engine=engine), PERSONAL_TYPES | SECRET_TYPES | ATTACK_TYPES, remembered=0)
    text = clean_text(960 * 1024, seed=11) + CODE * (64 * 1024 // len(CODE))
    found: Counter[str] = Counter()
    for start in range(0, len(text), 4096):
        found.update(one.type for one in detectors.find(text[start : start + 4096]))
    assert found.total() <= 5, found


def calls(detectors: DetectorSet, text: str) -> int:
    """How many functions, of ours and of the interpreter, looking at a text takes."""
    count = 0

    def note(_frame: FrameType, event: str, _argument: object) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    before = sys.getprofile()
    sys.setprofile(note)
    try:
        detectors._look(text)
    finally:
        sys.setprofile(before)
    return count


@pytest.mark.parametrize("engine", ENGINES)
def test_25_no_text_takes_steps_out_of_proportion_to_its_size(engine: Engine) -> None:
    """Four times the text is four times the work at most; what a pattern does by itself, its form bounds."""
    detectors = DetectorSet(built_in(engine=engine), remembered=0)
    for unit in ADVERSARIAL:
        small, large = ((unit * (size // len(unit) + 1))[:size] for size in (4096, 16384))
        detectors._look(large)  # what is made once and kept is made
        assert calls(detectors, large) <= 4 * 1.25 * calls(detectors, small) + 200, unit


@pytest.mark.parametrize("unit", ["a\u200bb ", "85.214.132.117 ", "555-12-3456 ", "ada@example.com "])
def test_25_a_text_full_of_findings_is_one_finding_and_never_none(unit: str) -> None:
    text = unit * (MOST_FINDINGS + 100)
    [found] = DetectorSet(built_in(), remembered=0).find(text)
    assert (found.start, found.end) == (0, len(text))
