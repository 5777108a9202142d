"""Detectors together: engines, folding, memory, failures, patterns and functions of users' own."""

from __future__ import annotations

import re
import sys
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.clean_text import clean_text
from otel_llm.policy.detectors import (
    ALL_TYPES,
    CallableDetector,
    CustomPattern,
    DetectorError,
    DetectorSet,
    PatternError,
    Presidio,
    built_in,
    custom,
    gitleaks,
)
from otel_llm.policy.detectors.folding import _ENCODED, Folded, _has_codes
from otel_llm.policy.detectors.gate import Cue, Engine, Gate, SharedGate, outline, passing
from otel_llm.policy.detectors.grams import Grams
from otel_llm.policy.detectors.national_ids import LETTERED, LetteredRule
from otel_llm.policy.findings import Finding
from tests.policy.detectors.test_personal_data import CASES, CLEAN
from tests.policy.detectors.test_secrets_and_attacks import SECRETS

ENGINES: tuple[Engine, ...] = ("hyperscan", "re2", "re")
SETS = {engine: DetectorSet(built_in(ALL_TYPES, engine=engine), remembered=1) for engine in ENGINES}
TEXTS = [*(text for _, text in CASES), *CLEAN, *SECRETS.values()]
MAIL = "jane@example.com"


@pytest.mark.parametrize("text", TEXTS)
def test_all_engines_let_the_same_findings_through(text: str) -> None:
    first, *others = (SETS[engine].find(text) for engine in ENGINES)
    assert all(one == first for one in others)


@settings(max_examples=150, deadline=None)
@given(st.text(st.sampled_from(sorted({*"".join(TEXTS)})), max_size=200), st.sampled_from(TEXTS))
def test_any_text_gives_the_same_findings_with_all_engines(noise: str, text: str) -> None:
    mixed = noise + text + noise
    first, *others = (SETS[engine].find(mixed) for engine in ENGINES)
    assert all(one == first for one in others)


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=300))
def test_findings_are_in_order_and_within_the_text(text: str) -> None:
    after = 0
    for one in SETS["re"].find(text + " " + MAIL + text):
        assert after <= one.start < one.end <= 2 * len(text) + len(MAIL) + 1
        after = one.start


def test_clean_technical_text_has_at_most_five_findings_a_megabyte() -> None:
    found = SETS["hyperscan"].find(clean_text(1 << 20, seed=11))
    assert len(found) <= 5


def test_an_engine_that_is_not_installed_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "hyperscan", None)
    monkeypatch.setitem(sys.modules, "re2", None)
    assert passing([Cue(("key",)), Cue(), Cue(("other",))])("the KEY") == [0, 1]
    with pytest.raises(ImportError):
        passing([Cue(("key",))], "hyperscan")


def test_more_keywords_than_an_engine_takes_are_looked_for_by_another(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "hyperscan", None)
    monkeypatch.setitem(sys.modules, "re2", None)
    many = tuple(f"{number:06d}" * 9 for number in range(1500))
    assert passing([Cue(many), Cue(("absent",))])("a " + many[-1]) == [0]


@given(
    st.lists(st.text("abc_ -1", min_size=1, max_size=7), max_size=8),
    st.text("abc_ -1é", max_size=40),
    st.sampled_from((0, (1 << 16) - 9, (1 << 16) - 3, (1 << 17) - 5)),
)
def test_keywords_are_found_by_their_letters_wherever_they_stand(keywords: list[str], text: str, before: int) -> None:
    text = "z" * before + text
    assert Grams(keywords).find(text) == {keyword for keyword in keywords if keyword in text}


@pytest.mark.parametrize("rule", LETTERED, ids=lambda rule: rule.type)
@given(data=st.data())
def test_a_number_with_letters_begins_with_one_of_its_shapes(rule: LetteredRule, data: st.DataObject) -> None:
    text = data.draw(st.from_regex(re.compile(rule.cue, re.ASCII), fullmatch=True))
    assert any(outline(text).startswith(shape.encode()) for shape in rule.shapes)


@pytest.mark.parametrize("engine", ENGINES)
@given(
    st.lists(st.lists(st.lists(st.sampled_from(("ab", "b", "c")), max_size=2), max_size=3), max_size=4),
    st.text("abcd", max_size=6),
)
def test_a_shared_gate_says_for_each_what_its_own_would(
    engine: Engine, keywords: list[list[list[str]]], text: str
) -> None:
    gates = [Gate([Cue(tuple(each)) for each in one], engine) for one in keywords]
    assert [list(one) for one in SharedGate(gates)(text)] == [list(gate(text)) for gate in gates]


