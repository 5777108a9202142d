"""Labels of people beside those of a judge, as they are exported from human review: JSON lines.

{"name": "helpfulness", "version": "1", "judge": "pass", "human": "fail"}

The file that `otel-llm estimate` reads does as well: answers that no person saw are passed over.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec

from otel_llm.errors import ConfigError
from otel_llm.quality.judges import Agreement, Rubric, agreement

_MOST_BYTES: Final = 64 * 1024 * 1024


class _Label(msgspec.Struct):
    name: str
    version: str
    judge: str
    human: str | None = None


def agreements(paths: Sequence[str], rubrics: Sequence[Rubric], setting: str) -> dict[str, Agreement]:
    """For each rubric by its id, how well its judge agrees with people.

    Labels for other rubrics or versions are passed over.

    Raises:
        ConfigError: a file cannot be read.
    """
    pairs: dict[tuple[str, str], list[tuple[str, str]]] = {(one.id, one.version): [] for one in rubrics}
    for place, path in enumerate(paths):
        for label in _read(path, f"{setting}[{place}]"):
            found = pairs.get((label.name, label.version))
            if found is not None and label.human is not None:
                found.append((label.judge, label.human))
    return {id_: agreement(found) for (id_, _), found in pairs.items()}


def _read(path: str, setting: str) -> list[_Label]:
    file = Path(path).expanduser()
    try:
        if file.stat().st_size > _MOST_BYTES:
            raise ConfigError([f"{setting}: {path} is larger than {_MOST_BYTES} bytes"])
        lines = [line for line in file.read_bytes().splitlines() if line.strip()]
    except OSError as error:
        raise ConfigError([f"{setting}: cannot read {path}: {error.strerror or error}"]) from error
    labels = []
    for number, line in enumerate(lines, 1):
        try:
            labels.append(msgspec.json.decode(line, type=_Label))
        except msgspec.MsgspecError as error:
            raise ConfigError([f"{setting}: {path}, line {number}: {error}"]) from error
    return labels
