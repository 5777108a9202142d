"""What stands in the place of something found. A marker tells its type, and nothing of what it replaced.

    mask      [EMAIL_ADDRESS]
    remove    nothing at all
    hash      [EMAIL_ADDRESS:kcbmoaepjdfnhlgiakbo]    the same for the same value and key, so that values can be joined
    tokenize  [EMAIL_ADDRESS~cmgkbpdh...]             the value itself, encrypted: the key brings it back (`reveal`)
    truncate  [CREDIT_CARD:***117]                    with at most three of its last characters

Digests and tokens are written with the letters a to p only, so that no detector takes them for a number or a key, and a
second pass changes nothing. hash is HMAC-SHA256: without the key nobody can try values. tokenize is AES-SIV (RFC 5297),
which needs no counter and gives the same token for the same value; what it reveals is which values are equal.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Callable
from typing import Final, Literal, Protocol, TypeAlias

OperatorName: TypeAlias = Literal["mask", "remove", "hash", "tokenize", "truncate"]
# From a type and the text that was found to what stands in its place.
Operator: TypeAlias = Callable[[str, str], str]

TYPE_NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9_.\-]{0,63}")

_DIGEST_BYTES: Final = 10
_SHORTEST_KEY: Final = 16
_MOST_KEPT: Final = 3
_LETTERS: Final = str.maketrans("0123456789abcdef", "abcdefghijklmnop")
_HEX: Final = str.maketrans("abcdefghijklmnop", "0123456789abcdef")
_TOKEN: Final = re.compile(r"\[([A-Za-z][A-Za-z0-9_.\-]{0,63})~([a-p]{2,8192})\]")


class KeyProblem(ValueError):  # noqa: N818 - a problem of the configuration, told as one
    """A key cannot be used; the message says why, never what it is."""


def mask(type_: str, _text: str) -> str:
    """The type."""
    return f"[{type_}]"


def remove(_type: str, _text: str) -> str:
    """Nothing."""
    return ""


def truncate(type_: str, text: str) -> str:
    """The type and at most three characters, of a text that is much longer."""
    kept = text[-_MOST_KEPT:] if len(text) >= 4 * _MOST_KEPT else ""
    return f"[{type_}:***{kept}]" if kept.isalnum() else f"[{type_}]"


def hashing(key: bytes) -> Operator:
    """The type and a keyed digest.

    Raises:
        KeyProblem: the key is too short.
    """
    if len(key) < _SHORTEST_KEY:
        raise KeyProblem(f"expected a key of at least {_SHORTEST_KEY} bytes, got {len(key)}")

    def hash_(type_: str, text: str) -> str:
        digest = hmac.digest(key, f"{type_}\0{text}".encode("utf-8", "surrogatepass"), "sha256")
        return f"[{type_}:{digest[:_DIGEST_BYTES].hex().translate(_LETTERS)}]"

    return hash_


class _Cipher(Protocol):
    def encrypt(self, data: bytes, associated_data: list[bytes] | None) -> bytes: ...

    def decrypt(self, data: bytes, associated_data: list[bytes] | None) -> bytes: ...


def _cipher(key: bytes) -> _Cipher:
    try:
        from cryptography.hazmat.primitives.ciphers.aead import AESSIV  # noqa: PLC0415 - optional
    except ImportError:
        raise KeyProblem(
            "tokenize needs cryptography, which is not installed; pip install 'otel-llm[policy]'"
        ) from None
    if len(key) < _SHORTEST_KEY:
        raise KeyProblem(f"expected a key of at least {_SHORTEST_KEY} bytes, got {len(key)}")
    # AES-SIV wants two keys of one length; any key of the user's becomes such a pair.
    return AESSIV(hmac.digest(key, b"otel_llm.redaction.tokenize", "sha512"))


def tokenizing(key: bytes) -> Operator:
    """The type and the text, encrypted.

    Raises:
        KeyProblem: the key is too short, or cryptography is not installed.
    """
    cipher = _cipher(key)

    def tokenize(type_: str, text: str) -> str:
        sealed = cipher.encrypt(text.encode("utf-8", "replace"), [type_.encode()])
        return f"[{type_}~{sealed.hex().translate(_LETTERS)}]" if len(sealed) <= _LONGEST_SEALED else mask(type_, text)

    return tokenize


_LONGEST_SEALED: Final = 4096


def reveal(text: str, key: bytes) -> str:
    """The text with what the tokens in it stand for; tokens of another key stay.

    Raises:
        KeyProblem: as for `tokenizing`.
    """
    cipher = _cipher(key)

    def opened(match: re.Match[str]) -> str:
        sealed = match[2].translate(_HEX)
        if len(sealed) % 2:
            return match[0]
        try:
            return cipher.decrypt(bytes.fromhex(sealed), [match[1].encode()]).decode()
        except _invalid_tag():
            return match[0]

    return _TOKEN.sub(opened, text)


def _invalid_tag() -> type[Exception]:
    from cryptography.exceptions import InvalidTag  # noqa: PLC0415 - optional

    return InvalidTag


def operator(name: OperatorName, key: bytes | None) -> Operator:
    """The operator of that name.

    Raises:
        KeyProblem: it needs a key and there is none, or the key cannot be used.
    """
    if name in ("hash", "tokenize"):
        if key is None:
            raise KeyProblem(f"the operator {name} needs a key; set key, or key_file")
        return hashing(key) if name == "hash" else tokenizing(key)
    return {"mask": mask, "remove": remove, "truncate": truncate}[name]
