"""From the ids in a span to an entry in a price list, by rules that can be named."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from otel_llm.cost import model_ids, providers
from otel_llm.cost.price_lists import ListedModel, PriceList
from otel_llm.cost.quote import Reason


@dataclass(frozen=True, slots=True)
class Call:
    """What a span says about who served a call.

    Attributes:
        provider: `gen_ai.provider.name` in any spelling.
        response_model: `gen_ai.response.model`.
        request_model: `gen_ai.request.model`; used when there is no response model, and for aliases.
        server_address: `server.address`.
    """

    provider: str | None
    response_model: str | None
    request_model: str | None
    server_address: str | None


@dataclass(frozen=True, slots=True)
class Found:
    """A listed model and the rule that led to it."""

    model: ListedModel
    rule: str


@dataclass(frozen=True, slots=True)
class NotFound:
    """Why there is none; `provider` is the matched provider, if that much is known."""

    reason: Reason
    provider: str | None = None


@dataclass(frozen=True, slots=True)
class Alias:
    """A user's name for a listed model: a deployment, an inference profile, an endpoint.

    Attributes:
        provider: the provider id it is an alias at, None for anywhere.
        target_provider: whose price list to use.
        target_model: the id in that list, read like any other id.
    """

    provider: str | None
    target_provider: str
    target_model: str


class Resolver:
    """Looks ids up.

    `price_list` gives a provider's list (empty for an unknown one), `listed_providers` says which have one.
    """

    def __init__(
        self,
        price_list: Callable[[str], PriceList],
        fallbacks: Mapping[str, Sequence[str]],
        aliases: Mapping[str, Sequence[Alias]],
        listed_providers: frozenset[str],
    ) -> None:
        self._price_list = price_list
        self._fallbacks = fallbacks
        self._aliases = aliases
        self._listed_providers = listed_providers

    def resolve(self, call: Call) -> Found | NotFound:
        """The listed model for a call, or why there is none."""
        model = call.response_model or call.request_model
        provider, provider_rule = self._provider(call)
        for name in (call.response_model, call.request_model):
            if name and (found := self._aliased(provider, name)):
                return found
        if not model or len(model) > model_ids.MAXIMUM_LENGTH:
            return NotFound("unknown_model", provider)
        found = self._in_any_list(call, provider, model)
        if found is None:
            return NotFound(self._reason(call, provider, model), provider)
        steps = [provider_rule, "" if call.response_model else "request_model", found.rule]
        return Found(found.model, "+".join(step for step in steps if step) or "exact")

    def _provider(self, call: Call) -> tuple[str | None, str]:
        """The provider, and the rule when it was not simply its name.

        A provider's own host outranks the name: SDKs of one provider are pointed at others, and instrumentations then
        report the SDK's.
        """
        named = self._named(call.provider) if call.provider else None
        host = providers.provider_of_host(call.server_address) if call.server_address else None
        if host and host != named:
            return host, "server_address"
        return named, ""

    def _named(self, spelling: str) -> str | None:
        name = spelling.strip().lower()
        return name if name in self._listed_providers else providers.provider_of_spelling(spelling)

    def _aliased(self, provider: str | None, name: str) -> Found | None:
        text = name.strip().lower()
        for alias in self._aliases.get(text, ()):
            if alias.provider in (None, provider):
                found = self._at_provider(alias.target_provider, alias.target_model)
                return Found(found.model, "alias") if found else None
        return None

    def _in_any_list(self, call: Call, provider: str | None, model: str) -> Found | None:
        if provider and (found := self._at_provider(provider, model)):
            return found
        if found := self._by_route(provider, model):
            return found
        # An OpenAI-compatible endpoint of nobody in particular (a gateway) serving a model that its maker lists under
        # exactly this id. Not when the host says who it is, and never for a provider with a list of its own.
        open_ended = provider is None or (provider == "openai" and not self._host_is_known(call))
        if open_ended and not self._names_unknown(call) and not self._is_own_machine(call):
            return self._at_makers(model)
        return None

    def _at_provider(self, provider: str, model: str) -> Found | None:
        """The model in the provider's list, then in those of the makers whose models it resells."""
        text, notation = model_ids.unwrapped(model)
        for name in (provider, *self._fallbacks.get(provider, ())):
            if found := self._in_list(self._price_list(name), text):
                resold = "" if name == provider else f"resold:{name}"
                steps = [step for step in (resold, notation, found.rule) if step]
                return Found(found.model, "+".join(steps))
        return None

    def _in_list(self, prices: PriceList, text: str) -> Found | None:
        for reading in model_ids.readings(text):
            if model := prices.with_id(reading.text):
                return Found(model, reading.rule)
        for reading in model_ids.readings(text):
            for model, rule in prices.by_clause(reading.text):
                return Found(model, "+".join(step for step in (reading.rule, rule) if step))
            if reading.rule == "snapshot":
                break  # the looser rules allow for versions themselves
        return None

    def _by_route(self, provider: str | None, model: str) -> Found | None:
        """Reads "provider/model" and "provider:model", as LiteLLM, gateways and pydantic-ai write them."""
        for prefix, rest in model_ids.routed(model.strip().lower()):
            named = providers.provider_of_spelling(prefix)
            may_be_prefix = named is not None and (provider in (None, "openai", named) or named == "openrouter")
            if not may_be_prefix or named is None:
                continue
            found = self._at_provider(named, rest) or (self._by_route(None, rest) if named == "openrouter" else None)
            if found:
                return Found(found.model, "+".join(step for step in (f"prefix:{named}", found.rule) if step))
        return None

    def _at_makers(self, model: str) -> Found | None:
        text, notation = model_ids.unwrapped(model)
        for reading in model_ids.readings(text):
            for maker in providers.MAKERS:
                if listed := self._price_list(maker).with_id(reading.text):
                    steps = (f"maker:{maker}", notation, reading.rule)
                    return Found(listed, "+".join(step for step in steps if step))
        return None

    @staticmethod
    def _host_is_known(call: Call) -> bool:
        return bool(call.server_address and providers.provider_of_host(call.server_address))

    @staticmethod
    def _is_own_machine(call: Call) -> bool:
        return bool(call.provider and providers.is_self_hosted(call.provider))

    def _names_unknown(self, call: Call) -> bool:
        """Whether the span names a provider that nobody here knows, so that a maker's price would be a guess."""
        return (
            bool(call.provider)
            and not self._named(call.provider or "")
            and not providers.is_generic(call.provider or "")
        )

    def _reason(self, call: Call, provider: str | None, model: str) -> Reason:
        if self._is_own_machine(call):
            return "self_hosted"
        if model_ids.is_opaque(model.strip().lower()):
            return "opaque_model"
        return "unknown_provider" if provider is None and self._names_unknown(call) else "unknown_model"


def spelled_ids(aliases: Sequence[tuple[str, Alias]]) -> dict[str, list[Alias]]:
    """Aliases by lower-case name; those at a provider before those for anywhere."""
    found: dict[str, list[Alias]] = {}
    for name, alias in sorted(aliases, key=lambda item: item[1].provider is None):
        found.setdefault(name.strip().lower(), []).append(alias)
    return found
