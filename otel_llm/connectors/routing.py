"""The connector that sends each item to the pipelines of its tenant, environment or service.

The laws of this module: an item goes to the pipelines of one row, or to the default ones, never to two tenants; what
cannot be told for certain goes to the default, which is the quarantine. Values are compared whole, never by pattern.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Annotated, Final, Literal

import msgspec

from otel_llm.codecs.lookup import (
    CONFLICT,
    ITEM_ATTRIBUTES,
    RESOURCE_ATTRIBUTES,
    Found,
    find_attributes,
    find_trace_id,
)
from otel_llm.codecs.points import split_points
from otel_llm.codecs.regroup import Layout, read_holders, read_layout, split_holders, split_items
from otel_llm.components import Context
from otel_llm.errors import ConfigError, MalformedError
from otel_llm.signals import Payload, Signal

_DEFAULT: Final = -1
# An item, or a trace, of which two rows could be right.
_AMBIGUOUS: Final = -2
_CACHED: Final = 4096
_LONGEST_VALUE: Final = 1024
_CACHED_RESOURCE_BYTES: Final = 4096


class RouteConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A row of the table."""

    when: Annotated[dict[str, str | tuple[str, ...]], msgspec.Meta(min_length=1)]
    """Attributes and their value, or a list of values of which one is enough. All of them must be right. Values of at
    most 1024 characters."""
    pipelines: Annotated[tuple[str, ...], msgspec.Meta(min_length=1)]
    """Where matching items go: pipelines that have this connector among their receivers."""


