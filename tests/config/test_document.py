from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_llm.config.document import MOST_CHARACTERS, read_document, read_value
from otel_llm.errors import ConfigError


def problems(text: str) -> list[str]:
    with pytest.raises(ConfigError) as raised:
        read_document(text, "f.yaml")
    return list(raised.value.problems)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("yes", "yes"),
        ("on", "on"),
        ("12:30:00", "12:30:00"),
        ("2026-01-31", "2026-01-31"),
        ("0x1F", 31),
        ("0o17", 15),
        ("017", 17),
        ("1e3", 1000.0),
        ("-.5", -0.5),
        (".inf", math.inf),
        ("TRUE", True),
        ("~", None),
        ("", None),
        ('"5"', "5"),
        ("!!str 5", "5"),
        ("[1, {a: b}]", [1, {"a": "b"}]),
        ("{1: a, true: b, ~: c}", {"1": "a", "true": "b", "~": "c"}),
        ("1\n", 1),
    ],
)
def test_scalars_are_read_by_the_core_schema_of_yaml_1_2(text: str, value: object):
    assert read_value(text, "f.yaml") == value


def test_a_merge_key_takes_over_what_the_section_does_not_say_itself():
    text = "base: &base {a: 1, b: 2}\nother: &other {b: 5, c: 6}\nall: {b: 3, <<: [*base, *other]}\n"
    assert read_document(text, "f.yaml")["all"] == {"a": 1, "b": 3, "c": 6}


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (
            "a: [1, 2",
            (
                "f.yaml line 1, column 9: not YAML: while parsing a flow sequence, "
                "expected ',' or ']', but got '<stream end>'"
            ),
        ),
        ("a: b: c", "f.yaml line 1, column 5: not YAML: mapping values are not allowed here"),
        ("a: *nobody", "f.yaml line 1, column 4: not YAML: found undefined alias 'nobody'"),
        (
            "a: 1\n---\nb: 2",
            ("f.yaml line 2, column 1: not YAML: expected a single document in the stream, but found another document"),
        ),
        ("a: \x07", "f.yaml: expected text, got a character that YAML does not allow; remove it"),
        ("- a", "f.yaml: expected sections such as receivers: and service:, got a list"),
        ("plain", "f.yaml: expected sections such as receivers: and service:, got a string"),
        ("a:\n  b: 1\n  c: 2\n  b: 3", "a.b: line 4: written before in line 2; remove one of them"),
        (
            "a: !!python/name:os.system ''",
            "a: line 1: the tag tag:yaml.org,2002:python/name:os.system cannot be used here; remove it",
        ),
        ("a: !!binary aGk=", "a: line 1: the tag tag:yaml.org,2002:binary cannot be used here; remove it"),
        ("a: !!int five", "a: line 1: expected int, which this is not"),
        ("a: " + "9" * 5000, "a: line 1: expected int, which this is not"),
        ("? [a]\n: b", "f.yaml: line 1: expected a name before the colon, got a list or a section"),
        ("a: {<<: 5}", "a: line 1: expected sections after <<:, got an integer"),
    ],
)
def test_what_is_not_a_configuration_is_refused_with_its_place(text: str, problem: str):
    assert problems(text) == [problem]


def test_all_duplicate_keys_are_reported_at_once():
    assert problems("a: 1\na: 2\nb: {c: 1, c: 2}") == [
        "a: line 2: written before in line 1; remove one of them",
        "b.c: line 3: written before in line 3; remove one of them",
    ]


def test_an_alias_that_contains_itself_is_refused():
    assert problems("a: &a [*a]") == [
        "f.yaml: expected sections at most 40 deep, got more; an alias that contains itself does this too"
    ]


def test_aliases_that_multiply_are_refused():
    levels = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    levels += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)]
    assert problems("\n".join(levels)) == ["f.yaml: expected at most 100000 values, aliases counted each time"]


def test_nesting_beyond_what_the_parser_takes_is_refused():
    assert "40 deep" in problems("a: " + "[" * 5000)[0]


def test_a_text_that_is_too_long_is_refused_unread():
    assert problems("#" * (MOST_CHARACTERS + 1)) == ["f.yaml: expected at most 1048576 characters, got 1048577"]


YAML_PIECES = st.sampled_from(
    [
        "a",
        ": ",
        "\n",
        "  ",
        "- ",
        "[",
        "]",
        "{",
        "}",
        ",",
        "&x ",
        "*x",
        "!!int ",
        "!!map ",
        "!t ",
        "'",
        '"',
        "|",
        ">",
        "<<",
        "?",
        "#",
        "---",
        "...",
        "%",
        "@",
        "1",
        ".inf",
        "~",
        "é",
        "\t",
    ]
)


@given(st.one_of(st.text(), st.lists(YAML_PIECES, max_size=40).map("".join)))
def test_any_text_is_a_document_or_a_config_error(text: str):
    try:
        assert isinstance(read_document(text, "f.yaml"), dict)
    except ConfigError as error:
        assert error.problems  # noqa: PT017 - success is fine, too
