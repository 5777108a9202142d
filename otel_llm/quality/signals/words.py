"""The words of a text, without those that every sentence has."""

from __future__ import annotations

import re
from typing import Final

# Runs of letters and digits; scripts that write without spaces are taken by the character.
_WORD: Final = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\u0e00-\u0eff]|[^\W_\u3040-\u30ff\u3400-\u9fff]+")
# Few, on purpose: leaving out more, or endings, told attributable answers from others no better (docs/quality.md).
_GLUE: Final = frozenset(
    "a an the and or of to in on at by for with from as is are was were be been that this it its which".split()
)

MAX_CHARACTERS: Final = 64 * 1024


def words_of(text: str) -> frozenset[str]:
    """The distinct words of a text's first 64 Ki characters, lower case."""
    return frozenset(_WORD.findall(text[:MAX_CHARACTERS].lower())) - _GLUE
