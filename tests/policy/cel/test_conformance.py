from __future__ import annotations

from tests.policy.cel.conformance import cases, is_as_expected, name_of, outcome
from tests.shared_data import shared_data_path

# The language itself, without extensions.
CORE = frozenset(
    {
        *("basic", "comparisons", "conversions", "fields", "fp_math", "integer_math", "lists", "logic", "macros"),
        *("namespace", "parse", "plumbing", "string", "timestamps"),
    }
)
DIFFERENT = {
    # An int and a double are compared exactly here, and by rounding the int to a double there.
    "comparisons/lt_literal/not_lt_dyn_int_big_lossy_double",
    "comparisons/gt_literal/not_gt_dyn_big_double_int",
    "comparisons/lte_literal/lte_dyn_big_double_int",
    "comparisons/gte_literal/gte_dyn_int_big_lossy_double",
    # The cases have lost a backslash of the expression on their way into the file.
    "parse/bytes_literals/triple_single_quoted_unescaped_punctuation",
    "parse/bytes_literals/triple_double_quoted_unescaped_punctuation",
}
# `cel.block` is what optimizers write, and nobody else; it is left out whole.
LEFT_OUT = "block_ext/"


def test_every_case_without_protobuf_is_right_but_those_listed() -> None:
    path = shared_data_path("policy/cel-spec/simple.jsonl")
    wrong = {name_of(case) for case in cases(path) if not is_as_expected(case, outcome(case))}
    assert {name for name in wrong if not name.startswith(LEFT_OUT)} == DIFFERENT


def test_at_least_98_percent_of_the_cases_are_right() -> None:
    path = shared_data_path("policy/cel-spec/simple.jsonl")
    rights = [(case["file"] in CORE, is_as_expected(case, outcome(case))) for case in cases(path)]
    core = [is_right for is_core, is_right in rights if is_core]
    assert (len(rights), len(core)) == (1737, 1089)
    assert sum(is_right for _, is_right in rights) >= 0.98 * len(rights)
    assert sum(core) >= 0.99 * len(core)
