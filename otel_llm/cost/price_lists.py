"""The price data at run time: which models a provider lists and what its entries say.

Read lazily: loading parses one JSON file, a provider is indexed when it is first asked for, a model compiled when it
is first priced.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypedDict

from otel_llm.cost.model_ids import ClauseKind, follows_clause
from otel_llm.cost.plans import PriceText
from otel_llm.cost.quote import PriceSource
from otel_llm.cost.schedules import Entry, Variant

PeriodJson = TypedDict(
    "PeriodJson",
    {
        "from": str,
        "until": str,
        "daily": list[list[str]],
        "weekdays": list[int],
        "rates": dict[str, PriceText],
        "when": dict[str, str],
    },
    total=False,
)


class ModelJson(TypedDict, total=False):
    """One model as it stands in the data files."""

    ids: list[str]
    clauses: list[tuple[ClauseKind, str]]
    prices: list[PeriodJson]
    variants: list[PeriodJson]
    minimum_audio_seconds: int


@dataclass(frozen=True, slots=True)
class ListedModel:
    """A model in a price list.

    Attributes:
        provider: the provider's id.
        name: the model's id in the list.
        source: whose list it is.
        data: its entry.
    """

    provider: str
    name: str
    source: PriceSource
    data: ModelJson

    def entries(self) -> list[Entry]:
        """Its standard prices."""
        return [entry_of(period) for period in self.data["prices"]]

    def variants(self) -> list[Variant]:
        """What replaces them for other ways of calling."""
        return [Variant(item["when"], entry_of(item)) for item in self.data.get("variants", ())]


class PriceList:
    """One provider's models; of two that claim an id, the first has it.

    Attributes:
        models: all of them.
    """

    def __init__(self, models: Sequence[ListedModel]) -> None:
        self.models = tuple(models)
        self._by_id: dict[str, ListedModel] = {}
        self._clauses: list[tuple[ClauseKind, str, ListedModel]] = []
        for model in models:
            for literal in model.data["ids"]:
                self._by_id.setdefault(literal, model)
            self._clauses += [(kind, text, model) for kind, text in model.data.get("clauses", ())]

    def with_id(self, text: str) -> ListedModel | None:
        """The model listed under exactly this id."""
        return self._by_id.get(text)

    def by_clause(self, text: str) -> Iterator[tuple[ListedModel, str]]:
        """Models whose looser rules the id follows, with the rule."""
        for kind, clause, model in self._clauses:
            if follows_clause(text, kind, clause):
                yield model, f"{kind}:{clause}"


def entry_of(period: PeriodJson) -> Entry:
    """A dated price list from its JSON."""
    return Entry(
        texts=period["rates"],
        start=_date(period.get("from")),
        until=_date(period.get("until")),
        daily=tuple((_second(start), _second(end)) for start, end in period.get("daily", ())),
        weekdays=frozenset(period.get("weekdays", ())),
    )


def _date(text: str | None) -> dt.date | None:
    return dt.date.fromisoformat(text) if text else None


def _second(text: str) -> int:
    hours, minutes = text.split(":")
    return int(hours) * 3600 + int(minutes) * 60


def listed(provider: str, models: Mapping[str, ModelJson], source: PriceSource) -> list[ListedModel]:
    """A provider's block of a data file as listed models."""
    return [ListedModel(provider, name, source, data) for name, data in models.items()]


def layered(*layers: Sequence[ListedModel]) -> list[ListedModel]:
    """Lists on top of each other: the models of the last one first, each list in its own order.

    An entry for a model of a lower list replaces its prices and keeps the ids and rules that lead to it.
    """
    result: dict[str, ListedModel] = {}
    for layer in reversed(layers):
        for model in layer:
            upper = result.get(model.name)
            result[model.name] = _on_top_of(model, upper) if upper else model
    return list(result.values())


def _on_top_of(lower: ListedModel, model: ListedModel) -> ListedModel:
    data: ModelJson = {
        **model.data,
        "ids": list(dict.fromkeys([*model.data["ids"], *lower.data["ids"]])),
        "clauses": [*model.data.get("clauses", ()), *lower.data.get("clauses", ())],
    }
    return ListedModel(model.provider, model.name, model.source, data)
