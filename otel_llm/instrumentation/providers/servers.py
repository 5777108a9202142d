"""Who answers a client, by the URL it talks to."""

from __future__ import annotations

from functools import lru_cache
from typing import Final
from urllib.parse import urlsplit

from otel_llm._generated import attributes as names
from otel_llm.instrumentation.provider import Server

_PORTS: Final = {"http": 80, "https": 443}


@lru_cache(maxsize=256)
def server_of(provider: str, url: str) -> Server:
    """The server at a URL.

    Args:
        provider: `gen_ai.provider.name`.
        url: the base URL; empty when nobody knows.
    """
    attributes: dict[str, str | int] = {names.GEN_AI_PROVIDER_NAME: provider}
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        return Server(provider, attributes)
    if host:
        attributes[names.SERVER_ADDRESS] = host
        if port or parts.scheme in _PORTS:
            attributes[names.SERVER_PORT] = port or _PORTS[parts.scheme]
    return Server(provider, attributes)
