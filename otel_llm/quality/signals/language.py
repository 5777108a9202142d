"""Whether the answer is in another language than the question, unasked.

Told by script where scripts differ, and by the commonest short words among languages in Latin letters. Only what is
clear on both sides counts: short texts, code, mixed texts and languages outside of the table are of no language here.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from typing import Final

_SAMPLE: Final = 400
_SHORTEST: Final = 24

# A letter of each script that belongs to few languages, and what it is called here. Japanese is told by its kana.
_SCRIPTS: Final = (
    ("ja", "\u3040", "\u30ff"),
    ("ko", "\uac00", "\ud7af"),
    ("zh", "\u4e00", "\u9fff"),
    ("cyrillic", "\u0400", "\u04ff"),
    ("arabic", "\u0600", "\u06ff"),
    ("he", "\u0590", "\u05ff"),
    ("el", "\u0370", "\u03ff"),
    ("th", "\u0e00", "\u0e7f"),
    ("devanagari", "\u0900", "\u097f"),
    ("ta", "\u0b80", "\u0bff"),
    ("ka", "\u10a0", "\u10ff"),
    ("hy", "\u0530", "\u058f"),
)
_SCRIPT_SHARE: Final = 0.3

# The commonest short words of each language, without those that are English words too.
_COMMON: Final[Mapping[str, str]] = {
    "en": "the and of to is that for with this are you it what how be or from have can which was not by your a i"
    " in on as"
    " do an at if will there should would",
    "de": "der die und das ist nicht ein eine mit auf für zu den dem sie ich wie werden auch sind von im bei oder"
    " wird des"
    " einen eines wenn kann zum zur nur dieser diese dieses um aus es",
    "fr": "le les et des est une que pour dans qui sur pas vous du au avec sont il elle ce cette nous être ou"
    " votre je la"
    " de un en cet ces ne par plus aux comme doit",
    "es": "el los y que es una para por con las del se como su más pero está son al lo qué este esta sus cómo la"
    " de en un"
    " puede debe si sin ha solo ya fue hay",
    "it": "il che di per una sono non con della del è gli nel anche come più questo alla le ha dei delle può la un lo"
    " da dal nella essere questa si deve ed",
    "pt": "o os que um uma para com não da em é mais como por dos das você são ao na seu sua pode de ou este esta"
    " se foi"
    " deve ser um nos pelo",
    "nl": "de het een en van dat niet met voor zijn op aan ook je er maar worden deze kan wordt naar om dit u moet"
    " bij uit"
    " heeft geen",
    "sv": "och att det är en som för på med av inte den ett har kan du till om vi jag eller från så måste finns inga",
    "pl": "i do to w nie na się jest że z jak dla od po czy przez tego są który może oraz tym lub być musi jego"
    " aby został proszę",
    "tr": "ve bir bu için ile da de olarak daha çok gibi olan değil nasıl veya sonra kadar lütfen her tarafından olması"
    " ancak geçerli",
    "fi": "on ja ei että oli kun hän mutta tai joka ovat voi myös sen kuin mitä sitä tämä ole jos pitää sinun ole tällä"
    " sekä olla",
    "cs": "a i do to se na je že v s z jak pro není ale jsou by které nebo po co být může byl pokud tento prosím"
    " již byla která",
    "id": "yang dan di ini itu dengan untuk dari tidak dalam pada adalah akan atau juga bisa saya anda ke apa",
    "vi": "và của là có không được cho các một trong với này những để người khi đã từ như tôi bạn",
    "ro": "și de la în cu este pe nu că din un o pentru care sau mai ce sunt fi cum dar prin",
    "hu": "a is az és hogy nem egy van ez meg vagy mint csak ha már el lehet hogyan azt ezt amely egyik",
}
_LANGUAGES_OF: Final[Mapping[str, tuple[str, ...]]] = {
    word: tuple(language for language, common in _COMMON.items() if word in common.split())
    for words in _COMMON.values()
    for word in words.split()
}
_ENGLISH: Final = frozenset(_COMMON["en"].split())
_WORD: Final = re.compile(r"[^\W\d_]+")
_FEWEST_HITS: Final = 3
_HIT_SHARE: Final = 0.15
_LEAD: Final = 2

# A question that names a language may ask for it.
_ASKS: Final = re.compile(
    r"translat|traduc|übersetz|перевед|翻译|翻譯|訳|\b(?:in|into|en|auf|em|på) (?:english|german|french|spanish|italian"
    r"|portuguese|dutch|swedish|polish|turkish|finnish|czech|indonesian|vietnamese|romanian|hungarian|russian|ukrainian"
    r"|chinese|mandarin|cantonese|japanese|korean|arabic|hebrew|greek|thai|hindi|tamil|latin|deutsch|englisch|anglais"
    r"|français|inglés|español|inglês)\b|\b(?:english|german|french|spanish|italian|portuguese|dutch|russian|chinese"
    r"|japanese|korean|arabic|hindi|greek|latin) (?:word|phrase|sentence|version|equivalent|language|text|poem)",
    re.IGNORECASE,
)


def language_of(text: str) -> str | None:
    """The language of a text, or its script where that is all that can be told; None when it is not clear."""
    sample = text[:_SAMPLE]
    if len(sample) < _SHORTEST:
        return _by_script(sample) if not sample.isascii() else None
    if not sample.isascii():
        script = _by_script(sample)
        if script is not None:
            return script
    return _by_words(sample)


def _by_script(sample: str) -> str | None:
    letters = sum(map(str.isalpha, sample))
    for name, first, last in _SCRIPTS:
        number = sum(first <= character <= last for character in sample)
        # A Japanese text has a few Chinese characters between its kana.
        if number and number >= _SCRIPT_SHARE * letters * (0.5 if name == "ja" else 1.0):
            return name
    return None


def _by_words(sample: str) -> str | None:
    words = _WORD.findall(sample.lower())
    hits = Counter(language for word in words for language in _LANGUAGES_OF.get(word, ()))
    (best, most), (_, second) = (*hits.most_common(2), ("", 0), ("", 0))[:2]
    if most >= _FEWEST_HITS and most >= _HIT_SHARE * len(words) and most >= second + _LEAD:
        return best
    return None


def is_mismatch(question: str, answer: str) -> bool | None:
    """Whether the answer is in another language than the question, and the question names none.

    None when the language of one of them is not clear.
    """
    asked = "en" if _is_english(question) else language_of(question)
    if asked is None:
        return None
    answered = "en" if _is_english(answer) else language_of(answer)
    if answered is None:
        return None
    return asked != answered and _ASKS.search(question[-_SAMPLE * 4 :]) is None


def _is_english(text: str) -> bool:
    """A quick look for the commonest case."""
    sample = text[:160]
    if not sample.isascii():
        return False
    words = sample.lower().split()
    hits = sum(map(_ENGLISH.__contains__, words))
    return hits >= _FEWEST_HITS and hits * 5 >= len(words)
