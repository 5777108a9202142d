"""YAML text to plain values, with the line and column of whatever is wrong with it.

YAML is read by its 1.2 core schema, as the Collector and editors read it, not by the 1.1 that PyYAML has built in:
`yes`, `on` and `12:30:00` are strings here, `1e3` is a number. Values are built from PyYAML's node tree by a walk
of our own, so that duplicate keys are found, a file of a few lines that aliases blow up to gigabytes is refused, and no
tag makes an object.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Final

import yaml

from otel_llm.config.values import Value, join
from otel_llm.errors import ConfigError

MOST_VALUES: Final = 100_000
DEEPEST: Final = 40
MOST_CHARACTERS: Final = 1024 * 1024

_TAG: Final = "tag:yaml.org,2002:"
_CORE_SCHEMA: Final = {
    "null": r"~|null|Null|NULL|",
    "bool": r"true|True|TRUE|false|False|FALSE",
    "int": r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+",
    "float": r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)",
    "merge": r"<<",
}


class _Loader(yaml.SafeLoader):
    """PyYAML's parser with the core schema's idea of what is not a string."""

    yaml_implicit_resolvers = {}  # noqa: RUF012 - PyYAML's way; replaces the table that the base class shares


for _name, _pattern in _CORE_SCHEMA.items():
    _Loader.add_implicit_resolver(_TAG + _name, re.compile(rf"(?:{_pattern})\Z"), None)


def read_document(text: str, source: str) -> dict[str, Value]:
    """The top section of a configuration; empty for an empty text.

    Args:
        text: YAML.
        source: what to call it in messages, usually the path of the file.

    Raises:
        ConfigError: the text is not YAML, is too large, or holds what a configuration cannot.
    """
    value = read_value(text, source)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise ConfigError([f"{source}: expected sections such as receivers: and service:, got {name_of(value)}"])
    return value


def read_value(text: str, source: str) -> Value:
    """One YAML value, with the same rules and errors as read_document."""
    if len(text) > MOST_CHARACTERS:
        raise ConfigError([f"{source}: expected at most {MOST_CHARACTERS} characters, got {len(text)}"])
    try:
        node = yaml.compose(text, _Loader)
    except yaml.MarkedYAMLError as error:
        raise ConfigError([_syntax_problem(error, source)]) from error
    except yaml.YAMLError as error:  # a character that YAML does not allow; the text of the error would quote it
        raise ConfigError([f"{source}: expected text, got a character that YAML does not allow; remove it"]) from error
    except RecursionError as error:
        raise ConfigError([_too_deep(source)]) from error
    if node is None:
        return None
    reader = _Reader(source)
    value = reader.read(node, "", 0)
    if reader.problems:
        raise ConfigError(reader.problems)
    return value


def name_of(value: Value) -> str:
    """What to call a value in a message without showing it."""
    match value:
        case None:
            return "nothing"
        case bool():
            return "true or false"
        case int():
            return "an integer"
        case float():
            return "a number"
        case str():
            return "a string"
        case list():
            return "a list"
        case dict():
            return "a section"
        case _:
            return "a value from the environment"


def _syntax_problem(error: yaml.MarkedYAMLError, source: str) -> str:
    mark = error.problem_mark or error.context_mark
    where = f" line {mark.line + 1}, column {mark.column + 1}" if mark is not None else ""
    parts = [part for part in (error.context, error.problem) if part]
    return f"{source}{where}: not YAML: {', '.join(parts)}"


def _too_deep(source: str) -> str:
    return f"{source}: expected sections at most {DEEPEST} deep, got more; an alias that contains itself does this too"


class _Reader:
    """Builds values from nodes and collects what is wrong with them."""

    __slots__ = ("_left", "_source", "problems")

    def __init__(self, source: str) -> None:
        self._source = source
        self._left = MOST_VALUES
        self.problems: list[str] = []

    def read(self, node: yaml.Node, path: str, depth: int) -> Value:
        """The value of a node. Aliased nodes are built once for each alias: that is what the budget is for."""
        self._left -= 1
        if self._left < 0:
            raise ConfigError([f"{self._source}: expected at most {MOST_VALUES} values, aliases counted each time"])
        if depth > DEEPEST:
            raise ConfigError([_too_deep(self._source)])
        if isinstance(node, yaml.MappingNode) and node.tag == _TAG + "map":
            return self._mapping(node, path, depth)
        if isinstance(node, yaml.SequenceNode) and node.tag == _TAG + "seq":
            return [self.read(item, join(path, index), depth + 1) for index, item in enumerate(node.value)]
        if isinstance(node, yaml.ScalarNode) and node.tag in _SCALARS:
            return self._scalar(node, path)
        self._problem(node, path, f"the tag {node.tag[:60]} cannot be used here; remove it")
        return None

    def _problem(self, node: yaml.Node, path: str, text: str) -> None:
        self.problems.append(f"{path or self._source}: line {node.start_mark.line + 1}: {text}")

    def _mapping(self, node: yaml.MappingNode, path: str, depth: int) -> dict[str, Value]:
        values: dict[str, Value] = {}
        merged: dict[str, Value] = {}
        lines: dict[str, int] = {}
        for key_node, value_node in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                self._problem(key_node, path, "expected a name before the colon, got a list or a section")
            elif key_node.tag == _TAG + "merge":
                self._merge(value_node, path, depth, merged)
            elif key_node.value in values:
                first = f"line {lines[key_node.value]}"
                self._problem(key_node, join(path, key_node.value), f"written before in {first}; remove one of them")
            else:
                lines[key_node.value] = key_node.start_mark.line + 1
                values[key_node.value] = self.read(value_node, join(path, key_node.value), depth + 1)
        return {**merged, **values}

    def _merge(self, node: yaml.Node, path: str, depth: int, merged: dict[str, Value]) -> None:
        """`<<: *section` or `<<: [*first, *second]`: what is written in the mapping itself wins, then the first."""
        sources = node.value if isinstance(node, yaml.SequenceNode) else [node]
        for source in sources:
            value = self.read(source, path, depth + 1)
            if not isinstance(value, dict):
                self._problem(source, path, f"expected sections after <<:, got {name_of(value)}")
                continue
            for key, item in value.items():
                merged.setdefault(key, item)

    def _scalar(self, node: yaml.ScalarNode, path: str) -> Value:
        text: str = node.value
        try:
            return _SCALARS[node.tag](text)
        except ValueError:  # an explicit tag, `!!int abc`, or an integer of thousands of digits
            self._problem(node, path, f"expected {node.tag.removeprefix(_TAG)}, which this is not")
            return None


def _integer(text: str) -> int:
    return int(text, 0) if text[:2] in ("0x", "0o") else int(text, 10)


def _float(text: str) -> float:
    return float(text.lower().replace(".inf", "inf").replace(".nan", "nan"))


_SCALARS: Final[Mapping[str, Callable[[str], bool | int | float | str | None]]] = {
    _TAG + "null": lambda _: None,
    _TAG + "bool": lambda text: text.lower() == "true",
    _TAG + "int": _integer,
    _TAG + "float": _float,
    _TAG + "str": str,
    _TAG + "merge": str,  # `<<` anywhere but before a colon
}
