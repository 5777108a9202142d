from __future__ import annotations

import importlib.util

import pytest

from otel_llm.policy.cel import CelError
from otel_llm.policy.cel.regex import PatternError, Re2Regexes, Regexes, StandardRegexes
from otel_llm.policy.packs import pack_path
from otel_llm.policy.sets.files import read_text

needs_re2 = pytest.mark.skipif(importlib.util.find_spec("re2") is None, reason="google-re2 is not installed")
ENGINES = [pytest.param(StandardRegexes, id="standard"), pytest.param(Re2Regexes, id="re2", marks=needs_re2)]


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(
    ("pattern", "text", "expected"),
    [
        ("^gpt-5(-mini|-nano)?$", "gpt-5-mini", True),
        ("^gpt-5$", "gpt-5\n", False),
        (r"gpt-5\z", "gpt-5", True),
        ("[0-9]{4}", "in 2026", True),
        ("(?i)SECRET", "a secret", True),
        (r"\d+", "٣", False),
        (r"^[a-z]+@", "ada@example.com", True),
        ("[]a]+", "]", True),
        ("a.c", "a\nc", False),
        ("secret", "a secret, and half a pair: \ud83d", True),
        ("secret", "half a pair: \ud83d", False),
    ],
)
def test_both_engines_mean_the_same(engine: type[Regexes], pattern: str, text: str, *, expected: bool) -> None:
    assert engine().compile(pattern)(text) is expected


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("pattern", ["(a", "[[:digit:]", "(?=a)", "(?<!a)b", r"(a)\1", "a" * 3000, "*", "(?P=x)"])
def test_what_is_not_re2_is_refused(engine: type[Regexes], pattern: str) -> None:
    with pytest.raises(PatternError):
        engine().compile(pattern)


@pytest.mark.parametrize(
    "pattern",
    [
        "(a|a)*b",
        "(a?a?)+b",
        "(a|a){20}b",
        "a?" * 12 + "a" * 12,
        "((a|b)c)*d",
        "(a|b|c|d){2}" * 9,
        "(a+)+$",
        "(a*)*",
        "(a|b+){2,}",
        "((ab)*c)*",
        "a*a*b",
        ".*.*=",
        "(?:a{2,9}){2,9}",
        "a{900}",
    ],
)
def test_without_re2_a_pattern_that_could_run_away_is_refused(pattern: str) -> None:
    with pytest.raises(PatternError, match="google-re2"):
        StandardRegexes().compile(pattern)


def test_without_re2_a_long_text_is_an_error_where_the_pattern_is_not_linear() -> None:
    assert StandardRegexes().compile("abc{1,3}d?")("x" * 1_000_000) is False
    with pytest.raises(CelError, match="too long"):
        StandardRegexes().compile("x+y")("x" * 1_000_000)


def test_the_patterns_of_the_starter_pack_need_no_re2() -> None:
    (pack,) = read_text(pack_path("starter").read_text(), "starter.yaml")
    assert isinstance(pack, dict)
    parameters = pack["spec"]["parameters"]
    writes = StandardRegexes().compile(parameters["write_tools"])
    reads = StandardRegexes().compile(parameters["untrusted_tools"])
    assert (writes("send_mail"), writes("resend"), reads("web_Search"), reads("get_weather")) == (
        True,
        False,
        True,
        False,
    )
