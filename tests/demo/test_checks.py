from __future__ import annotations

from otel_llm.demo.checks import compare
from otel_llm.loopback import Usage
from tests.demo.rows import row, served

USAGE = Usage(input_tokens=10, output_tokens=5, cache_read_tokens=4)


def test_calls_are_found_by_their_response_whatever_the_order():
    rows = [
        row(request_model="m", response_id="b", input_tokens=10, output_tokens=5, cache_read_tokens=4),
        row(request_model="m", response_id="a", input_tokens=1, output_tokens=2),
    ]
    found = compare(rows, [served(Usage(1, 2), response_id="a"), served(USAGE, response_id="b")])
    assert (found.agreed, found.compared, found.differences) == (2, 2, ())


def test_a_call_whose_id_is_never_sent_does_not_take_the_row_of_another():
    rows = [row(request_model="m", input_tokens=3), row(request_model="m", response_id="a", input_tokens=1)]
    found = compare(rows, [served(Usage(3, 0), response_id="never-sent"), served(Usage(1, 0), response_id="a")])
    assert (found.agreed, found.differences) == (2, ())


def test_each_count_that_differs_is_named():
    found = compare([row(request_model="m", input_tokens=10, output_tokens=6)], [served(USAGE)])
    assert found.differences == ("m: cache read None instead of 4, output 6 instead of 5",)
    assert (found.agreed, found.compared) == (0, 1)


def test_a_missing_call_and_one_too_many_are_differences():
    assert compare([], [served(USAGE)]).differences == ("m: no row in the ledger",)
    assert compare([row(request_model="m")], []).differences == ("m: a row for a call that the provider did not serve",)


def test_usage_that_nobody_was_told_is_not_compared():
    found = compare([row(request_model="m", response_id="a")], [served(USAGE, response_id="a", usage_reported=False)])
    assert (found.compared, found.untold, found.differences) == (0, ("m",), ())


def test_a_refused_call_has_to_be_a_failure_in_the_ledger():
    assert compare([row(request_model="m", status="error")], [served(None)]).refused == 1
    assert compare([row(request_model="m")], [served(None)]).differences == (
        "m: refused with 429, but not a failure in the ledger",
    )