def test_detectors_of_several_engines_are_one_set() -> None:
    one, other = (
        custom([CustomPattern(name, name, literal=True)], engine=engine) for name, engine in (("A", "re"), ("B", "re2"))
    )
    assert [each.type for each in DetectorSet([one, other]).find("a b")] == ["A", "B"]


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=80))
def test_places_in_folded_texts_lead_back_to_the_source(text: str) -> None:
    folded = Folded(text)
    after = 0
    for index in range(len(folded.text)):
        start, end = folded.to_source(index, index + 1)
        assert after <= start < end <= len(text)
        after = start
    assert not folded.text.isascii() or unicodedata.is_normalized("NFKC", folded.text)


def test_what_hides_letters_is_folded_away() -> None:
    source = "x \uff4a\u200bane%40ex\\u0061mple.com y"
    folded = Folded(source)
    assert folded.text == "x jane@example.com y"
    start, end = folded.to_source(2, 18)
    assert source[start:end] == "\uff4a\u200bane%40ex\\u0061mple.com"


@settings(max_examples=500, deadline=None)
@given(st.text(alphabet="%\\u004ag\x00\x1f\x7f\n", max_size=12))
def test_the_quick_search_for_what_is_encoded_finds_all_of_it(text: str) -> None:
    assert _has_codes(text) == (_ENCODED.search(text) is not None)


def test_control_characters_hide_nothing_and_line_breaks_separate() -> None:
    assert Folded("ja\x00ne@exam\x7fple.com").text == "jane@example.com"
    assert Folded("a\nb\tc\r").text == "a\nb\tc\r"
    assert [one.type for one in SETS["re"].find("ja\x00ne@exam\x08ple.com")] == ["EMAIL_ADDRESS"]


class Counting:
    """A detector that counts how often it is asked."""

    name = "counting"
    types = frozenset({"THING"})

    def __init__(self) -> None:
        self.asked: list[str] = []

    def find(self, text: str) -> tuple[Finding, ...]:
        self.asked.append(text)
        return ()


def test_25_a_text_that_comes_again_is_not_looked_at_again_and_few_are_remembered() -> None:
    """Given unique texts without end, then memory stays bounded."""
    detector = Counting()
    found = DetectorSet([detector], remembered=10)
    for _ in range(3):
        found.find("the same text")
        found.find("a long text " * 100)
    assert len(detector.asked) == 2
    for number in range(1000):
        found.find(f"text number {number}")
    memory = found._memory
    assert len(memory._new) + len(memory._old) <= 20


def test_long_texts_are_remembered_by_their_digest_only() -> None:
    found = DetectorSet([Counting()])
    found.find("secret content " * 100)
    assert all(isinstance(key, bytes) for key in found._memory._new)


class Broken:
    name = "broken"
    types = frozenset({"THING"})

    def find(self, text: str) -> tuple[Finding, ...]:
        raise ValueError(text)


def test_a_detector_that_raises_is_an_error_without_the_text_and_not_a_clean_text() -> None:
    with pytest.raises(DetectorError) as caught:
        DetectorSet([Broken()]).find("private content")
    assert (caught.value.detector, caught.value.kind) == ("broken", "ValueError")
    assert caught.value.__cause__ is None
    assert "private" not in str(caught.value)


def test_a_place_outside_of_the_text_is_an_error() -> None:
    wrong = CallableDetector("own", ["THING"], lambda text: [("THING", 0, len(text) + 1)])
    with pytest.raises(DetectorError):
        DetectorSet([wrong]).find("some text")


def test_findings_that_overlap_are_all_told() -> None:
    one = CallableDetector("one", ["A"], lambda _: [("A", 2, 6)])
    other = CallableDetector("other", ["B"], lambda _: [("B", 4, 12)])
    found = DetectorSet([one, other]).find("0123456789abcdef")
    assert [(each.type, each.start, each.end) for each in found] == [("A", 2, 6), ("B", 4, 12)]


def test_allowed_texts_and_types_that_nobody_wants_are_no_findings() -> None:
    found = DetectorSet(built_in(), frozenset({"EMAIL_ADDRESS"}), allowed=["Support@Example.com"])
    text = "support@example.com, jane@example.com, 4111 1111 1111 1111"
    assert [text[one.start : one.end] for one in found.find(text)] == ["jane@example.com"]


def test_a_text_of_nothing_but_findings_is_one() -> None:
    text = "a@b.co " * 20_000
    (found,) = SETS["re"].find(text)
    assert (found.start, found.end) == (0, len(text))


