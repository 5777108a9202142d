"""Prices: what a call to a model cost, exactly, on the day it was made, or why that is not known.

    Usage (what was used) ─┐
    ids, mode, host, time ─┴─▶ Catalogue.quote ─▶ Quote (total, status, reason, meters, provenance)

A pure package: no OpenTelemetry, no network, no clock, and genai-prices only when the data is built
(tools/prices/build.py). docs/prices.md says where prices come from and how to add one.
"""

from __future__ import annotations

from otel_llm.cost.catalogue import Catalogue
from otel_llm.cost.explain import explain
from otel_llm.cost.overlay import OverlayError
from otel_llm.cost.quote import Quote, Reason, Status
from otel_llm.cost.tokens import estimate_tokens, texts_of
from otel_llm.cost.usage import Usage

__all__ = ["Catalogue", "OverlayError", "Quote", "Reason", "Status", "Usage", "estimate_tokens", "explain", "texts_of"]
