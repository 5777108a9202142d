"""Aligned tables for people. Plain text; headings are bold on a terminal, unless NO_COLOR is set."""

from __future__ import annotations

import os
import sys
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal, TextIO

Alignment = Literal["left", "right"]

_GAP: Final = "  "
_BOLD: Final = "\x1b[1m"
_PLAIN: Final = "\x1b[0m"


@dataclass(frozen=True, slots=True)
class Column:
    """One column.

    Attributes:
        heading: what stands above it.
        alignment: right for numbers.
        width: most characters of a cell; longer ones end in an ellipsis. None for no limit.
    """

    heading: str
    alignment: Alignment = "left"
    width: int | None = None


def render_table(
    columns: Sequence[Column],
    rows: Sequence[Sequence[str]],
    *,
    footer: Sequence[str] | None = None,
    gap: str = _GAP,
    bold: bool = False,
) -> str:
    """The table as lines, each with its end.

    Args:
        columns: from left to right.
        rows: as many cells each as there are columns. Cells may come from telemetry: what could move the cursor or
            colour the terminal is replaced.
        footer: cells of a last line, below a rule, such as sums.
        gap: what stands between columns.
        bold: headings in bold, see `is_rich`.
    """
    everything = [*rows] if footer is None else [*rows, footer]
    cells = [[_cell(text, column) for text, column in zip(row, columns, strict=True)] for row in everything]
    headings = [column.heading for column in columns]
    widths = [max(map(display_width, texts)) for texts in zip(headings, *cells, strict=True)]
    lines = [_line(row, columns, widths, gap) for row in (headings, *cells)]
    if footer is not None:
        lines.insert(-1, "─" * (sum(widths) + len(gap) * (len(widths) - 1)))
    if bold:
        lines[0] = f"{_BOLD}{lines[0]}{_PLAIN}"
    return "".join(f"{line}\n" for line in lines)


def is_rich(stream: TextIO | None = None, environment: Mapping[str, str] | None = None) -> bool:
    """Whether a stream is a terminal that may be given more than plain text. Source: no-color.org."""
    environment = os.environ if environment is None else environment
    stream = sys.stdout if stream is None else stream
    return stream.isatty() and not environment.get("NO_COLOR") and environment.get("TERM") != "dumb"


def display_width(text: str) -> int:
    """How many columns of a terminal a text takes."""
    return sum(_character_width(character) for character in text)


def _character_width(character: str) -> int:
    if unicodedata.combining(character):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def _cell(text: str, column: Column) -> str:
    text = "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text)
    if column.width is None or display_width(text) <= column.width:
        return text
    while display_width(text) > column.width - 1:
        text = text[:-1]
    return f"{text}…"


def _line(cells: Sequence[str], columns: Sequence[Column], widths: Sequence[int], gap: str) -> str:
    padded = []
    for text, column, width in zip(cells, columns, widths, strict=True):
        space = " " * (width - display_width(text))
        padded.append(space + text if column.alignment == "right" else text + space)
    return gap.join(padded).rstrip()
