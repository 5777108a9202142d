"""One link of the chain: a record as a line of JSON, and the code that binds it to the one before.

    mac(n) = HMAC-SHA256(key, mac(n-1) + line(n) without its mac)

The first link of a log has 32 zero bytes before it. A line is canonical (keys in a fixed order, no spaces), so that it
can be checked as it stands, without being written again.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Final

import msgspec

from otel_llm.policy.audit_sink import AuditRecord

FIRST: Final = bytes(32)
SHORTEST_KEY: Final = 16
_VERSION: Final = 1
_MAC_MARK: Final = b',"mac":"'
_MAC_HEX: Final = 64
# Audit records hold names and low-cardinality reasons; whatever is longer is none, and is cut.
_LONGEST_TEXT: Final = 256
_MOST_DETAILS: Final = 32


class Line(msgspec.Struct, frozen=True, omit_defaults=False, kw_only=True):
    """A record as it stands in a file.

    Attributes:
        v: of the format.
        seq: 1 for the first record of a log, then one more for each.
        kind: as in AuditRecord, or `start`, `retention` or `recovery` for what the log did itself.
        mac: of this record, in hex.
    """

    v: int
    seq: Annotated[int, msgspec.Meta(ge=1)]
    time_unix_nano: int
    kind: str
    rule_id: str | None
    bundle_id: str | None
    verdict: str | None
    action: str | None
    reason: str | None
    service: str | None
    trace_id: str | None
    span_id: str | None
    details: Mapping[str, str]
    mac: str = ""


@dataclass(frozen=True, slots=True)
class Link:
    """A line and its code.

    Attributes:
        line: with its line break.
        mac: 32 bytes.
    """

    line: bytes
    mac: bytes


_encoder: Final = msgspec.json.Encoder(order="deterministic")
_decoder: Final = msgspec.json.Decoder(Line)


def _cut(text: str | None) -> str | None:
    if text is None:
        return None
    if not text.isascii():  # half of a surrogate pair is no UTF-8, and costs no record
        text = text.encode("utf-8", "replace").decode()
    return text if len(text) <= _LONGEST_TEXT else text[: _LONGEST_TEXT - 1] + "…"


def link(key: bytes, previous: bytes, seq: int, record: AuditRecord, kind: str | None = None) -> Link:
    """A record bound to the one before.

    Args:
        key: of the log.
        previous: the code of the record before, FIRST for none.
        seq: its number.
        record: what happened.
        kind: in place of the record's, for what the log does itself.
    """
    details = {str(_cut(name)): str(_cut(text)) for name, text in list(record.details.items())[:_MOST_DETAILS]}
    body = {
        "v": _VERSION,
        "seq": seq,
        "time_unix_nano": record.time_unix_nano,
        "kind": kind or record.kind,
        "rule_id": _cut(record.rule_id),
        "bundle_id": _cut(record.bundle_id),
        "verdict": _cut(record.verdict),
        "action": _cut(record.action),
        "reason": _cut(record.reason),
        "service": _cut(record.service),
        "trace_id": _cut(record.trace_id),
        "span_id": _cut(record.span_id),
        "details": details,
    }
    encoded = _encoder.encode(body)
    mac = hmac.digest(key, previous + encoded, "sha256")
    return Link(encoded[:-1] + _MAC_MARK + mac.hex().encode() + b'"}\n', mac)


def read(line: bytes) -> Line:
    """A line of a file.

    Raises:
        ValueError: it is none.
    """
    try:
        return _decoder.decode(line)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        raise ValueError("the line is not a record") from None


def mac_of(key: bytes, previous: bytes, line: bytes) -> bytes | None:
    """The code that a line (without its line break) must have; None when it is no line with a code."""
    body, mark, rest = line.rpartition(_MAC_MARK)
    if not mark or len(rest) != _MAC_HEX + 2 or not rest.endswith(b'"}'):
        return None
    return hmac.digest(key, previous + body + b"}", "sha256")


def head_mac(key: bytes, seq: int, mac: bytes) -> str:
    """The code of a head, so that nobody without the key can make one."""
    return hmac.digest(key, b"otel_llm.audit.head" + seq.to_bytes(8, "big") + mac, "sha256").hex()
