"""Damaged files are kept as they were found, for somebody to look at."""

from __future__ import annotations

import contextlib
import logging
import os
from pathlib import Path
from typing import Final

from otel_llm.delivery.segment import segment_files

_logger = logging.getLogger(__name__)

QUARANTINE: Final = "quarantine"
# The newest that are kept of one log.
_FILES: Final = 4


def quarantine(path: Path, why: str) -> None:
    """Report a damaged segment and link it into `quarantine/`. A link takes no room while the segment is in use."""
    _logger.error("%s is damaged: %s; what is whole is delivered, the file is kept in %s/", path, why, QUARANTINE)
    folder = path.parent / QUARANTINE
    with contextlib.suppress(OSError):
        folder.mkdir(exist_ok=True, mode=0o700)
        with contextlib.suppress(FileExistsError):
            os.link(path, folder / path.name)
        for old in segment_files(folder)[:-_FILES]:
            old.unlink()
