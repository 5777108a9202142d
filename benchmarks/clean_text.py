# ruff: noqa: E501 - one kind of line a line
"""Clean technical text, generated: everything that looks like personal data or a secret and is none."""

from __future__ import annotations

import base64
import random
import uuid


def _hex(rng: random.Random, digits: int) -> str:
    return f"{rng.getrandbits(digits * 4):0{digits}x}"


def _one(rng: random.Random) -> str:
    """One line."""
    number = rng.randrange
    lines = (
        lambda: f"trace_id={_hex(rng, 32)} span_id={_hex(rng, 16)} sampled=1",
        lambda: f"request {uuid.UUID(int=rng.getrandbits(128), version=4)} took {number(9999)}.{number(999):03d} ms",
        lambda: f"sha256:{_hex(rng, 64)} sha1 {_hex(rng, 40)} md5 {_hex(rng, 32)}",
        lambda: f"2026-{number(1, 13):02d}-{number(1, 29):02d}T{number(24):02d}:{number(60):02d}:{number(60):02d}.{number(10**6):06d}Z level=info",
        lambda: f"ts={1_795_000_000 + number(10**7)} ts_ms={1_795_000_000_000 + number(10**10)} ts_ns={1_795_000_000 * 10**9 + number(10**15)}",
        lambda: f"app 1.{number(30)}.{number(20)} chrome/{number(90, 140)}.0.{number(4000, 7000)}.{number(255)} kernel 6.{number(12)}.{number(99)}-{number(99)}-generic",
        lambda: f"package=={number(20)}.{number(20)}.{number(20)}.{number(20)} lib-{number(9)}.{number(99)}.{number(999)}.tar.gz",
        lambda: f"chatcmpl-{base64.b64encode(rng.randbytes(18)).decode().replace('+', 'A').replace('/', 'B')} gen-{number(10**10)}-{_hex(rng, 12)}",
        lambda: f'etag "{_hex(rng, 32)}" content-length: {number(10**7)} status {rng.choice((200, 201, 404, 503))}',
        lambda: f"{rng.uniform(0, 1e6):.6f} {rng.uniform(-1, 1):.12f} {number(10**6):,} {number(100)}% {number(10**9)} bytes",
        lambda: f"order {number(10**8, 10**10)} batch #{number(10**6)} row {number(10**5)} of {number(10**6)} port {number(1024, 65536)}",
        lambda: f"10.{number(256)}.{number(256)}.{number(256)}:{number(1024, 65536)} -> 127.0.0.1:8080 via 192.168.{number(256)}.{number(256)}",
        lambda: f"embedding [{', '.join(f'{rng.gauss(0, 1):.6f}' for _ in range(6))}]",
        lambda: f"commit {_hex(rng, 40)} merged into release/2026.{number(12)} by ci, build {number(10**5)}.{number(10)}",
        lambda: f"pod api-{_hex(rng, 10)}-{''.join(rng.choices('bcdfghjklmnpqrstvwxz', k=5))} restarted at {number(24):02d}:{number(60):02d}:{number(60):02d}",
        lambda: f"data {base64.b64encode(rng.randbytes(48)).decode()}",
        lambda: f"GET /v1/items/{number(10**6)}?page={number(100)}&size=50&sort=-created HTTP/1.1 {rng.choice((200, 304))} {number(10**5)}",
        lambda: f"mac {':'.join(_hex(rng, 2) for _ in range(6))} arn:aws:s3:::bucket-{number(10**6)} i-{_hex(rng, 17)}",
    )  # fmt: skip
    return rng.choice(lines)()


def clean_text(size: int, seed: int = 1) -> str:
    """So many characters of it; the same for the same seed."""
    rng = random.Random(seed)
    lines: list[str] = []
    length = 0
    while length < size:
        line = _one(rng)
        lines.append(line)
        length += len(line) + 1
    return "\n".join(lines)[:size]
