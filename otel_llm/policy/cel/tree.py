"""The syntax tree. Every node has a number of its own, by which the checker notes its type, and a position."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal as OneOf
from typing import TypeAlias


@dataclass(frozen=True, slots=True)
class Literal:
    """A literal value."""

    id: int
    position: int
    value: object


@dataclass(frozen=True, slots=True)
class Name:
    """An identifier; `is_absolute` when it has a leading dot, which skips the variables of macros."""

    id: int
    position: int
    name: str
    is_absolute: bool = False


@dataclass(frozen=True, slots=True)
class Select:
    """`operand.field`, `operand.?field`, or within `has()` only a test."""

    id: int
    position: int
    operand: Node
    field: str
    mode: OneOf["plain", "optional", "test"] = "plain"


@dataclass(frozen=True, slots=True)
class Call:
    """A function, a method (`target` is its receiver), or an operator by its name, e.g. `_+_`."""

    id: int
    position: int
    function: str
    target: Node | None
    arguments: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Logic:
    """Operands joined by `&&` or `||`, two or more."""

    id: int
    position: int
    operator: OneOf["&&", "||"]
    operands: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Conditional:
    """`condition ? yes : no`."""

    id: int
    position: int
    condition: Node
    yes: Node
    no: Node


@dataclass(frozen=True, slots=True)
class ListOf:
    """`[a, ?b]`: items, each with whether it is optional."""

    id: int
    position: int
    items: tuple[tuple[Node, bool], ...]


@dataclass(frozen=True, slots=True)
class MapOf:
    """`{a: b, ?c: d}`: keys and values, each with whether it is optional."""

    id: int
    position: int
    entries: tuple[tuple[Node, Node, bool], ...]


MacroName: TypeAlias = OneOf["all", "exists", "exists_one", "map", "filter", "transformList", "transformMap"]


@dataclass(frozen=True, slots=True)
class Macro:
    """A comprehension: `source.all(x, body)`, `source.map(x, filter, body)`, `source.all(i, x, body)` and the like.

    Attributes:
        names: one or two variables.
        filter: what an item has to meet, where the macro has such an argument.
        body: the condition, or what an item becomes.
    """

    id: int
    position: int
    macro: MacroName
    source: Node
    names: tuple[str, ...]
    filter: Node | None
    body: Node


@dataclass(frozen=True, slots=True)
class Bind:
    """`cel.bind(name, value, body)`; with `optMap`, `value` is an optional, and so is the result.

    Attributes:
        mode: `plain`, or for an optional value what the body gives: a value (`map`) or an optional (`flat`).
    """

    id: int
    position: int
    name: str
    value: Node
    body: Node
    mode: OneOf["plain", "map", "flat"] = "plain"


Node: TypeAlias = "Literal | Name | Select | Call | Logic | Conditional | ListOf | MapOf | Macro | Bind"


def qualified_name(node: Node) -> tuple[Name, str] | None:
    """The first name and the whole dotted name of a chain such as `a.b.c`; None when it is something else."""
    fields: list[str] = []
    while isinstance(node, Select) and node.mode != "optional":
        fields.append(node.field)
        node = node.operand
    if not isinstance(node, Name):
        return None
    return node, ".".join([node.name, *reversed(fields)])
