"""What can be billed, as data: which quantity of a Usage each price is for, and which larger quantity it is part of.

A quantity that is part of another one (cached tokens of the input tokens) is billed at its own price where the model
has one and at the larger quantity's price where it has none. So a price list is compiled to differences: the input
price for all input tokens, plus (cached price - input price) for the cached ones, and so on; see plans.py.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Unit:
    """One kind of billable quantity.

    Attributes:
        name: the key in price data and in user overlays.
        field: the attribute of Usage that counts it.
        meter: the cost attribute it adds to: `otel_llm.cost.<meter>`.
        per: how many the published price is for (a million tokens, a thousand searches, an hour in seconds).
        label: what one is called, for a reader.
        parents: the units it is part of; two when it is where both overlap (cached audio).
    """

    name: str
    field: str
    meter: str
    per: int
    label: str
    parents: tuple[str, ...] = ()


MILLION = 1_000_000

UNITS: tuple[Unit, ...] = (
    Unit("input", "input_tokens", "input", MILLION, "token"),
    Unit("cache_read", "cache_read", "cache_read", MILLION, "token", ("input",)),
    Unit("cache_write", "cache_write", "cache_write", MILLION, "token", ("input",)),
    Unit("cache_write_1h", "cache_write_1h", "cache_write", MILLION, "token", ("cache_write",)),
    Unit("input_audio", "input_audio", "input_audio", MILLION, "token", ("input",)),
    Unit("input_image", "input_image", "input_image", MILLION, "token", ("input",)),
    Unit("input_video", "input_video", "other", MILLION, "token", ("input",)),
    Unit("cache_read_audio", "cache_read_audio", "cache_read", MILLION, "token", ("cache_read", "input_audio")),
    Unit("cache_read_image", "cache_read_image", "cache_read", MILLION, "token", ("cache_read", "input_image")),
    Unit("output", "output_tokens", "output", MILLION, "token"),
    Unit("reasoning", "reasoning", "output", MILLION, "token", ("output",)),
    Unit("citation", "citation", "output", MILLION, "token", ("output",)),
    Unit("output_audio", "output_audio", "output_audio", MILLION, "token", ("output",)),
    Unit("output_image", "output_image", "output_image", MILLION, "token", ("output",)),
    Unit("output_video", "output_video", "other", MILLION, "token", ("output",)),
    Unit("web_search", "web_searches", "web_search", 1000, "search"),
    Unit("file_search", "file_searches", "other", 1000, "search"),
    Unit("request", "requests", "request", 1000, "request"),
    Unit("characters", "characters", "other", MILLION, "character"),
    Unit("pages", "pages", "other", 1000, "page"),
    Unit("image", "images", "other", 1, "image"),
    Unit("audio", "audio_seconds", "other", 3600, "second"),
)
UNIT_OF_NAME: dict[str, Unit] = {unit.name: unit for unit in UNITS}

#: Quantities that are not a count of what was asked of the model: without any other, there is no usage.
FEES = frozenset({"request"})
