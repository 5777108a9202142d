"""Which answers are judged: more of those that look bad, and some of all."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import blake2b
from typing import Final

_BITS: Final = 53


@dataclass(frozen=True, slots=True)
class Sampling:
    """Sampling by what is known for free.

    The trace decides, by its id: every judge, here or in another worker, takes the same traces, and what is judged can
    be found out again later. With which probability an answer was taken is recorded with the result; without that the
    answers judged say nothing about all of them.

    Attributes:
        flagged: the share of answers with a quality flag that is judged.
        others: that of all others, above 0: what no signal sees is found there only.
        salt: other salts take other traces.
    """

    flagged: float = 1.0
    others: float = 0.01
    salt: str = ""

    def probability(self, *, is_flagged: bool) -> float:
        """With which an answer is judged."""
        return self.flagged if is_flagged else self.others

    def takes(self, trace_id: bytes, probability: float) -> bool:
        """Whether an answer of this trace is judged."""
        digest = blake2b(self.salt.encode() + b"\0" + trace_id, digest_size=8).digest()
        return (int.from_bytes(digest, "big") >> (64 - _BITS)) < probability * (1 << _BITS)
