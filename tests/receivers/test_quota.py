"""What a sender may have in flight."""

from __future__ import annotations

from contextlib import ExitStack

import pytest

from otel_llm.receivers.quota import RefusedError, Room


def test_two_empty_messages_of_one_sender_end_as_others_do() -> None:
    room = Room(size_bytes=10)
    with room.holding("acme", 0), room.holding("acme", 0):
        pass
    with room.holding("acme", 10):
        pass


def test_an_empty_message_beside_a_full_one_gives_back_nothing() -> None:
    room = Room(size_bytes=10)
    with ExitStack() as empty, room.holding("acme", 0):
        empty.enter_context(room.holding("acme", 10))
        with pytest.raises(RefusedError, match="in flight"), room.holding("acme", 1):
            pass
