"""Consistent probability sampling, as OpenTelemetry specifies it: one random number a trace, one threshold a sampler.

A trace is kept when its randomness (the last 56 bits of its id, or `rv` in the trace state) is at least the threshold.
So samplers one after the other keep the same traces, and what is left says in `ot=th:` how much it stands for.
Source: OpenTelemetry specification, trace/tracestate-probability-sampling and tracestate-handling.
"""

from __future__ import annotations

import re
from typing import Final

_BITS: Final = 56
_ALL: Final = 1 << _BITS
_DIGITS: Final = 14
_HEX: Final = re.compile(r"[0-9a-f]{1,14}")
_RANDOM: Final = re.compile(r"[0-9a-f]{14}")


def threshold_of(fraction: float) -> int:
    """The threshold that keeps a fraction of all traces: 0 keeps all, 2**56 none."""
    return _ALL - round(fraction * _ALL)


def adjusted_count(threshold: int) -> float:
    """How many traces one that was kept stands for; infinite when none is kept, so nobody asks."""
    return _ALL / (_ALL - threshold) if threshold < _ALL else float("inf")


def randomness(trace_id: bytes, trace_state: bytes) -> int:
    """The number that decides about a trace."""
    found = _sub_keys(trace_state).get("rv", "")
    if _RANDOM.fullmatch(found):
        return int(found, 16)
    return int.from_bytes(trace_id[-_BITS // 8 :], "big")


def threshold_in(trace_state: bytes) -> int:
    """The threshold that a span was sampled with before; 0 when it does not say."""
    found = _sub_keys(trace_state).get("th", "")
    return int(found.ljust(_DIGITS, "0"), 16) if _HEX.fullmatch(found) else 0


def with_threshold(trace_state: bytes, threshold: int) -> bytes:
    """A trace state that says so; everything else in it stays."""
    sub_keys = _sub_keys(trace_state)
    sub_keys["th"] = f"{threshold:014x}".rstrip("0") or "0"
    ours = "ot=" + ";".join(f"{key}:{value}" for key, value in sub_keys.items())
    others = [member for member in _members(trace_state) if not member.startswith("ot=")]
    return ",".join([ours, *others]).encode()


def _members(trace_state: bytes) -> list[str]:
    return [member.strip() for member in trace_state.decode("utf-8", "replace").split(",") if member.strip()]


def _sub_keys(trace_state: bytes) -> dict[str, str]:
    if b"ot=" not in trace_state:
        return {}
    for member in _members(trace_state):
        if member.startswith("ot="):
            pairs = (part.partition(":") for part in member[3:].split(";"))
            return {key: value for key, separator, value in pairs if separator}
    return {}
