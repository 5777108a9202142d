"""Reads overlays and the user's prices: data from outside, so everything is checked and all problems come at once.

docs/prices.md describes the form. Prices are text or numbers; a number is taken as it is written (0.1 is one tenth).
"""

from __future__ import annotations

import datetime as dt
import fnmatch
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from fractions import Fraction
from typing import NamedTuple

from otel_llm.cost.model_ids import MAXIMUM_LENGTH
from otel_llm.cost.plans import PriceText
from otel_llm.cost.price_lists import ListedModel, ModelJson, PeriodJson
from otel_llm.cost.providers import provider_of_spelling
from otel_llm.cost.resolution import Alias, spelled_ids
from otel_llm.cost.units import UNIT_OF_NAME

_CURRENCY = re.compile(r"[A-Z]{3}")
_TIME = re.compile(r"([01]\d|2[0-3]):[0-5]\d")
#: A price above this for one unit of a million is a slip of the decimal point.
_MAXIMUM_PRICE = Decimal(10) ** 9


class OverlayError(ValueError):
    """Price data from outside is wrong. `problems` holds one sentence for each, starting with its path."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = tuple(problems)


@dataclass(frozen=True, slots=True)
class Discount:
    """A negotiated rate as a share of the list price.

    Attributes:
        provider: a provider id.
        model: a pattern for the listed model's id ("*" matches anything).
        units: which prices it is for; empty for all.
        share: what is left to pay: 0.9 for ten percent off.
        start: first day it holds, None for always.
        until: first day it no longer holds, None for never.
    """

    provider: str
    model: str
    units: tuple[str, ...]
    share: Fraction
    start: dt.date | None
    until: dt.date | None

    def is_for(self, provider: str, model: str) -> bool:
        """Whether it is about the model, on whatever day."""
        return self.provider == provider and fnmatch.fnmatchcase(model.lower(), self.model)

    def holds_on(self, day: dt.date) -> bool:
        """Whether it holds on the day."""
        return (self.start is None or self.start <= day) and (self.until is None or day < self.until)


class Factors(NamedTuple):
    """What multiplies one model's list prices, by day."""

    discounts: tuple[Discount, ...]
    exchange_rates: tuple[tuple[dt.date, Fraction], ...]

    @property
    def days(self) -> list[dt.date]:
        """Days on which a factor may change."""
        bounds = [day for item in self.discounts for day in (item.start, item.until) if day]
        return bounds + [day for day, _ in self.exchange_rates]

    def on(self, start: dt.date | None) -> Mapping[str, Fraction] | None:
        """Factors by unit, "" for the rest; None when the list price cannot be converted on that day."""
        day = start or dt.date.min
        factor = Fraction(1)
        if self.exchange_rates:
            known = [rate for since, rate in self.exchange_rates if since <= day]
            if not known:
                return None
            factor = known[-1]
        factors = {"": factor}
        for discount in self.discounts:
            if discount.holds_on(day):
                # The last one that names a unit counts, and one for all units replaces those before it.
                if not discount.units:
                    factors = {}
                factors.update(dict.fromkeys(discount.units or ("",), factor * discount.share))
        return factors


@dataclass(frozen=True, slots=True)
class UserPrices:
    """The user's side of the catalogue; see docs/prices.md.

    Attributes:
        currency: what quotes are in.
        exchange_rates: (first day, price of one USD in `currency`), oldest first; empty when that is USD.
        aliases: by lower-case name.
        discounts: in the order given; the last that matches counts.
        models: own prices, in `currency`, by provider id and model id.
    """

    currency: str = "USD"
    exchange_rates: tuple[tuple[dt.date, Fraction], ...] = ()
    aliases: Mapping[str, Sequence[Alias]] = field(default_factory=dict)
    discounts: tuple[Discount, ...] = ()
    models: Mapping[str, Mapping[str, ModelJson]] = field(default_factory=dict)

    @property
    def providers(self) -> frozenset[str]:
        """Providers that have prices here, so that a span may name one the catalogue does not know."""
        return frozenset(self.models)

    def touches(self, provider: str, model: str) -> bool:
        """Whether the user changed the model's prices: own ones or a discount."""
        return model in self.models.get(provider, {}) or any(item.is_for(provider, model) for item in self.discounts)

    def factors(self, provider: str, model: str, *, converted: bool) -> Factors:
        """What multiplies the model's prices; the user's own prices are neither converted nor discounted."""
        if not converted:
            return Factors((), ())
        return Factors(tuple(item for item in self.discounts if item.is_for(provider, model)), self.exchange_rates)


