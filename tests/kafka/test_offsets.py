"""How far a partition is done with: nothing is committed before everything in front of it is done."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from otel_llm.kafka.offsets import Offsets

# Offsets that were read, with holes as compaction leaves them, and the order in which they are done with.
READ = st.lists(st.integers(0, 500), min_size=1, max_size=60, unique=True).map(sorted)


@given(READ, st.randoms(use_true_random=False), st.integers(0, 60))
def test_what_is_committed_is_all_done_and_as_far_as_it_can_be(read: list[int], chance, number: int):
    offsets = Offsets()
    assert all(offsets.take(one) for one in read)
    done = chance.sample(read, min(number, len(read)))
    for count, one in enumerate(done, 1):
        offsets.finish(one)
        finished = set(done[:count])
        prefix = next((position for position, each in enumerate(read) if each not in finished), len(read))
        assert offsets.committable == (read[prefix - 1] + 1 if prefix else None)
        assert offsets.pending == len(read) - prefix


@given(READ, st.data())
def test_a_message_that_was_read_before_is_not_looked_at_again(read: list[int], data):
    offsets = Offsets()
    for one in read:
        offsets.take(one)
    for one in data.draw(st.lists(st.sampled_from(read))):
        offsets.finish(one) if one == read[0] and offsets.pending == len(read) else None
        assert not offsets.take(one)


@given(READ, st.lists(st.sampled_from(["finish", "request", "succeed", "fail", "request again"]), max_size=80))
def test_in_the_end_everything_done_is_committed_whatever_fails_on_the_way(read: list[int], steps: list[str]):
    offsets = Offsets()
    for one in read:
        offsets.take(one)
    waiting, asked = list(read), None
    for step in steps:
        if step == "finish" and waiting:
            offsets.finish(waiting.pop(0))
        elif step == "request":
            asked = offsets.request() or asked
        elif step == "request again":
            asked = offsets.request(again=True) or asked
        elif step == "succeed" and asked is not None:
            offsets.answer(asked)
            asked = None
        elif step == "fail" and asked is not None:
            offsets.answer(None)
            asked = None
        assert offsets.committed is None or offsets.committable is not None
        assert (offsets.committed or 0) <= (offsets.committable or 0)
    for one in waiting:
        offsets.finish(one)
    last = offsets.request(again=True)
    if last is not None:
        offsets.answer(last)
    assert offsets.committed == read[-1] + 1
    assert offsets.request() is None
    assert offsets.request(again=True) is None


def test_an_offset_is_asked_for_once_unless_it_failed():
    offsets = Offsets()
    offsets.take(7)
    assert offsets.request() is None
    offsets.finish(7)
    assert (offsets.request(), offsets.request()) == (8, None)
    offsets.answer(None)
    assert (offsets.request(), offsets.request(), offsets.request(again=True)) == (8, None, 8)
    offsets.answer(8)
    assert offsets.request(again=True) is None
