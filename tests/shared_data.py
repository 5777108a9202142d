"""Labelled cases that may lie beside a checkout of the project; the project never needs them."""

from __future__ import annotations

from pathlib import Path

import pytest

SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


def shared_data_path(name: str) -> Path:
    """The path of a labelled data file or folder; skips the test with a plain reason when it is not there."""
    path = SHARED_DATA / name
    if not path.exists():
        pytest.skip(f"needs the labelled data {name}, which is kept beside the project and is not part of it")
    return path
