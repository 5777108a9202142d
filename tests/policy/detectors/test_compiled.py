# ruff: noqa: E501 - pieces of text, one kind a line
"""The compiled searches find what the patterns find, on any text."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from otel_llm.policy.detectors import national_ids, personal
from otel_llm.policy.detectors.built_in import ALL_TYPES, built_in
from otel_llm.policy.detectors.detector_set import DetectorSet
from otel_llm.policy.detectors.forms import form
from otel_llm.policy.detectors.gate import Cue, Engine, passing
from otel_llm.policy.detectors.numbers import Numbers
from otel_llm.policy.detectors.runs import GROUP, Run, shaped_runs

_compiled = pytest.importorskip("otel_llm.policy.detectors._compiled", reason="not built: there was no C compiler")

PIECES = (
    "1", "22", "4567", "12345678", "0", "00", "+", "-", ".", " ", "(", ")", "/", "x", " ext. ", "ext", "a", "AB", "ff", "_", ":", "é", "漢", "\U0001f600",
    "4111 1111 1111 1111", "555-12-3456", "+41 44 668 18 00", "85.214.132.117", "DE89 3704 0044 0532 0130 00", "GB", "12345678Z", "131052-308T",
    "AB 12 34 56 C", "RSSMRA85T10A562S", "S1234567D", "ABCPE1234F", "phone ", "NHS ", "943 476 5919", "11010519491231002X", "v", "\n",
)  # fmt: skip
NUMBERS = st.lists(
    st.one_of(
        st.from_regex(
            r"[(+]{0,2}(?:00|0|1|\+41|756|4)?[ ().-]?(?:[0-9]{1,5}[ ()./-]{1,2}){1,5}[0-9]{1,4}(?: x[0-9])?",
            fullmatch=True,
        ),
        st.sampled_from(("call ", " ", "a", "-", ".", "\u0661", "é", ", ssn ", "#", "=")),
    ),
    max_size=6,
).map("".join)
TEXTS = st.one_of(
    st.lists(st.sampled_from(PIECES), max_size=40).map("".join),
    st.text("0123456789 ()./-xet.aFé_", max_size=80),
    st.text(max_size=60),
)


class EveryRun:
    """Leaves no run out, and no group of it."""

    def find(self, text: str, calling: list[int], possible: Sequence[int]) -> Iterator[Run]:
        del possible
        for run in shaped_runs(text):
            yield [match.span() for match in GROUP.finditer(text, *run.span())], calling, -1, -1


@settings(max_examples=300)
@given(st.one_of(TEXTS, NUMBERS))
@example("1 2 3 4 5 6 7 8a")
@example("1" * 41 + " 1")
@example("1 " * 60)
@example("123 4567 ext. 1234567")
@example("0043151. 5777-f, 1234567 0041)   44 668 18 00")
@example("call (0041)44 668 18 00 x12")
@example("1-(555) 555-5555, 00-41 44 668 1800, 083 564 9312-a")
@example("0496\u0661 46 46 70 555.555.\u0661\u0661\u0661\u0661")
@pytest.mark.parametrize("engine", ["compiled", "re"])
def test_no_run_is_left_out_that_holds_something(engine: Engine, text: str) -> None:
    numbers, thorough = Numbers(engine=engine), Numbers(engine="re")
    thorough._runs = EveryRun()
    assert numbers.find(text) == thorough.find(text)


@given(TEXTS)
def test_forms_and_shapes_are_found_where_their_patterns_match(text: str) -> None:
    rules = national_ids.LETTERED
    shaped = list(personal._lettered_rules(personal.TYPES))
    found = _compiled.Forms([form(rule.cue) for rule in rules]).find(text)
    for position, rule in enumerate(rules):
        expected = [match.span() for match in re.finditer(rule.pattern, text, re.ASCII)]
        assert [(start, end) for which, start, end in found if which == position] == expected, rule.type
        assert [match.span(0) for match in shaped[position].pattern.finditer(text)] == expected, rule.type


@given(
    st.one_of(
        TEXTS,
        st.lists(st.sampled_from((":", "::", "a", "20", "f0c1", "12345", "g", "é", " ")), max_size=12).map("".join),
    )
)
def test_the_cue_of_a_long_network_address_is_that_of_its_pattern(text: str) -> None:
    assert _compiled.may_have_ipv6(text) == bool(re.search(personal._IPV6_CUE, text))


@given(TEXTS)
def test_all_detectors_find_the_same_with_and_without_what_is_compiled(text: str) -> None:
    portable, compiled = (
        DetectorSet(built_in(ALL_TYPES, engine=engine), remembered=0) for engine in ("re", "compiled")
    )
    assert compiled.find(text) == portable.find(text)


@given(
    st.lists(st.text("abKs-_é@1", min_size=1, max_size=5).filter(str.isascii), min_size=1, max_size=20),
    st.text("abkKsS-_é@1\u212a漢", max_size=60),
)
def test_keywords_pass_as_a_search_for_each_lets_them_pass(keywords: list[str], text: str) -> None:
    # Not the Kelvin sign, which is a k in lower case to Python alone.
    text = text.replace("\u212a", "")
    cues = [Cue((keyword.lower(),)) for keyword in keywords]
    assert list(passing(cues, "compiled")(text)) == list(passing(cues, "re")(text))


def test_a_cue_without_keywords_always_passes_the_automaton() -> None:
    assert list(passing([Cue(), Cue(("none",)), Cue(pattern="x")], "compiled")("a text")) == [0, 2]


def test_what_is_no_form_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match=r"not a form: '\(a\|b\)"):
        form("(a|b)")


def test_a_form_of_fewer_places_than_are_looked_at_first_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 4 places"):
        _compiled.Forms([form(r"\d\d\dx?")])


def test_there_is_a_form_for_each_number_with_letters() -> None:
    rules = list(personal._lettered_rules(personal.TYPES))
    assert {one.rule.type for one in personal._formed(rules)} == {rule.type for rule in national_ids.LETTERED}
