"""Whether the user's last message sounds like trouble: corrections, complaints, the same again. English only.

Right one time in five on real conversations (a sign that is three to six times as common among unhappy users), so this
is a rate for a segment and never a verdict on one call: it is counted, and not put on a span.
"""

from __future__ import annotations

import re
from typing import Final

_SAMPLE: Final = 600
_STEMS: Final = (
    "not what", "wrong", "incorrect", "already", "again", "doesn't work", "does not work", "didn't", "useless", "still",
    "stop ", "frustrat", "ridiculous", "no,", "not helpful", "human", "agent", "misunderst", "i said", "i asked", "wtf",
    "terrible", "pointless", "not working", "listen",
)  # fmt: skip
_TROUBLE: Final = re.compile(
    r"\b(?:(?:that's|that is|this is|it's|you're|you are|you got it) (?:still |just |completely |all )?(?:not (?:what i"
    r"|right|correct|helpful|true|working)|wrong|incorrect|useless|ridiculous)"
    r"|i (?:already|just) (?:told|said|asked|gave|answered|explained)|i (?:said|asked for|meant)\b"
    r"|(?:still|again,?) (?:doesn't|does not|not|isn't|wrong|fails|failing|broken|the same)"
    r"|(?:doesn't|does not|didn't|did not) (?:work|help|answer|make sense|understand|listen)"
    r"|you (?:didn't|did not|don't|do not|never|keep|misunderst)|how many times|stop (?:repeating|saying|doing)"
    r"|(?:talk|speak|connect me) (?:to|with) (?:a |an )?(?:human|person|agent|representative|real)"
    r"|(?:so |very |really )?(?:frustrat(?:ed|ing)|useless|ridiculous|terrible|pointless)|^no,? (?:that|not|i|you)"
    r"|wtf)\b"
)


def is_friction(message: str) -> bool:
    """Whether a user's message sounds like trouble."""
    sample = message[:_SAMPLE].lower().replace("\u2019", "'")
    return any(stem in sample for stem in _STEMS) and _TROUBLE.search(sample) is not None
