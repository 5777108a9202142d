from __future__ import annotations

from enum import Enum
from typing import Annotated, Literal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_llm.config.structs import convert_section
from otel_llm.config.values import Expanded, Value


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


class Inner(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    name: str
    size: Annotated[int, msgspec.Meta(ge=1, le=9)] = 1


class Outer(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    text: str = ""
    maybe: str | None = None
    number: float = 0.0
    flag: bool = False
    mode: Literal["fast", "slow"] = "fast"
    colour: Colour = Colour.RED
    words: tuple[str, ...] = ()
    kept: frozenset[int] = frozenset()
    headers: dict[str, str] = {}
    inner: Inner = Inner(name="default")
    inners: list[Inner] = []
    by_name: dict[str, Inner] = {}
    choice: Inner | msgspec.UnsetType | None = msgspec.UNSET
    pair: tuple[int, str] | None = None
    limit: Annotated[float, msgspec.Meta(gt=0)] | None = None
    code: Annotated[str, msgspec.Meta(pattern="^[a-z]+$")] = "x"

    def __post_init__(self) -> None:
        if self.maybe == self.text != "":
            raise ValueError(f"maybe: expected something else than text, got {self.maybe}")
        if self.flag and self.mode == "slow":
            raise ValueError("flag and mode do not go together")


def problems(value: Value) -> list[str]:
    found: list[str] = []
    assert convert_section(value, Outer, "outer", found) is None
    return found


@pytest.mark.parametrize(
    ("section", "problem"),
    [
        ({"text": 5}, "outer.text: expected a string, got an integer; put it in quotes"),
        ({"text": True}, "outer.text: expected a string, got true or false; put it in quotes"),
        ({"text": None}, "outer.text: expected a string, got nothing"),
        ({"text": ["a"]}, "outer.text: expected a string, got a list"),
        ({"maybe": 5}, "outer.maybe: expected a string or nothing, got an integer; put it in quotes"),
        ({"number": "5"}, "outer.number: expected a number, got the string '5'; remove the quotes"),
        ({"number": "five"}, "outer.number: expected a number, got the string 'five'"),
        ({"flag": "yes"}, "outer.flag: expected true or false, got the string 'yes'"),
        ({"flag": 1}, "outer.flag: expected true or false, got the number 1"),
        ({"mode": "fats"}, "outer.mode: expected one of fast, slow, got the string 'fats'; did you mean 'fast'?"),
        ({"mode": 5}, "outer.mode: expected one of fast, slow, got the number 5"),
        ({"colour": "reed"}, "outer.colour: expected one of red, blue, got the string 'reed'; did you mean 'red'?"),
        ({"words": "a, b"}, "outer.words: expected a list, got a string; write it as [...]"),
        ({"words": ["a", 5]}, "outer.words[1]: expected a string, got an integer; put it in quotes"),
        ({"kept": [1, "x"]}, "outer.kept[1]: expected an integer, got the string 'x'"),
        ({"headers": "key=secret"}, "outer.headers: expected a section, got a string"),
        ({"headers": {"key": 5}}, "outer.headers.key: expected a string, got an integer; put it in quotes"),
        ({"inner": {}}, "outer.inner.name: expected a string, got nothing; it has no default"),
        ({"inner": None}, "outer.inner.name: expected a string, got nothing; it has no default"),
        ({"inner": 5}, "outer.inner: expected a section, got an integer"),
        (
            {"inner": {"name": "a", "size": 10}},
            "outer.inner.size: expected an integer of at least 1 and of at most 9, got the number 10",
        ),
        (
            {"inners": [{"name": "a"}, {"nam": "", "name": ""}]},
            "outer.inners[1].nam: unknown setting; did you mean 'name'?",
        ),
        ({"by_name": {"x": {"name": "a", "other": 1}}}, "outer.by_name.x.other: unknown setting; known: name, size"),
        ({"limit": 0}, "outer.limit: expected a number greater than 0 or nothing, got the number 0"),
        ({"code": "A"}, "outer.code: expected a string that matches ^[a-z]+$, got a string"),
        ({"pair": [1, 2]}, "outer.pair: expected a list or nothing, got a list"),
        ({"flags": True}, "outer.flags: unknown setting; did you mean 'flag'?"),
        ({"maybe": "a", "text": "a"}, "outer.maybe: expected something else than text, got a"),
        ({"flag": True, "mode": "slow"}, "outer: flag and mode do not go together"),
        (["a"], "outer: expected a section, got a list"),
    ],
)
def test_each_mistake_has_its_message(section: Value, problem: str):
    assert problems(section) == [problem]


def test_all_mistakes_of_a_section_are_reported_at_once():
    section: Value = {"txt": 1, "number": "x", "inner": {"size": 0, "x": 1}, "words": [1, "a", 2]}
    assert [problem.partition(":")[0] for problem in problems(section)] == [
        "outer.txt",
        "outer.number",
        "outer.words[0]",
        "outer.words[2]",
        "outer.inner.x",
        "outer.inner.name",
        "outer.inner.size",
    ]


def test_a_section_that_is_right_becomes_its_struct():
    section: Value = {
        "text": Expanded("007", 7, ("007",)),
        "maybe": None,
        "number": 3,
        "mode": "slow",
        "colour": "blue",
        "words": ["a", "b"],
        "kept": [1, 1],
        "inners": [{"name": "a", "size": 9}],
        "by_name": {"x": {"name": "y"}},
        "choice": {"name": "c"},
        "pair": [1, "a"],
    }
    found: list[str] = []
    assert convert_section(section, Outer, "outer", found) == Outer(
        text="007",
        number=3.0,
        mode="slow",
        colour=Colour.BLUE,
        words=("a", "b"),
        kept=frozenset({1}),
        inners=[Inner(name="a", size=9)],
        by_name={"x": Inner(name="y")},
        choice=Inner(name="c"),
        pair=(1, "a"),
    )
    assert found == []


@pytest.mark.parametrize("nothing", [None, {}, Expanded("", None)])
def test_nothing_means_all_defaults(nothing: Value):
    assert convert_section(nothing, Outer, "outer", []) == Outer()


def test_a_key_without_value_differs_from_no_key_where_the_struct_wants_to_know():
    found = convert_section({"choice": None}, Outer, "outer", [])
    assert found is not None
    assert found.choice is None
    assert Outer().choice is msgspec.UNSET


def test_a_value_of_the_environment_is_not_shown_by_the_structs_own_checks():
    section: Value = {"text": "hunter22", "maybe": Expanded("hunter22", "hunter22", ("hunter22",))}
    assert problems(section) == ["outer.maybe: expected something else than text, got ***"]


@pytest.mark.parametrize(
    ("key", "wanted"), [("number", "a number"), ("mode", "one of fast, slow"), ("headers", "a section")]
)
def test_a_value_of_the_environment_is_not_shown_where_others_are(key: str, wanted: str):
    value = Expanded("hunter22", "hunter22", ("hunter22",))
    assert problems({key: value}) == [f"outer.{key}: expected {wanted}, got something else from the environment"]


def test_a_value_whose_variable_is_missing_is_not_reported_again():
    assert problems({"number": Expanded("", None, failed=True)}) == []


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.integers(10**30, 10**40),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@given(st.dictionaries(st.sampled_from(msgspec.structs.fields(Outer)).map(lambda field: field.name), VALUES))
def test_any_values_become_a_struct_or_problems(section: dict[str, Value]):
    found: list[str] = []
    converted = convert_section(section, Outer, "outer", found)
    assert (converted is None) == bool(found)
    assert all(problem.startswith("outer") for problem in found)
