"""`${...}` in the scalars of a configuration, as the Collector has it.

    ${env:NAME}             the variable; it is an error when it is not set
    ${env:NAME:-default}    the default when the variable is not set; one that is set to nothing is nothing
    ${NAME}                 the same as ${env:NAME}
    $$                      a dollar sign

When the reference is the whole scalar, its value is read as YAML: `${env:PORT}` can be a number, `${env:HOSTS}` a list.
A setting that wants a string gets the characters as they stand, so a password of digits stays what it is. The value of
a variable is not looked through for further references.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from otel_llm.config.document import read_value
from otel_llm.config.values import Expanded, Value, join
from otel_llm.errors import ConfigError

# `$$`, a whole reference, or the start of one that never ends.
_REFERENCE: Final = re.compile(r"\$\$|\$\{(?P<inside>[^{}$]*)\}|\$\{")
_INSIDE: Final = re.compile(r"(?:env:)?(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?::-(?P<default>.*))?", re.DOTALL)


def expand(value: Value, environment: Mapping[str, str], problems: list[str], path: str = "") -> Value:
    """The value with every reference in its scalars replaced; keys stay as they are.

    Args:
        value: as read from YAML.
        environment: variables by name.
        problems: gets a line for each reference that cannot be replaced.
        path: where the value stands.
    """
    match value:
        case str() if "$" in value:
            return _Expansion(environment, problems, path).scalar(value)
        case list():
            return [expand(item, environment, problems, join(path, index)) for index, item in enumerate(value)]
        case dict():
            return {key: expand(item, environment, problems, join(path, key)) for key, item in value.items()}
        case _:
            return value


class _Expansion:
    """One scalar's references."""

    __slots__ = ("_environment", "_failed", "_path", "_problems", "_references", "_secrets")

    def __init__(self, environment: Mapping[str, str], problems: list[str], path: str) -> None:
        self._environment = environment
        self._problems = problems
        self._path = path
        self._references = 0
        self._failed = False
        self._secrets: list[str] = []

    def scalar(self, scalar: str) -> Value:
        """The scalar with everything put in."""
        text = _REFERENCE.sub(self._replace, scalar)
        if not self._references:
            return text
        whole = _REFERENCE.fullmatch(scalar) is not None
        return Expanded(text, _reread(text) if whole else text, tuple(filter(None, self._secrets)), self._failed)

    def _replace(self, match: re.Match[str]) -> str:
        if match[0] == "$$":
            return "$"
        self._references += 1
        inside = match["inside"]
        if inside is None:
            self._problem("expected ${env:NAME}, got ${ that does not end or holds another; write $$ for a dollar sign")
            return ""
        reference = _INSIDE.fullmatch(inside)
        if reference is None:
            self._problem("expected ${env:NAME} or ${env:NAME:-default}, got a reference of another form")
            return ""
        return self._look_up(reference["name"], reference["default"])

    def _look_up(self, name: str, default: str | None) -> str:
        found = self._environment.get(name)
        if found is not None:
            self._secrets.append(found)
            return found
        if default is None:
            self._problem(f"environment variable {name} is not set; set it, or write ${{env:{name}:-default}}")
            return ""
        return default

    def _problem(self, text: str) -> None:
        self._failed = True
        self._problems.append(f"{self._path}: {text}")


def _reread(text: str) -> Value:
    """The text as YAML; the text itself when it is not YAML, or a section, whose keys would get into messages."""
    try:
        value = read_value(text, "a variable")
    except ConfigError:
        return text
    return text if _holds_section(value) else value


def _holds_section(value: Value) -> bool:
    return isinstance(value, dict) or (isinstance(value, list) and any(map(_holds_section, value)))
