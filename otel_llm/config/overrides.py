"""`--set path=value`: single settings from the command line, put into the document before it is checked."""

from __future__ import annotations

from collections.abc import Iterable

from otel_llm.config.document import name_of, read_value
from otel_llm.config.values import Value
from otel_llm.errors import ConfigError

_EXAMPLE = "write for example exporters.debug.verbosity=detailed"


def apply_overrides(document: dict[str, Value], overrides: Iterable[str], problems: list[str]) -> None:
    """Put every override into the document, in order, making the sections that are missing.

    Args:
        document: changed in place.
        overrides: `path=value`; the value is read as YAML. Sections of the path are separated by dots.
        problems: gets one line for each that cannot be applied.
    """
    for override in overrides:
        path, equals, text = override.partition("=")
        keys = path.strip().split(".")
        if not equals or not all(keys):
            problems.append(f"--set: expected path=value, got something else; {_EXAMPLE}")
            continue
        try:
            _put(document, keys, read_value(text, f"--set {path}"))
        except ConfigError as error:
            problems += error.problems


def _put(document: dict[str, Value], keys: list[str], value: Value) -> None:
    section = document
    for depth, key in enumerate(keys[:-1], start=1):
        below = section.get(key)
        if below is None:
            below = section[key] = {}
        if not isinstance(below, dict):
            done = ".".join(keys[:depth])
            raise ConfigError([f"--set {'.'.join(keys)}: {done} is {name_of(below)}, not a section; {_EXAMPLE}"])
        section = below
    section[keys[-1]] = value
