"""A bounded memory of answers, for keys that an attacker may choose."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Recent(Generic[K, V]):
    """Keeps the answers asked for lately: at least the last `capacity` distinct ones, at most twice as many.

    Two generations instead of a linked list: a hit in the young one costs a single dictionary look-up, and a full young
    generation becomes the old one. Forgetting the first key of one dictionary, again and again, would cost tens of
    microseconds each time, as Python looks for it behind all that were deleted before. Threads may share it: the worst
    that a race does is to forget an answer.

    Attributes:
        young: look here first (`young.get(key)`), then ask `recall`. Who writes to it calls `age` now and then.
        old: the generation before.
    """

    __slots__ = ("_capacity", "old", "young")

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self.young: dict[K, V] = {}
        self.old: dict[K, V] = {}

    def recall(self, key: K) -> V | None:
        """The answer if it is still known, made young again."""
        answer = self.young.get(key)
        if answer is None and (answer := self.old.get(key)) is not None:
            self.remember(key, answer)
        return answer

    def remember(self, key: K, answer: V) -> None:
        """Keeps an answer."""
        self.age()
        self.young[key] = answer

    def age(self) -> None:
        """Forget the old generation if the young one is full, which is the old one from then on."""
        if len(self.young) >= self._capacity:
            self.old, self.young = self.young, {}

    def __len__(self) -> int:
        return len(self.young) + len(self.old)
