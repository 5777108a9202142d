from __future__ import annotations

import re
from pathlib import Path

from tests.policy.cel.conformance import cases, is_as_expected, name_of, outcome
from tests.shared_data import shared_data_path

# The language itself, without extensions.
CORE = frozenset(
    {
        *("basic", "comparisons", "conversions", "fields", "fp_math", "integer_math", "lists", "logic", "macros"),
        *("namespace", "parse", "plumbing", "string", "timestamps"),
    }
)
# The cases that are not right are listed in a document, each with why.
DOCUMENT = Path(__file__).resolve().parents[3] / "docs" / "decisions" / "0011-own-cel-compiler.md"


def test_every_case_without_protobuf_is_right_but_those_listed() -> None:
    path = shared_data_path("policy/cel-spec/simple.jsonl")
    wrong = {name_of(case) for case in cases(path) if not is_as_expected(case, outcome(case))}
    _, _, listed = DOCUMENT.read_text().partition("cases that are not right")
    assert wrong == set(re.findall(r"`(\w+/\w+/\w+)`", listed))


def test_at_least_98_percent_of_the_cases_are_right() -> None:
    path = shared_data_path("policy/cel-spec/simple.jsonl")
    rights = [(case["file"] in CORE, is_as_expected(case, outcome(case))) for case in cases(path)]
    core = [is_right for is_core, is_right in rights if is_core]
    assert (len(rights), len(core)) == (1737, 1089)
    assert sum(is_right for _, is_right in rights) >= 0.98 * len(rights)
    assert sum(core) >= 0.99 * len(core)
