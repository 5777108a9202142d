"""The parser: tokens to a syntax tree, macros expanded. Source: cel-spec, doc/langdef.md, "Syntax" and "Macros".

Bounded: an expression may have so many characters, nodes, and levels, and no more.
"""

from __future__ import annotations

from typing import Final

from otel_llm.policy.cel.errors import ExpressionError, Problem
from otel_llm.policy.cel.tokens import Token, tokenize
from otel_llm.policy.cel.tree import (
    Bind,
    Call,
    Conditional,
    ListOf,
    Literal,
    Logic,
    Macro,
    MacroName,
    MapOf,
    Name,
    Node,
    Select,
    qualified_name,
)
from otel_llm.policy.cel.values import INT_MAX

MOST_CHARACTERS: Final = 16_384
MOST_NODES: Final = 4_000
# Also what keeps the recursion of everything that walks the tree within Python's own limit.
MOST_LEVELS: Final = 50

_PRECEDENCE: Final = {
    "||": 1,
    "&&": 2,
    **dict.fromkeys(("==", "!=", "<", "<=", ">", ">=", "in"), 3),
    **dict.fromkeys(("+", "-"), 4),
    **dict.fromkeys(("*", "/", "%"), 5),
}
# Words that other languages have, kept free.
_RESERVED: Final = frozenset(
    {
        *("as", "break", "const", "continue", "else", "for", "function", "if", "import", "let", "loop", "namespace"),
        *("package", "return", "var", "void", "while"),
    }
)
_CONSTANTS: Final = {"true": True, "false": False, "null": None}
# Macros by name and number of arguments, and how many of these are variables.
_MACROS: Final[dict[tuple[str, int], tuple[MacroName, int]]] = {
    ("all", 2): ("all", 1),
    ("exists", 2): ("exists", 1),
    ("exists_one", 2): ("exists_one", 1),
    ("existsOne", 2): ("exists_one", 1),
    ("map", 2): ("map", 1),
    ("map", 3): ("map", 1),
    ("filter", 2): ("filter", 1),
    ("all", 3): ("all", 2),
    ("exists", 3): ("exists", 2),
    ("exists_one", 3): ("exists_one", 2),
    ("existsOne", 3): ("exists_one", 2),
    ("transformList", 3): ("transformList", 2),
    ("transformList", 4): ("transformList", 2),
    ("transformMap", 3): ("transformMap", 2),
    ("transformMap", 4): ("transformMap", 2),
}

MACRO_NAMES: Final = sorted({name for name, _ in _MACROS})


def parse(source: str) -> Node:
    """The tree of an expression.

    Raises:
        ExpressionError: it is no CEL, or beyond a limit.
    """
    if len(source) > MOST_CHARACTERS:
        raise ExpressionError(source, [Problem(0, f"an expression may have {MOST_CHARACTERS} characters")])
    parser = _Parser(source)
    node = parser.expression()
    if parser.token.kind != "end":
        raise parser.unexpected("the end")
    return node


