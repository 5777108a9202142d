"""Differences between canary and control, and the bets on them."""

from __future__ import annotations

from collections import deque
from typing import Final, Literal, Self, TypeAlias, cast

Arm: TypeAlias = Literal["control", "canary"]
State: TypeAlias = dict[str, object]

# The shares of the stake that are bet, side by side. For rates of a few per cent the best one is about the difference
# divided by twice the rate; it is not known beforehand.
_BETS: Final = (0.03, 0.08, 0.18, 0.3, 0.55)
# Observations that wait for one of the other arm; older ones are forgotten.
_MOST_WAITING: Final = 256
# Of the controls that came since the last canary so many are averaged: more would hardly make it less noisy.
_MOST_CONTROLS: Final = 8
# A stake that has won this much has proved its case; it would overflow some day.
_MOST: Final = 1e100


class Difference:
    """Canary against control in one signal, where more is worse.

    Args:
        margin: what difference would be bearable: of a rate, or, for numbers, of the probability that the canary's is
            the larger over that of the smaller.
        is_rate: observations are 0 or 1, and means are compared; otherwise it only counts which one is larger.

    Attributes:
        worse: the stake of the bets that the canary is worse; at most 1 on average while it is not.
        safe: the stake of the bets that it is worse by less than the margin, if at all; at most 1 on average while it
            is worse by the margin or more.
        blocks: how many canaries were compared.
    """

    __slots__ = (
        "_canaries",
        "_controls",
        "_is_rate",
        "_margin",
        "_safe",
        "_worse",
        "blocks",
        "safe",
        "sums",
        "worse",
    )

    def __init__(self, margin: float, *, is_rate: bool) -> None:
        self._margin = margin
        self._is_rate = is_rate
        self._worse = [1.0] * len(_BETS)
        self._safe = [1.0] * len(_BETS)
        self._controls: deque[float] = deque(maxlen=_MOST_WAITING)
        self._canaries: deque[float] = deque(maxlen=_MOST_WAITING)
        self.worse = 1.0
        self.safe = 1.0
        self.blocks = 0
        # Sum and number of all observations of each arm, for the report.
        self.sums: dict[Arm, tuple[float, int]] = {"control": (0.0, 0), "canary": (0.0, 0)}

    def mean(self, arm: Arm) -> float | None:
        """The mean of what came from an arm, None before anything did."""
        total, number = self.sums[arm]
        return total / number if number else None

    def update(self, arm: Arm, value: float) -> None:
        """Take an observation: 0 or 1 of a rate, or any finite number.

        Which observations are set against each other depends on when they come, never on what they are.
        """
        total, number = self.sums[arm]
        self.sums[arm] = (total + value, number + 1)
        if arm == "canary":
            if self._controls:
                controls = [self._controls.pop() for _ in range(min(len(self._controls), _MOST_CONTROLS))]
                self._controls.clear()
                self._bet(value, controls)
            else:
                self._canaries.append(value)
        elif self._canaries:
            self._bet(self._canaries.popleft(), [value])
        else:
            self._controls.append(value)

    def _bet(self, canary: float, controls: list[float]) -> None:
        if self._is_rate:
            difference = canary - sum(controls) / len(controls)
        else:
            difference = sum((canary > control) - (canary < control) for control in controls) / len(controls)
        self.blocks += 1
        if difference:
            self._worse = [
                min(stake * (1.0 + bet * difference), _MOST) for stake, bet in zip(self._worse, _BETS, strict=True)
            ]
            self.worse = sum(self._worse) / len(_BETS)
        gain = self._margin - difference
        self._safe = [min(stake * (1.0 + bet * gain), _MOST) for stake, bet in zip(self._safe, _BETS, strict=True)]
        self.safe = sum(self._safe) / len(_BETS)

    def merge(self, other: Self) -> None:
        """Take over what another worker has seen of the same two arms: independent bets, so stakes multiply."""
        self._worse = [min(a * b, _MOST) for a, b in zip(self._worse, other._worse, strict=True)]
        self._safe = [min(a * b, _MOST) for a, b in zip(self._safe, other._safe, strict=True)]
        self.worse, self.safe = sum(self._worse) / len(_BETS), sum(self._safe) / len(_BETS)
        self.blocks += other.blocks
        for arm, (total, number) in other.sums.items():
            ours = self.sums[arm]
            self.sums[arm] = (ours[0] + total, ours[1] + number)

    def state(self) -> State:
        """Everything it needs to go on later, as JSON values; what waits for the other arm is left out."""
        return {
            "worse": list(self._worse),
            "safe": list(self._safe),
            "blocks": self.blocks,
            "sums": {arm: list(one) for arm, one in self.sums.items()},
        }

    def restore(self, state: State) -> None:
        """Go on from a state.

        Raises:
            KeyError, TypeError, ValueError: it is none.
        """
        worse = [float(stake) for stake in cast("list[float]", state["worse"])]
        safe = [float(stake) for stake in cast("list[float]", state["safe"])]
        if not len(worse) == len(safe) == len(_BETS) or not all(0.0 <= stake <= _MOST for stake in (*worse, *safe)):
            raise ValueError("the stakes do not fit together")
        sums = cast("dict[str, tuple[float, int]]", state["sums"])
        found: dict[Arm, tuple[float, int]] = {
            "control": (float(sums["control"][0]), int(sums["control"][1])),
            "canary": (float(sums["canary"][0]), int(sums["canary"][1])),
        }
        self.blocks = int(cast("int", state["blocks"]))
        self._worse, self._safe, self.sums = worse, safe, found
        self.worse, self.safe = sum(worse) / len(_BETS), sum(safe) / len(_BETS)
