from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.acceptance.through import Through, started


@pytest.fixture(scope="module")
def through(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Through]:
    """A gateway with normalize, cost and metrics as they come."""
    with started(tmp_path_factory.mktemp("gateway")) as gateway:
        yield gateway