class _Parser:
    """Recursive descent, with precedence climbing for binary operators."""

    def __init__(self, source: str) -> None:
        self._source = source
        self._tokens = tokenize(source)
        self._next = 0
        self._nodes = 0
        self._level = 0

    @property
    def token(self) -> Token:
        """The token that is looked at."""
        return self._tokens[self._next]

    def expression(self) -> Node:
        """A whole expression, conditional included."""
        self._level += 1
        if self._level > MOST_LEVELS:
            raise self._error(self.token.position, f"nested deeper than {MOST_LEVELS} levels")
        node = self._binary(1)
        position = self.token.position
        if self._takes("?"):
            yes = self._binary(1)
            self._expect(":")
            node = Conditional(self._id(), position, node, yes, self.expression())
        self._level -= 1
        return node

    def unexpected(self, wanted: str) -> ExpressionError:
        """The error that something else stands here."""
        token = self.token
        found = "the end" if token.kind == "end" else repr(token.text)
        return self._error(token.position, f"unexpected {found}, expected {wanted}")

    # Operators.

    def _binary(self, least: int) -> Node:
        left = self._unary()
        chain = 0
        while (precedence := _PRECEDENCE.get(self._operator(), 0)) >= least:
            token = self._take()
            right = self._binary(precedence + 1)
            if token.text in ("&&", "||"):
                left = self._logic(token, left, right)
                continue
            chain += 1
            if chain > MOST_LEVELS:  # each link is a level of the tree
                raise self._error(token.position, f"more than {MOST_LEVELS} operators in a row")
            function = "_in_" if token.text == "in" else f"_{token.text}_"
            left = Call(self._id(), token.position, function, None, (left, right))
        return left

    def _operator(self) -> str:
        token = self.token
        is_in = token.kind == "name" and token.text == "in"
        return token.text if is_in or token.kind == "operator" else ""

    def _logic(self, token: Token, left: Node, right: Node) -> Node:
        """Chains become one node: `a && b && c` has three operands."""
        operands = [*_operands(left, token.text), *_operands(right, token.text)]
        return Logic(self._id(), token.position, "&&" if token.text == "&&" else "||", tuple(operands))

    def _unary(self) -> Node:
        token = self.token
        operator = token.text if token.kind == "operator" else ""
        if operator not in ("!", "-"):
            return self._postfix(self._primary())
        signs = 0
        while self._takes(operator):
            signs += 1
        if operator == "-" and self.token.kind in ("int", "double"):
            return self._negative(token, signs)
        operand = self._unary() if self.token.text in ("!", "-") else self._postfix(self._primary())
        if signs % 2 == 0:  # twice is nothing, but of the right type only once
            operand = Call(self._id(), token.position, f"{operator}_", None, (operand,))
        return Call(self._id(), token.position, f"{operator}_", None, (operand,))

    def _negative(self, sign: Token, signs: int) -> Node:
        """A number with its sign is one literal: the least int has no positive counterpart."""
        token = self._take()
        value = token.value
        assert isinstance(value, int | float)  # noqa: S101 - what the lexer gives for these kinds
        negative = -value if signs % 2 else value
        if isinstance(negative, int) and negative > INT_MAX:
            raise self._error(token.position, "this integer is out of range")
        return self._postfix(Literal(self._id(), sign.position, negative))

    def _postfix(self, node: Node) -> Node:
        links = 0
        while self.token.kind == "operator" and self.token.text in (".", "["):
            links += 1
            if links > MOST_LEVELS:
                raise self._error(self.token.position, f"more than {MOST_LEVELS} selections in a row")
            token = self._take()
            node = self._selection(node, token) if token.text == "." else self._indexed(node, token)
        return node

    def _selection(self, operand: Node, dot: Token) -> Node:
        is_optional = self._takes("?")
        token = self.token
        if token.kind not in ("name", "quoted"):
            raise self.unexpected("a field")
        self._take()
        if token.kind == "name" and not is_optional and self._takes("("):
            return self._call(token, operand)
        return Select(self._id(), dot.position, operand, token.text, "optional" if is_optional else "plain")

    def _indexed(self, operand: Node, bracket: Token) -> Node:
        function = "_[?_]" if self._takes("?") else "_[_]"
        key = self.expression()
        self._expect("]")
        return Call(self._id(), bracket.position, function, None, (operand, key))

    # What stands alone.

    def _primary(self) -> Node:
        token = self._take()
        match token.kind, token.text:
            case (("int" | "uint" | "double" | "string" | "bytes"), _):
                if token.kind == "int" and isinstance(token.value, int) and token.value > INT_MAX:
                    raise self._error(token.position, "this integer is out of range")
                return Literal(self._id(), token.position, token.value)
            case "name", text:
                return self._name(token, text)
            case "operator", ".":
                name = self._take()
                if name.kind == "name" and name.text not in _RESERVED | {"in", *_CONSTANTS}:
                    return Name(self._id(), token.position, name.text, is_absolute=True)
            case "operator", "(":
                node = self.expression()
                self._expect(")")
                return node
            case "operator", "[":
                return ListOf(self._id(), token.position, tuple(self._list_items()))
            case "operator", "{":
                return MapOf(self._id(), token.position, tuple(self._map_entries()))
        self._next -= 1
        raise self.unexpected("a value")

    def _name(self, token: Token, text: str) -> Node:
        if text in _CONSTANTS:
            return Literal(self._id(), token.position, _CONSTANTS[text])
        if text in _RESERVED or text == "in":
            raise self._error(token.position, f"{text!r} is a reserved word")
        if self._takes("("):
            return self._call(token, None)
        return Name(self._id(), token.position, text)

    def _list_items(self) -> list[tuple[Node, bool]]:
        found = []
        while not self._takes("]"):
            is_optional = self._takes("?")
            found.append((self.expression(), is_optional))
            if not self._takes(","):
                self._expect("]")
                break
        return found

    def _map_entries(self) -> list[tuple[Node, Node, bool]]:
        found = []
        while not self._takes("}"):
            is_optional = self._takes("?")
            key = self.expression()
            self._expect(":")
            found.append((key, self.expression(), is_optional))
            if not self._takes(","):
                self._expect("}")
                break
        return found

    # Calls and macros.

    def _call(self, token: Token, target: Node | None) -> Node:
        arguments = []
        while not self._takes(")"):
            arguments.append(self.expression())
            if not self._takes(","):
                self._expect(")")
                break
        return self._expanded(token, target, tuple(arguments))

    def _expanded(self, token: Token, target: Node | None, arguments: tuple[Node, ...]) -> Node:
        """The call, or what it stands for when it is a macro."""
        name = token.text
        if target is None:
            return self._has(token, arguments) if name == "has" else self._plain_call(token, None, arguments)
        if (name, len(arguments)) in _MACROS:
            return self._macro(token, target, arguments)
        if name in ("optMap", "optFlatMap") and len(arguments) == 2:  # noqa: PLR2004 - variable and body
            variable = self._variable(arguments[0])
            mode = "map" if name == "optMap" else "flat"
            return Bind(self._id(), token.position, variable, target, arguments[1], mode)  # type: ignore[arg-type] # one of the two
        if name == "bind" and len(arguments) == 3 and isinstance(target, Name) and target.name == "cel":  # noqa: PLR2004 - variable, value, body
            return Bind(self._id(), token.position, self._variable(arguments[0]), arguments[1], arguments[2])
        return self._plain_call(token, target, arguments)

    def _plain_call(self, token: Token, target: Node | None, arguments: tuple[Node, ...]) -> Node:
        return Call(self._id(), token.position, token.text, target, arguments)

    def _has(self, token: Token, arguments: tuple[Node, ...]) -> Node:
        if len(arguments) != 1 or not isinstance(arguments[0], Select):
            raise self._error(token.position, "has() takes a field, as in has(gen_ai.request.model)")
        select = arguments[0]
        return Select(self._id(), token.position, select.operand, select.field, "test")

    def _macro(self, token: Token, source: Node, arguments: tuple[Node, ...]) -> Node:
        macro, variables = _MACROS[token.text, len(arguments)]
        names = tuple(self._variable(argument) for argument in arguments[:variables])
        if len(set(names)) < len(names):
            raise self._error(token.position, f"{token.text}() takes two different variables")
        rest = arguments[variables:]
        has_filter = len(rest) > 1
        return Macro(self._id(), token.position, macro, source, names, rest[0] if has_filter else None, rest[-1])

    def _variable(self, node: Node) -> str:
        found = qualified_name(node)
        if found is None or not isinstance(node, Name) or node.is_absolute:
            raise self._error(node.position, "expected the name of a variable")
        return node.name

    # Tokens.

    def _take(self) -> Token:
        token = self._tokens[self._next]
        if token.kind == "end":
            raise self.unexpected("a value")
        self._next += 1
        return token

    def _takes(self, operator: str) -> bool:
        token = self._tokens[self._next]
        if token.kind == "operator" and token.text == operator:
            self._next += 1
            return True
        return False

    def _expect(self, operator: str) -> None:
        if not self._takes(operator):
            raise self.unexpected(repr(operator))

    def _id(self) -> int:
        self._nodes += 1
        if self._nodes > MOST_NODES:
            raise self._error(self.token.position, f"an expression may have {MOST_NODES} parts")
        return self._nodes

    def _error(self, position: int, message: str) -> ExpressionError:
        return ExpressionError(self._source, [Problem(position, message)])


def _operands(node: Node, operator: str) -> tuple[Node, ...]:
    return node.operands if isinstance(node, Logic) and node.operator == operator else (node,)
