"""Review in the terminal: shows a case, reads a letter."""

from __future__ import annotations

import textwrap
from typing import Final, TextIO

from otel_llm.review.session import Item, Label, Session, about

_LETTERS: Final[dict[str, Label | None]] = {"g": "good", "b": "bad", "u": "unsure", "s": None}
_WIDTH: Final = 100
_PROMPT: Final = "[g]ood  [b]ad  [u]nsure  [s]kip  [q]uit: "


def review(session: Session, source: TextIO, sink: TextIO) -> None:
    """Ask until there are no more cases, the person quits or the input ends."""
    while (item := session.current()) is not None:
        sink.write(_shown(item))
        while True:
            sink.write(_PROMPT)
            sink.flush()
            line = source.readline()
            letter = line.strip().lower()[:1]
            if not line or letter == "q":
                return
            if letter in _LETTERS:
                session.answer(item.number, _LETTERS[letter])
                break
            sink.write("expected one of these letters\n")


def _shown(item: Item) -> str:
    content = item.content
    parts = [
        f"{'─' * _WIDTH}\n{item.number} of {item.total}   {'   '.join(about(item))}",
        f"QUESTION\n{_wrapped(content.question)}",
        f"ANSWER\n{_wrapped(content.answer)}",
    ]
    if content.tool_calls:
        parts.append(f"CALLS {', '.join(content.tool_calls)}")
    return printable("\n\n".join(parts)) + "\n\n"


def _wrapped(text: str) -> str:
    return "\n".join(textwrap.fill(line, _WIDTH) for line in text.splitlines()) or "(nothing)"


def printable(text: str) -> str:
    """The text without what could move the cursor or colour the terminal: it comes from telemetry."""
    return "".join(one if one.isprintable() or one == "\n" else "\N{REPLACEMENT CHARACTER}" for one in text)
