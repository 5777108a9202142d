from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_llm.cli.tables import Column, display_width, is_rich, render_table

COLUMNS = (Column("model", width=8), Column("tokens", "right"))


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_columns_are_aligned_and_lines_end_without_spaces():
    assert render_table(COLUMNS, [["gpt", "5"], ["a-very-long-model", "1,000"]]) == (
        "model     tokens\ngpt            5\na-very-…   1,000\n"
    )
    assert render_table((Column("a"), Column("b")), [["x", ""]]) == "a  b\nx\n"


def test_wide_characters_take_two_columns():
    assert render_table((Column("m"), Column("n")), [["模型", "1"], ["ab", "2"]]) == "m     n\n模型  1\nab    2\n"


def test_what_could_control_the_terminal_is_replaced():
    assert "\x1b" not in render_table(COLUMNS, [["\x1b[31mred", "1\n2"]])


def test_headings_are_bold_only_on_demand():
    assert render_table(COLUMNS, [["a", "1"]], bold=True).startswith("\x1b[1mmodel  tokens\x1b[0m\n")


@pytest.mark.parametrize(
    ("stream", "environment", "rich"),
    [
        (Terminal(), {}, True),
        (Terminal(), {"NO_COLOR": "1"}, False),
        (Terminal(), {"TERM": "dumb"}, False),
        (io.StringIO(), {}, False),
    ],
)
def test_only_a_terminal_gets_more_than_plain_text(stream: io.StringIO, environment: dict[str, str], *, rich: bool):
    assert is_rich(stream, environment) is rich


@given(st.lists(st.tuples(st.text(), st.text()), max_size=5))
def test_any_cells_make_lines_of_one_width(rows: list[tuple[str, str]]):
    lines = render_table((*COLUMNS, Column("|")), [(*row, "|") for row in rows]).split("\n")
    assert lines.pop() == ""
    assert len(lines) == len(rows) + 1
    assert len({display_width(line) for line in lines}) == 1


def test_a_footer_stands_below_a_rule_as_wide_as_the_table():
    assert render_table(COLUMNS, [["gpt", "5"]], footer=["total", "5"], gap=" ") == (
        "model tokens\ngpt        5\n────────────\ntotal      5\n"
    )