@dataclass(frozen=True, slots=True)
class OverlayEntry:
    """One corrected or added model, with why and from where.

    Attributes:
        model: the entry.
        note: why it is here.
        source: where its prices come from.
        as_of: when it was last checked (ISO 8601).
    """

    model: ListedModel
    note: str
    source: str
    as_of: str

    @classmethod
    def read_all(cls, *overlays: Mapping[str, object]) -> list[OverlayEntry]:
        """The entries of overlays, oldest first; raises OverlayError with every problem."""
        problems: list[str] = []
        entries: list[OverlayEntry] = []
        for number, overlay in enumerate(overlays):
            reader = Reader(overlay, f"overlays[{number}]" if number else "overlay", problems)
            as_of = str(reader.date("as_of", required=True) or "")
            for item in reader.items("entries"):
                model = _model(item, "overlay")
                entries.append(cls(model, item.text("note", required=True), item.text("source", required=True), as_of))
                item.finish()
            reader.text("source")
            reader.finish()
        if problems:
            raise OverlayError(problems)
        return entries


class Reader:
    """One mapping from outside: typed access that notes problems instead of raising, and at the end unknown keys."""

    def __init__(self, data: object, path: str, problems: list[str]) -> None:
        self.path = path
        self.problems = problems
        self._seen: set[str] = set()
        self._data: Mapping[object, object] = data if isinstance(data, Mapping) else {}
        if not isinstance(data, Mapping):
            self.problem("", f"expected a mapping, got {type(data).__name__}")

    def problem(self, key: str, text: str) -> None:
        """Notes a problem at a key ("" for the mapping itself)."""
        self.problems.append(f"{self.path}.{key}: {text}" if key else f"{self.path}: {text}")

    def value(self, key: str, *, required: bool = False) -> object:
        """The raw value, None when absent."""
        self._seen.add(key)
        found = self._data.get(key)
        if found is None and required:
            self.problem(key, "is missing")
        return found

    def text(self, key: str, default: str = "", *, required: bool = False) -> str:
        """A string that is not empty."""
        found = self.value(key, required=required)
        if found is None:
            return default
        if not isinstance(found, str) or not found.strip() or len(found) > MAXIMUM_LENGTH * 8:
            self.problem(key, f"expected text, got {found!r:.60}")
            return default
        return found.strip()

    def texts(self, key: str) -> list[str]:
        """A list of strings."""
        found = self.value(key)
        if found is None:
            return []
        if not isinstance(found, list | tuple) or not all(isinstance(item, str) and item for item in found):
            self.problem(key, f"expected a list of texts, got {found!r:.60}")
            return []
        return [str(item) for item in found]

    def date(self, key: str, *, required: bool = False) -> dt.date | None:
        """A day: an ISO 8601 date, or what YAML makes of one."""
        found = self.value(key, required=required)
        if isinstance(found, dt.date) and not isinstance(found, dt.datetime):
            return found
        if found is not None:
            try:
                return dt.date.fromisoformat(str(found))
            except ValueError:
                self.problem(key, f"expected a day such as 2026-08-21, got {found!r:.60}")
        return None

    def number(self, key: str, *, required: bool = False) -> Decimal | None:
        """An exact decimal number."""
        found = self.value(key, required=required)
        number = _decimal(found)
        if found is not None and number is None:
            self.problem(key, f"expected a number, got {found!r:.60}")
        return number

    def items(self, key: str) -> list[Reader]:
        """A list of mappings."""
        found = self.value(key)
        if found is None:
            return []
        if not isinstance(found, list | tuple):
            self.problem(key, f"expected a list, got {type(found).__name__}")
            return []
        return [Reader(item, f"{self.path}.{key}[{number}]", self.problems) for number, item in enumerate(found)]

    def finish(self) -> None:
        """Notes the keys nobody asked for."""
        for key in self._data:
            if key not in self._seen:
                self.problem(str(key), f"unknown key; known here: {', '.join(sorted(self._seen))}")


