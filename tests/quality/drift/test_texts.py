from __future__ import annotations

import json
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_llm.quality.drift.shift import Shift
from otel_llm.quality.drift.texts import Features, TextDetector, features_of

SUBJECTS = {
    "travel": ["flight", "hotel", "train", "ticket", "city", "airport", "luggage", "seat", "booking", "arrival"],
    "money": ["invoice", "refund", "payment", "card", "bank", "account", "transfer", "fee", "tax", "balance"],
}
COMMON = ["how", "can", "i", "please", "tell", "me", "the", "what", "is", "my", "a", "for", "about", "when", "you"]


def questions(share_of_money: float, number: int, seed: int) -> list[Features]:
    draw = random.Random(seed)
    found = []
    for _ in range(number):
        subject = SUBJECTS["money" if draw.random() < share_of_money else "travel"]
        found.append(features_of(" ".join([*draw.choices(COMMON, k=6), *draw.choices(subject, k=3)])))
    return found


def feed(detector: TextDetector, texts: list[Features], weight: float = 1e-4) -> list[Shift]:
    return [shift for number, text in enumerate(texts) if (shift := detector.update(text, weight, number))]


def test_questions_about_something_else_are_found() -> None:
    detector = TextDetector(random.Random(1).random, 400)
    assert feed(detector, questions(0.2, 500, seed=2)) == []
    (found,) = feed(detector, questions(0.8, 150, seed=3))
    assert found.direction == "different"
    assert (found.before, found.after) == (None, None)


def test_the_same_questions_raise_no_more_false_alarms_than_what_was_spent() -> None:
    detector = TextDetector(random.Random(4).random, 300)
    assert len(feed(detector, questions(0.4, 8000, seed=5), weight=0.002)) <= 16


def test_a_baseline_that_is_used_up_is_collected_anew_and_evidence_is_kept() -> None:
    detector = TextDetector(random.Random(6).random, 50)
    feed(detector, questions(0.5, 99, seed=7))
    held = detector.evidence
    assert held > 0
    feed(detector, questions(0.5, 1, seed=8))
    assert detector.observations == 0
    feed(detector, questions(0.5, 50, seed=9))
    assert detector.evidence > 0


@pytest.mark.parametrize("seen", [30, 130])
def test_it_goes_on_from_its_state_as_if_nothing_had_been(seen: int) -> None:
    one, other = (TextDetector(random.Random(10).random, 100) for _ in range(2))
    feed(one, questions(0.2, seen, seed=11))
    other.restore(json.loads(json.dumps(one.state())))
    one._random, other._random = random.Random(12).random, random.Random(12).random
    assert feed(one, questions(0.9, 60, seed=13)) == feed(other, questions(0.9, 60, seed=13))
    assert one.state() == other.state()


def test_a_state_says_no_word_of_a_text() -> None:
    detector = TextDetector(random.Random(14).random, 10)
    feed(detector, [features_of("the password is swordfish")] * 5)
    assert "swordfish" not in json.dumps(detector.state())


@given(st.text())
def test_any_text_has_features_that_are_few(text: str) -> None:
    features = features_of(text)
    assert len(features) <= 64
    assert len(features_of(text * 1000)) <= 64
