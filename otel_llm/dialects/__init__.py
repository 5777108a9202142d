"""Source conventions: which one a span is written in, and the same span in the current one.

`detect` tells, `normalize` rewrites. The tables are in semconv/dialects/, one file for each convention.
"""

from __future__ import annotations

from otel_llm.dialects.detection import detect
from otel_llm.dialects.normalizer import TWINS, Normalizer, normalize

__all__ = ["TWINS", "Normalizer", "detect", "normalize"]
