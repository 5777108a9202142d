"""Answers that arrive in pieces, under rules that may stop them: a window is held back, so that nothing crosses.

A rule that looks at each piece alone misses what is split over two, and one that looks at what has come so far finds it
when its first half is gone already. So the newest characters are held back until what follows is known: as many as the
window says, and more where a word, a token or a key block would be cut. What is passed on was looked at together with
what stands around it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from otel_llm.policy.findings import Finding

DEFAULT_WINDOW: Final = 256
# What stood before, for detectors that want words near: `password is …`.
_CONTEXT: Final = 256
# A run of characters without a space, longer than this, is held back no further; keys and tokens are shorter.
_MOST_HELD: Final = 16_384
_SPACES: Final = " \n\t\r"
_STEPS: Final = 4
_BLOCK_START: Final = "-----BEGIN "
_BLOCK_END: Final = "-----END "

# From a text to whether the answer has to stop.
Judge = Callable[[str], bool]
# From a text to what is to be taken out of it, by position.
Find = Callable[[str], Iterable[Finding]]
# From a type and what was found to what comes in its place.
Marker = Callable[[str, str], str]


class StreamGuard:
    """Guards one answer; for one thread.

    Args:
        judge: whether a text must not be passed on; asked about what is held back and a little before it.
        find: what is to be replaced in what is passed on.
        marker: what comes in place of a finding.
        window: how many characters are held back at least.

    Attributes:
        is_stopped: whether the answer was stopped; then nothing more is passed on.
        passed: how many characters of what was pushed are through, as they were or replaced.
    """

    __slots__ = ("_before", "_find", "_held", "_judge", "_marker", "_window", "is_stopped", "passed")

    def __init__(
        self,
        judge: Judge,
        find: Find = lambda _: (),
        marker: Marker = lambda type_, _: f"[{type_}]",
        window: int = DEFAULT_WINDOW,
    ) -> None:
        self._judge = judge
        self._find = find
        self._marker = marker
        self._window = window
        self._before = ""
        self._held = ""
        self.is_stopped = False
        self.passed = 0

    def push(self, piece: str) -> str:
        """Take a piece; what may be passed on now, often nothing."""
        return "" if self.is_stopped else self._advance(piece, is_last=False)

    def finish(self) -> str:
        """The answer is complete: what is left of it."""
        return "" if self.is_stopped else self._advance("", is_last=True)

    def _advance(self, piece: str, *, is_last: bool) -> str:
        self._held += piece
        cut = len(self._held) if is_last else self._cut()
        # Looked at only when something would go, and then at once for many pieces: a token is a few characters.
        if cut < (1 if is_last else self._window // _STEPS):
            return ""
        text = self._before + self._held
        if self._judge(text):
            self.is_stopped = True
            self._held = ""
            return ""
        findings = self._in_held(text)
        for one in findings:  # what may still grow
            if one.start < cut < one.end:
                cut = one.start
        passed, self._held = self._held[:cut], self._held[cut:]
        self.passed += len(passed)
        self._before = (self._before + passed)[-_CONTEXT:]
        return self._replaced(passed, [one for one in findings if one.end <= cut])

    def _in_held(self, text: str) -> list[Finding]:
        """Findings by position in what is held back."""
        offset = len(self._before)
        found = []
        for one in self._find(text):
            if one.end > offset:
                start = max(0, one.start - offset)
                found.append(Finding(one.type, start, one.end - offset, one.detector, one.confidence))
        return sorted(found, key=lambda one: (one.start, -one.end))

    def _cut(self) -> int:
        """How much may go: nothing of the window, and not through a word or a key block."""
        held = self._held
        cut = len(held) - self._window
        begin = held.rfind(_BLOCK_START)
        if begin >= 0 and _BLOCK_END not in held[begin:]:
            cut = min(cut, begin)
        if cut > 0:
            cut = 1 + max(held.rfind(space, 0, cut) for space in _SPACES)
        return max(cut, len(held) - _MOST_HELD, 0)

    def _replaced(self, text: str, findings: Iterable[Finding]) -> str:
        pieces: list[str] = []
        position = 0
        for one in findings:
            if one.start >= position:
                pieces += (text[position : one.start], self._marker(one.type, text[one.start : one.end]))
            position = max(position, one.end)
        return "".join((*pieces, text[position:]))
