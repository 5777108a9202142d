"""Whether the user's last message sounds like trouble: corrections, complaints, the same again. English only.

Right one time in five on real conversations (a sign that is three to six times as common among unhappy users), so this
is a rate for a segment and never a verdict on one call: it is counted, and not put on a span.
"""

from __future__ import annotations

import re
from typing import Final

# Complaints are short, or begin with the complaint.
_SAMPLE: Final = 320
# What is quoted is said by somebody else.
_QUOTED: Final = re.compile(r"\"[^\"]{0,300}\"|\u201c[^\u201d]{0,300}\u201d")
# A task or a question about the world, in which such words are the matter and not a complaint.
_TASK: Final = re.compile(
    r" (?:please |and |ok,? |now )?(?:write|draft|translate|summari[sz]e|classify|rewrite|rephrase|give|list|name|check"
    r"|change|correct|show|make|add|compare|explain|tell me|remind|how (?:do|can|would|should|is|to)|what(?! a )"
    r"|which|where"
    r"|who|when|is (?:it|this|there|my)|does|can (?:a|the|people)|my)\b"
)
_NOT: Final = r"(?:n't| not)"
_BEGINNING: Final = re.compile(
    r" (?:no,? (?:that(?! is all|'s all)|not|you|i (?:want|said|asked|mean))|no,? no\b|nope|wrong\b|incorrect\b"
    r"|nonsense"
    r"|ugh\b|forget it|not (?:helpful|what)|useless\b|terrible\b|hopeless\b|seriously\?|again:|hello\?|worse\b"
    rf"|same (?:answer|error|problem)|(?:does|did|do|was|is){_NOT} (?:work|help|what|right|correct|it))"
)
_BAD: Final = (
    r"(?:not (?:what|right|correct|helpful|true|working|the|how)|wrong|incorrect|useless|ridiculous|outdated"
    r"|nonsense|a lie"
    r"|made up|annoying|even close|the opposite|what i (?:asked|wanted|meant|said)|broken again|supposed to be"
    r"|frustrating"
    r"|terrible|pointless|the wrong)"
)
_STATE: Final = (
    rf"(?:'s| is|'re| are|is|are| was)?{_NOT}? (?:still |just |even |all |so |getting |really |completely "
    rf"|simply )*{_BAD}"
    rf"|(?: still| just| also)? (?:does|do|did){_NOT}\b| did nothing"
)
_DEMANDED: Final = r"(?:(?:can|could|may) i|let me|i (?:want|need|would like|wanna)|please|get me|give me|connect me)"
_DEMAND: Final = (
    rf"\b{_DEMANDED}\b[^.?!]{{0,14}}\b(?:human|real person|person|agent|representative|supervisor|someone who)\b"
)
# What has to be there, and what is then looked for: looking for a literal costs a fiftieth of looking for a pattern.
_RULES: Final = tuple(
    (stem, re.compile(pattern))
    for stem, pattern in (
        (
            " you",
            (
                r" you(?:'re| are) (?:still |just |completely |again )?(?:wrong|not |repeating|ignoring|useless|lying"
                r"|mistaken)"
                r"| you (?:again |just |completely |still )?(?:forgot|ignored?|misunder|misread|left out|missed"
                r"|contradict|broke"
                r"|made (?:that|this|it) up|deleted|keep |never |promised|got (?:it|that|this|the)|already (?:said"
                r"|told|gave))"
                rf"| you (?:did|do){_NOT} (?:answer|listen|understand|read|help|get)"
                r"| your (?:last |bot |answer |code |summary |suggestion )*(?:is (?:useless|wrong|terrible)|left out"
                rf"|throws|fails|(?:does|did){_NOT})"
                r"| you (?:gave|mention|sent|suggested|made|wrote)(?:ed|d)? (?:me )?(?:is|are|does|do|did|last)"
                rf"{_NOT}?\b"
            ),
        ),
        ("think you ", r"think you (?:understood|misunder|read)"),
        ("are you ", r"\bare you (?:even|serious)"),
        ("did you ", r"\bdid you (?:even|ignore)"),
        ("why ", r"\bwhy (?:do|did|can't|won't|are|don't|didn't) you\b"),
        *((f" {word}", f" {word}(?:{_STATE})") for word in ("this", "that", "it", "these", "those", "which")),
        *((f" {word} ", rf" {word} (?:does|do|did){_NOT}\b") for word in ("still", "again", "either")),
        *(
            (
                f" {word}",
                (
                    rf" {word}{_NOT} (?:work|fix it|help|solve it)(?:ing)?(?:,? (?:either|again|still|at all|for me)"
                    rf"|[!.]*$)"
                ),
            )
            for word in ("does", "did", "is")
        ),
        (
            " still ",
            r" still (?:crash|fail|broken|not\b|wrong|the same|waiting|get(?:ting)? the same|doesn't|does not|isn't)",
        ),
        ("makes no sense", "makes no sense"),
        ("waste of", r"waste of (?:my )?time"),
        ("none of ", r"\bnone of (?:this|these|those|that|them)\b"),
        *(
            (f" i {word} ", rf" i {word} (?:told|said|tried|explained|gave|answered|did)")
            for word in ("already", "just")
        ),
        *((f" i{have} ", rf" i{have} (?:already )?(?:told|explained|said)") for have in ("'ve", " have")),
        (" i said", " i said"),
        (" i told you", " i told you"),
        (" i never ", r" i never (?:said|asked|wanted)"),
        (" i did", r" i did(?:n't| not) ask"),
        (" i give up", " i give up"),
        (" i meant", r"(?:^|[.!?]) i meant"),
        (" i asked ", r"(?:^|[.!?]) i asked (?:for|about|you|if)"),
        (" i don't want ", r" i don't want (?:an|a|your|any|to)\b"),
        *(
            (f" i{am} ", rf" i{am} (?:getting |really |so |very )*(?:frustrat|annoyed|done with|fed up|sick of)")
            for am in ("'m", " am")
        ),
        ("as i ", r"\bas i (?:said|told|wrote)"),
        ("how many times", r"how many times (?:do|did|must|should|have) i"),
        (" time", r"\b(?:second|third|fourth|fifth|tenth) time\b"),
        ("stop ", r"\bstop (?:repeating|saying|doing|adding|apologi|telling|asking|\w+ing yourself)"),
        ("make things up", "don't make things up"),
        ("straight answer", "straight answer"),
        ("just ", r"\bjust (?:answer|the (?:number|answer|code|file))\b"),
        ("read my ", "read my "),
        ("wtf", r"\bwtf\b"),
        *((word, _DEMAND) for word in ("human", "person", "agent", "representative", "supervisor", "someone who")),
    )
)


def is_friction(message: str) -> bool:
    """Whether a user's message sounds like trouble."""
    sample = f" {message[:_SAMPLE].strip().lower()}"
    if not sample.isascii():
        sample = sample.replace("\u2019", "'")
    if '"' in sample or "\u201c" in sample:
        sample = _QUOTED.sub(" ", sample)
    if _TASK.match(sample) is not None:
        return False
    if _BEGINNING.match(sample) is not None:
        return True
    return any(stem in sample and pattern.search(sample) is not None for stem, pattern in _RULES)