def merged_user_prices(user: Mapping[str, object]) -> UserPrices:
    """The user's prices from configuration; raises OverlayError with every problem."""
    problems: list[str] = []
    reader = Reader(user, "prices", problems)
    currency = reader.text("currency", "USD")
    if not _CURRENCY.fullmatch(currency):
        reader.problem("currency", f"expected an ISO 4217 code such as EUR, got {currency!r:.20}")
    rates = [_exchange_rate(item) for item in reader.items("exchange_rates")]
    if currency != "USD" and not rates:
        reader.problem("exchange_rates", f"is missing: list prices are in USD and quotes would be in {currency}")
    models: dict[str, dict[str, ModelJson]] = {}
    for item in reader.items("models"):
        model = _model(item, "user")
        models.setdefault(model.provider, {})[model.name] = model.data
        item.finish()
    prices = UserPrices(
        currency=currency,
        exchange_rates=tuple(sorted(rate for rate in rates if rate)) if currency != "USD" else (),
        aliases=spelled_ids([alias for item in reader.items("aliases") if (alias := _alias(item))]),
        discounts=tuple(_discount(item) for item in reader.items("discounts")),
        models=models,
    )
    reader.finish()
    if problems:
        raise OverlayError(problems)
    return prices


def _exchange_rate(reader: Reader) -> tuple[dt.date, Fraction] | None:
    start = reader.date("from", required=True)
    rate = reader.number("usd", required=True)
    reader.finish()
    if rate is not None and rate <= 0:
        reader.problem("usd", f"expected what one USD costs, more than 0, got {rate}")
    return (start, Fraction(rate)) if start and rate is not None and rate > 0 else None


def _alias(reader: Reader) -> tuple[str, Alias] | None:
    name = reader.text("name", required=True)
    model = reader.text("model", required=True)
    provider = _provider(reader, "provider", required=False)
    target = _provider(reader, "target_provider", required=False) or provider
    reader.finish()
    if not target:
        reader.problem("target_provider", "is missing: say whose price list the model is in (or give provider)")
        return None
    return (name, Alias(provider, target, model)) if name and model else None


def _discount(reader: Reader) -> Discount:
    percent = reader.number("percent", required=True)
    if percent is not None and percent > 100:  # noqa: PLR2004
        reader.problem("percent", f"expected at most 100 (percent off; negative for a surcharge), got {percent}")
    units = reader.texts("units")
    for name in units:
        if name not in UNIT_OF_NAME:
            reader.problem("units", f"unknown unit {name!r:.40}; known: {', '.join(UNIT_OF_NAME)}")
    discount = Discount(
        provider=_provider(reader, "provider", required=True) or "",
        model=reader.text("model", "*").lower(),
        units=tuple(units),
        share=1 - Fraction(percent or 0) / 100,
        start=reader.date("from"),
        until=reader.date("until"),
    )
    reader.finish()
    return discount


def _provider(reader: Reader, key: str, *, required: bool) -> str | None:
    """A provider id; a name that is not known is one of the user's own."""
    text = reader.text(key, required=required)
    return (provider_of_spelling(text) or text.lower()) if text else None


