"""Which libraries are instrumented: where each one and its table are. Imports nothing, for it runs in every process."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final


@dataclass(frozen=True, slots=True)
class Row:
    """Where a library and its table are, before either is imported.

    Attributes:
        table: our module that has its `LIBRARY`.
        watch: the module of the library whose import makes it time to put the hooks in.
    """

    table: str
    watch: str


_TABLES: Final = "otel_llm.instrumentation.providers."
LIBRARIES: Final[Mapping[str, Row]] = MappingProxyType(
    {
        "openai": Row(_TABLES + "openai", "openai._base_client"),
        "anthropic": Row(_TABLES + "anthropic", "anthropic._base_client"),
    }
)
"""By import name."""
