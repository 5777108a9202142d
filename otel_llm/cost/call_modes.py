"""The way a call was made, as far as prices depend on it: at once or in a batch, and in which service tier."""

from __future__ import annotations

from dataclasses import dataclass, field

#: Spellings of "as always".
_STANDARD = frozenset(
    (
        *("", "default", "standard", "standard_only", "auto", "none", "unspecified", "on_demand", "ondemand", "global"),
        *("online", "sync", "synchronous", "realtime", "stream", "streaming", "traffic_type_unspecified"),
    )
)
_BATCH = frozenset(("batch", "batches", "message_batch", "batch_api"))
_TIERS = {
    "priority": "priority",
    "on_demand_priority": "priority",
    "flex": "flex",
    "on_demand_flex": "flex",
    "fast": "fast",
}
#: Capacity bought by the hour: a call in it has no price of its own.
_COMMITTED = frozenset(("provisioned", "provisioned_throughput", "scale", "reserved", "ptu", "dedicated"))


@dataclass(frozen=True, slots=True)
class CallMode:
    """How a call was made.

    Attributes:
        context: what a variant's "when" is compared with; empty for a standard call.
        committed: in capacity bought by the hour.
    """

    context: dict[str, str] = field(default_factory=dict)
    committed: bool = False


def call_mode(processing: str | None, service_tier: str | None) -> CallMode:
    """The mode for attribute values in any spelling. An unknown one is a tier that no list has a price for."""
    words = [_normal(word) for word in (processing, service_tier) if word]
    context: dict[str, str] = {}
    for word in words:
        if word in _BATCH:
            context["processing"] = "batch"
        elif word in _TIERS:
            context["service_tier"] = _TIERS[word]
        elif word not in _STANDARD and word not in _COMMITTED:
            context["service_tier"] = "unknown"
    if context.get("service_tier") == "fast":
        context["speed"] = "fast"
    return CallMode(context, committed=any(word in _COMMITTED for word in words))


def _normal(word: str) -> str:
    return word.strip().lower().replace("-", "_").replace(" ", "_").removeprefix("service_tier_")
