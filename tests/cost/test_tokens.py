"""The token estimate: right for texts whose token count is known, bounded for any."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from otel_llm.cost import estimate_tokens
from otel_llm.cost.tokens import SAMPLED_CHARACTERS

ENGLISH = (
    "The gateway receives spans from any instrumented application, reads which model was called and how many tokens it "
    "used, and adds what the call has cost. When a provider does not report usage, the number of tokens is estimated "
    "from the text, and the estimate is marked as one so that nobody adds it to measured numbers by mistake."
)

#: (text, tokens counted with o200k_base).
KNOWN = [
    (ENGLISH, 66),
    ("def total(lines: list[Line]) -> int:\n    return sum(line.amount for line in lines if line.amount > 0)\n", 27),
    ('{"role": "assistant", "tool_calls": [{"id": "call_8fJ2", "function": {"name": "get_weather"}}]}', 32),
    ("Каждый вызов модели стоит денег, и без точного учёта никто не знает, сколько именно.", 22),
    ("每次调用模型都要花钱。没有准确的记录。谁也不知道到底花了多少。", 21),
    ("Jeder Aufruf eines Modells kostet Geld, und ohne genaue Abrechnung weiß niemand, wie viel es war.", 23),
]


@pytest.mark.parametrize(("text", "tokens"), KNOWN)
def test_known_texts_are_estimated_within_a_third(text, tokens):
    assert abs(estimate_tokens(text) - tokens) <= tokens / 3


def test_no_text_is_no_tokens_and_any_text_is_at_least_one():
    assert estimate_tokens("") == 0
    assert estimate_tokens("я") == 1
    assert estimate_tokens(" ") == 1


@settings(deadline=None)  # machines that run this are busy
@given(st.text())
def test_any_text_gets_a_plausible_estimate(text):
    estimate = estimate_tokens(text)
    assert (estimate > 0) == bool(text)
    assert estimate <= 3 * len(text.encode("utf-8", "surrogatepass"))


def test_lone_surrogates_are_estimated():
    assert estimate_tokens("\ud800 and more") > 0


def test_a_sampled_text_is_estimated_as_its_parts_are():
    exact = estimate_tokens(ENGLISH) / len(ENGLISH)
    huge = ENGLISH * (4 * SAMPLED_CHARACTERS // len(ENGLISH))
    assert estimate_tokens(huge) / len(huge) == pytest.approx(exact, rel=0.04)


class _Watched(str):
    """Text that counts how much of it is looked at."""

    __slots__ = ("seen",)

    def __getitem__(self, key):
        piece = str.__getitem__(self, key)
        self.seen = getattr(self, "seen", 0) + len(piece)
        return piece

    def encode(self, *_arguments):
        raise AssertionError("the whole text was encoded")


def test_of_a_huge_text_only_a_bounded_part_is_looked_at():
    text = _Watched("word " * SAMPLED_CHARACTERS)
    assert estimate_tokens(text) > 0
    assert text.seen == SAMPLED_CHARACTERS
