"""Content codings are undone exactly, and never beyond the limit."""

from __future__ import annotations

import gzip
import tracemalloc
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_llm.errors import MalformedError
from otel_llm.receivers.inflate import CODINGS, InflateLimitError, inflate

LIMIT = 1_000_000


def raw_deflate(data: bytes) -> bytes:
    compressor = zlib.compressobj(wbits=-15)
    return compressor.compress(data) + compressor.flush()


@given(st.binary(max_size=2000), st.integers(0, 2000))
def test_every_coding_gives_back_what_went_in(data: bytes, split: int) -> None:
    assert inflate(data, "", LIMIT) is data
    assert inflate(gzip.compress(data), "gzip", LIMIT) == data
    assert inflate(gzip.compress(data[:split]) + gzip.compress(data[split:]), "x-gzip", LIMIT) == data
    assert inflate(zlib.compress(data), "deflate", LIMIT) == data
    assert inflate(raw_deflate(data), "deflate", LIMIT) == data


@given(st.binary(max_size=300), st.sampled_from(sorted(CODINGS - {"", "identity"})))
def test_any_bytes_are_inflated_or_refused(data: bytes, coding: str) -> None:
    try:
        inflate(data, coding, LIMIT)
    except (MalformedError, InflateLimitError):
        return
    assert data, "an empty body is in no coding"


@pytest.mark.parametrize("coding", ["gzip", "deflate"])
def test_a_body_cut_short_anywhere_is_malformed(coding: str) -> None:
    whole = (gzip.compress if coding == "gzip" else zlib.compress)(bytes(range(256)))
    for end in range(len(whole)):
        with pytest.raises(MalformedError):
            inflate(whole[:end], coding, LIMIT)


def test_a_damaged_checksum_is_malformed() -> None:
    damaged = bytearray(gzip.compress(b"hello" * 100))
    damaged[-8] ^= 1
    with pytest.raises(MalformedError):
        inflate(bytes(damaged), "gzip", LIMIT)


@pytest.mark.parametrize("coding", ["gzip", "deflate"])
def test_the_limit_is_exact(coding: str) -> None:
    compress = gzip.compress if coding == "gzip" else zlib.compress
    assert len(inflate(compress(bytes(LIMIT)), coding, LIMIT)) == LIMIT
    with pytest.raises(InflateLimitError):
        inflate(compress(bytes(LIMIT + 1)), coding, LIMIT)


def test_a_bomb_takes_no_more_memory_than_the_limit_allows() -> None:
    bomb = gzip.compress(bytes(100 * LIMIT))
    tracemalloc.start()
    try:
        with pytest.raises(InflateLimitError):
            inflate(bomb, "gzip", LIMIT)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 3 * LIMIT


def test_members_together_keep_to_the_limit() -> None:
    with pytest.raises(InflateLimitError):
        inflate(gzip.compress(bytes(LIMIT // 2)) * 3, "gzip", LIMIT)


def test_a_body_of_countless_empty_members_is_refused_at_once() -> None:
    with pytest.raises(MalformedError, match="members"):
        inflate(gzip.compress(b"") * 100_000, "gzip", LIMIT)
