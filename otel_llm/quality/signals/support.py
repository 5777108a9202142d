"""How far an answer's words are in the retrieved documents, and the question's words in the best of them.

`lexical_support` is a share of words, not a judgement of truth: it finds answers that ignore the documents, and does
not find a wrong answer that is written in the documents' own words (docs/quality.md has the figures).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from otel_llm.quality.signals.words import words_of

# With fewer words there is nothing to take a share of.
_FEWEST_WORDS: Final = 3
MAX_DOCUMENTS: Final = 50
# Words of questions that say nothing of what is asked about.
_ASKING: Final = frozenset(
    "what who whom whose when where why how did do does can could would should will has have had there any tell me my i"
    " you your please about between both same than one".split()
)


@dataclass(frozen=True, slots=True)
class Documents:
    """What was retrieved, as words.

    Attributes:
        words: of each document, the first 50 documents.
        all_words: of all of them together.
    """

    words: tuple[frozenset[str], ...]
    all_words: frozenset[str]

    @classmethod
    def of(cls, texts: Iterable[str]) -> Documents:
        """Read documents."""
        words = tuple(words_of(text) for _, text in zip(range(MAX_DOCUMENTS), texts, strict=False))
        return cls(words, frozenset().union(*words))


def lexical_support(answer: str, words: frozenset[str]) -> float | None:
    """The share of the answer's words that are among the documents' words, 0 to 1.

    None when the answer has fewer than three words.
    """
    own = words_of(answer)
    return len(own & words) / len(own) if len(own) >= _FEWEST_WORDS else None


def query_coverage(query: str, documents: Documents) -> float | None:
    """The share of the query's words that the best single document has, 0 to 1; long words count for more.

    The length of a word stands in for its rarity, for which there is no table here. None when the query has no words of
    its own or there are no documents.
    """
    own = words_of(query) - _ASKING
    weight = sum(map(len, own))
    if not weight or not documents.words:
        return None
    return max(sum(map(len, own & words)) for words in documents.words) / weight
