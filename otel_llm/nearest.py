"""What somebody who misspelt a name most likely meant."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

# More than this and the list helps less than the documentation.
_MOST_NAMES = 20
_SHORTEST_START = 3


def hint(name: str, known: Iterable[str]) -> str:
    """The end of an error message about an unknown name, with its leading semicolon: the nearest known one, or all."""
    choices = sorted(set(known))
    longer = [choice for choice in choices if len(name) >= _SHORTEST_START and choice.startswith(name)]
    if len(longer) == 1:  # `timeout` for `timeout_seconds`, which the ratio below finds too far apart
        return f"; did you mean {longer[0]!r}?"
    # A long name would make the comparison expensive, and is no misspelling.
    close = difflib.get_close_matches(name[:100], choices, n=1, cutoff=0.6)
    if close:
        return f"; did you mean {close[0]!r}?"
    if not choices:
        return "; there are none"
    more = f" and {len(choices) - _MOST_NAMES} more" if len(choices) > _MOST_NAMES else ""
    return f"; known: {', '.join(choices[:_MOST_NAMES])}{more}"
