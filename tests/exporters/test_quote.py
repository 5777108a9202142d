"""What a destination says, fit to be shown."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_llm.exporters.quote import Quote

PAIR = base64.b64encode(b"shop:hunter2 & more").decode()


@pytest.mark.parametrize(
    "quoted",
    [PAIR, f"Basic {PAIR}", "shop:hunter2 & more", "hunter2 & more", "hunter2%20%26%20more"],
    ids=["credentials", "field", "pair", "password", "in an address"],
)
def test_a_password_is_masked_however_it_is_quoted(quoted: str) -> None:
    assert Quote({"authorization": f"Basic {PAIR}"})(f"who is {quoted}?") == "who is [masked]?"


@given(
    secret=st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=12, max_size=40),
    before=st.integers(0, 400),
)
def test_no_half_of_a_secret_is_left_where_a_message_is_cut(secret: str, before: int) -> None:
    said = Quote({"x-key": secret})("\N{GREEK SMALL LETTER ALPHA}" * before + secret + " is wrong" * 20)
    assert secret[:6] not in said.replace("[masked]", "")
    assert len(said) <= 300


def test_words_of_everyday_are_not_masked() -> None:
    assert Quote({"x-tenant": "7", "authorization": "Bearer sk-1234567"})("Bearer 7 is wrong") == "Bearer 7 is wrong"
