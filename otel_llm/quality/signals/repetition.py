"""Whether a text repeats itself in a loop, as degenerating models write. Any language.

Two looks, both by exact search and without a model: does the end repeat with a period (a model that loops, loops until
it is cut off), and do probes taken across the text come back several times (a loop in the middle, numbered lines).
Tables, code and lists repeat short pieces; a probe must be long, varied, and come back often.
"""

from __future__ import annotations

from typing import Final

# What is shorter has no room to loop.
_SHORTEST: Final = 200
# A loop shows within this many characters of either end.
_WINDOW: Final = 4096

_TAIL: Final = 24
_TAIL_REPEATS: Final = 3
_TAIL_COVER: Final = 90

_PROBES: Final = 12
# Probes at equal steps would all fall on the same place of a loop whose period is the step.
_GOLDEN: Final = 0.6180339887
_PROBE: Final = 20
_PROBE_REPEATS: Final = 5
_PROBE_VARIETY: Final = 8
_PROBE_SHARE: Final = 0.3


def is_repetitive(text: str) -> bool:
    """Whether the text loops."""
    if len(text) < _SHORTEST:
        return False
    if len(text) > 2 * _WINDOW:
        return _is_repetitive(text[-_WINDOW:]) or _is_repetitive(text[:_WINDOW])
    return _is_repetitive(text)


def _is_repetitive(text: str) -> bool:
    return _ends_in_a_loop(text.rstrip()) or _comes_back(text)


def _ends_in_a_loop(text: str) -> bool:
    """Whether the last characters are one piece, repeated."""
    size = len(text)
    before = text.rfind(text[-_TAIL:], 0, size - 1)
    if before < 0:
        return False
    period = size - _TAIL - before
    piece = text[-period:]
    if len(set(piece)) < _PROBE_VARIETY // 2:  # a rule of dashes, a row of dots
        return False
    repeats, end = 1, size - period
    while end >= period and text[end - period : end] == piece:
        repeats += 1
        end -= period
    return repeats >= _TAIL_REPEATS and repeats * period >= _TAIL_COVER


def _comes_back(text: str) -> bool:
    """Whether a share of probes across the text is found again and again."""
    room = len(text) - _PROBE
    probes = min(_PROBES, room // _PROBE + 1)
    found = 0
    for number in range(probes):
        start = int(number * _GOLDEN % 1 * room)
        probe = text[start : start + _PROBE]
        if text.find(probe, start + _PROBE) < 0:  # most are found nowhere else; looking ahead only is half the way
            continue
        if len(set(probe)) >= _PROBE_VARIETY and text.count(probe) >= _PROBE_REPEATS:
            found += 1
    return found >= _PROBE_SHARE * probes
