"""The emitter: a checked tree to the source of one Python function.

The function takes the variables (`v`) and returns the value. Where the checker knows the types, an operator becomes
Python's own; elsewhere a call that looks at the values. Errors are exceptions; `&&`, `||`, `all` and `exists` catch
those of their operands, as the language wants, and only where an operand can raise at all. Comprehensions count their
steps in `n`, and what is linear in its arguments counts for more within them; what looks at lists and maps counts also
elsewhere, for an expression can make these larger than the data.

Names in the source are made here, and what comes from the expression goes through repr(): nothing of it is ever code.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from otel_llm.policy.cel.checker import Application, Checked
from otel_llm.policy.cel.declarations import Declarations
from otel_llm.policy.cel.errors import Problem
from otel_llm.policy.cel.overloads import UNKNOWN, Dispatcher, Overload
from otel_llm.policy.cel.runtime import HELPERS
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
)
from otel_llm.policy.cel.types import BOOL, BYTES, DOUBLE, DURATION, INT, NULL, STRING, TIMESTAMP, UINT, Type

_NUMBERS: Final = frozenset({INT, UINT, DOUBLE, BOOL})
_COMPARABLE: Final = frozenset({STRING, INT, UINT, DOUBLE, BYTES, BOOL})
# Types whose values hold no others.
_FLAT: Final = frozenset({*_COMPARABLE, NULL, TIMESTAMP, DURATION})
# Of a text so many characters count as one step: 64, and 8 where each of them costs more.
_CHARACTERS_BITS: Final = 6
_SLOW_CHARACTERS_BITS: Final = 3


@dataclass(frozen=True, slots=True)
class Code:
    """Python source of a value.

    Attributes:
        text: an expression.
        may_fail: whether it can raise CelError.
    """

    text: str
    may_fail: bool


class Emitter:
    """Emits one expression.

    Args:
        checked: names and types.
        declarations: what the names are.
        most_steps: when a comprehension gives up.

    Attributes:
        namespace: what the source refers to.
        variables: names of the variables it reads.
        shown: of those, the ones whose values may show in its value.
        problems: what functions had against their arguments.
    """

    def __init__(self, checked: Checked, declarations: Declarations, most_steps: int) -> None:
        self.namespace: dict[str, object] = dict(HELPERS)
        self.variables: set[str] = set()
        self.shown: set[str] = set()
        self.problems: list[Problem] = []
        self._checked = checked
        self._declarations = declarations
        self._most_steps = most_steps
        self._lines: list[str] = []
        self._names = 0
        self._loops = 0
        self._discreet = 0

    def function(self, tree: Node) -> str:
        """The source of `def evaluate(v)`."""
        code = self._node(tree, {})
        return "\n    ".join(["def evaluate(v):", "n = 0", *self._lines, f"return {code.text}"])

    # Pieces of source.

    def _new(self, prefix: str = "t") -> str:
        self._names += 1
        return f"{prefix}{self._names}"

    def _constant(self, value: object) -> str:
        name = self._new("c")
        self.namespace[name] = value
        return name

    def _captured(self, node: Node, scope: dict[str, str]) -> tuple[list[str], Code]:
        """The statements and the value of a node, apart."""
        before, self._lines = self._lines, []
        code = self._node(node, scope)
        lines, self._lines = self._lines, before
        return lines, code

    def _block(self, lines: Iterable[str]) -> None:
        self._lines += [f"    {line}" for line in lines]

    def _type(self, node: Node) -> Type:
        return self._checked.types[node.id]

    def _bool(self, node: Node, code: Code) -> Code:
        return code if self._type(node) == BOOL else Code(f"_truth({code.text})", may_fail=True)

    def _known(self, node: Node) -> object:
        """The value of a node that is known now, else UNKNOWN."""
        if isinstance(node, Literal):
            return node.value
        full = self._checked.names.get(node.id)
        is_test = isinstance(node, Select) and node.mode == "test"
        if full is not None and full in self._declarations.constants and not is_test:
            return self._declarations.constants[full][1]
        if isinstance(node, ListOf) and not any(flag for _, flag in node.items):
            known = [self._known(item) for item, _ in node.items]
            return UNKNOWN if any(one is UNKNOWN for one in known) else known
        return UNKNOWN

    # Nodes.

    def _node(self, node: Node, scope: dict[str, str]) -> Code:
        known = self._known(node)
        if known is not UNKNOWN:
            return Code(self._literal(known), may_fail=False)
        match node:
            case Name() | Select():
                return self._named(node, scope)
            case Call():
                return self._call(self._checked.calls[node.id], node, scope)
            case Logic():
                return self._logic(node, scope)
            case Conditional():
                return self._conditional(node, scope)
            case ListOf():
                return self._list(node, scope)
            case MapOf():
                return self._map(node, scope)
            case Bind():
                return self._bind(node, scope)
            case Macro():
                return self._macro(node, scope)
        raise AssertionError(node)

    def _literal(self, value: object) -> str:
        is_plain = value is None or type(value) in (bool, int, str) or (type(value) is float and math.isfinite(value))
        return f"({value!r})" if is_plain else self._constant(value)

    def _named(self, node: Name | Select, scope: dict[str, str]) -> Code:
        full = self._checked.names.get(node.id)
        if full is not None:
            is_test = isinstance(node, Select) and node.mode == "test"
            if full in self._declarations.constants:
                return Code("True", may_fail=False)  # has() of a constant
            self.variables.add(full)
            if not self._discreet:
                self.shown.add(full)
            return Code(f"v.has({full!r})", may_fail=False) if is_test else Code(f"v[{full!r}]", may_fail=True)
        if isinstance(node, Name):
            if node.name in scope and not node.is_absolute:
                return Code(scope[node.name], may_fail=False)
            return Code("_fail('unknown name')", may_fail=True)
        operand = self._node(node.operand, scope) if node.operand.id in self._checked.types else None
        if operand is None:  # a chain of which nothing is known; only where checking is off
            return Code("_fail('unknown name')", may_fail=True)
        function = {"plain": "_select", "optional": "_optional_select", "test": "_has"}[node.mode]
        return Code(f"{function}({operand.text}, {node.field!r})", may_fail=True)

    def _call(self, application: Application, node: Call, scope: dict[str, str]) -> Code:
        overloads, arguments = application.overloads, application.arguments
        is_discreet = bool(overloads) and all(one.is_discreet for one in overloads)
        self._discreet += is_discreet
        codes = [self._node(argument, scope) for argument in arguments]
        self._discreet -= is_discreet
        if not overloads:
            return Code("_fail('unknown function')", may_fail=True)
        may_fail = any(code.may_fail for code in codes)
        quick = self._operator(node, arguments, codes)
        if quick is not None:
            return Code(quick, may_fail)
        first = overloads[0]
        texts = [code.text for code in codes]
        if any(one.is_linear for one in overloads) and (self._loops or self._is_deep(arguments, overloads)):
            texts = self._charged(texts, _SLOW_CHARACTERS_BITS if first.is_slow else _CHARACTERS_BITS)
        is_known = any(len(one.parameters) == len(arguments) for one in overloads)  # not so where nothing is checked
        is_exact = (first.is_total and is_known) or (len(overloads) == 1 and self._fit(arguments, first))
        bound = self._bound(first, arguments, node)
        if is_exact and bound is None and first.inline is not None:
            return Code(first.inline.format(*texts), may_fail or first.may_fail)
        implementation = first.implementation if bound is None else bound
        if not is_exact:
            implementation = Dispatcher(overloads if bound is None else [_with(first, bound)])
        return Code(f"{self._constant(implementation)}({', '.join(texts)})", may_fail or first.may_fail or not is_exact)

    def _is_deep(self, arguments: Sequence[Node], overloads: Sequence[Overload]) -> bool:
        """Whether an argument may be a list or a map, or hold one."""
        return any(
            self._type(argument) not in _FLAT and parameter not in _FLAT
            for one in overloads
            for argument, parameter in zip(arguments, one.parameters, strict=False)
        )

    def _fit(self, arguments: Sequence[Node], overload: Overload) -> bool:
        """Whether the types are known to be right."""
        types = zip(map(self._type, arguments), overload.parameters, strict=False)  # a wrong number was a problem
        return len(arguments) == len(overload.parameters) and all(
            wanted.is_parameter or wanted.name in ("dyn", given.name) for given, wanted in types
        )

    def _bound(self, overload: Overload, arguments: Sequence[Node], node: Call) -> Callable[..., object] | None:
        if overload.bind is None:
            return None
        try:
            return overload.bind([self._known(argument) for argument in arguments])
        except ValueError as error:
            self.problems.append(Problem(node.position, str(error)))
            return None

    def _operator(self, node: Call, arguments: Sequence[Node], codes: Sequence[Code]) -> str | None:
        """Python's own `==`, `!=` or `in`, where it means the same."""
        if node.function not in ("_==_", "_!=_", "_in_"):
            return None
        one, other = map(self._type, arguments)
        left, right = (code.text for code in codes)
        if node.function != "_in_":
            is_same = (one == other and one in _COMPARABLE) or STRING in (one, other)
            # Within comprehensions, texts count by their length.
            is_quick = not self._loops or one in _NUMBERS
            return f"({left} {node.function.strip('_')} {right})" if is_same and is_quick else None
        known = self._known(arguments[1])
        if one == STRING and isinstance(known, list) and all(type(item) is str for item in known):
            return f"({left} in {self._constant(frozenset(known))})"
        if one == STRING and other.name in ("list", "map") and not self._loops:
            return f"({left} in {right})"
        return None

    def _charged(self, texts: Sequence[str], bits: int) -> list[str]:
        """Arguments of something linear, counted as steps."""
        names = []
        for text in texts:
            name = self._new()
            self._lines.append(f"{name} = {text}")
            names.append(name)
        count = "_steps" if self._loops else "_items_in"
        self._lines.append(f"n += 1 + {' + '.join(f'{count}({name}, {bits}, {self._most_steps})' for name in names)}")
        self._lines.append(f"if n > {self._most_steps}: _exhausted()")
        return names

    def _logic(self, node: Logic, scope: dict[str, str]) -> Code:
        parts = [self._captured(operand, scope) for operand in node.operands]
        operands = [
            (lines, self._bool(operand, code)) for (lines, code), operand in zip(parts, node.operands, strict=True)
        ]
        word = "and" if node.operator == "&&" else "or"
        if not any(lines for lines, _ in operands) and not any(code.may_fail for _, code in operands[:-1]):
            # An error of the last operand is the error of the whole, if it comes to that.
            return Code(f"({f' {word} '.join(code.text for _, code in operands)})", operands[-1][1].may_fail)
        result, error = self._new("r"), self._new("e")
        undecided = result if word == "and" else f"not {result}"
        self._lines += [f"{result} = {word == 'and'}", f"{error} = None"]
        for number, (lines, code) in enumerate(operands):
            inner = [*lines, f"{result} = {code.text}"]
            if code.may_fail or lines:
                inner = ["try:", *(f"    {line}" for line in inner), f"except _CelError as x: {error} = x"]
            if number:
                self._lines.append(f"if {undecided}:")
                self._block(inner)
            else:
                self._lines += inner
        self._lines.append(f"if {error} is not None and {undecided}: raise {error}")
        return Code(result, may_fail=True)

    def _conditional(self, node: Conditional, scope: dict[str, str]) -> Code:
        condition = self._bool(node.condition, self._node(node.condition, scope))
        (yes_lines, yes), (no_lines, no) = self._captured(node.yes, scope), self._captured(node.no, scope)
        may_fail = condition.may_fail or yes.may_fail or no.may_fail
        if not yes_lines and not no_lines:
            return Code(f"({yes.text} if {condition.text} else {no.text})", may_fail)
        result = self._new("r")
        self._lines.append(f"if {condition.text}:")
        self._block([*yes_lines, f"{result} = {yes.text}"])
        self._lines.append("else:")
        self._block([*no_lines, f"{result} = {no.text}"])
        return Code(result, may_fail=True)

    def _list(self, node: ListOf, scope: dict[str, str]) -> Code:
        codes = [self._node(item, scope) for item, _ in node.items]
        may_fail = any(code.may_fail for code in codes)
        if not any(flag for _, flag in node.items):
            return Code(f"[{', '.join(code.text for code in codes)}]", may_fail)
        items = [f"({code.text}, {flag})" for code, (_, flag) in zip(codes, node.items, strict=True)]
        return Code(f"_list([{', '.join(items)}])", may_fail=True)

    def _map(self, node: MapOf, scope: dict[str, str]) -> Code:
        entries = []
        for key, value, flag in node.entries:
            entries.append((self._node(key, scope).text, self._node(value, scope).text, flag))
        if not any(flag for _, _, flag in entries):
            return Code(f"_make_map([{', '.join(f'({key}, {value})' for key, value, _ in entries)}])", may_fail=True)
        text = ", ".join(f"({key}, {value}, {flag})" for key, value, flag in entries)
        return Code(f"_make_map(_entries([{text}]))", may_fail=True)

    def _bind(self, node: Bind, scope: dict[str, str]) -> Code:
        name = self._new("x")
        value = self._node(node.value, scope)
        if node.mode == "plain":
            # Evaluated here, even if the body does without it: then an error of it is the error of the whole.
            self._lines.append(f"{name} = {value.text}")
            return Code(self._node(node.body, {**scope, node.name: name}).text, may_fail=True)
        optional, result = self._new("o"), self._new("r")
        self._lines += [f"{optional} = _optional({value.text})", f"{result} = _none", f"if {optional}.is_present:"]
        lines, body = self._captured(node.body, {**scope, node.name: name})
        wrap = "_present" if node.mode == "map" else "_optional"
        self._block([f"{name} = {optional}.value", *lines, f"{result} = {wrap}({body.text})"])
        return Code(result, may_fail=True)

    # Comprehensions.

    def _macro(self, node: Macro, scope: dict[str, str]) -> Code:
        source = self._node(node.source, scope)
        inner = {**scope, **{name: self._new("x") for name in node.names}}
        variables = ", ".join(inner[name] for name in node.names)
        self._loops += 1
        body_lines, body = self._captured(node.body, inner)
        filter_lines, condition = self._captured(node.filter, inner) if node.filter is not None else ([], None)
        self._loops -= 1
        if node.macro in ("all", "exists", "exists_one", "filter"):
            body = self._bool(node.body, body)
        result, error = self._new("r"), self._new("e")
        steps = ["n += 1", f"if n > {self._most_steps}: _exhausted()"]
        start, loop, after = _loop(node, result, error, [inner[name] for name in node.names], body_lines, body.text)
        if condition is not None and node.filter is not None:
            kept = self._bool(node.filter, condition)
            loop = [*filter_lines, f"if {kept.text}:", *(f"    {line}" for line in loop)]
        self._lines += start
        reader = "_items" if len(node.names) == 1 else "_pairs"
        self._lines.append(f"for {variables} in {reader}({source.text}):")
        self._block([*steps, *loop])
        self._lines += after
        return Code(result if node.macro != "transformMap" else f"_make_map({result})", may_fail=True)


