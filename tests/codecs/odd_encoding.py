"""OTLP requests in legal but odd encodings: what protobuf accepts and no library writes."""

from __future__ import annotations

import random
import struct

GENAI_KEYS = (
    b"gen_ai.request.model",
    b"gen_ai.usage.input_tokens",
    b"gen_ai.system",
    b"llm.model_name",
    b"openinference.span.kind",
    b"traceloop.span.kind",
)
OTHER_KEYS = (b"http.route", b"db.system", b"x", b"", b"mentions gen_ai. inside", "clé".encode())


class OddWriter:
    """Writes requests field by field, each choice random: order, varint length, pieces, duplicates, unknown fields.

    Args:
        rng: the randomness.
        invalid_utf8: whether texts may be invalid UTF-8, which makes the request one that protobuf refuses.
    """

    def __init__(self, rng: random.Random, *, invalid_utf8: bool = False) -> None:
        self.rng = rng
        self.invalid_utf8 = invalid_utf8

    def varint(self, value: int) -> bytes:
        out = bytearray()
        while value > 127:
            out.append(value & 127 | 128)
            value >>= 7
        out.append(value)
        if len(out) < 8 and self.rng.random() < 0.08:  # non-minimal: padded with zero bits
            out[-1] |= 128
            out += b"\x80" * self.rng.randrange(3) + b"\x00"
        return bytes(out)

    def field(self, number: int, payload: bytes) -> bytes:
        return self.varint(number << 3 | 2) + self.varint(len(payload)) + payload

    def unknown(self) -> bytes:
        number = self.rng.choice((100, 1000, 77))
        return self.rng.choice(
            (
                self.field(number, b"gen_ai.unknown"),
                self.varint(number << 3) + self.varint(self.rng.getrandbits(40)),
                self.varint(number << 3 | 5) + b"abcd",
                self.varint(number << 3 | 1) + b"abcdefgh",
            )
        )

    def value(self, depth: int = 0) -> bytes:
        kind = self.rng.randrange(8 if depth < 2 else 5)
        if kind == 0:
            return self.field(1, self.text())
        if kind == 1:
            return self.varint(2 << 3) + self.varint(self.rng.randrange(2))
        if kind == 2:
            return self.varint(3 << 3) + self.varint(self.rng.choice((0, 5, 300, 1 << 40, (1 << 64) - 1)))
        if kind == 3:
            return self.varint(4 << 3 | 1) + struct.pack("<d", self.rng.uniform(-5, 5))
        if kind == 4:
            return self.field(7, b"\x00\xff gen_ai.")
        if kind == 5:
            items = b"".join(self.field(1, self.value(depth + 1)) for _ in range(self.rng.randrange(3)))
            return self.field(5, items)
        if kind == 6:
            pairs = b"".join(self.field(1, self.entry(depth + 1)) for _ in range(self.rng.randrange(3)))
            return self.field(6, pairs)
        return b""

    def text(self) -> bytes:
        if self.invalid_utf8 and self.rng.random() < 0.2:
            return b"\xff\xfe gen_ai."
        return self.rng.choice((b"", b"gpt-4o", b"say gen_ai.x", "日本".encode() * 40, b"a" * 130))

    def entry(self, depth: int = 0) -> bytes:
        key = self.rng.choice(GENAI_KEYS + OTHER_KEYS)
        if self.invalid_utf8 and self.rng.random() < 0.1:
            key = b"gen_ai.\xff"
        parts = []
        if self.rng.random() < 0.95:
            parts.append(self.field(1, key))
        if self.rng.random() < 0.95:
            parts.append(self.field(2, self.value(depth)))
        if self.rng.random() < 0.05:  # a value in two pieces: the messages merge
            parts.append(self.field(2, self.value(depth)))
        if self.rng.random() < 0.1:
            parts.append(self.unknown())
        if self.rng.random() < 0.2:
            self.rng.shuffle(parts)
        return b"".join(parts)

    def event(self) -> bytes:
        name = self.rng.choice((b"gen_ai.choice", b"exception", b"gen_ai.content.prompt"))
        parts = [self.field(2, name), self.varint(1 << 3 | 1) + struct.pack("<Q", 7), self.field(3, self.entry())]
        self.rng.shuffle(parts)
        return b"".join(parts)

    def span(self) -> bytes:
        rng = self.rng
        parts = [self.field(1, rng.randbytes(16)), self.field(2, rng.randbytes(8)), self.field(5, self.text())]
        parts += [self.field(9, self.entry()) for _ in range(rng.randrange(6))]
        if rng.random() < 0.3:
            parts.append(self.field(11, self.event()))
        if rng.random() < 0.3:
            parts += [self.varint(6 << 3) + self.varint(3), self.varint(7 << 3 | 1) + struct.pack("<Q", 1234)]
        if rng.random() < 0.2:
            parts.append(self.field(15, self.varint(3 << 3) + self.varint(2)))
        if rng.random() < 0.05:  # a status in two pieces
            parts.append(self.field(15, self.field(2, b"why")))
        if rng.random() < 0.1:
            parts.append(self.unknown())
        if rng.random() < 0.3:
            rng.shuffle(parts)
        return b"".join(parts)

    def scope(self) -> bytes:
        name = self.rng.choice(
            (
                b"app",
                b"ai",
                b"openinference.instrumentation.openai",
                b"flask gen_ai.",
                b"opentelemetry.instrumentation.flask",
            )
        )
        return self.field(1, name)

    def scope_spans(self) -> bytes:
        parts = [self.field(1, self.scope())] if self.rng.random() < 0.9 else []
        parts += [self.field(2, self.span()) for _ in range(self.rng.randrange(5))]
        if self.rng.random() < 0.1:
            parts.append(self.field(1, self.field(2, b"1.0")))  # the scope in two pieces
        if self.rng.random() < 0.1:
            parts.append(self.unknown())
        if self.rng.random() < 0.2:
            self.rng.shuffle(parts)
        return b"".join(parts)

    def resource_spans(self) -> bytes:
        parts = [self.field(1, self.field(1, self.entry()))]
        parts += [self.field(2, self.scope_spans()) for _ in range(self.rng.randrange(4))]
        if self.rng.random() < 0.1:
            parts.append(self.field(1, self.field(1, self.entry())))
        if self.rng.random() < 0.1:
            parts.append(self.unknown())
        if self.rng.random() < 0.2:
            self.rng.shuffle(parts)
        return b"".join(parts)

    def request(self) -> bytes:
        parts = [self.field(1, self.resource_spans()) for _ in range(self.rng.randrange(4))]
        if self.rng.random() < 0.1:
            parts.append(self.unknown())
        return b"".join(parts)