def _model(reader: Reader, source: str) -> ListedModel:
    """One model's entry; on problems it comes back as far as it could be read."""
    provider = _provider(reader, "provider", required=True) or ""
    name = reader.text("model", required=True)
    data: ModelJson = {
        "ids": list(dict.fromkeys([name.lower(), *(text.lower() for text in reader.texts("ids"))])),
        "prices": [_period(item) for item in reader.items("prices")],
        "variants": [_period(item, variant=True) for item in reader.items("variants")],
    }
    if not data["prices"] and "prices" not in {problem.rpartition(".")[2] for problem in reader.problems}:
        reader.problem("prices", "is missing: at least one set of rates, e.g. [{rates: {input: 1, output: 2}}]")
    if (minimum := reader.number("minimum_audio_seconds")) is not None:
        data["minimum_audio_seconds"] = int(minimum)
    return ListedModel(provider, name, "user" if source == "user" else "overlay", data)


def _period(reader: Reader, *, variant: bool = False) -> PeriodJson:
    period: PeriodJson = {"rates": _rates(reader)}
    start, until = reader.date("from"), reader.date("until")
    if start:
        period["from"] = start.isoformat()
    if until:
        period["until"] = until.isoformat()
    if start and until and until <= start:
        reader.problem("until", f"expected a day after from ({start}), got {until}")
    if variant:
        when = Reader(reader.value("when", required=True) or {}, f"{reader.path}.when", reader.problems)
        chosen = {key: when.text(key) for key in ("processing", "service_tier", "speed")}
        when.finish()
        period["when"] = {key: text for key, text in chosen.items() if text}
    else:
        _windows(reader, period)
    reader.finish()
    return period


def _windows(reader: Reader, period: PeriodJson) -> None:
    daily = reader.value("daily")
    if daily is not None:
        pairs = [list(pair) for pair in daily if isinstance(pair, list)] if isinstance(daily, list) else []
        if pairs and all(len(pair) == 2 and all(map(_is_time, pair)) for pair in pairs):  # noqa: PLR2004
            period["daily"] = pairs
        else:
            reader.problem("daily", f'expected pairs of UTC times such as [["01:00", "04:00"]], got {daily!r:.60}')
    weekdays = reader.value("weekdays")
    if weekdays is not None:
        if isinstance(weekdays, list) and all(type(day) is int and 0 <= day <= 6 for day in weekdays):  # noqa: PLR2004
            period["weekdays"] = list(weekdays)
        else:
            reader.problem("weekdays", f"expected numbers from 0 (Monday) to 6, got {weekdays!r:.60}")


def _is_time(text: object) -> bool:
    return isinstance(text, str) and _TIME.fullmatch(text) is not None


def _rates(reader: Reader) -> dict[str, PriceText]:
    rates = Reader(reader.value("rates", required=True) or {}, f"{reader.path}.rates", reader.problems)
    found: dict[str, PriceText] = {}
    for name in UNIT_OF_NAME:
        value = rates.value(name)
        if value is not None and (price := _price(rates, name, value)) is not None:
            found[name] = price
    rates.finish()
    return found


def _price(reader: Reader, name: str, value: object) -> PriceText | None:
    """A price, or [price, [more input tokens than this, price], ...]."""
    if not isinstance(value, list):
        return _checked_price(reader, name, value)
    texts: list[str | Sequence[int | str]] = []
    for number, step in enumerate(value):
        if number and not (isinstance(step, list) and len(step) == 2 and type(step[0]) is int):  # noqa: PLR2004
            reader.problem(name, f"expected [price, [tokens, price], ...], got {value!r:.60}")
            return None
        price = _checked_price(reader, name, step[1] if number else step)
        if price is None:
            return None
        texts.append([step[0], price] if number else price)
    return texts


def _checked_price(reader: Reader, name: str, value: object) -> str | None:
    price = _decimal(value)
    if price is None or not 0 <= price <= _MAXIMUM_PRICE:
        reader.problem(name, f"expected a price from 0 to {_MAXIMUM_PRICE:.0e}, got {value!r:.40}")
        return None
    return f"{price:f}"


def _decimal(value: object) -> Decimal | None:
    """The number as written; None for anything that is not a finite number."""
    if isinstance(value, bool) or not isinstance(value, int | float | str | Decimal):
        return None
    try:
        number = Decimal(str(value))
    except InvalidOperation:
        return None
    return number if number.is_finite() else None
