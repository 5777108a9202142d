"""The checker: what each name means, and the type of each part. Finds every problem, not only the first.

Source: cel-spec, doc/langdef.md, "Name Resolution" and "Gradual type checking".
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from otel_llm.policy.cel.declarations import Declarations
from otel_llm.policy.cel.errors import Problem
from otel_llm.policy.cel.overloads import Overload
from otel_llm.policy.cel.parser import MACRO_NAMES
from otel_llm.policy.cel.tree import (
    Bind,
    Call,
    Conditional,
    ListOf,
    Literal,
    Logic,
    Macro,
    MapOf,
    Name,
    Node,
    Select,
    qualified_name,
)
from otel_llm.policy.cel.types import (
    BOOL,
    BYTES,
    DOUBLE,
    DYN,
    INT,
    NULL,
    STRING,
    UINT,
    Substitution,
    Type,
    assign,
    finished,
    join,
    list_of,
    map_of,
    optional_of,
    parameter,
    substitute,
)
from otel_llm.policy.cel.values import Uint

_LITERALS: Final[Mapping[type, Type]] = {
    bool: BOOL,
    int: INT,
    Uint: UINT,
    float: DOUBLE,
    str: STRING,
    bytes: BYTES,
    type(None): NULL,
}
_OPERATORS: Final = {"_in_": "in", "_[_]": "[]", "_[?_]": "[?]", "!_": "!", "-_": "-"}


@dataclass(frozen=True, slots=True)
class Application:
    """A call as it was understood.

    Attributes:
        overloads: those that may be meant; empty when there is no such function.
        arguments: the receiver first.
    """

    overloads: tuple[Overload, ...]
    arguments: tuple[Node, ...]


@dataclass(slots=True)
class Checked:
    """What the checker found out, by the numbers of nodes.

    Attributes:
        types: of each node.
        names: what a name or a chain of selections is: the full name of a variable or constant.
        calls: calls and operators.
        problems: everything that is wrong.
    """

    types: dict[int, Type] = field(default_factory=dict)
    names: dict[int, str] = field(default_factory=dict)
    calls: dict[int, Application] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)


def check(tree: Node, declarations: Declarations) -> Checked:
    """Names and types of a tree."""
    checker = _Checker(declarations)
    checker.node(tree, {})
    checked = checker.checked
    checked.types = {id_: finished(type_, checker.known) for id_, type_ in checked.types.items()}
    return checked


Scope = Mapping[str, Type]


class _Checker:
    def __init__(self, declarations: Declarations) -> None:
        self.checked = Checked()
        self.known: Substitution = {}
        self._declarations = declarations
        self._fresh_count = 0

    def node(self, node: Node, scope: Scope) -> Type:
        """Check a node and what is below it; its type."""
        type_ = self._node(node, scope)
        self.checked.types[node.id] = type_
        return type_

    def _node(self, node: Node, scope: Scope) -> Type:
        match node:
            case Literal():
                return _LITERALS[type(node.value)]
            case Name() | Select():
                return self._named(node, scope)
            case Call():
                return self._call(node, scope)
            case Logic():
                for operand in node.operands:
                    self._expect(operand, scope, BOOL, f"an operand of {node.operator}")
                return BOOL
            case Conditional():
                self._expect(node.condition, scope, BOOL, "the condition of ? :")
                return self._either(self.node(node.yes, scope), self.node(node.no, scope), node)
            case ListOf():
                return list_of(self._joined([self._item(item, scope, flag) for item, flag in node.items]))
            case MapOf():
                keys = self._joined([self.node(key, scope) for key, _, _ in node.entries])
                values = self._joined([self._item(value, scope, flag) for _, value, flag in node.entries])
                return map_of(keys, values)
            case Bind():
                return self._bind(node, scope)
            case Macro():
                return self._macro(node, scope)

    # Names.

    def _named(self, node: Name | Select, scope: Scope) -> Type:
        if isinstance(node, Name) and not node.is_absolute and node.name in scope:
            return scope[node.name]
        chain = qualified_name(node)
        if chain is not None and (chain[0].is_absolute or chain[0].name not in scope):
            full = self._declarations.resolve(chain[1], is_absolute=chain[0].is_absolute)
            if full is not None:
                return self._found(node, full)
            if isinstance(node, Name) or not self._has_known_start(chain[0], chain[1]):
                self._problem(node.position if isinstance(node, Name) else chain[0].position, self._unknown(chain[1]))
                return DYN
        assert isinstance(node, Select)  # noqa: S101 - a name is either found or not
        return self._select(node, scope)

    def _found(self, node: Name | Select, full: str) -> Type:
        self.checked.names[node.id] = full
        if isinstance(node, Select) and node.mode == "test":
            return BOOL
        constant = self._declarations.constants.get(full)
        return self._declarations.variables[full] if constant is None else constant[0]

    def _has_known_start(self, first: Name, name: str) -> bool:
        while "." in name:
            name = name.rpartition(".")[0]
            if self._declarations.resolve(name, is_absolute=first.is_absolute) is not None:
                return True
        return False

    def _unknown(self, name: str) -> str:
        known = [*self._declarations.variables, *self._declarations.constants]
        inside = sorted(one for one in known if one.startswith(f"{name}."))
        if inside:
            return f"{name} is a group of names; name one of them, e.g. {inside[0]}"
        return f"unknown name {name}{_nearest(name, known)}"

    def _select(self, node: Select, scope: Scope) -> Type:
        operand = substitute(self.node(node.operand, scope), self.known)
        is_optional = operand.name == "optional_type"
        inner = substitute(operand.parameters[0], self.known) if is_optional else operand
        if inner.is_parameter or inner == DYN:
            value = DYN
        elif inner.name == "map":
            value = inner.parameters[1]
        else:
            self._problem(node.position, f"{inner} has no fields; expected a map before .{node.field}")
            value = DYN
        if node.mode == "test":
            return BOOL
        return optional_of(value) if is_optional or node.mode == "optional" else value

    # Calls.

    def _call(self, node: Call, scope: Scope) -> Type:
        overloads, arguments, is_method = self._function(node, scope)
        before = len(self.checked.problems)
        types = tuple(self.node(argument, scope) for argument in arguments)
        if not overloads:
            del self.checked.problems[before:]  # what is wrong below may come of this: the variables of a macro
            self.checked.calls[node.id] = Application((), arguments)
            self._problem(node.position, self._unknown_function(node, is_method=is_method))
            return DYN
        fitting, result = self._resolve(overloads, types)
        self.checked.calls[node.id] = Application(tuple(fitting or overloads), arguments)
        if not fitting:
            self._problem(node.position, self._no_overload(node.function, overloads, types))
        return result

    def _function(self, node: Call, scope: Scope) -> tuple[list[Overload], tuple[Node, ...], bool]:
        """The overloads, the arguments with the receiver, and whether it is a method."""
        if node.target is None:
            found = self._declarations.function(node.function)
            return [one for one in found if not one.is_method], node.arguments, False
        chain = qualified_name(node.target)
        if chain is not None and chain[0].name not in scope:
            found = [one for one in self._declarations.function(f"{chain[1]}.{node.function}") if not one.is_method]
            if found:
                return found, node.arguments, False
        methods = [one for one in self._declarations.function(node.function) if one.is_method]
        return methods, (node.target, *node.arguments), True

    def _resolve(self, overloads: Iterable[Overload], types: tuple[Type, ...]) -> tuple[list[Overload], Type]:
        """The overloads that arguments of these types may mean, and the type of the value."""
        fitting: list[Overload] = []
        results: list[Type] = []
        kept: Substitution | None = None
        for overload in overloads:
            if len(overload.parameters) != len(types):
                continue
            trial = dict(self.known)
            fresh = self._fresh(overload)
            if all(
                assign(_renamed(p, fresh), given, trial) for p, given in zip(overload.parameters, types, strict=True)
            ):
                fitting.append(overload)
                results.append(substitute(_renamed(overload.result, fresh), trial))
                kept = trial if kept is None else kept
        if not fitting:
            return [], DYN
        if kept is not None and len(fitting) == 1:
            self.known = kept
        return fitting, results[0] if all(one == results[0] for one in results) else DYN

    def _fresh(self, overload: Overload) -> dict[str, Type]:
        """New type parameters for one use of a function."""
        names = {name for one in (*overload.parameters, overload.result) for name in _parameters(one)}
        fresh = {}
        for name in sorted(names):
            self._fresh_count += 1
            fresh[name] = parameter(str(self._fresh_count))
        return fresh

    def _unknown_function(self, node: Call, *, is_method: bool) -> str:
        functions = self._declarations.functions
        known = [name for name, all_ in functions.items() if any(one.is_method == is_method for one in all_)]
        other = any(one.is_method != is_method for one in self._declarations.function(node.function))
        if other:
            form = f"{node.function}(x)" if is_method else f"x.{node.function}()"
            return f"{node.function} is called as {form}"
        names = [name for name in known if not name.startswith("_")]
        if is_method:
            names += MACRO_NAMES
        name = node.function
        chain = qualified_name(node.target) if node.target is not None else None
        if chain is not None and any(one.startswith(f"{chain[1]}.") for one in functions):
            name = f"{chain[1]}.{name}"
            names = [one for one in functions if one.startswith(f"{chain[1]}.")]
        return f"unknown function {name}(){_nearest(name, names)}"

    def _no_overload(self, function: str, overloads: Sequence[Overload], types: tuple[Type, ...]) -> str:
        given = [str(finished(one, self.known)) for one in types]
        operator = _OPERATORS.get(function) or (function.strip("_") if function.startswith("_") else None)
        wanted = sorted({_signature(one) for one in overloads if len(one.parameters) == len(types)})
        if operator is not None:
            return f"{operator} is not for {' and '.join(given)}"
        forms = wanted or sorted({_signature(one) for one in overloads})
        return f"{function}() is not for ({', '.join(given)}); expected {' or '.join(forms[:4])}"

    # What binds variables.

    def _bind(self, node: Bind, scope: Scope) -> Type:
        value = substitute(self.node(node.value, scope), self.known)
        if node.mode == "plain":
            return self.node(node.body, {**scope, node.name: value})
        if value.name == "optional_type":
            inner = value.parameters[0]
        else:
            inner = DYN
            if value != DYN and not value.is_parameter:
                self._problem(node.position, f"expected an optional before optMap, got {value}")
        body = substitute(self.node(node.body, {**scope, node.name: inner}), self.known)
        if node.mode == "map":
            return optional_of(body)
        if body.name != "optional_type" and body != DYN:
            self._problem(node.body.position, f"expected an optional from optFlatMap, got {body}")
        return body if body.name == "optional_type" else optional_of(DYN)

    def _macro(self, node: Macro, scope: Scope) -> Type:
        inner = {**scope, **self._variables(node, scope)}
        if node.filter is not None:
            self._expect(node.filter, inner, BOOL, f"the filter of {node.macro}()")
        if node.macro in ("all", "exists", "exists_one", "filter"):
            self._expect(node.body, inner, BOOL, f"the condition of {node.macro}()")
            return list_of(inner[node.names[0]]) if node.macro == "filter" else BOOL
        body = self.node(node.body, inner)
        return map_of(inner[node.names[0]], body) if node.macro == "transformMap" else list_of(body)

    def _variables(self, node: Macro, scope: Scope) -> dict[str, Type]:
        source = substitute(self.node(node.source, scope), self.known)
        if source.name == "list":
            types = (INT, source.parameters[0])
        elif source.name == "map":
            types = (source.parameters[0], source.parameters[1])
        else:
            types = (DYN, DYN)
            if source != DYN and not source.is_parameter:
                self._problem(node.position, f"{node.macro}() goes over a list or a map, not {source}")
        if len(node.names) == 1:
            return {node.names[0]: types[1] if source.name == "list" else types[0]}
        return dict(zip(node.names, types, strict=True))

    # Types of several.

    def _expect(self, node: Node, scope: Scope, wanted: Type, what: str) -> None:
        given = self.node(node, scope)
        if not assign(wanted, given, self.known):
            self._problem(node.position, f"expected {wanted} for {what}, got {finished(given, self.known)}")

    def _either(self, yes: Type, no: Type, node: Conditional) -> Type:
        trial = dict(self.known)
        if assign(yes, no, trial) or assign(no, yes, trial):
            return join(yes, no, self.known)
        types = f"{finished(yes, self.known)} and {finished(no, self.known)}"
        self._problem(node.position, f"both sides of : have to be of one type, got {types}; dyn() allows any")
        return DYN

    def _joined(self, types: Sequence[Type]) -> Type:
        if not types:
            self._fresh_count += 1
            return parameter(str(self._fresh_count))
        joined = types[0]
        for one in types[1:]:
            joined = join(joined, one, self.known)
        return joined

    def _item(self, node: Node, scope: Scope, is_optional: bool) -> Type:  # noqa: FBT001 - a flag of the tree
        type_ = substitute(self.node(node, scope), self.known)
        if not is_optional:
            return type_
        if type_.name == "optional_type":
            return type_.parameters[0]
        if type_ != DYN:
            self._problem(node.position, f"expected an optional after ?, got {type_}")
        return DYN

    def _problem(self, position: int, message: str) -> None:
        self.checked.problems.append(Problem(position, message))


def _parameters(type_: Type) -> Iterable[str]:
    if type_.is_parameter:
        yield type_.name
    for one in type_.parameters:
        yield from _parameters(one)


def _renamed(type_: Type, fresh: Mapping[str, Type]) -> Type:
    if type_.name in fresh:
        return fresh[type_.name]
    return Type(type_.name, tuple(_renamed(one, fresh) for one in type_.parameters)) if type_.parameters else type_


def _signature(overload: Overload) -> str:
    names = [str(one).replace("?", "") for one in overload.parameters]
    if overload.is_method:
        return f"{names[0]}.{overload.function}({', '.join(names[1:])})"
    return f"{overload.function}({', '.join(names)})"


def _nearest(name: str, known: Iterable[str]) -> str:
    """The end of a message about an unknown name."""
    # A long name would make the comparison expensive, and is no misspelling.
    close = difflib.get_close_matches(name[:100], sorted(set(known)), n=1, cutoff=0.6)
    return f"; did you mean {close[0]}?" if close else ""
