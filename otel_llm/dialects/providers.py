"""Which provider a span's words mean: a value map, and where that fails, the host and the model's name.

Source: semconv `gen_ai.provider.name`; the spellings are in semconv/dialects/common.yaml.
"""

from __future__ import annotations

from functools import cache
from typing import Final

from otel_llm._generated.attributes import ENUM_VALUES, GEN_AI_PROVIDER_NAME
from otel_llm.dialects.tables import common
from otel_llm.dialects.values import host_and_port

CANONICAL: Final = ENUM_VALUES[GEN_AI_PROVIDER_NAME]


def provider(name: str | None, host: str | None, model: str | None) -> str | None:
    """The provider's canonical name.

    Args:
        name: what the span says, None when it says nothing.
        host: the server's name or URL.
        model: the model's name.

    Returns:
        A name of the conventions; a name of the provider's own when the conventions have none; None when what the
        span says is a framework's name and nothing else tells.
    """
    known = _by_name(name) if name else None
    if known is None:
        return _by_host(host) or _by_model(model)
    for part, product in common().providers.by_host.get(known, {}).items():
        if host and part in host:
            return product
    return known


def _by_name(name: str) -> str | None:
    tables = common().providers
    if name in CANONICAL:
        return name
    lower = name.strip().lower()
    if lower in tables.not_providers:
        return None
    if lower in CANONICAL:
        return lower
    found = tables.names.get(lower)
    if found:
        return found
    return _longest_prefix(lower, _prefixes()) or name


@cache
def _prefixes() -> tuple[tuple[str, str], ...]:
    return _by_length(common().providers.prefixes)


@cache
def _models() -> tuple[tuple[str, str], ...]:
    return _by_length(common().providers.models)


def _by_length(table: dict[str, str]) -> tuple[tuple[str, str], ...]:
    return tuple(sorted(table.items(), key=lambda item: -len(item[0])))


def _longest_prefix(text: str, prefixes: tuple[tuple[str, str], ...]) -> str | None:
    return next((found for prefix, found in prefixes if text.startswith(prefix)), None)


def _by_host(host: str | None) -> str | None:
    if not host:
        return None
    parsed = host_and_port(host)
    name = (parsed[0] if parsed else host).lower()
    if name.startswith("bedrock") and name.endswith((".amazonaws.com", ".amazonaws.com.cn")):
        return "aws.bedrock"
    return next((found for end, found in common().providers.hosts.items() if name.endswith(end)), None)


def _by_model(model: str | None) -> str | None:
    return _longest_prefix(model.lower(), _models()) if model else None