class Config(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Sends each item to the pipelines of its tenant, environment or service."""

    table: Annotated[tuple[RouteConfig, ...], msgspec.Meta(min_length=1)]
    """Rows, looked at in order; the first that is right decides."""
    default_pipelines: Annotated[tuple[str, ...], msgspec.Meta(min_length=1)]
    """Where everything else goes: what no row wants, and what cannot be told for certain. The quarantine."""
    attributes_of: Literal["resource", "items"] = "resource"
    """Which attributes count: `resource` for those of the resource only; `items` for those of each span, log record or
    data point as well, which come before the resource's. A span or record without any of its own goes where the others
    of its trace went. Not with tenants of keys: a sender could write another tenant's name on a span."""
    remembered_traces: Annotated[int, msgspec.Meta(ge=0)] = 50_000
    """How many traces are remembered for that, some 200 bytes each."""


class Routing:
    """The connector; see `create`. Thread-safe."""

    def __init__(self, config: Config, name: str) -> None:
        self._config = config
        self._name = name
        self._rows = [(_wanted(row.when), row.pipelines) for row in config.table]
        self._names = frozenset(key for row in config.table for key in row.when)
        self._keys = {key.encode(): key for key in self._names}
        self._outputs: Mapping[str, Signal] = {}
        self._lock = threading.Lock()
        self._ordered = sorted(self._names)
        # What was decided for values, and for whole resources. Values are short: a longer one is in no row.
        self._matches: dict[tuple[str | None, ...], int] = {}
        self._resources: dict[bytes, int] = {}
        self._traces: OrderedDict[bytes, int] = OrderedDict()

    def check(self, inputs: frozenset[Signal], outputs: Mapping[str, Signal]) -> None:
        """Every row, and the default, has a pipeline for every signal, and all of them are there."""
        path = f"connectors.{self._name}"
        lists = {f"{path}.table[{index}].pipelines": row.pipelines for index, row in enumerate(self._config.table)}
        lists[f"{path}.default_pipelines"] = self._config.default_pipelines
        problems = []
        for setting, ids in lists.items():
            problems += [
                f"{setting}: no pipeline {id_!r} has {self._name!r} among its receivers; add it there"
                for id_ in ids
                if id_ not in outputs
            ]
            problems += [
                f"{setting}: expected a pipeline for {signal} too, since a {signal} pipeline exports to {self._name!r}"
                for signal in sorted(inputs - {outputs.get(id_) for id_ in ids})
            ]
        named = {id_ for ids in lists.values() for id_ in ids}
        problems += [
            f"service.pipelines.{id_}.receivers: no row of {path} names this pipeline; add it to one"
            for id_ in outputs
            if id_ not in named
        ]
        if problems:
            raise ConfigError(problems)
        self._outputs = outputs

    def split(self, payload: Payload) -> Mapping[tuple[str, ...], Payload]:
        """The parts of a payload by where they go."""
        signal = payload.signal
        if self._config.attributes_of == "resource":
            parts = self._by_resource(payload)
        elif signal == "metrics":
            parts = split_points(payload.join(), self._names, self._of_point)
        else:
            parts = self._by_item(payload)
        found: dict[tuple[str, ...], Payload] = {}
        for route, part in parts.items():
            ids = self._pipelines(route, signal)
            # Two rows may lead to the same place.
            found[ids] = part if ids not in found else _joined(found[ids], part)
        return found

    def _pipelines(self, route: int, signal: Signal) -> tuple[str, ...]:
        ids = self._rows[route][1] if route >= 0 else self._config.default_pipelines
        return tuple(id_ for id_ in ids if self._outputs.get(id_) == signal)

    def _by_resource(self, payload: Payload) -> dict[int, Payload]:
        layout = read_holders(payload.join())
        routes = [self._of_resource(layout.resource(holder)) for holder in layout.holders]
        if len(set(routes)) <= 1:
            return {routes[0] if routes else _DEFAULT: payload}
        return split_holders(layout, routes, payload.signal)

    def _of_resource(self, resource: bytes) -> int:
        route = self._resources.get(resource)
        if route is None:
            route = self._match(self._attributes(resource, 0, len(resource), RESOURCE_ATTRIBUTES))
            if len(self._resources) < _CACHED and len(resource) <= _CACHED_RESOURCE_BYTES:
                self._resources[resource] = route
        return route

    def _by_item(self, payload: Payload) -> dict[int, Payload]:
        layout = read_layout(payload.join())
        routes = self._item_routes(layout, payload.signal)
        if len(set(routes)) <= 1:
            return {routes[0] if routes else _DEFAULT: payload}
        return split_items(layout, routes, payload.signal)

    def _item_routes(self, layout: Layout, signal: Signal) -> list[int]:
        """The route of each item; those that say nothing of themselves follow their trace."""
        body, tag = layout.body, ITEM_ATTRIBUTES[signal]
        routes: list[int] = []
        silent: list[tuple[int, bytes]] = []
        spoken: dict[bytes, int] = {}
        for holder in layout.holders:
            resource = layout.resource(holder)
            of_resource = self._attributes(resource, 0, len(resource), RESOURCE_ATTRIBUTES)
            for _, payload, end in [item for group in holder.groups for item in group.items]:
                own = self._attributes(body, payload, end, tag)
                if own or of_resource:
                    route = self._match({**of_resource, **own})
                    if own:
                        _note(spoken, find_trace_id(body, payload, end, tag), route)
                else:
                    silent.append((len(routes), find_trace_id(body, payload, end, tag)))
                    route = _DEFAULT
                routes.append(route)
        if silent or spoken:
            self._follow(routes, silent, spoken)
        return routes

    def _follow(self, routes: list[int], silent: Sequence[tuple[int, bytes]], spoken: Mapping[bytes, int]) -> None:
        with self._lock:
            for trace, route in spoken.items():
                if trace:
                    _note(self._traces, trace, route)
                    self._traces.move_to_end(trace)
            while len(self._traces) > self._config.remembered_traces:
                self._traces.popitem(last=False)
            for position, trace in silent:
                routes[position] = self._traces.get(trace, _DEFAULT)

    def _of_point(self, resource: Mapping[str, Found], point: Mapping[str, Found]) -> int:
        return self._match({**resource, **point})

    def _attributes(self, body: bytes, start: int, end: int, tag: int) -> dict[str, Found]:
        try:
            return find_attributes(body, start, end, tag, self._keys)
        except MalformedError:  # it says nothing that could be relied on
            return dict.fromkeys(self._names, CONFLICT)

    def _match(self, values: Mapping[str, Found]) -> int:
        texts = tuple([_text(values.get(key)) for key in self._ordered])
        route = self._matches.get(texts)
        if route is None:
            route = self._first_row(dict(zip(self._ordered, texts, strict=True)))
            if len(self._matches) < _CACHED:
                self._matches[texts] = route
        return route

    def _first_row(self, texts: Mapping[str, str | None]) -> int:
        for index, (wanted, _) in enumerate(self._rows):
            if all(texts[key] in allowed for key, allowed in wanted.items()):
                return index
        return _DEFAULT


def _wanted(when: Mapping[str, str | tuple[str, ...]]) -> dict[str, frozenset[str | None]]:
    return {key: frozenset((value,) if isinstance(value, str) else value) for key, value in when.items()}


def _text(value: Found) -> str | None:
    """A value as the table writes it; None for what can be in no table."""
    if isinstance(value, str):
        return value if len(value) <= _LONGEST_VALUE else None
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if isinstance(value, int) else None


def _note(traces: dict[bytes, int], trace: bytes, route: int) -> None:
    """Remember where a trace goes; one that goes to two places leads nowhere."""
    known = traces.setdefault(trace, route)
    if known != route:
        traces[trace] = _AMBIGUOUS


def _joined(one: Payload, other: Payload) -> Payload:
    return Payload.of(one.signal, (*one.buffers, *other.buffers), one.items + other.items)


def create(config: Config, context: Context) -> Routing:
    """The connector."""
    return Routing(config, context.name)
