"""Policy sets that come with otel_llm. docs/policy-guide.md says what each rule is for and how to make it one's own."""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Final

FOLDER: Final = Path(__file__).parent


def pack_names() -> tuple[str, ...]:
    """The names of all packs, sorted."""
    return tuple(sorted(path.stem for path in FOLDER.glob("*.yaml") if not path.stem.endswith(".test")))


def pack_path(name: str) -> Path:
    """The file of a pack.

    Raises:
        ValueError: there is no such pack; the message names the nearest.
    """
    known = pack_names()
    if name not in known:
        near = difflib.get_close_matches(name[:60], known, n=1)
        hint = f"did you mean {near[0]}?" if near else f"known: {', '.join(known)}"
        raise ValueError(f"there is no pack {name[:60]!r}; {hint}")
    return FOLDER / f"{name}.yaml"