def _loop(
    node: Macro, result: str, error: str, names: Sequence[str], lines: list[str], body: str
) -> tuple[list[str], list[str], list[str]]:
    """What comes before the loop, within it, and after it."""
    match node.macro:
        case "all" | "exists":
            is_all = node.macro == "all"
            attempt = [*lines, f"if {'not ' if is_all else ''}{body}:", f"    {result} = {not is_all}", "    break"]
            loop = ["try:", *(f"    {line}" for line in attempt), f"except _CelError as x: {error} = x"]
            undecided = result if is_all else f"not {result}"
            after = [f"if {error} is not None and {undecided}: raise {error}"]
            return [f"{result} = {is_all}", f"{error} = None"], loop, after
        case "exists_one":
            return [f"{result} = 0"], [*lines, f"{result} += {body}"], [f"{result} = {result} == 1"]
        case "filter":
            return [f"{result} = []"], [*lines, f"if {body}: {result}.append({names[0]})"], []
        case "transformMap":
            return [f"{result} = []"], [*lines, f"{result}.append(({names[0]}, {body}))"], []
        case _:
            return [f"{result} = []"], [*lines, f"{result}.append({body})"], []


def _with(overload: Overload, implementation: Callable[..., object]) -> Overload:
    return Overload(overload.function, overload.parameters, overload.result, implementation)
