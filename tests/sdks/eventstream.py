"""AWS's event stream encoding: what Bedrock's streams are made of.

Source: the Smithy specification of `application/vnd.amazon.eventstream`.
"""

from __future__ import annotations

import json
import struct
import zlib
from typing import Any

KIND = "application/vnd.amazon.eventstream"


def _header(name: str, value: str) -> bytes:
    return bytes([len(name)]) + name.encode() + b"\x07" + struct.pack(">H", len(value)) + value.encode()


def message(event: str, payload: Any, *, exception: bool = False) -> bytes:
    """One event with a JSON payload."""
    kind = (("exception-type", "exception") if exception else ("event-type", "event"))[0]
    headers = _header(f":{kind}", event)
    headers += _header(":content-type", "application/json")
    headers += _header(":message-type", "exception" if exception else "event")
    body = json.dumps(payload).encode()
    prelude = struct.pack(">II", 16 + len(headers) + len(body), len(headers))
    start = prelude + struct.pack(">I", zlib.crc32(prelude))
    whole = start + headers + body
    return whole + struct.pack(">I", zlib.crc32(whole))
