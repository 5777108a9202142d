"""The price catalogue: `Catalogue.load().quote(...)`.

A quote for a call that looks like one before (same ids, mode and host) is two dictionary look-ups and a sum. Everything
else (reading ids, compiling prices) happens once for what is new, and what is remembered is bounded: ids come from
traffic, and traffic may be hostile.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypedDict

from otel_llm.cost.bills import bill, bill_provider_cost
from otel_llm.cost.call_modes import call_mode
from otel_llm.cost.overlay import OverlayEntry, UserPrices, merged_user_prices
from otel_llm.cost.plans import Plan, quick_total
from otel_llm.cost.price_lists import ListedModel, ModelJson, PriceList, layered, listed
from otel_llm.cost.quote import Basis, Quote, Reason
from otel_llm.cost.recent import Recent
from otel_llm.cost.resolution import Call, Found, NotFound, Resolver
from otel_llm.cost.schedules import Period, Source, compile_schedule
from otel_llm.cost.usage import Usage

#: Distinct calls (ids, mode, host) that are remembered; see recent.Recent.
REMEMBERED_CALLS = 4096
#: A call with a longer text in it is worked out each time it comes.
_MAXIMUM_KEY_LENGTH = 1024
_DATA = Path(__file__).parent / "data"  # importlib.resources would cost 15 ms of import time
_NEW_QUOTE = tuple.__new__  # Quote(...) does the same in twice the time

CallKey = tuple[str | None, str | None, str | None, str | None, str | None, str | None]


class CatalogueJson(TypedDict):
    """data/catalogue.json."""

    source: str
    as_of: str
    fallbacks: dict[str, list[str]]
    providers: dict[str, dict[str, ModelJson]]


class Catalogue:
    """List prices of every provider, our corrections and the user's own prices, by date. Thread-safe.

    Attributes:
        version: identifies the exact price data, the user's included; equal versions give equal quotes.
        as_of: the day (ISO 8601) of the newest fact in the list prices.
    """

    def __init__(self, data: CatalogueJson, overlays: Sequence[OverlayEntry], user: UserPrices, version: str) -> None:
        self.version = version
        self.as_of = max([data["as_of"], *(entry.as_of for entry in overlays)])
        self._data = data
        self._overlays = overlays
        self._user = user
        self._lists: dict[str, PriceList] = {}
        self._schedules: dict[tuple[str, str, str, str], tuple[Period, ...]] = {}
        self._recent: Recent[CallKey, Basis] = Recent(REMEMBERED_CALLS)
        listed_providers = user.providers.union(data["providers"])
        self._resolver = Resolver(self._price_list, data["fallbacks"], user.aliases, listed_providers)

    @classmethod
    def load(cls, overlays: Sequence[Mapping[str, object]] = (), user: Mapping[str, object] | None = None) -> Catalogue:
        """The catalogue of this release, with more overlays and the user's prices on top.

        Args:
            overlays: more entries in the form of data/overlay.json, oldest first.
            user: aliases, rates, discounts, currency; see docs/prices.md.

        Raises:
            OverlayError: with every problem in `overlays` and `user`, each with its path.
        """
        catalogue_text = (_DATA / "catalogue.json").read_bytes()
        overlay_text = (_DATA / "overlay.json").read_bytes()
        ours = OverlayEntry.read_all(json.loads(overlay_text), *overlays)
        prices = merged_user_prices(user or {})
        version = _version(catalogue_text, overlay_text, overlays, user)
        return cls(json.loads(catalogue_text), ours, prices, version)

    def unmatched(self) -> tuple[str, ...]:
        """What of the user's prices can never apply: a sentence for each alias or discount that no listed model fits.

        No error, for a price list may come to know the model later; but as a rule it is a slip of the pen.
        """
        found = []
        for name, aliases in self._user.aliases.items():
            for alias in aliases:
                target = Call(alias.target_provider, alias.target_model, None, None)
                if isinstance(self._resolver.resolve(target), NotFound):
                    found.append(
                        f"aliases: {name!r} stands for {alias.target_provider}/{alias.target_model}, which is in no "
                        "price list; its calls are unpriced"
                    )
        for discount in self._user.discounts:
            listed_models = self._price_list(discount.provider).models
            if not any(discount.is_for(model.provider, model.name) for model in listed_models):
                found.append(
                    f"discounts: no model of {discount.provider!r} is called {discount.model!r}; nothing is discounted"
                )
        return tuple(found)

    def providers_of(self, model: str) -> tuple[str, ...]:
        """The providers that list a model under exactly this id."""
        names = sorted(self._user.providers.union(self._data["providers"]))
        return tuple(name for name in names if self._price_list(name).with_id(model.strip().lower()))

    def quote(  # noqa: PLR0913, PLR0917 - one argument an attribute of the span; grouping them would cost what a price does
        self,
        provider: str | None,
        model: str | None,
        usage: Usage,
        at_unix_nano: int,
        processing: str | None = None,
        service_tier: str | None = None,
        server_address: str | None = None,
        request_model: str | None = None,
    ) -> Quote:
        """What a call cost. Never raises for what a span may hold.

        Args:
            provider: `gen_ai.provider.name`, in any spelling.
            model: `gen_ai.response.model`.
            usage: the billable quantities.
            at_unix_nano: when the call started.
            processing: "batch" for batch processing.
            service_tier: the tier the response names.
            server_address: `server.address`; a provider's own host outranks the provider's name.
            request_model: `gen_ai.request.model`; counts when there is no response model.
        """
        key = (provider, model, processing, service_tier, server_address, request_model)
        try:
            basis = self._recent.young[key]
        except KeyError:
            basis = self._basis(key)
        plan = basis.newest
        if plan is None or at_unix_nano < basis.newest_start:
            plan = basis.plan_at(at_unix_nano)
        if plan is not None:
            total = quick_total(plan, usage)
            if total is not None:
                reason = basis.substitute if plan.standard_instead else None
                return _NEW_QUOTE(Quote, (total, reason, basis, plan, usage, True))
        return _unusual_quote(basis, plan, usage)

    def _basis(self, key: CallKey) -> Basis:
        known = self._recent.recall(key)
        if known is not None:
            return known
        basis = self._work_out(key)
        if sum(len(text) for text in key if text) <= _MAXIMUM_KEY_LENGTH:
            self._recent.remember(key, basis)
        return basis

    def _work_out(self, key: CallKey) -> Basis:
        provider, model, processing, service_tier, server_address, request_model = key
        found = self._resolver.resolve(Call(provider, model, request_model, server_address))
        if isinstance(found, NotFound):
            return self._no_basis(found.provider, None, None, found.reason)
        mode = call_mode(processing, service_tier)
        listed_model = found.model
        if mode.committed and listed_model.source != "user":
            return self._no_basis(listed_model.provider, listed_model.name, found.rule, "committed_capacity")
        if not listed_model.data["prices"]:
            return self._no_basis(listed_model.provider, listed_model.name, found.rule, "no_price")
        return self._priced_basis(found, mode.context)

    def _no_basis(self, provider: str | None, model: str | None, rule: str | None, reason: Reason) -> Basis:
        return Basis(provider, model, rule, None, self._user.currency, self.version, reason=reason)

    def _priced_basis(self, found: Found, context: Mapping[str, str]) -> Basis:
        model = found.model
        return Basis(
            provider=model.provider,
            model=model.name,
            rule=found.rule,
            source="user" if self._user.touches(model.provider, model.name) else model.source,
            currency=self._user.currency,
            price_version=self.version,
            periods=self._schedule(model, context),
            substitute="no_price_for_batch" if "processing" in context else "no_price_for_tier",
        )

    def _schedule(self, model: ListedModel, context: Mapping[str, str]) -> tuple[Period, ...]:
        """The model's compiled prices; there are only so many models and modes, so all are kept."""
        key = (model.provider, model.name, model.source, ",".join(context.values()))
        known = self._schedules.get(key)
        if known is None:
            known = compile_schedule(self._source(model), context)
            self._schedules[key] = known
        return known

    def _source(self, model: ListedModel) -> Source:
        factors = self._user.factors(model.provider, model.name, converted=model.source != "user")
        return Source(
            model.entries(),
            model.variants(),
            model.data.get("minimum_audio_seconds", 0),
            factors.days,
            factors.on,
        )

    def _price_list(self, provider: str) -> PriceList:
        known = self._lists.get(provider)
        if known is None:
            base = listed(provider, self._data["providers"].get(provider, {}), "catalogue")
            ours = [[entry.model] for entry in self._overlays if entry.model.provider == provider]
            users = listed(provider, self._user.models.get(provider, {}), "user")
            known = PriceList(layered(base, *ours, users))
            if provider in self._data["providers"] or provider in self._user.models:
                self._lists[provider] = known
        return known


def _unusual_quote(basis: Basis, plan: Plan | None, usage: Usage) -> Quote:
    """A quote for anything but a sound text call at a known price."""
    if usage.provider_cost is not None:
        given = bill_provider_cost(usage.provider_cost)
        return Quote(given.total, given.problem, basis, plan, usage)
    if plan is None:
        return Quote(None, basis.reason or "no_price_at_date", basis, None, usage)
    full = bill(plan, usage)
    substitute = basis.substitute if plan.standard_instead and full.total is not None else None
    return Quote(full.total, full.problem or substitute, basis, plan, usage)


def _version(
    catalogue: bytes, overlay: bytes, overlays: Sequence[Mapping[str, object]], user: Mapping[str, object] | None
) -> str:
    """A short name for the exact price data: the list's date and a digest of everything that decides a price."""
    digest = hashlib.sha256(catalogue)
    digest.update(overlay)
    if overlays or user:
        digest.update(json.dumps([list(overlays), user], sort_keys=True, default=str).encode())
    as_of: str = json.loads(overlay)["as_of"]
    return f"{as_of}-{digest.hexdigest()[:10]}"
