"""All guardrails of one canary, and what is to be done with it."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias, cast

from otel_llm.quality.compare.stakes import Arm, Difference, State

Verdict: TypeAlias = Literal["promote", "roll_back", "keep_watching"]

_VERSION: Final = 1


@dataclass(frozen=True, slots=True)
class Guardrail:
    """A signal in which the canary is not to be worse. More is worse: turn round what is better when it is more.

    Attributes:
        signal: its name.
        margin: the difference that is bearable when the canary is promoted; see Difference.
        is_rate: True or False is observed, or 0 and 1; any number otherwise.
    """

    signal: str
    margin: float
    is_rate: bool = True


@dataclass(frozen=True, slots=True)
class Settings:
    """How a canary is judged.

    Attributes:
        guardrails: all of them; each has its share of alpha.
        alpha: how probable it may be, at most, that a canary which is no worse in anything is rolled back, and that one
            which is worse than bearable in something is promoted. However often and however long anyone looks.
    """

    guardrails: Sequence[Guardrail]
    alpha: float = 0.01


@dataclass(frozen=True, slots=True)
class Standing:
    """One guardrail as it stands.

    Attributes:
        signal: which.
        control, canary: means of what came from each, None before anything did.
        blocks: observations of the canary that were compared.
        worse: evidence that the canary is worse; 1 when there is none, decides at `worse_decides`.
        safe: evidence that it is worse by less than the margin; decides at `safe_decides`.
    """

    signal: str
    control: float | None
    canary: float | None
    blocks: int
    worse: float
    worse_decides: float
    safe: float
    safe_decides: float


@dataclass(frozen=True, slots=True)
class Result:
    """What is to be done.

    Attributes:
        verdict: the decision.
        because: the guardrail that decided for `roll_back`, None otherwise.
        standings: all guardrails.
    """

    verdict: Verdict
    because: str | None
    standings: tuple[Standing, ...]


class Comparison:
    """A canary beside its control; thread-safe.

    A verdict other than `keep_watching` stands: what comes later is not looked at any more.

    Args:
        settings: how it is judged.
    """

    __slots__ = ("_because", "_differences", "_lock", "_settings", "_verdict")

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self._differences = {one.signal: Difference(one.margin, is_rate=one.is_rate) for one in settings.guardrails}
        self._verdict: Verdict = "keep_watching"
        self._because: str | None = None

    def observe(self, arm: Arm, values: Mapping[str, float]) -> Result | None:
        """Take an operation of one arm; the result when this decided.

        Args:
            arm: whose it is.
            values: by signal; a signal that is not known of this operation is left out, and others are not looked at.
        """
        with self._lock:
            if self._verdict != "keep_watching":
                return None
            for signal, value in values.items():
                difference = self._differences.get(signal)
                if difference is not None:
                    difference.update(arm, value)
            self._decide()
            return None if self._verdict == "keep_watching" else self._result()

    def _decide(self) -> None:
        decides = len(self._differences) / self._settings.alpha
        for signal, difference in self._differences.items():
            if difference.worse >= decides:
                self._verdict, self._because = "roll_back", signal
                return
        if all(difference.safe >= 1.0 / self._settings.alpha for difference in self._differences.values()):
            self._verdict = "promote"

    @property
    def result(self) -> Result:
        """How it stands now."""
        with self._lock:
            return self._result()

    def _result(self) -> Result:
        alpha = self._settings.alpha
        standings = tuple(
            Standing(
                signal,
                one.mean("control"),
                one.mean("canary"),
                one.blocks,
                one.worse,
                len(self._differences) / alpha,
                one.safe,
                1.0 / alpha,
            )
            for signal, one in self._differences.items()
        )
        return Result(self._verdict, self._because, standings)

    def merge(self, other: Comparison) -> None:
        """Take over what another worker has seen of the same canary."""
        with self._lock:
            for signal, difference in other._differences.items():
                self._differences[signal].merge(difference)
            if other._verdict != "keep_watching" and self._verdict == "keep_watching":
                self._verdict, self._because = other._verdict, other._because
            if self._verdict == "keep_watching":
                self._decide()

    def state(self) -> State:
        """Everything it needs to go on later, as JSON values."""
        with self._lock:
            return {
                "version": _VERSION,
                "verdict": self._verdict,
                "because": self._because,
                "signals": {signal: one.state() for signal, one in self._differences.items()},
            }

    def restore(self, state: State) -> None:
        """Go on from a state.

        Raises:
            ValueError: it is none, or one of other guardrails.
        """
        try:
            signals = cast("dict[str, State]", state["signals"])
            verdict, because, version = state["verdict"], cast("str | None", state["because"]), state["version"]
            found = {one.signal: Difference(one.margin, is_rate=one.is_rate) for one in self._settings.guardrails}
            for signal, difference in found.items():
                difference.restore(signals[signal])
        except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
            raise ValueError(f"not the state of this comparison: {type(error).__name__}: {error}") from error
        if version != _VERSION or signals.keys() != found.keys() or verdict not in _VERDICTS:
            raise ValueError("not the state of this comparison: version, guardrails or verdict are others")
        with self._lock:
            self._differences, self._verdict, self._because = found, verdict, because


_VERDICTS: Final = ("promote", "roll_back", "keep_watching")
