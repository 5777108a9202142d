"""Kill switches: rules of one set that stop calls at once, and bindings that switch other sets off.

`otel-llm policy kill` writes the file, and nobody else should; here is what has changed between two bundles, for the
audit log.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from otel_llm.policy.sets.bundle import Bundle

SWITCHES: Final = "kill-switches"
# What is stopped (model, provider, service, set), its name, who did it, and why.
Switch = tuple[str, str, str, str]


def switches_of(bundle: Bundle | None) -> frozenset[Switch]:
    """The switches that are turned."""
    if bundle is None:
        return frozenset()
    rows: list[object] = []
    for one in bundle.documents.sets:
        if one.name == SWITCHES:
            listed = one.parameters.get("switches")
            rows += listed if isinstance(listed, list) else []
    return frozenset((*map(str, row),) for row in rows if isinstance(row, list) and len(row) == _FIELDS)  # type: ignore[misc] # four texts


_FIELDS: Final = 4


def turned(before: Bundle | None, after: Bundle) -> Sequence[tuple[bool, Switch]]:
    """What differs: whether each is on now, and the switch."""
    old, new = switches_of(before), switches_of(after)
    return [*((True, one) for one in sorted(new - old)), *((False, one) for one in sorted(old - new))]
