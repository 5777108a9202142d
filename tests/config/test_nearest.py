from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_llm.nearest import hint


@pytest.mark.parametrize(
    ("name", "known", "text"),
    [
        ("curency", ["currency", "prices"], "; did you mean 'currency'?"),
        ("timeout", ["timeout_seconds", "tls"], "; did you mean 'timeout_seconds'?"),
        ("max", ["max_items", "max_bytes"], "; known: max_bytes, max_items"),
        ("x", ["alpha", "beta"], "; known: alpha, beta"),
        ("x", [], "; there are none"),
        (
            "x",
            [f"n{number:02}" for number in range(22)],
            "; known: " + ", ".join(f"n{n:02}" for n in range(20)) + " and 2 more",
        ),
    ],
)
def test_the_nearest_name_or_all_of_them(name: str, known: list[str], text: str):
    assert hint(name, known) == text


@given(st.text(), st.lists(st.text()))
def test_any_names_have_a_hint(name: str, known: list[str]):
    assert hint(name, known).startswith("; ")
