"""The parsers of the HTTP server, without I/O: whatever comes, they read it in one way or refuse it."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from otel_llm.http.chunked import ChunkedBody
from otel_llm.http.head import parse_head
from otel_llm.http.message import HttpError
from otel_llm.http.sized import BLOCK_BYTES, BlockPool, SizedBody

LIMIT = 1_000_000
token = st.text("abcdefXYZ-_0123456789!#$", min_size=1, max_size=12)
value = st.text(st.characters(min_codepoint=0x21, max_codepoint=0xFF, exclude_characters="\x7f"), max_size=250)


@given(st.lists(st.tuples(token, value, st.sampled_from(["", " ", "\t "])), max_size=20))
def test_every_legal_field_is_read_as_sent(fields: list[tuple[str, str, str]]) -> None:
    fields = [(f"x-{name}", text, blank) for name, text, blank in fields]
    lines = "".join(f"{name}:{blank}{text}{blank}\r\n" for name, text, blank in fields)
    head = parse_head(f"POST /a?b HTTP/1.1\r\nHost: h\r\n{lines}".encode("latin-1"))
    expected: dict[str, list[str]] = {"host": ["h"]}
    for name, text, _ in fields:
        expected.setdefault(name.lower(), []).append(text)
    assert head.headers == {name: ", ".join(texts) for name, texts in expected.items()}
    assert (head.method, head.path, head.query, head.content_length, head.keep_alive) == ("POST", "/a", "b", 0, True)


@given(st.binary(max_size=200), st.sampled_from([b"", b"POST / HTTP/1.1\r\n", b"POST / HTTP/1.1\r\nHost: h\r\n"]))
def test_a_head_of_any_bytes_is_read_or_refused(data: bytes, before: bytes) -> None:
    try:
        head = parse_head(before + data + b"\r\n")
    except HttpError:
        return
    assert head.method
    assert (head.content_length or 0) >= 0


@given(st.lists(st.binary(min_size=1, max_size=300), max_size=8), st.data())
def test_a_chunked_body_is_the_same_however_it_arrives(chunks: list[bytes], data: st.DataObject) -> None:
    wire = b"".join(b"%X ;x=y\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks) + b"000\r\nA: b\r\n\r\nnext"
    body = ChunkedBody(LIMIT)
    pending = bytearray()
    rest = wire
    while rest:
        step = data.draw(st.integers(1, len(rest)))
        pending += rest[:step]
        rest = rest[step:]
        if not body.complete:
            del pending[: body.feed(pending, 0, len(pending))]
    assert body.complete
    assert body.take() == b"".join(chunks)
    assert pending == b"next"


@given(st.binary(max_size=300))
def test_a_chunked_body_of_any_bytes_is_read_or_refused(data: bytes) -> None:
    body = ChunkedBody(LIMIT)
    try:
        used = body.feed(bytearray(data), 0, len(data))
    except HttpError:
        return
    assert 0 <= used <= len(data)
    assert body.size_bytes <= len(data)


@settings(deadline=None, max_examples=50)
@given(st.integers(1, 3 * BLOCK_BYTES), st.lists(st.integers(10_000, BLOCK_BYTES), min_size=1, max_size=6))
def test_a_sized_body_is_the_same_however_it_arrives(length: int, steps: list[int]) -> None:
    pool = BlockPool()
    expected = (b"0123456789abcdef!" * (length // 17 + 1))[:length]
    for _ in range(2):  # The second time in blocks that hold the first body.
        body = SizedBody(length, pool)
        position = turn = 0
        while not body.complete:
            buffer = body.buffer()
            step = min(steps[turn % len(steps)], length - position)
            if buffer is None:
                assert body.feed(bytearray(expected[position : position + step] + b"next"), 0, step) == step
            else:
                step = min(step, len(buffer))
                buffer[:step] = expected[position : position + step]
                body.filled(step)
            position += step
            turn += 1
        assert body.size_bytes == length
        assert body.take() == expected


def test_a_claimed_length_takes_no_room() -> None:
    body = SizedBody(LIMIT * LIMIT, BlockPool())
    assert body.buffer() is None
    body.feed(bytearray(100), 0, 100)
    assert body.buffer() is None


def test_a_sized_body_leaves_the_next_request_alone() -> None:
    body = SizedBody(3, BlockPool())
    assert body.feed(bytearray(b"abcdef"), 0, 6) == 3
    assert body.complete
    assert body.take() == b"abc"


@pytest.mark.parametrize(("connection", "keeps"), [("keep-alive", True), ("close", False), ("foo,CLOSE", False)])
def test_the_connection_field_is_honoured(connection: str, keeps: bool) -> None:  # noqa: FBT001 - a parameter set
    head = parse_head(f"GET / HTTP/1.1\r\nHost: h\r\nConnection: {connection}\r\n".encode())
    assert head.keep_alive is keeps
