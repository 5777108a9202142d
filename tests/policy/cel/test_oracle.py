"""Expressions nobody thought of, beside the CEL team's own implementation, and never an error of Python's."""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from otel_llm.policy.cel import ABSENT, CelError, Environment, ExpressionError, Variables
from otel_llm.policy.cel.types import BOOL, DOUBLE, DYN, INT, STRING, list_of, map_of
from otel_llm.policy.cel.values import OptionalValue

NAMES = {"i": INT, "d": DOUBLE, "s": STRING, "b": BOOL, "l": list_of(INT), "m": map_of(STRING, DYN), "none": INT}
VALUES: dict[str, object] = {
    "i": 3,
    "d": 0.5,
    "s": "abc",
    "b": True,
    "l": [1, 2, 3],
    "m": {"a": 1, "s": "x", "t": True},
}
OURS = Environment(NAMES)

ints = st.recursive(
    st.one_of(
        st.integers(-5, 5).map(str), st.sampled_from(["i", "none", "l[1]", "l[9]", "size(s)", "int(d)", "l.size()"])
    ),
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from(["+", "-", "*", "/", "%"]), inner).map(lambda parts: f"({' '.join(parts)})"),
        inner.map(lambda one: f"(-({one}))"),
        st.tuples(inner, inner).map(lambda pair: f"(b ? {pair[0]} : {pair[1]})"),
    ),
    max_leaves=5,
)
texts = st.one_of(
    st.sampled_from(
        ['"abc"', '"b"', '""', "s", "string(i)", "string(b)", 's + "d"', "s.substring(1)", "s.upperAscii()"]
    )
)
comparisons = st.sampled_from(["==", "!=", "<", "<=", ">", ">="])
bools = st.recursive(
    st.one_of(
        st.sampled_from(["true", "false", "b", "m.t", "has(m.a)", "has(m.zz)", "m.a == 1", 'm.s == "x"', "m.zz == 1"]),
        st.tuples(ints, comparisons, ints).map(" ".join),
        st.tuples(texts, comparisons, texts).map(" ".join),
        # A double and an int may be compared here; there, only when one of them is dyn.
        st.tuples(st.just("dyn(d)"), comparisons, ints).map(" ".join),
        st.tuples(texts, st.sampled_from(["contains", "startsWith", "endsWith"]), texts).map(
            lambda p: f"({p[0]}).{p[1]}({p[2]})"
        ),
        ints.map(lambda one: f"({one}) in l"),
        st.sampled_from(['s.matches("^a")', 's in ["abc", "x"]', '"a" in m', "l.map(x, x * 2) == [2, 4, 6]"]),
    ),
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from(["&&", "||"]), inner).map(lambda parts: f"({' '.join(parts)})"),
        inner.map(lambda one: f"!({one})"),
        st.tuples(inner, inner, inner).map(lambda three: f"(({three[0]}) ? ({three[1]}) : ({three[2]}))"),
        st.tuples(st.sampled_from(["all", "exists", "exists_one"]), inner).map(
            lambda p: f"l.{p[0]}(x, x > i || ({p[1]}))"
        ),
    ),
    max_leaves=8,
)


def ours(source: str) -> object:
    try:
        return OURS.compile(source).evaluate(Variables(lambda name: VALUES.get(name, ABSENT)))
    except CelError:
        return "error"


@pytest.fixture(scope="module")
def oracle() -> Any:
    if importlib.util.find_spec("cel_expr_python") is None:
        pytest.skip("cel-expr-python is not installed")
    cel = importlib.import_module("cel_expr_python.cel")
    strings = importlib.import_module("cel_expr_python.ext.ext_strings")
    kinds = cel.Type
    variables = {
        "i": kinds.INT,
        "d": kinds.DOUBLE,
        "s": kinds.STRING,
        "b": kinds.BOOL,
        "none": kinds.INT,
        "l": kinds.List(kinds.INT),
        "m": kinds.Map(kinds.STRING, kinds.DYN),
    }
    environment = cel.NewEnv(variables=variables, extensions=[strings.ExtStrings()])

    def theirs(source: str) -> object:
        result = environment.compile(source).eval(data=VALUES)
        return "error" if "error" in result.type().name().lower() else result.value()

    return theirs


@given(bools)
@settings(max_examples=150, deadline=None)
def test_it_says_what_the_cel_teams_implementation_says(oracle: Any, source: str) -> None:
    assert ours(source) == oracle(source)


pieces = st.sampled_from(
    [
        *(
            "i",
            "d",
            "s",
            "b",
            "l",
            "m",
            "none",
            "x",
            "1",
            "2u",
            "0.5",
            '"a"',
            "b'a'",
            "null",
            "true",
            "m.a",
            "l[0]",
            "'\\n'",
        ),
        *("+", "-", "*", "/", "%", "==", "<", "&&", "||", "!", "?", ":", "in", ".", ",", "(", ")", "[", "]", "{", "}"),
        *(
            "size(",
            "has(",
            ".map(x,",
            ".all(x,",
            ".exists(i,v,",
            "cel.bind(x,",
            "optional.of(",
            ".?a",
            "[?0]",
            ".orValue(",
        ),
        *(
            "timestamp(",
            "duration(",
            ".format(",
            ".split(",
            "math.greatest(",
            "ip(",
            "type(",
            "dyn(",
            ".matches(",
            "//",
        ),
    ]
)


@given(st.lists(pieces, max_size=14).map(" ".join))
@example("ip( )")
@example("type( )")
@settings(max_examples=400, deadline=None)
def test_whatever_stands_there_is_refused_or_has_a_value_or_a_cel_error(source: str) -> None:
    for environment in (OURS, Environment(NAMES, is_checked=False)):
        try:
            program = environment.compile(source)
        except ExpressionError:
            continue
        with contextlib.suppress(CelError):
            program.evaluate(Variables(lambda name: VALUES.get(name, ABSENT)))


@given(st.text(max_size=60))
@settings(max_examples=200, deadline=None)
def test_any_text_is_refused_or_compiled(source: str) -> None:
    with contextlib.suppress(ExpressionError):
        OURS.compile(source)


@given(bools, st.integers(-5, 5))
@settings(max_examples=100, deadline=None)
def test_without_the_checker_the_value_is_the_same(source: str, number: int) -> None:
    values = {**VALUES, "i": number}

    def value(environment: Environment) -> object:
        try:
            return environment.compile(source).evaluate(Variables(lambda name: values.get(name, ABSENT)))
        except CelError:
            return "error"

    assert value(OURS) == value(Environment(NAMES, is_checked=False))
    assert value(OURS) == value(Environment(dict.fromkeys(NAMES, DYN), is_checked=True))
    assert not isinstance(value(OURS), OptionalValue)
