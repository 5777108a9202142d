"""Acceptance 26: what a guard must not pass on does not cross, wherever an answer is cut into pieces."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_llm.policy.findings import Finding
from otel_llm.policy.streaming import StreamGuard

SECRET = "ghp_16C7e42F292c6912E7710c838347Ae178B4a"
KEY = (
    "-----BEGIN PRIVATE KEY-----\n"
    + "\n".join(["MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQC7"] * 30)
    + "\n-----END "
)
LEFT = "The quick brown fox jumps over the lazy dog. " * 20
RIGHT = " And that was all there was to it, as far as anybody knew. " * 20


def pieces(text: str, cuts: list[int]) -> Iterator[str]:
    for start, end in pairwise([0, *sorted(cuts), len(text)]):
        yield text[start:end]


def received(guard: StreamGuard, parts: Iterator[str]) -> str:
    return "".join([*map(guard.push, parts), guard.finish()])


def blocking() -> StreamGuard:
    return StreamGuard(lambda text: SECRET in text)


def masking() -> StreamGuard:
    def find(text: str) -> list[Finding]:
        at = text.find(SECRET)
        return [] if at < 0 else [Finding("TOKEN", at, at + len(SECRET), "test", 1.0)]

    return StreamGuard(lambda _: False, find)


@pytest.mark.parametrize("offset", range(1, len(SECRET)))
def test_26_a_secret_split_anywhere_over_two_pieces_is_never_received(offset: int) -> None:
    guard = blocking()
    got = received(guard, pieces(LEFT + SECRET + RIGHT, [len(LEFT) + offset]))
    assert guard.is_stopped
    assert SECRET[:4] not in got
    assert LEFT.startswith(got)


@given(st.lists(st.integers(0, len(LEFT + SECRET + RIGHT)), min_size=1, max_size=5))
def test_26_a_secret_split_anywhere_over_many_pieces_is_masked_and_the_rest_is_intact(cuts: list[int]) -> None:
    assert received(masking(), pieces(LEFT + SECRET + RIGHT, cuts)) == f"{LEFT}[TOKEN]{RIGHT}"


def test_26_it_is_so_when_every_character_is_a_piece_and_at_either_end() -> None:
    for text, expected in (
        (LEFT + SECRET + RIGHT, f"{LEFT}[TOKEN]{RIGHT}"),
        (SECRET + RIGHT, f"[TOKEN]{RIGHT}"),
        (LEFT + SECRET, f"{LEFT}[TOKEN]"),
        (SECRET, "[TOKEN]"),
    ):
        assert received(masking(), iter(text)) == expected


@given(st.text(), st.lists(st.integers(0, 400), max_size=6))
def test_an_answer_that_nothing_objects_to_arrives_as_it_was(text: str, cuts: list[int]) -> None:
    guard = StreamGuard(lambda _: False)
    assert received(guard, pieces(text, [min(cut, len(text)) for cut in cuts])) == text


def test_a_key_block_longer_than_the_window_does_not_begin_to_arrive() -> None:
    guard = StreamGuard(lambda text: "-----BEGIN PRIVATE KEY-----" in text and "-----END " in text)
    got = received(guard, iter(LEFT + KEY + "PRIVATE KEY-----" + RIGHT))
    assert guard.is_stopped
    assert "BEGIN" not in got


def test_a_token_longer_than_the_window_does_not_begin_to_arrive() -> None:
    token = "eyJ" + "a1B2c3D4" * 200
    guard = StreamGuard(lambda text: token in text)
    assert "eyJ" not in received(guard, iter(LEFT + token + RIGHT))


def test_no_more_is_held_back_than_the_window_and_a_word_and_a_step() -> None:
    guard = StreamGuard(lambda _: False, window=100)
    passed = sent = 0
    for piece in LEFT.split(" "):
        sent += len(piece) + 1
        passed += len(guard.push(piece + " "))
        assert sent - passed <= 100 + 25 + 10


def test_pieces_are_looked_at_together_and_not_each_alone() -> None:
    asked: list[int] = []

    def judge(text: str) -> bool:
        asked.append(len(text))
        return False

    text = LEFT * 20
    received(StreamGuard(judge), iter(text))
    assert len(asked) < len(text) / 50
    assert max(asked) < 1000


def test_a_run_without_spaces_is_held_back_only_so_far() -> None:
    guard = StreamGuard(lambda _: False)
    passed = "".join(guard.push("x" * 1000) for _ in range(100))
    assert len(passed) >= 100_000 - 16_384 - 1000


def test_nothing_arrives_after_a_stop() -> None:
    guard = blocking()
    received(guard, iter([LEFT, SECRET, RIGHT]))
    assert (guard.push(LEFT), guard.finish()) == ("", "")