def test_patterns_of_users_own_are_found() -> None:
    detector = custom(
        [
            CustomPattern("CUSTOMER", r"C-(\d{8})", keywords=("c-",), group=1),
            CustomPattern("PROJECT", "Blue Heron", literal=True),
            CustomPattern("BADGE", r"\b\d{6}\b", context=("badge",)),
        ]
    )
    assert [one.type for one in DetectorSet([custom([CustomPattern("NAME", "Bo", literal=True)])]).find("bo")] == [
        "NAME"
    ]
    text = "C-12345678 works on BLUE HERON, badge 654321"
    found = [(one.type, text[one.start : one.end]) for one in detector.find(text)]
    assert found == [("CUSTOMER", "12345678"), ("PROJECT", "BLUE HERON"), ("BADGE", "654321")]
    assert detector.find("number 654321 of something else entirely") == ()


@pytest.mark.parametrize(
    ("pattern", "problem"),
    [
        (CustomPattern("A", "(a"), "RE2 does not take the pattern: missing ): (a"),
        (CustomPattern("A", r"(a)\1"), "RE2 does not take the pattern: invalid escape sequence: \\1"),
        (CustomPattern("A", "(?=a)"), "RE2 does not take the pattern: invalid perl operator: (?="),
        (CustomPattern("A", "a*"), "the pattern matches the empty text, and so everywhere"),
        (CustomPattern("A", ""), "the pattern is empty"),
        (CustomPattern("A", "(a)", group=2), "there is no group 2: the pattern has 1"),
    ],
)
def test_patterns_that_cannot_be_used_are_refused_in_words(pattern: CustomPattern, problem: str) -> None:
    with pytest.raises(PatternError) as caught:
        custom([pattern])
    assert caught.value.problems == (f"0 (A): {problem}",)


def test_25_a_pattern_of_a_users_takes_no_more_than_its_text_asks_for() -> None:
    """Given a pattern that others match in exponential time, then a long text is done at once; the test would not end
    otherwise."""
    detector = custom([CustomPattern("EVIL", "(a+)+$")])
    assert detector.find("a" * 100_000 + "!") == ()


GITLEAKS = """
title = "rules"
[allowlist]
stopwords = ["example"]
[[rules]]
id = "acme-token"
regex = '''(?i)acme[_-]?(?:token|key)\\s*=\\s*([a-z0-9]{16})\\b'''
keywords = ["acme"]
entropy = 3.0
[[rules.allowlists]]
regexes = ['''^0000''']
[[rules]]
id = "whole"
regex = '''WHOLE-[0-9]{6}'''
[[rules]]
id = "path-only"
path = '''\\.pem$'''
"""


def test_a_gitleaks_file_is_loaded_with_groups_entropy_and_allow_lists() -> None:
    detector = gitleaks(GITLEAKS)
    assert detector.types == {"acme-token", "whole"}
    text = "ACME_KEY = q7w8e9r0t1y2u3i4 WHOLE-123456"
    assert [(one.type, text[one.start : one.end]) for one in detector.find(text)] == [
        ("acme-token", "q7w8e9r0t1y2u3i4"),
        ("whole", "WHOLE-123456"),
    ]
    for clean in ("acme_key = aaaaaaaaaaaaaaaa", "acme_key = 0000e9r0t1y2u3i4", "acme_key = exampler0t1y2u3i"):
        assert detector.find(clean) == ()


@pytest.mark.parametrize(
    ("toml", "problem"),
    [
        ("[[rules", "not TOML"),
        ("", "there are no rules with a regex in it"),
        ("[[rules]]\nid = 'bad'\nregex = '(a'", "bad: RE2 does not take the pattern"),
    ],
)
def test_a_gitleaks_file_that_cannot_be_used_is_refused_in_words(toml: str, problem: str) -> None:
    with pytest.raises(PatternError) as caught:
        gitleaks(toml)
    assert caught.value.problems[0].startswith(problem)


@dataclass
class Result:
    entity_type: str
    start: int
    end: int
    score: float


class Analyzer:
    """Presidio, as far as it is asked."""

    def analyze(
        self, text: str, language: str, entities: list[str] | None = None, score_threshold: float | None = None
    ) -> Sequence[Result]:
        assert (language, entities, score_threshold) == ("en", ["LOCATION", "PERSON"], 0.5)
        return [Result("PERSON", text.find("Jane"), text.find("Jane") + 8, 0.85)]


def test_presidio_finds_names() -> None:
    detector = Presidio(analyzer=Analyzer())
    assert detector.find("I am Jane Doe.") == (Finding("PERSON", 5, 13, "presidio", 0.85),)
