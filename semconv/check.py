"""Checks the registry the way `weaver registry check` would, without Weaver: JSON schema, names, references, manifest.

    python -m semconv.check [FOLDER]     exit 1 and print every problem, one a line, when there are any

FOLDER defaults to semconv/registry.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError, relevance

from semconv.rules import all_problems
from semconv.vocabulary import (
    REGISTRY,
    UPSTREAM,
    Upstream,
    VocabularyError,
    load_registry,
    load_upstream,
    load_yaml,
    registry_paths,
)

SCHEMA = UPSTREAM / "weaver" / "semconv.schema.v2.json"

# http[s]://server[:port]/path/<version>, as the OpenTelemetry specification has it.
_SCHEMA_URL = re.compile(r"https?://[^/\s]+/\S+/[0-9]+\.[0-9]+\.[0-9]+(?:-[0-9A-Za-z.-]+)?")
# Messages of the JSON schema can quote a whole entry; their end says what was expected.
_MAX_MESSAGE = 200


def check_registry(folder: Path, upstream: Upstream) -> list[str]:
    """All problems of the registry in `folder`; empty when it is sound. Rules wait for well-shaped files."""
    paths = registry_paths(folder)
    if not paths:
        return [f"{folder.name}: there are no registry files (*.yaml) here"]
    problems = list(_manifest(folder / "manifest.yaml"))
    validator = Draft202012Validator(json.loads(SCHEMA.read_text(encoding="utf-8")))
    misshapen = [problem for path in paths for problem in _schema_problems(path, validator)]
    if misshapen:
        return problems + misshapen
    try:
        registry = load_registry(folder)
    except VocabularyError as error:
        return [*problems, str(error)]
    return problems + list(all_problems(registry, upstream))


def _schema_problems(path: Path, validator: Draft202012Validator) -> Iterator[str]:
    try:
        data = load_yaml(path)
    except VocabularyError as error:
        yield str(error)
        return
    for found in validator.iter_errors(data):
        telling = _telling(found)
        where = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in telling.absolute_path)
        message = telling.message
        short = message if len(message) <= _MAX_MESSAGE else f"...{message[-_MAX_MESSAGE:]}"
        yield f"{path.name}{where}{_called(data, telling)}: {short}"


def _telling(error: ValidationError) -> ValidationError:
    """The error inside nested alternatives that went furthest into the data."""
    telling = error
    while telling.context:
        telling = max(telling.context, key=lambda inner: (len(inner.absolute_path), relevance(inner)))
    return telling


def _called(data: object, error: ValidationError) -> str:
    """The name of the entry an error is in, because `attributes[17]` has to be counted out."""
    name = ""
    for part in error.absolute_path:
        if isinstance(data, dict):
            data = data.get(part)
        elif isinstance(data, list) and isinstance(part, int):
            data = data[part]
        if isinstance(data, dict):
            found = data.get("key") or data.get("name") or data.get("id") or data.get("ref")
            name = f" ({found})" if isinstance(found, str) else name
    return name


def _manifest(path: Path) -> Iterator[str]:
    """Weaver's rules for a manifest: a versioned schema URL for the registry and for each dependency."""
    if not path.exists():
        yield "manifest.yaml is missing; it names the registry's schema_url and dependencies"
        return
    try:
        data = load_yaml(path)
    except VocabularyError as error:
        yield str(error)
        return
    if not isinstance(data, dict):
        yield "manifest.yaml: expected a mapping with schema_url"
        return
    yield from _schema_url("manifest.yaml", data)
    for position, dependency in enumerate(data.get("dependencies") or []):
        yield from _schema_url(f"manifest.yaml: dependencies[{position}]", dependency)


def _schema_url(where: str, holder: object) -> Iterator[str]:
    url = holder.get("schema_url") if isinstance(holder, dict) else None
    if not isinstance(url, str) or not _SCHEMA_URL.fullmatch(url):
        yield f"{where}: schema_url is {url!r}; expected http[s]://server/path/<version>"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m semconv.check", description="Check the semantic-convention registry."
    )
    parser.add_argument("folder", nargs="?", type=Path, default=REGISTRY, help="registry folder (semconv/registry)")
    folder: Path = parser.parse_args(arguments).folder
    problems = check_registry(folder, load_upstream())
    for problem in problems:
        print(problem, file=sys.stderr)
    if not problems:
        print(f"{folder.name}: {len(registry_paths(folder))} files, no problems")
    return 1 if problems else 0


if __name__ == "__main__":
    raise SystemExit(main())
