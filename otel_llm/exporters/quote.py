"""What a destination says, fit to be logged, kept and shown: bounded, on one line, without our secrets.

Destinations quote what they were sent: `invalid key: sk-…`. Such a text goes into log lines, `otel-llm status` and the
dead letters, where a key has no business.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Iterator, Mapping
from typing import Final
from urllib.parse import parse_qsl, quote

from otel_llm.exporters.auth import Authorization

# What a server says may be long and may quote what it was sent; enough of it to understand. A Collector puts some 200
# characters in front of what its backend said.
_MESSAGE_CHARACTERS: Final = 300
# Shorter ones stand in every text, and protect nothing.
_SHORTEST_SECRET: Final = 4
_MASK: Final = "[masked]"


def one_line(message: str) -> str:
    """A message of somebody else, bounded, without line breaks and control characters."""
    text = " ".join("".join(c if c.isprintable() else " " for c in message[: 4 * _MESSAGE_CHARACTERS]).split())
    return text if len(text) <= _MESSAGE_CHARACTERS else text[: _MESSAGE_CHARACTERS - 1] + "…"


class Quote:
    """Quotes one destination.

    Args:
        headers: the fields that it is sent with every request; the value of each counts as secret.
        authorization: who we are to it, if that is apart.
        addresses: of it; the values in their queries count as secret.
    """

    __slots__ = ("_authorization", "_secrets")

    def __init__(
        self, headers: Mapping[str, str], authorization: Authorization | None = None, addresses: Iterable[str] = ()
    ) -> None:
        self._authorization = authorization
        queries = (address.partition("?")[2] for address in addresses)
        self._secrets = [*headers.values(), *(value for query in queries for _, value in parse_qsl(query))]

    def __call__(self, message: str) -> str:
        """The message, masked before it is cut, so that no half of a secret is left at the end."""
        now = [] if self._authorization is None else [self._authorization.value()]
        secrets = {form for secret in (*self._secrets, *now) for form in _forms(secret)}
        for secret in sorted(secrets, key=len, reverse=True):
            message = message.replace(secret, _MASK)
        return one_line(message)


def _forms(value: str) -> Iterator[str]:
    """A value as it may be quoted: whole, without its scheme, a password out of `Basic`, and each as in an address."""
    scheme, _, credentials = value.partition(" ")
    parts = {value, credentials if credentials and scheme.isalpha() else value}
    if scheme.lower() == "basic":
        try:
            pair = base64.b64decode(credentials, validate=True).decode()
        except (binascii.Error, UnicodeDecodeError):
            pair = ""
        parts |= {pair, pair.partition(":")[2]}
    for part in parts:
        if len(part) >= _SHORTEST_SECRET:
            yield from (part, quote(part, safe=""))
